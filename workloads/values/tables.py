"""Products of tokens with a table that is read whole: a score a row and head.

How they are read from a model: ``workloads/extraction/read_positions.py``. What gathers these
scores afterwards is wires of the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hyflexsim.workloads.values.program import Program


@dataclass(frozen=True)
class TableProduct:
    """``tokens``: exported node of (1, H, N, D) or (H, N, D); ``table``: of (H, D, rows), or of one
    dimension more.
    """

    op: str
    heads: int
    tokens: Any
    table: Any

    def queries(self, tensor: Tensor) -> Tensor:
        """(H, N, D) of the tokens' tensor."""
        return tensor.reshape(self.heads, *tensor.shape[-2:])

    def keys(self, tensor: Tensor) -> Tensor:
        """(H, rows, D) of the table's tensor."""
        return tensor.transpose(-1, -2).reshape(self.heads, tensor.shape[-1], tensor.shape[-2])


def by_token(scores: Tensor) -> Tensor:
    """(H, N, rows) of scores as rows of the program, one a token: (N, H * rows)."""
    return scores.transpose(0, 1).flatten(1)


def tables(program: Program) -> dict[str, TableProduct]:
    """These products by the name of their op."""
    found = {}
    for name, op in program.ops.items():
        if op.kind == "matmul" and not op.stage:
            node = op.nodes[-1]
            heads = int(op.attributes["heads"])
            found[name] = TableProduct(name, heads, *node.args[:2])
    return found
