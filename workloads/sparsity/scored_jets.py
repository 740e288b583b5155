"""Jets for a ParT checkpoint whose keys are chosen: the class that it finds is right or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hyflexsim.models.part.checkpoint import load_part
from hyflexsim.models.part.inputs import jet_features
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.workloads.extraction.extract import extract_program
from hyflexsim.workloads.jets.jets import Jets
from hyflexsim.workloads.part.attention_run import choose
from hyflexsim.workloads.sparsity.scored import Scored
from hyflexsim.workloads.values.matrices import Matrix, matrix_of
from hyflexsim.workloads.values.program import Program
from hyflexsim.workloads.values.widths import widths_of


class ScoredJets(Scored):
    """The last ``per_class`` jets of each class in ``jets`` (None: the sample)."""

    metric = "accuracy"

    def __init__(
        self, checkpoint: str | Path, jets: str | Path | None, per_class: int, chip: Chip
    ) -> None:
        model, self.spec = load_part(checkpoint)
        self.jets: Jets = choose(jets, self.spec.classes, per_class)
        self.tokens = [min(int(count), self.spec.particles) for count in self.jets.counts]
        self.widths = widths_of(chip)
        with torch.no_grad():
            self.program = Program(extract_program(model.eval(), None, "part"))
            self.program.start(self.inputs(0))
            self.matrices: Mapping[str, Matrix] = {
                name: matrix_of(self.program, name, self.widths.weights, {})
                for name, kind in self.graph.nodes(data="kind")
                if kind == "gemv"
            }

    def inputs(self, i: int) -> dict[str, Tensor]:
        """Features of particles, and their momenta where the model has pairs."""
        features = jet_features(self.jets.inputs(i), self.spec.features, self.jets.axis(i))
        x, v = (torch.from_numpy(a)[None, :, : self.spec.particles].double() for a in features)
        return {"x": x, "v": v} if self.spec.model.get("pair_input_dim", 4) else {"x": x}

    def quality(self, i: int, output: Tensor) -> float:
        """Whether the class is right."""
        target = self.spec.classes.index(str(self.jets.labels[i]))
        return float(int(output.flatten().argmax()) == target)
