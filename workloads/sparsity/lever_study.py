"""The study of levers: each by itself, and the best together, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hyflexsim.workloads.sparsity.best_levers import greedy
from hyflexsim.workloads.sparsity.lever_costs import Cost, cost_of
from hyflexsim.workloads.sparsity.lever_scores import Right, Subject
from hyflexsim.workloads.sparsity.levers import Lever, Setting, levers
from hyflexsim.workloads.terminal import Say

Row = dict[str, Any]
TITLES = {"part-small": "ParT, small", "part-full": "ParT, published"}
PARTICLES = {"part-small": 64, "part-full": 128}
BEST = "together"
WIDER = 4
"""The published pair network is so many times as wide as the small one's."""


class Study:
    """Costs of both models, scores of the small one; each setting is looked at once."""

    def __init__(self, subject: Subject, say: Say = lambda *_: None) -> None:
        self.subject = subject
        self.say = say
        self._costs: dict[str, Cost] = {}
        self._right: dict[str, list[Right]] = {}

    def cost(self, setting: Setting, model: str = "part-small") -> Cost:
        """What a jet costs in a setting."""
        key = f"{model} {setting}"
        if key not in self._costs:
            self._costs[key] = cost_of(model, setting, PARTICLES[model])
        return self._costs[key]

    def right(self, setting: Setting) -> list[Right]:
        """Which jets the small model has right, by chip; settings that compute alike are one."""
        alike = replace(setting, deal="in-turn", copies="fill", anew=False)
        links = ("bus.bandwidth", "port.bandwidth")
        alike = replace(alike, chip={k: v for k, v in alike.chip.items() if not k.endswith(links)})
        if str(alike) not in self._right:
            self._right[str(alike)] = self.subject.right("part-small", alike)
        return self._right[str(alike)]

    def score(self, setting: Setting, jets: Right) -> Row:
        """Accuracy on some of the jets and its change from the start, with one standard error."""
        found, (start,) = self.right(setting), self.right(Setting())
        moved = np.mean([(right != start)[jets].sum() for right in found])
        accuracy = float(np.mean([right[jets].mean() for right in found]))
        return {
            "accuracy": accuracy,
            "change": accuracy - float(start[jets].mean()),
            "change_error": float(np.sqrt(moved)) / int(jets.sum()),
            "jets": int(jets.sum()),
        }

    def rows(self, model: str, own: Sequence[Lever]) -> list[Row]:
        """A row a lever by itself."""
        everywhere = np.ones(len(self.subject), dtype=bool)
        found = []
        for i, lever in enumerate(own):
            self.say(f"{TITLES[model]}: {lever.title}", i, len(own))
            setting = Setting().changed(lever.change)
            row = _row(model, lever.title, lever.kind, self.cost(setting, model))
            if model == "part-small" and setting.trained:
                row |= self.score(setting, everywhere)
            found.append(row)
        return found

    def best(self, own: Sequence[Lever], models: Sequence[str]) -> list[Row]:
        """A row a lever that is pulled beside those before, and the same of the other models.

        Chosen on half of the jets; accuracies are of the other half.
        """
        chosen_on = self.subject.chosen_on
        pulled: list[tuple[Lever, Setting]] = []
        rows = []
        self.say("together", 0, 1)
        for lever, setting in greedy(own, self.cost, lambda s: -self.score(s, chosen_on)["change"]):
            pulled.append((lever, setting))
            self.say(f"together: {lever.title}", 0, 1)
            row = _row("part-small", f"+ {lever.title}", BEST, self.cost(setting))
            rows.append(row | self.score(setting, ~chosen_on))
        for model in models:
            for lever, setting in pulled if model != "part-small" else ():
                wide = replace(setting, pair_rank=setting.pair_rank and WIDER * setting.pair_rank)
                rows.append(_row(model, f"+ {lever.title}", BEST, self.cost(wide, model)))
        return rows


def lever_rows(
    checkpoint: str | Path,
    jets: str | Path | None = None,
    *,
    per_class: int = 10,
    models: Sequence[str] = tuple(TITLES),
    say: Say = lambda *_: None,
) -> list[Row]:
    """Rows: ``model``, ``kind``, ``lever``, latency (µs), energy (µJ), pace (jets/s), area (mm²);
    of the small model accuracy, its change, that one's standard error, and of how many jets.

    ``per_class``: jets of each class to choose by, and as many to judge by. Raises InputError as
    reading does.
    """
    study = Study(Subject(checkpoint, jets, per_class), say)
    rows = [row for model in models for row in study.rows(model, levers(model))]
    return rows + study.best(levers("part-small"), models)


def _row(model: str, title: str, kind: str, cost: Cost) -> Row:
    return {"model": TITLES[model], "kind": kind, "lever": title} | cost._asdict()
