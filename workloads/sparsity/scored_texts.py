"""Held-out texts for a compressed decoder whose keys are chosen: the next token's loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario.checkpoints import find_checkpoint, read_about
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.sparsity.scored import Scored
from hyflexsim.workloads.values.matrices import Matrix, matrix_of
from hyflexsim.workloads.values.subject import open_subject
from hyflexsim.workloads.values.widths import widths_of


class ScoredTexts(Scored):
    """The first windows of the held-out text of a scenario's checkpoint, one a request.

    Raises InputError for a checkpoint that is no model of language.
    """

    metric = "perplexity"

    def __init__(self, scenario: Scenario) -> None:
        checkpoint = str(scenario.model.checkpoint)
        metric = read_about(find_checkpoint(checkpoint)).get("metric", {}).get("name", "nothing")
        if metric != self.metric:
            raise InputError(
                f"sparsity: {checkpoint} must be a ParT or a checkpoint judged by {self.metric}; "
                f"it is judged by {metric}"
            )
        ready = prepare(scenario)
        subject = open_subject(scenario, ready.requests, ready.graph, len(ready.requests))
        if not any(kind == "matmul" for _, kind in ready.graph.nodes(data="kind")):
            raise InputError(f"sparsity: {checkpoint} must have attention; it has none")
        self._items = subject.inputs
        self.tokens = [int(each["input_ids"].shape[1]) for each in self._items]
        self.widths = widths_of(ready.chip)
        self.program = subject.program
        with torch.no_grad():
            self.program.start(self.inputs(0))
            self.matrices: Mapping[str, Matrix] = {
                name: matrix_of(self.program, name, self.widths.weights, subject.factors)
                for name, kind in self.graph.nodes(data="kind")
                if kind == "gemv"
            }

    def inputs(self, i: int) -> dict[str, Tensor]:
        """Token ids."""
        return dict(self._items[i])

    def quality(self, i: int, output: Tensor) -> float:
        """Mean cross entropy of all tokens but the first, nat; ``output``: (T, vocabulary)."""
        ids = self._items[i]["input_ids"][0]
        return float(functional.cross_entropy(output[:-1].double(), ids[1:]))
