"""How right a compressed model is on a chip: its task's score over SLC rates, noise and seeds.

::

    checkpoint ─> graph ─place on chip─> masks ─> model on cells (one seed, one chip) ─> score

HyFlexPIM's Figs 12 and 13; the noises are those of devices.py, which ranks are protected is in
protection.py. What is not a block's matrix computes exactly, as in the released code, and is
placed in SLC.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from torch import nn

from hyflexsim.models.cells.broken import Damage
from hyflexsim.models.cells.on_chip import Device, Masks, on_chip, wrong_cells
from hyflexsim.models.cells.quantization import Clip
from hyflexsim.models.lowrank.ranks_file import RANKS_FILE
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.accuracy_point import OPEN, accuracy_point, is_dense
from hyflexsim.workloads.compression.devices import (
    Noise,
    describe,
    device_of,
    noises_of,
)
from hyflexsim.workloads.compression.judged_models import (
    Opened,
    open_checkpoint,
    score,
    unlike_training,
)
from hyflexsim.workloads.compression.machines import Machine, own_bits
from hyflexsim.workloads.compression.protection import (
    SELECTS,
)
from hyflexsim.workloads.outputs import check_folder
from hyflexsim.workloads.points.study import computed
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.scenario.checkpoints import read_about
from hyflexsim.workloads.scenario.schema import Accuracy
from hyflexsim.workloads.terminal import Say

MARKS = ("accuracy.json", "accuracy.parquet")
KEY = ("select", "sigma", "slc_rate", "adc_bits", "seed")
"""Columns that tell rows of accuracy.parquet apart; the sixth is `score`."""

_SCHEMA = {
    "select": run_dir.TEXT,
    "sigma": pa.float64(),
    "slc_rate": pa.float64(),
    "adc_bits": pa.int16(),
    "seed": pa.int32(),
    "score": pa.float64(),
}
Row = dict[str, Any]


def _silent(what: str, done: int, total: int) -> None:
    pass


class Grid(NamedTuple):
    """What a sweep varies. `rates`: SLC shares from 0 to 1. `adc_bits`: of multi-level columns
    (single-level ones: one less), 0 for converters that lose nothing; none: the chip's own.
    """

    rates: tuple[float, ...]
    selects: tuple[str, ...]
    adc_bits: tuple[int, ...] = ()


def sweep(
    checkpoint: Path,
    settings: Accuracy,
    grid: Grid,
    out: str | Path,
    *,
    machine: Machine | None = None,
    workers: int | None = None,
    say: Say | None = None,
    fresh: bool = False,
    draw: Callable[[Path], object] = lambda folder: None,
) -> Path:
    """Score a checkpoint over a grid and write directory `out` (accuracy.parquet, .json).

    A row a (selection, σ, SLC rate, ADC, seed). At rate 1 nothing is random without SLC noise, so
    one row stands for all seeds and σ. `workers`: processes, as many as there are cores by default;
    0: none beside this one. Interrupted, it goes on where it was. `draw` adds pictures
    before the directory appears.
    """
    for rate in grid.rates:
        if not 0 <= rate <= 1:
            raise InputError(f"slc_rate must be from 0 to 100 per cent; got {100 * rate:g}")
    for select in grid.selects:
        if select not in SELECTS:
            raise InputError(f"select must be of {', '.join(SELECTS)}; got {select!r}")
    if not grid.rates or not grid.selects:
        raise InputError("a sweep needs an SLC rate and a selection; got none of one")
    check_folder(out, MARKS)
    about = read_about(checkpoint)
    machine = machine or Machine()
    chip = machine.chip()
    grid = grid._replace(adc_bits=grid.adc_bits or (own_bits(chip),))
    noises = noises_of(chip, settings)
    for adc_bits in grid.adc_bits:  # refused before anything is loaded
        device_of(machine.variant(adc_bits), noises[0], machine.clip)
    job = settings.model_dump() | grid._asdict() | {"checkpoint": str(checkpoint)}
    job["content of the checkpoint"] = zlib.crc32((checkpoint / RANKS_FILE).read_bytes())
    job["chip"] = describe(chip) | {"name": chip.name, "clip": machine.clip}
    with working(out, job, fresh=fresh) as work:
        opened = open_checkpoint(checkpoint)
        known = work.fact("references", lambda: references(opened, about, settings.limit))
        try:
            rows = computed(
                work.rows(KEY),
                [*_wanted(machine, settings, grid)],
                accuracy_point,
                common={
                    "checkpoint": str(checkpoint),
                    "machine": machine._asdict(),
                    "accuracy": settings.model_dump(mode="json"),
                },
                workers=workers,
                group=_chip,
                say=say,
            )
        finally:
            OPEN.close()
        noise = [
            noise_row(opened.model, chip, each, machine.clip) | {"sigma": each.value}
            for each in noises
        ]
        with work.result() as folder:
            run_dir.write_rows(folder / "accuracy.parquet", _SCHEMA, rows)
            content = _about(about, settings, noise, known) | {"chip": job["chip"]}
            content["notes"] += unlike_training(opened, about)
            run_dir.write_json(folder / "accuracy.json", content)
            draw(folder)
    return Path(out)


def references(opened: Opened, about: Mapping[str, Any], limit: int | None) -> dict[str, float]:
    """Scores without noise by name: those of the checkpoint, which are of all held-out items.

    With `limit` the one that can be had on the same items: "fine-tuned", scored anew.
    """
    metric = about["metric"]["name"]
    if limit is not None:
        return {"fine-tuned": score(opened.model, opened.task, limit)[metric]}
    return {name: figures[metric] for name, figures in about["scores"].items()}


def scores_on_chips(
    model: nn.Module,
    opened: Opened,
    device: Device,
    masks: Mapping[str, Masks],
    settings: Accuracy,
    say: Say = _silent,
    damage: Mapping[str, Damage] | None = None,
) -> list[float]:
    """The task's metric on as many programmed chips as the settings have seeds.

    `model`: that of `opened` as it goes on cells; `masks`: what of it is in SLC; `damage`: what of
    it is broken.
    """
    values = []
    for seed in range(settings.seeds):
        say("scoring on cells", seed, settings.seeds)
        with on_chip(model, device, seed) as chip:
            chip.break_cells(damage or {})
            chip.protect(masks)
            figures = score(model, opened.task, settings.limit)
        values.append(figures[opened.task.metric.name])
    return values


def noise_row(model: nn.Module, chip: Chip, noise: Noise, clip: Clip) -> Row:
    """What a noise means, and the share of this model's own cells that read wrong by it."""
    own = wrong_cells(model, device_of(chip, noise, clip))
    found = {"value": noise.value, "name": noise.name, "report": noise.report}
    return found | {"own_wrong_cells": own}


def _wanted(machine: Machine, settings: Accuracy, grid: Grid) -> Iterator[Row]:
    """All rows of a sweep without their scores."""
    noises = {noise.value: noise for noise in noises_of(machine.chip(), settings)}
    sigmas = [*noises]
    device = device_of(machine.chip(), noises[sigmas[0]], machine.clip)
    for select in grid.selects:
        for adc_bits in grid.adc_bits:
            for sigma in sigmas:
                for seed in range(settings.seeds):
                    for rate in grid.rates:
                        certain = rate == 1 and device.slc_noise is None
                        if certain and (seed or sigma != sigmas[0]):
                            continue
                        yield dict(zip(KEY, (select, sigma, rate, adc_bits, seed), strict=True))


def _chip(row: Mapping[str, Any]) -> str:
    """One programmed chip serves all rates and, but for magnitude, all selections."""
    return repr((is_dense(row["select"]), row["sigma"], row["adc_bits"], row["seed"]))


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
        "settings": settings.model_dump(mode="json"),
        "notes": notes(settings),
    }


def notes(settings: Accuracy) -> list[str]:
    """What a reader of scores by these settings has to know."""
    said = []
    if settings.limit is not None:
        said.append(
            f"all scores, also of the reference, are of the first {settings.limit} held-out items; "
            "the floor is of all"
        )
    return said
