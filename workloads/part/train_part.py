"""Train a ParT on jets: recipe in, checkpoint, learning curve and scores out.

The folder holds, when done::

    model.safetensors   weights and spec (models/part/checkpoint.py)
    recipe.json         the recipe as resolved, the jets' fingerprint, versions
    curve.parquet       a row every few steps (curve.py)
    model-NNNNN.safetensors   the model after so many steps, for the recipe's `snapshots`
    scores.json         accuracy, AUC, rejections on jets that training never saw

Until then it holds `state.pt` (models/saver.py): a run that was stopped goes on from there, and
ends in the same weights as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from hyflexsim.analysis import classification
from hyflexsim.models.device import device_of
from hyflexsim.models.errors import ModelError, too_long
from hyflexsim.models.part.checkpoint import PartSpec, load_part, named_spec, save_part
from hyflexsim.models.part.feature_ranges import far_outside, ranges_of
from hyflexsim.models.part.topk import set_top_k
from hyflexsim.models.part.training import (
    JetTensors,
    entropy_of,
    mirrored,
    scores_of,
)
from hyflexsim.models.part.transformer import ParticleTransformer
from hyflexsim.models.saver import Saver
from hyflexsim.models.schedules import schedule
from hyflexsim.models.training import endless, fine_tune
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.sets import fingerprint
from hyflexsim.workloads.outputs import Output, check_folder, owned
from hyflexsim.workloads.part.curve import Curve
from hyflexsim.workloads.part.needs import time_on_cpu
from hyflexsim.workloads.part.parts import Parts, Report, prepare
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.part.targets import teacher_of
from hyflexsim.workloads.run.run_dir import write_json
from hyflexsim.workloads.tasks.base import Batches

RECIPE, STATE, DONE = "recipe.json", "state.pt", "scores.json"
SAVE_EVERY_S = 60.0


def train_part(
    out: str | Path,
    recipe: PartRecipe,
    jets: str | Path | None = None,
    *,
    start: str | Path | None = None,
    test: str | Path | None = None,
    teacher: str | Path | None = None,
    device: str = "cpu",
    report: Report = lambda *_: None,
) -> dict[str, Any]:
    """Train to the end of the recipe and write `out`; returns what scores.json says.

    `start` is a checkpoint to go on from (fine-tuning); its spec then replaces the recipe's
    model, and its classes must be the recipe's. `test`: see :func:`jets_of`. `teacher`: a
    checkpoint whose answers are learned too, see targets.py. `device`: see
    models/device.py; a training may be stopped on one and go on with another. Raises InputError
    for an `out` that holds another training, for a GPU that is not there, with the time that the
    training takes without (needs.py), and what reading jets raises.
    """
    for key, path in (("start", start), ("teacher", teacher)):
        if path is not None and not Path(path).exists():
            raise InputError(f"--{key}: {path}: no such checkpoint")
    try:
        where = device_of(device)
    except ModelError as error:
        raise InputError(f"{error}; {time_on_cpu(recipe)}") from None
    with owned(out) as output:
        return _trained(output, recipe, jets, start, test, teacher, where, report)


def _trained(
    output: Output,
    recipe: PartRecipe,
    jets: str | Path | None,
    start: str | Path | None,
    test: str | Path | None,
    teacher: str | Path | None,
    device: torch.device,
    report: Report,
) -> dict[str, Any]:
    out = output.path
    spec = named_spec(recipe.model, recipe.classes, recipe.particles, recipe.shape)
    about = _about(recipe, jets, start, test, teacher)
    if _finished(out, about):
        return json.loads((out / DONE).read_text("utf-8"))  # type: ignore[no-any-return]
    torch.manual_seed(recipe.seed)
    if start is not None:
        model, spec = load_part(start)
        if spec.classes != recipe.classes:
            raise InputError(
                f"{start}: its classes must be the recipe's; got {', '.join(spec.classes)}"
            )
    else:
        model = spec.build()
    _set_dropout(model, recipe.dropout)
    set_top_k(model, recipe.top_k)
    asked = None if teacher is None else teacher_of(teacher, recipe.classes)
    parts = prepare(jets, recipe, spec, test, report, asked, device)
    spec = replace(spec, ranges=ranges_of(parts.train, spec.features))
    model = model.to(device)
    try:
        with output.more() as folder:
            write_json(folder / RECIPE, about)
        curve = _fit(out, model, parts, recipe, spec, report)
        scores = evaluate(model, parts.test, spec, report)
        scores["notes"] = far_outside(parts.test, spec.features, spec.ranges)
        with output.more(last=DONE) as folder:
            curve.write(folder / "curve.parquet")
            save_part(folder / "model.safetensors", model, spec)
            write_json(folder / DONE, scores)
    except BaseException:
        if not (out / STATE).is_file():
            _leave_nothing(out)
        raise
    return scores


def evaluate(
    model: ParticleTransformer, jets: JetTensors, spec: PartSpec, report: Report = lambda *_: None
) -> dict[str, Any]:
    """Accuracy, AUC and rejections of a model on jets (analysis/classification.py)."""
    scores = scores_of(model, jets, report=lambda done: report("scoring", done, len(jets)))
    return classification.report(scores, jets.target.cpu().numpy(), spec.classes)


class _Steps:
    """The batches of a training: row numbers, pass after pass, all steps in one walk."""

    def __init__(self, jets: int, recipe: PartRecipe):
        self.batches = Batches(torch.from_numpy, jets, recipe.batch, recipe.seed)
        self.steps = recipe.steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[torch.Tensor]:
        return islice(endless(self.batches), self.steps)


def _fit(
    out: Path,
    model: ParticleTransformer,
    parts: Parts,
    recipe: PartRecipe,
    spec: PartSpec,
    report: Report,
) -> Curve:
    curve = Curve(parts.validation, recipe.batch)

    def after_step(step: int, steps: int, loss: float) -> None:
        if step == steps or step % recipe.watch_every == 0:
            curve.look(model, step)
        if step in recipe.snapshots:
            save_part(out / f"model-{step:05d}.safetensors", model, spec)
        report(f"loss {curve.rows[-1]['loss']:.3f}" if curve.rows else "training", step, steps)

    fine_tune(
        model,
        _Steps(len(parts.train), recipe),
        partial(_loss, parts, recipe, spec.features, curve),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        rate=schedule(recipe.schedule, recipe.steps, recipe.warmup, recipe.cycle),
        optimiser=recipe.optimiser,
        after_step=after_step,
        saver=Saver(out / STATE, SAVE_EVERY_S, also={"curve": curve}),
    )
    return curve


def _loss(
    parts: Parts,
    recipe: PartRecipe,
    features: str,
    curve: Curve,
    model: nn.Module,
    rows: torch.Tensor,
) -> torch.Tensor:
    x, v, mask = parts.train.batch(rows)
    target = parts.train.target[rows.to(x.device)]
    goal = target if parts.soft is None else parts.soft[rows.to(x.device)]
    if recipe.mirror:
        x = mirrored(x, features, torch.rand(len(rows)) < 0.5)  # drawn alike on every device
    if recipe.entropy_penalty:
        logits, records = model(x, v, mask, return_attention=True)
        penalty = recipe.entropy_penalty * entropy_of(records, mask)
    else:
        logits, penalty = model(x, v, mask), torch.zeros((), device=x.device)
    loss = functional.cross_entropy(logits, goal, label_smoothing=recipe.label_smoothing)
    if not torch.isfinite(loss):
        names = "learning_rate", "weight_decay"
        raise InputError(too_long(recipe.learning_rate, recipe.weight_decay, names))
    curve.trained(float(loss.detach()), int((logits.argmax(-1) == target).sum()), len(rows))
    return loss + penalty


def _set_dropout(model: ParticleTransformer, rate: float) -> None:
    block: Any
    for block in model.blocks:
        block.attn.dropout = rate
        block.dropout.p = block.act_dropout.p = rate


def _about(recipe: PartRecipe, jets: Any, start: Any, test: Any, teacher: Any) -> dict[str, Any]:
    return {
        "recipe": json.loads(recipe.model_dump_json()),
        "jets": fingerprint(jets),
        "test": fingerprint(test) if test else None,
        "start": _weights(start),
        "teacher": _weights(teacher),
        "versions": {name: version(name) for name in ("torch", "numpy", "hyflexsim")},
    }


def _weights(checkpoint: Any) -> str | None:
    """Fingerprint of a checkpoint's weights."""
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    return fingerprint(path / "model.safetensors" if path.is_dir() else path)


def _finished(out: Path, about: dict[str, Any]) -> bool:
    """Whether `out` is this very training, done. Refuses a folder with another one."""
    if not out.exists():
        return False
    check_folder(out, [RECIPE], "one of this training")
    if (out / STATE).is_file() or (out / DONE).is_file():  # else there is nothing of another one
        try:
            old = json.loads((out / RECIPE).read_bytes())
        except ValueError as error:
            raise InputError(
                f"{out / RECIPE}: is damaged, {error}; name a new folder or delete this one"
            ) from None
        if old != about:
            key = next(k for k in about if old.get(k) != about[k])
            raise InputError(f"--out: {out} holds a training with another {key}; name a new folder")
    return (out / DONE).is_file()


def _leave_nothing(out: Path) -> None:
    """Of a training that failed before its state was kept."""
    for path in (out / RECIPE, *out.glob("model-*.safetensors")):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # there are other files in it
        out.rmdir()
