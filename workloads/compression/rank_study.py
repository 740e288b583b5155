"""Ways to choose ranks, side by side at one budget and schedule, and what they save on the chip.

SoftLMs' question (arXiv 2411.10543, Fig 1): does it pay to learn a rank for each layer? The dense
model is trained once; then for every method, budget and seed it is factorised, scored, fine-tuned,
scored, and run on the simulated chip. Seeds differ in the order of data (and dropout) while
thresholds are learned and while the factors are fine-tuned. A method with the suffix " rounded"
moves ranks to multiples of 64, a tile's wordlines, before the fine-tuning.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.layers import break_even
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import cost_on_chip
from hyflexsim.workloads.compression.judged_models import Opened, open_recipe, score
from hyflexsim.workloads.compression.recipe import BASELINES, LEARNED, Recipe
from hyflexsim.workloads.compression.stages import (
    factorise,
    fine_tune,
    load_dense,
    train_dense,
)
from hyflexsim.workloads.outputs import check_folder
from hyflexsim.workloads.points.done import Answers
from hyflexsim.workloads.points.study import Held, computed
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.terminal import Say

MARKS = ("study.json", "study.parquet", "ranks.parquet")
ROUNDED = " rounded"
TILE = 64
"""Wordlines of an array: U^T steps every so many ranks (HyFlexPIM §5.4)."""

PAPER = [{"what": "SoftLMs: 50 % of parameters, encoder/decoder", "low": 1.33, "high": 1.72}]
"""Speed-ups of the abstract of arXiv 2411.10543; on which machine is not known."""

_COSTS = {
    "arrays": pa.int64(),
    "latency_ps": pa.int64(),
    "makespan_ps": pa.int64(),
    "energy_pj": pa.float64(),
}
_STUDY = {
    "method": run_dir.TEXT,
    "budget": pa.float64(),
    "seed": pa.int32(),
    "linears_share": pa.float64(),
    "total_share": pa.float64(),
    "macs_share": pa.float64(),
    "before": pa.float64(),
    "after": pa.float64(),
    **_COSTS,
    **{f"dense_{name}": kind for name, kind in _COSTS.items()},
}
_RANKS = {
    "method": run_dir.TEXT,
    "budget": pa.float64(),
    "seed": pa.int32(),
    "matrix": run_dir.TEXT,
    "rank": pa.int32(),
    "full": pa.int32(),
}
KEY = ("method", "budget", "seed")


def study(
    recipe: Recipe,
    methods: Sequence[str],
    budgets: Sequence[float],
    seeds: int,
    out: str | Path,
    *,
    slc_rate: float = 1.0,
    workers: int | None = None,
    say: Say | None = None,
    fresh: bool = False,
    draw: Callable[[Path], object] = lambda folder: None,
) -> Path:
    """Run all combinations and write directory `out`: study.parquet, ranks.parquet, study.json.

    `methods`: learned thresholds and baselines by name. `slc_rate` (0 to 1) of the simulated
    chip. `workers`: processes, as many as there are cores by default; 0: none beside this one.
    Interrupted, it goes on where it was. `draw` adds pictures before the directory appears.
    """
    variants = [
        variant(recipe, method, budget, seed)
        for budget in budgets
        for method in methods
        for seed in range(seeds)
    ]
    if not variants:
        raise InputError("a study needs a method, a budget and a seed; got none of one of them")
    if not 0 <= slc_rate <= 1:
        raise InputError(f"--slc-rate must be from 0 to 100 per cent; got {100 * slc_rate:g}")
    check_folder(out, MARKS)
    say = say or (lambda what, done, total: None)
    job = {
        "recipe": recipe.resolved(),
        "methods": list(methods),
        "budgets": list(budgets),
        "seeds": seeds,
        "slc_rate": slc_rate,
    }
    with working(out, job, fresh=fresh) as work:
        opened = open_recipe(recipe)
        train_dense(recipe, opened, work, say)
        dense = work.fact("dense", lambda: score(opened.model, opened.task))
        costs = work.fact("costs", lambda: _costs(recipe, opened, {}, slc_rate))
        try:
            rows = computed(
                work.rows(KEY),
                [
                    dict(zip(KEY, (name, trial.compress.budget, trial.seed), strict=True))
                    for name, trial in variants
                ],
                rank_point,
                common={
                    "recipe": recipe.resolved(),
                    "folder": str(work.folder.resolve()),
                    "slc_rate": slc_rate,
                    "dense_costs": costs,
                },
                workers=workers,
                say=say,
            )
        finally:
            OPEN.close()
        with work.result() as folder:
            run_dir.write_rows(folder / "study.parquet", _STUDY, rows)
            run_dir.write_rows(folder / "ranks.parquet", _RANKS, _rank_rows(rows))
            metric = opened.task.metric
            run_dir.write_json(
                folder / "study.json",
                {
                    "title": recipe.title or recipe.name,
                    "model": opened.about,
                    "data": recipe.data["name"],
                    "metric": metric._asdict(),
                    "dense": dense[metric.name],
                    "slc_rate": slc_rate,
                    "paper": PAPER,
                    "recipe": recipe.resolved(),
                },
            )
            draw(folder)
    return Path(out)


def variant(recipe: Recipe, method: str, budget: float, seed: int) -> tuple[str, Recipe]:
    """A recipe with another method, budget and seed; (method as named, recipe)."""
    plain = method.removesuffix(ROUNDED)
    known = (*LEARNED, *BASELINES)
    if plain not in known:
        raise InputError(f"--method must be of {', '.join(known)}; got {method!r}")
    if not 0 < budget <= 1:
        raise InputError(f"--budget must be shares above 0 and up to 1; got {budget:g}")
    how = recipe.compress.model_copy(
        update={
            "method": plain,
            "budget": budget,
            "round": TILE if method.endswith(ROUNDED) else 0,
        }
    )
    return method, recipe.model_copy(update={"compress": how, "seed": seed})


OPEN: Held[Opened] = Held()
"""The dense model of the study of which this process had the last point."""


def rank_point(settings: Mapping[str, Any]) -> Answers:
    """Shares, scores before and after fine-tuning, costs on the chip, and the ranks.

    `settings`: ``recipe``, ``folder`` of its dense model, ``slc_rate``, ``dense_costs``; and of the
    point ``method``, ``budget``, ``seed``.
    """
    recipe, folder = settings["recipe"], settings["folder"]
    opened = OPEN.get((repr(recipe), folder), lambda: _dense(recipe, Path(folder)))
    whole = Recipe.model_validate(recipe)
    _, trial = variant(whole, settings["method"], settings["budget"], settings["seed"])
    return _measured(trial, opened, settings["dense_costs"], settings["slc_rate"])


@contextmanager
def _dense(recipe: Mapping[str, Any], folder: Path) -> Iterator[Opened]:
    opened = open_recipe(Recipe.model_validate(recipe))
    load_dense(opened.model, folder)
    yield opened


def _measured(
    trial: Recipe, opened: Opened, dense_costs: dict[str, Any], slc_rate: float
) -> dict[str, Any]:
    model = copy.deepcopy(opened.model)
    metric = opened.task.metric.name
    factorise(trial, model, opened.task, _quietly)
    before = score(model, opened.task)[metric]
    if trial.recover.epochs:
        fine_tune(trial, trial.recover, model, opened.task, _quietly)
    after = score(model, opened.task)[metric]
    counts = low_rank.counts(model)
    ranks = low_rank.ranks(model)
    chosen = {row.name: row.rank for row in ranks if row.rank is not None}
    costs = _costs(trial, opened, chosen, slc_rate)
    return {
        "linears_share": counts.linears / counts.linears_dense,
        "total_share": counts.total / counts.total_dense,
        "macs_share": costs["macs"] / dense_costs["macs"],
        "before": before,
        "after": after,
        **{name: costs[name] for name in _COSTS},
        **{f"dense_{name}": dense_costs[name] for name in _COSTS},
        "ranks": [(row.name, row.rank or 0, break_even(row.m, row.n)) for row in ranks],
    }


def _costs(
    recipe: Recipe, opened: Opened, ranks: dict[str, int], slc_rate: float
) -> dict[str, Any]:
    graph = cost_on_chip.ranked(recipe.name, opened.config, ranks)
    return cost_on_chip.cost(recipe, graph, slc_rate)[0]._asdict()


def _quietly(what: str, done: int, total: int) -> None:
    """A point is one step of its study."""


def _rank_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**{key: row[key] for key in KEY}, "matrix": matrix, "rank": rank, "full": full}
        for row in rows
        for matrix, rank, full in row["ranks"]
    ]
