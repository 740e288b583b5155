"""Accuracy, latency, energy and area, over the SLC rate, the budget of parameters, and the chip.

A model of every budget (:mod:`.subjects`) is placed on every chip at every SLC rate: one placement
says how right the model is on cells of several seeds, and how long and how much it takes. What
computes alike is scored once: chips that differ in cost only, seeds where nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from hyflexsim.analysis import confidence, on_front
from hyflexsim.models.cells.on_chip import Device, Masks, matrices
from hyflexsim.models.cells.quantization import Clip
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import cost_on_chip
from hyflexsim.workloads.compression.accuracy import notes, scores_on_chips
from hyflexsim.workloads.compression.devices import Noise, device_of, noises_of
from hyflexsim.workloads.compression.judged_models import Opened, score
from hyflexsim.workloads.compression.machines import Machine, machines_from, varied
from hyflexsim.workloads.compression.protection import (
    masks_of,
    prepared,
    rank_scores_of,
    with_importance,
)
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.compression.subjects import Compressed, Subject
from hyflexsim.workloads.extraction.extract import TRAINED, extract_config
from hyflexsim.workloads.outputs import check_folder
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.scenario.schema import Accuracy
from hyflexsim.workloads.terminal import Say

MARKS = ("pareto.json", "pareto.parquet")
KEY = ("budget", "chip", "slc_rate", "noise")
"""Columns that tell rows apart; ``chip``: its name, or what differs, as ``key=value, …``."""
COSTS = ("latency_ps", "energy_pj", "area_mm2")
"""What a point of the front is to have little of, beside a good score."""
_SCHEMA = {
    "budget": pa.float64(),
    "chip": pa.string(),
    "slc_rate": pa.float64(),
    "noise": pa.string(),
    "sigma": pa.float64(),
    "seeds": pa.int32(),
    "score": pa.float64(),
    "half_width": pa.float64(),
    "latency_ps": pa.int64(),
    "energy_pj": pa.float64(),
    "area_mm2": pa.float64(),
    "arrays": pa.int64(),
    "throughput_per_s": pa.float64(),
    "front": pa.bool_(),
}
Row = dict[str, Any]


def pareto(
    subject: Subject,
    rates: Sequence[float],
    settings: Accuracy,
    out: str | Path,
    *,
    machines: Mapping[str, Machine] | None = None,
    say: Say | None = None,
    fresh: bool = False,
    draw: Callable[[Path], object] = lambda folder: None,
) -> Path:
    """Write directory `out` (pareto.parquet, pareto.json); resumed where it was interrupted.

    `rates`: SLC shares from 0 to 1. `settings`: noise, seeds and how many items are scored.
    `machines`: chips to compare, by what a row is to call them, the one they are compared with
    first; None: the default one. `draw` adds pictures before the directory appears.
    """
    for rate in rates:
        if not 0 <= rate <= 1:
            raise InputError(f"--slc-rate must be from 0 to 100 per cent; got {100 * rate:g}")
    if not rates:
        raise InputError("--slc-rate must have a value; got none")
    machines = machines or machines_from(Machine(), ())
    chips = {name: machine.chip() for name, machine in machines.items()}
    for name, chip in chips.items():  # refused before any work
        device_of(chip, noises_of(chip, settings)[0], machines[name].clip)
    check_folder(out, MARKS)
    say = say or (lambda what, done, total: None)
    described = {name: [row._asdict() for row in chip.describe()] for name, chip in chips.items()}
    job = subject.job | {
        "rates": list(rates),
        "accuracy": settings.model_dump(),
        "chips": described,
    }
    with working(out, job, fresh=fresh) as work:
        opened = subject.opened(work, say)
        limit = settings.limit
        figures = work.fact("reference", lambda: score(opened.model, opened.task, limit))
        rows = work.rows(KEY)
        wanted = len(subject.budgets) * len(rates) * len(chips) * len(settings.sigma)
        known: _Known = {}
        for model in subject.compressed(opened, work, say):
            for name, chip in chips.items():
                for rate in rates:
                    point = _Point(subject.recipe, model, chip, machines[name].clip, rate)
                    at = {"budget": model.budget, "chip": name, "slc_rate": rate}
                    say(f"budget {model.budget:g}, {rate:.0%} SLC {name}", len(rows.all()), wanted)
                    done = [row for row in rows.all() if at.items() <= row.items()]
                    for row in point.rows(settings, done, known, say):
                        rows.add(at | row)
        metric = opened.task.metric
        with work.result() as target:
            table = _with_front(rows.all(), metric.higher_is_better)
            run_dir.write_rows(target / "pareto.parquet", _SCHEMA, table)
            run_dir.write_json(
                target / "pareto.json",
                {
                    "title": subject.recipe.title or subject.recipe.name,
                    "model": opened.about,
                    "data": subject.recipe.data["name"],
                    "metric": metric._asdict(),
                    "reference": {"name": subject.reference, "score": figures[metric.name]},
                    "chips": varied(machines),
                    "accuracy": settings.model_dump(mode="json"),
                    "subject": subject.job,
                    "notes": [*notes(settings), *subject.unlike_training(opened)],
                },
            )
            draw(target)
    return Path(out)


def _with_front(rows: Sequence[Row], higher: bool) -> list[Row]:
    """Rows with ``front``: whether none of the same noise is better in score and all costs."""
    found: dict[int, bool] = {}
    for noise in {row["noise"] for row in rows}:
        own = [i for i, row in enumerate(rows) if row["noise"] == noise]
        sign = -1 if higher else 1
        costs = [[rows[i][cost] for cost in COSTS] for i in own]
        losses = [sign * rows[i]["score"] for i in own]
        found |= dict(zip(own, on_front(costs, losses).tolist(), strict=True))
    return [row | {"front": found[i]} for i, row in enumerate(rows)]


_Known = dict[tuple[Any, ...], list[float]]
"""Scores by budget, device, and what is in SLC."""


class _Point(NamedTuple):
    """A compressed model on a chip at an SLC rate."""

    recipe: Recipe
    compressed: Compressed
    chip: Chip
    clip: Clip
    rate: float

    def rows(
        self, settings: Accuracy, done: Sequence[Mapping[str, Any]], known: _Known, say: Say
    ) -> Iterator[Row]:
        """A row a noise that is not done yet; they share one placement."""
        noises = {_label(noise): noise for noise in noises_of(self.chip, settings)}
        missing = {n: noise for n, noise in noises.items() if n not in {r["noise"] for r in done}}
        if not missing:
            return
        opened = self.compressed.opened
        with prepared(opened.model, settings.select) as model:
            scores = rank_scores_of(model, self.compressed.folder, settings.select)
            dense = extract_config(self.recipe.name, opened.config, leave_out=TRAINED)
            graph = with_importance(dense, model, scores)
            cost, placement = cost_on_chip.cost(self.recipe, graph, self.rate, self.chip)
            masks = masks_of(matrices(model), graph, self.chip, placement.weights)
            costs = {key: value for key, value in cost._asdict().items() if key in _SCHEMA}
            for name, noise in missing.items():
                device = _as_read(device_of(self.chip, noise, self.clip), masks)
                key = (self.compressed.budget, device, _bits(masks))
                if key not in known:
                    known[key] = _scores(model, opened, device, masks, settings, say)
                mean, half = confidence(known[key])
                yield {
                    "noise": name,
                    "sigma": noise.value,
                    "seeds": settings.seeds,
                    "score": mean,
                    "half_width": half,
                } | costs


def _label(noise: Noise) -> str:
    """What the settings call a noise: its σ may differ from chip to chip."""
    return f"{noise.value:g}" if noise.name == "given" else noise.name


def _bits(masks: Mapping[str, Masks]) -> bytes:
    """What is in SLC, to compare."""
    return torch.cat([mask for each in masks.values() for mask in each]).numpy().tobytes()


def _as_read(device: Device, masks: Mapping[str, Masks]) -> Device:
    """The same device without what is not there: with all in SLC, multi-level cells."""
    if not all(bool(mask.all()) for each in masks.values() for mask in each):
        return device
    form = device.crossbar
    form = replace(form, mlc_bits=form.slc_bits, mlc_adc_bits=form.slc_adc_bits)
    return replace(device, noise=None, crossbar=form)


def _scores(
    model: torch.nn.Module,
    opened: Opened,
    device: Device,
    masks: Mapping[str, Masks],
    settings: Accuracy,
    say: Say,
) -> list[float]:
    """A score a seed; where nothing is random one chip stands for all."""
    if device.noise is not None or device.slc_noise is not None:
        return scores_on_chips(model, opened, device, masks, settings, say)
    once = settings.model_copy(update={"seeds": 1})
    return scores_on_chips(model, opened, device, masks, once, say) * settings.seeds
