"""Accuracy against latency and energy, over the SLC rate and the budget of parameters.

For every budget the model is factorised and fine-tuned once (method and seed of the recipe; the
budget 1 is HyFlexPIM's hard threshold), then at every SLC rate scored on noisy cells of several
seeds, and run on the simulated chip.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hyflexsim.analysis import confidence
from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import load_compressed, read_ranks, save_compressed
from hyflexsim.models.lowrank.layers import HARD_THRESHOLD
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import cost_on_chip
from hyflexsim.workloads.compression.accuracy import noisy_scores
from hyflexsim.workloads.compression.device_settings import Sigma, device_of, sigmas_of
from hyflexsim.workloads.compression.judged_models import Opened, open_recipe, score
from hyflexsim.workloads.compression.rank_study import variant
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.compression.stages import factorise, recovered, train_dense
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.scenario.schema import Accuracy
from hyflexsim.workloads.terminal import Say

MARKS = ("pareto.json", "pareto.parquet")
KEY = ("budget", "slc_rate", "sigma")
_SCHEMA = {
    "budget": pa.float64(),
    "slc_rate": pa.float64(),
    "sigma": pa.float64(),
    "seeds": pa.int32(),
    "score": pa.float64(),
    "half_width": pa.float64(),
    "latency_ps": pa.int64(),
    "energy_pj": pa.float64(),
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
    say: Say | None = None,
    fresh: bool = False,
) -> Path:
    """Write directory `out` (pareto.parquet, pareto.json); resumed where it was interrupted.

    `method`: of budgets below 1. `rates`: SLC shares from 0 to 1. `settings`: noise and seeds.
    """
    for rate in rates:
        if not 0 <= rate <= 1:
            raise InputError(f"--slc-rate must be from 0 to 100 per cent; got {100 * rate:g}")
    if not rates or not budgets:
        raise InputError("--slc-rate and --budget must have a value each; got none")
    trials = {budget: _trial(recipe, method, budget) for budget in budgets}
    sigmas = sigmas_of(settings)
    device_of(settings, sigmas[0], settings.adc_bits)  # refused before any work
    run_dir.check_target(out, MARKS)
    say = say or (lambda what, done, total: None)
    job = {
        "recipe": recipe.resolved(),
        "method": method,
        "budgets": list(budgets),
        "rates": list(rates),
        "accuracy": settings.model_dump(),
    }
    with working(out, job, fresh=fresh) as work:
        opened = open_recipe(recipe)
        train_dense(recipe, opened, work, say)
        dense = work.fact("dense", lambda: score(opened.model, opened.task))
        rows = work.rows(KEY)
        wanted = len(budgets) * len(rates) * len(sigmas)
        for budget, trial in trials.items():
            compressed = opened._replace(model=copy.deepcopy(opened.model))
            folder = work.path(f"budget-{budget:g}")
            _compressed(trial, compressed, folder, say)
            for rate in rates:
                for sigma in sigmas:
                    row = dict(zip(KEY, (budget, rate, sigma.value), strict=True))
                    if row in rows:
                        continue
                    say(f"budget {budget:g}, {rate:.0%} SLC", len(rows.all()), wanted)
                    rows.add(row | _point(trial, compressed, folder, rate, sigma, settings, say))
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


def _point(
    trial: Recipe,
    opened: Opened,
    folder: Path,
    rate: float,
    sigma: Sigma,
    settings: Accuracy,
    say: Say,
) -> dict[str, Any]:
    values = noisy_scores(opened, folder, settings, sigma, lambda path: rate, say)
    mean, half = confidence(values)
    ranks = {path: layer["rank"] for path, layer in read_ranks(folder)["layers"].items()}
    cost = cost_on_chip.cost(trial, opened.config, ranks, rate)
    return {
        "seeds": len(values),
        "score": mean,
        "half_width": half,
        "latency_ps": cost.latency_ps,
        "energy_pj": cost.energy_pj,
        "arrays": cost.arrays,
        "throughput_per_s": cost.throughput_per_s,
    }
