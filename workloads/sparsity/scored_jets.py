"""A ParT's attention over real jets, in a chip's integers: who is right, and how much work it was.

Each jet is computed by the quantised model (values/reference.py), once for each way of choosing
keys, so that accuracy and work come from the same scores. What a visit of the plan computes is
held to that reference bit by bit elsewhere (``hyflexsim run --values``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from hyflexsim.models.part.checkpoint import PartSpec, load_part
from hyflexsim.models.part.inputs import jet_features
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.plan.work import Work
from hyflexsim.workloads.extraction.extract import extract_program
from hyflexsim.workloads.jets.jets import Jets
from hyflexsim.workloads.part.attention_run import choose
from hyflexsim.workloads.terminal import Say
from hyflexsim.workloads.values.attention import attentions, per_head
from hyflexsim.workloads.values.keeping import BEFORE, Choice
from hyflexsim.workloads.values.matrices import Matrix, matrix_of
from hyflexsim.workloads.values.program import Program
from hyflexsim.workloads.values.reference import Reference
from hyflexsim.workloads.values.widths import Widths, widths_of


@dataclass(frozen=True)
class Way:
    """One way of choosing keys. ``choice``: None keeps all."""

    name: str
    choice: Choice | None


@dataclass
class Outcome:
    """What a way gave, by jet: whether the class was right, and how much work it was."""

    right: list[bool] = field(default_factory=list)
    work: list[Work | None] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)  # of ``keys``, in the blocks that choose
    keys: list[int] = field(default_factory=list)
    bits: list[int] = field(default_factory=list)  # bits of keys multiplied, where one by one

    @property
    def accuracy(self) -> float:
        """Share of jets that were right."""
        return float(np.mean(self.right))

    @property
    def kept_share(self) -> float:
        """Keys kept over all keys, of all queries and heads; 1 where nothing is chosen."""
        return sum(self.kept) / sum(self.keys) if sum(self.keys) else 1.0


class ScoredJets:
    """A checkpoint's model as integers of a chip, and jets to give it.

    ``graph``: of the model. ``tokens``: particles of each jet.
    """

    def __init__(
        self, checkpoint: str | Path, jets: str | Path | None, per_class: int, chip: Chip
    ) -> None:
        model, self.spec = load_part(checkpoint)
        self.jets: Jets = choose(jets, self.spec.classes, per_class)
        self.widths: Widths = widths_of(chip)
        with torch.no_grad():
            extracted = extract_program(model.eval(), None, "part")
            self.program = Program(extracted)
            self.program.start(_inputs(self.spec, self.jets, 0))
            self.matrices: Mapping[str, Matrix] = {
                name: matrix_of(self.program, name, self.widths.weights, {})
                for name, kind in self.graph.nodes(data="kind")
                if kind == "gemv"
            }

    @property
    def graph(self) -> nx.DiGraph:
        """Of the model."""
        return self.program.graph

    @property
    def tokens(self) -> list[int]:
        """Particles that the model reads of each jet."""
        return [min(int(count), self.spec.particles) for count in self.jets.counts]

    def layers(self) -> dict[str, int]:
        """Particle blocks, and heads of each."""
        nodes = self.graph.nodes(data=True)
        return {
            op["layer"]: int(op["heads"])
            for _, op in nodes
            if op["kind"] == "matmul" and op["axis"] == "sequence"
        }

    def run(self, ways: Sequence[Way], say: Say = lambda *_: None) -> dict[str, Outcome]:
        """Every jet by every way."""
        found = {way.name: Outcome() for way in ways}
        with torch.no_grad():
            for j in range(len(self.jets)):
                say("computing attention", j, len(self.jets))
                inputs = _inputs(self.spec, self.jets, j)
                self.program.start(inputs)
                plain = Reference(self.program, self.matrices, None)
                plain.run()
                scales = self._scales(plain)
                target = self.spec.classes.index(str(self.jets.labels[j]))
                for way in ways:
                    self.program.start(inputs)
                    made = Reference(
                        self.program, self.matrices, self.widths, scales, choice=way.choice
                    )
                    logits = made.run()["output", "values"]
                    _add(found[way.name], made, int(logits.flatten().argmax()) == target)
        return found

    def _scales(self, plain: Reference) -> dict[str, Tensor]:
        """One scale a head of V, as the values of a run have it."""
        top = 2 ** ((self.widths.values or 8) - 1) - 1
        scales = {}
        for name, a in attentions(self.program).items():
            if name == a.pv:
                heads = int(a.operands[0].meta["val"].shape[1])
                largest = per_head(plain.tensor(a.operands[2]), heads).float().abs().amax((1, 2))
                scales[name] = torch.where(largest == 0, 1.0, largest / top).double()
        return scales


def work_of(made: Reference) -> Work | None:
    """Sizes of tokens by op, for a plan whose keys are chosen the same way; None: all are kept.

    Products, sums, softmax and weighted sums behind the choice are counted by head and key; where
    keys drop out bit by bit, products by head, key and bit.
    """
    by = "" if made.chooser.choice is None else made.chooser.choice.by
    sizes: dict[str, np.ndarray] = {}
    for softmax, kept in made.chooser.kept.items():
        a = made.attentions[softmax]
        rows = kept.sum((1, 2)).numpy().astype(np.int64)
        behind = [a.softmax, a.pv]
        if by in BEFORE:
            behind += [a.qk, *([a.add] if a.add else [])]
        sizes |= dict.fromkeys(behind, rows)
        if softmax in made.chooser.bits:
            sizes[a.qk] = made.chooser.bits[softmax].sum((1, 2)).numpy().astype(np.int64)
    return Work(sizes) if sizes else None


def _add(outcome: Outcome, made: Reference, right: bool) -> None:
    outcome.right.append(right)
    outcome.work.append(work_of(made))
    outcome.kept.append(sum(int(kept.sum()) for kept in made.chooser.kept.values()))
    outcome.keys.append(sum(kept.numel() for kept in made.chooser.kept.values()))
    outcome.bits.append(sum(int(bits.sum()) for bits in made.chooser.bits.values()))


def _inputs(spec: PartSpec, jets: Jets, j: int) -> dict[str, Any]:
    """A jet as the model's arguments, batch 1, without padding."""
    x, v = (torch.from_numpy(a)[None, :, : spec.particles].double() for a in jet_features(
        jets.inputs(j), spec.features, jets.axis(j)
    ))  # fmt: skip
    return {"x": x, "v": v} if spec.model.get("pair_input_dim", 4) else {"x": x}
