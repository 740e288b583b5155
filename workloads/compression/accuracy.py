"""How right a compressed model is on cells: its task's score over SLC rates, noise and seeds.

::

    checkpoint ─> model on cells (one seed, one chip) ─> top ranks in SLC ─> score ─> a row

HyFlexPIM's Figs 12 and 13; the noises are those of device_settings.py. Ranks are protected by
"gradient" (|dL/dσ|, mean over the last epoch of fine-tuning; "gradient-last": of its last batch, as
released), by "rank" (largest singular values) or by "magnitude": the paper's comparison without
SVD, so the same function is multiplied out into dense matrices whose outputs of largest norm are
protected. "saliency" is ours: σ |dL/dσ|, the change of the loss by a relative error of the rank,
which is what multiplicative noise makes. Outputs of layers that the checkpoint keeps dense are
chosen by norm.

What is not a block's matrix computes exactly, as in the released code; a scenario of the same
checkpoint places it in SLC.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from torch import Tensor, nn

from hyflexsim.models.cells.on_chip import masks_for, matrices, on_chip, wrong_cells
from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import RANKS_FILE, read_ranks
from hyflexsim.models.lowrank.redistribution import magnitude_scores, rank_scores
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.device_settings import Sigma, device_of, sigmas_of
from hyflexsim.workloads.compression.judged_models import Opened, open_checkpoint, score
from hyflexsim.workloads.resumable import Work, working
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.scenario.checkpoints import read_about
from hyflexsim.workloads.scenario.schema import Accuracy
from hyflexsim.workloads.terminal import Say

MARKS = ("accuracy.json", "accuracy.parquet")
KEY = ("select", "sigma", "slc_rate", "adc_bits", "seed")
"""Columns that tell rows of accuracy.parquet apart; the sixth is `score`."""
SELECTS = ("gradient", "gradient-last", "rank", "saliency", "magnitude")
"""Ways to choose the ranks that are protected."""

_SCHEMA = {
    "select": run_dir.TEXT,
    "sigma": pa.float64(),
    "slc_rate": pa.float64(),
    "adc_bits": pa.int16(),
    "seed": pa.int32(),
    "score": pa.float64(),
}
Row = dict[str, Any]


class Grid(NamedTuple):
    """What a sweep varies. `rates`: SLC shares from 0 to 1. `adc_bits`: 0 for exact products."""

    rates: tuple[float, ...]
    selects: tuple[str, ...]
    adc_bits: tuple[int, ...]


def sweep(
    checkpoint: Path,
    settings: Accuracy,
    grid: Grid,
    out: str | Path,
    *,
    say: Say | None = None,
    fresh: bool = False,
) -> Path:
    """Score a checkpoint over a grid and write directory `out` (accuracy.parquet, .json).

    A row a (selection, σ, SLC rate, ADC, seed). At rate 1 nothing is random without SLC noise, so
    one row stands for all seeds and σ. Interrupted, it goes on where it was.
    """
    for rate in grid.rates:
        if not 0 <= rate <= 1:
            raise InputError(f"slc_rate must be from 0 to 100 per cent; got {100 * rate:g}")
    for select in grid.selects:
        if select not in SELECTS:
            raise InputError(f"select must be of {', '.join(SELECTS)}; got {select!r}")
    if not all(grid):
        raise InputError("a sweep needs an SLC rate, a selection and an ADC; got none of one")
    run_dir.check_target(out, MARKS)
    about = read_about(checkpoint)
    sigmas = sigmas_of(settings)
    for adc_bits in grid.adc_bits:
        device_of(settings, sigmas[0], adc_bits)  # refused before anything is loaded
    job = settings.model_dump() | grid._asdict() | {"checkpoint": str(checkpoint)}
    job["content of the checkpoint"] = zlib.crc32((checkpoint / RANKS_FILE).read_bytes())
    with working(out, job, fresh=fresh) as work:
        opened = open_checkpoint(checkpoint)
        for select in grid.selects:  # bad patterns of `exact`, before hours of scoring
            with prepared(opened, select) as model:
                matrices(model, settings.exact)
        known = work.fact("references", lambda: references(opened, about, settings.limit))
        rows = _rows(opened, checkpoint, settings, grid, sigmas, work, say or _silent)
        noise = _noise(opened, settings, sigmas)
        with run_dir.new_run_dir(out, MARKS) as folder:
            run_dir.write_rows(folder / "accuracy.parquet", _SCHEMA, rows)
            run_dir.write_json(folder / "accuracy.json", _about(about, settings, noise, known))
    return Path(out)


def references(opened: Opened, about: Mapping[str, Any], limit: int | None) -> dict[str, float]:
    """Scores without noise by name: those of the checkpoint, which are of all held-out items.

    With `limit` the one that can be had on the same items: "fine-tuned", scored anew.
    """
    metric = about["metric"]["name"]
    if limit is not None:
        return {"fine-tuned": score(opened.model, opened.task, limit)[metric]}
    return {name: figures[metric] for name, figures in about["scores"].items()}


def noisy_scores(
    opened: Opened,
    folder: Path,
    settings: Accuracy,
    sigma: Sigma,
    rate_of: Callable[[str], float],
    say: Say,
) -> list[float]:
    """The task's metric on as many chips as the settings have seeds.

    `folder`: the checkpoint, which holds the ranks' importance; `rate_of`: the SLC rate (0 to 1)
    of a matrix by its path.
    """
    values = []
    with prepared(opened, settings.select) as model:
        scores = rank_scores_of(model, folder, settings.select)
        for seed in range(settings.seeds):
            say(f"scoring, sigma {sigma.value:.3g}", seed, settings.seeds)
            with on_chip(model, device_of(settings, sigma, settings.adc_bits), seed) as chip:
                chip.protect(masks_for(chip, scores, {path: rate_of(path) for path in chip.sizes}))
                figures = score(model, opened.task, settings.limit)
            values.append(figures[opened.task.metric.name])
    return values


def rank_scores_of(model: nn.Module, checkpoint: Path, select: str) -> dict[str, Tensor]:
    """Scores to choose protected ranks by, (r,) by path; of outputs (n,) where a layer is dense.

    `model`: as :func:`prepared` for that selection.
    """
    scores = magnitude_scores(model)
    if select == "magnitude":
        return scores
    sigma = rank_scores(model)
    scores |= sigma
    if select == "rank":
        return scores
    stored = "gradient" if select == "saliency" else select
    for path, layer in read_ranks(checkpoint)["layers"].items():
        if stored not in layer.get("scores", {}):
            raise InputError(f"{checkpoint}: ranks.json has no scores {stored!r} of {path}")
        gradient = torch.tensor(layer["scores"][stored])
        scores[path] = gradient * sigma[path] if select == "saliency" else gradient
    return scores


@contextmanager
def prepared(opened: Opened, select: str) -> Iterator[nn.Module]:
    """The model that goes on cells: as it is, or multiplied out for selection by magnitude."""
    if select == "magnitude":
        yield low_rank.expand(copy.deepcopy(opened.model))
    else:
        yield opened.model


def _rows(
    opened: Opened,
    checkpoint: Path,
    settings: Accuracy,
    grid: Grid,
    sigmas: Sequence[Sigma],
    work: Work,
    say: Say,
) -> list[Row]:
    done = work.rows(KEY)
    wanted = [*_wanted(settings, grid, sigmas)]
    for chip_rows in _by_chip(wanted):
        missing = [row for row in chip_rows if row not in done]
        if not missing:
            continue
        first = missing[0]
        sigma = next((s for s in sigmas if s.value == first["sigma"]), sigmas[0])
        with prepared(opened, first["select"]) as model:
            say("programming cells", len(done.all()), len(wanted))
            scores = {
                select: rank_scores_of(model, checkpoint, select)
                for select in dict.fromkeys(row["select"] for row in missing)
            }
            device = device_of(settings, sigma, first["adc_bits"])
            with on_chip(model, device, first["seed"]) as chip:
                for row in missing:
                    chip.protect(masks_for(chip, scores[row["select"]], row["slc_rate"]))
                    figures = score(model, opened.task, settings.limit)
                    done.add(row | {"score": figures[opened.task.metric.name]})
                    say("scoring", len(done.all()), len(wanted))
    return done.all()


def _wanted(settings: Accuracy, grid: Grid, sigmas: Sequence[Sigma]) -> Iterator[Row]:
    """All rows of a sweep without their scores."""
    for select in grid.selects:
        for adc_bits in grid.adc_bits:
            for sigma in sigmas:
                for seed in range(settings.seeds):
                    for rate in grid.rates:
                        certain = rate == 1 and not settings.slc_sigma
                        if certain and (seed or sigma is not sigmas[0]):
                            continue
                        yield dict(
                            zip(KEY, (select, sigma.value, rate, adc_bits, seed), strict=True)
                        )


def _by_chip(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows that one programmed chip serves: all rates and, but for magnitude, all selections."""
    chips: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        dense = row["select"] == "magnitude"
        key = (dense, row["sigma"], row["adc_bits"], row["seed"])
        chips.setdefault(key, []).append(row)
    return list(chips.values())


def _about(
    about: Mapping[str, Any],
    settings: Accuracy,
    noise: Sequence[Row],
    known: Mapping[str, float],
) -> Row:
    metric = about["metric"]
    return {
        "title": about["recipe"]["title"] or about["recipe"]["name"],
        "model": about["origin"],
        "data": about["recipe"]["data"]["name"],
        "metric": metric,
        "references": [{"name": name, "score": value} for name, value in known.items()],
        "noise": noise,
        "importance": about.get("importance"),
        "activation_bits": settings.activation_bits or None,
        "settings": settings.model_dump(mode="json"),
        "notes": notes(settings),
    }


def _noise(opened: Opened, settings: Accuracy, sigmas: Sequence[Sigma]) -> list[Row]:
    """What each σ means, and the share of this model's own cells that read wrong by it."""
    return [
        sigma._asdict()
        | {
            "sigma": sigma.value,
            "own_wrong_cells": wrong_cells(opened.model, device_of(settings, sigma, 0)),
        }
        for sigma in sigmas
    ]


def notes(settings: Accuracy) -> list[str]:
    """What a reader of scores by these settings has to know."""
    said = []
    if settings.limit is not None:
        said.append(
            f"all scores, also of the reference, are of the first {settings.limit} held-out items; "
            "the floor is of all"
        )
    if settings.sign == "differential":
        said.append("pairs of cells take twice the columns, which the placement does not count")
    return said


def _silent(what: str, done: int, total: int) -> None:
    pass
