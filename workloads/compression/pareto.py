"""Accuracy, latency, energy and area, over the SLC rate, the budget of parameters, and the chip.

For every budget the model is factorised and fine-tuned once (method and seed of the recipe; the
budget 1 is HyFlexPIM's hard threshold), then placed on every chip at every SLC rate: one placement
says how right the model is on cells of several seeds, and how long and how much it takes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from hyflexsim.analysis import confidence
from hyflexsim.models.cells.on_chip import matrices
from hyflexsim.models.cells.quantization import Clip
from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import load_compressed, save_compressed
from hyflexsim.models.lowrank.layers import HARD_THRESHOLD
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import cost_on_chip
from hyflexsim.workloads.compression.accuracy import scores_on_chips
from hyflexsim.workloads.compression.devices import device_of, noises_of
from hyflexsim.workloads.compression.judged_models import Opened, open_recipe, score
from hyflexsim.workloads.compression.machines import Machine
from hyflexsim.workloads.compression.protection import (
    masks_of,
    prepared,
    rank_scores_of,
    with_importance,
)
from hyflexsim.workloads.compression.rank_study import variant
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.compression.stages import factorise, recovered, train_dense
from hyflexsim.workloads.extraction.extract import extract_config
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.scenario.schema import Accuracy
from hyflexsim.workloads.terminal import Say

MARKS = ("pareto.json", "pareto.parquet")
KEY = ("budget", "chip", "slc_rate", "sigma")
"""Columns that tell rows apart; ``chip``: its parameters that differ, as ``key=value, …``."""
_SCHEMA = {
    "budget": pa.float64(),
    "chip": pa.string(),
    "slc_rate": pa.float64(),
    "sigma": pa.float64(),
    "seeds": pa.int32(),
    "score": pa.float64(),
    "half_width": pa.float64(),
    "latency_ps": pa.int64(),
    "energy_pj": pa.float64(),
    "area_mm2": pa.float64(),
    "arrays": pa.int64(),
    "throughput_per_s": pa.float64(),
}


def pareto(
    recipe: Recipe,
    method: str,
    budgets: Sequence[float],
    rates: Sequence[float],
    settings: Accuracy,
    out: str | Path,
    *,
    machines: Mapping[str, Machine] | None = None,
    say: Say | None = None,
    fresh: bool = False,
) -> Path:
    """Write directory `out` (pareto.parquet, pareto.json); resumed where it was interrupted.

    `method`: of budgets below 1. `rates`: SLC shares from 0 to 1. `settings`: noise and seeds.
    `machines`: chips to compare, by what a row is to call them; None: the default one.
    """
    for rate in rates:
        if not 0 <= rate <= 1:
            raise InputError(f"--slc-rate must be from 0 to 100 per cent; got {100 * rate:g}")
    if not rates or not budgets:
        raise InputError("--slc-rate and --budget must have a value each; got none")
    trials = {budget: _trial(recipe, method, budget) for budget in budgets}
    machines = machines or {"": Machine()}
    chips = {name: machine.chip() for name, machine in machines.items()}
    for name, chip in chips.items():  # refused before any work
        device_of(chip, noises_of(chip, settings)[0], machines[name].clip)
    run_dir.check_target(out, MARKS)
    say = say or (lambda what, done, total: None)
    job = {
        "recipe": recipe.resolved(),
        "method": method,
        "budgets": list(budgets),
        "rates": list(rates),
        "accuracy": settings.model_dump(),
        "chips": {name: [row._asdict() for row in chip.describe()] for name, chip in chips.items()},
    }
    with working(out, job, fresh=fresh) as work:
        opened = open_recipe(recipe)
        train_dense(recipe, opened, work, say)
        dense = work.fact("dense", lambda: score(opened.model, opened.task))
        rows = work.rows(KEY)
        wanted = len(budgets) * len(rates) * len(chips) * len(settings.sigma)
        for budget, trial in trials.items():
            compressed = opened._replace(model=copy.deepcopy(opened.model))
            folder = work.path(f"budget-{budget:g}")
            _compressed(trial, compressed, folder, say)
            for name, chip in chips.items():
                for rate in rates:
                    point = _Point(trial, compressed, folder, chip, machines[name].clip, rate)
                    at = {"budget": budget, "chip": name, "slc_rate": rate}
                    say(f"budget {budget:g}, {rate:.0%} SLC {name}", len(rows.all()), wanted)
                    for row in point.rows(
                        settings, [r for r in rows.all() if at.items() <= r.items()], say
                    ):
                        rows.add(at | row)
        with run_dir.new_run_dir(out, MARKS) as target:
            run_dir.write_rows(target / "pareto.parquet", _SCHEMA, rows.all())
            metric = opened.task.metric
            run_dir.write_json(
                target / "pareto.json",
                {
                    "title": recipe.title or recipe.name,
                    "model": opened.about,
                    "data": recipe.data["name"],
                    "metric": metric._asdict(),
                    "dense": dense[metric.name],
                    "method": method,
                    "accuracy": settings.model_dump(mode="json"),
                    "recipe": recipe.resolved(),
                },
            )
    return Path(out)


def _trial(recipe: Recipe, method: str, budget: float) -> Recipe:
    if budget == 1:
        how = recipe.compress.model_copy(update={"method": HARD_THRESHOLD})
        return recipe.model_copy(update={"compress": how})
    return variant(recipe, method, budget, recipe.seed)[1]


def _compressed(trial: Recipe, opened: Opened, folder: Path, say: Say) -> None:
    """Factors fine-tuned at a budget, kept in `folder` with the importance of their ranks."""
    if folder.is_dir():
        load_compressed(opened.model, folder)
        return
    factorise(trial, opened.model, opened.task, say)
    scores = {"gradient": recovered(trial, opened.model, opened.task, say).mean}
    save_compressed(low_rank.fold(opened.model), folder, scores=scores)


class _Point(NamedTuple):
    """A compressed model on a chip at an SLC rate."""

    trial: Recipe
    opened: Opened
    folder: Path
    chip: Chip
    clip: Clip
    rate: float

    def rows(
        self, settings: Accuracy, known: Sequence[Mapping[str, Any]], say: Say
    ) -> Iterator[dict[str, Any]]:
        """A row a noise that is not known yet; they share one placement."""
        noises = noises_of(self.chip, settings)
        missing = [noise for noise in noises if noise.value not in {r["sigma"] for r in known}]
        if not missing:
            return
        with prepared(self.opened.model, settings.select) as model:
            scores = rank_scores_of(model, self.folder, settings.select)
            dense = extract_config(self.trial.name, self.opened.config)
            graph = with_importance(dense, model, scores)
            cost, placement = cost_on_chip.cost(self.trial, graph, self.rate, self.chip)
            masks = masks_of(matrices(model), graph, self.chip, placement.weights)
            for noise in missing:
                device = device_of(self.chip, noise, self.clip)
                values = scores_on_chips(model, self.opened, device, masks, settings, say)
                mean, half = confidence(values)
                costs = {key: value for key, value in cost._asdict().items() if key in _SCHEMA}
                found = {"sigma": noise.value, "seeds": len(values), "score": mean}
                yield found | {"half_width": half} | costs
