"""Results that the execution has written so far, as rows of tokens and as tensors of the program.

A row that no visit has written is NaN. Token ids are whole numbers, which know no NaN: an unwritten
one reads as 0 and :meth:`Store.written` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyflexsim.sim.vocabulary import FIXED
from hyflexsim.workloads.values.program import (
    Given,
    Program,
    labels_of,
    tensors_of,
    together,
)
from hyflexsim.workloads.values.results import Results
from hyflexsim.workloads.values.spans import pair_rows

Visible = Mapping[str, np.ndarray]
"""By op, which of its positions may be read: bool, (positions,)."""


class Store:
    """Rows by op and what of it, in the order of the program's tensors."""

    def __init__(self, program: Program, tokens: int):
        self.program = program
        self.tokens = tokens
        self.results: Results = {}
        self.written: dict[str, np.ndarray] = {}
        self._pairs = pair_rows(tokens)

    def count(self, op: str) -> int:
        """Positions of an op for this request."""
        data = self.program.graph.nodes[op]
        if data["axis"] == "pair":
            return len(self._pairs)
        if data["axis"] in FIXED:
            return int(data["extra"])
        return 1 if data["axis"] == "single" else self.tokens + int(data["extra"])

    def rows(self, op: str, positions: np.ndarray) -> Tensor:
        """Rows that hold these positions: pairs lie otherwise in the program than in the plan."""
        pairs = self.program.graph.nodes[op]["axis"] == "pair"
        return torch.from_numpy(self._pairs[positions] if pairs else positions)

    def keep(self, op: str, what: str, positions: np.ndarray, values: Tensor) -> None:
        """Write results of some positions, (positions, ...)."""
        key = (op, what)
        if key not in self.results:
            shape = (self.count(op), *values.shape[1:])
            self.results[key] = torch.full(shape, torch.nan, dtype=torch.float64)
        self.results[key][self.rows(op, positions)] = values.double()
        if what == "values":
            done = self.written.setdefault(op, np.zeros(self.count(op), dtype=bool))
            done[positions] = True

    def given(self, visible: Visible) -> Given:
        """Tensors of the program with only these positions, for :meth:`Program.value`."""
        made: dict[Any, Any] = {}

        def value(node: Any) -> Any:
            if node not in made:
                made[node] = self._tensor(node, visible)
            return made[node]

        return value

    def _tensor(self, node: Any, visible: Visible) -> Any:
        return together(node, [self._held(node, what, visible) for what in labels_of(node)])

    def _held(self, node: Any, what: str, visible: Visible) -> Tensor:
        owners = self.program.owners[node]
        sizes = self.program.shape(node)
        layout = self.program.layout_of(owners[0])
        rows = layout.rows(torch.full(sizes, torch.nan, dtype=torch.float64))
        every = torch.arange(rows.numel()).reshape(rows.shape)
        for op in owners:
            if (op, what) not in self.results or op not in visible:
                continue
            seen = np.flatnonzero(visible[op] & self.written[op])
            at = self.rows(op, seen)
            rows.view(-1)[self.program.place(op, every)[at]] = self.results[op, what][at]
        return layout.tensor(rows, sizes)

    def whole_numbers(self, op: str) -> bool:
        """Whether some of an op's results are whole numbers: token ids, which experts."""
        made = tensors_of(self.program.ops[op].nodes[-1])
        return not all(each.dtype.is_floating_point for each in made)
