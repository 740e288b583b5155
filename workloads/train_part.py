"""Train a ParT on jets: recipe in, checkpoint, learning curve and scores out.

The folder holds, when done::

    model.safetensors   weights and spec (models/part_checkpoint.py)
    recipe.json         the recipe as resolved, the jets' fingerprint, versions
    curve.parquet       a row every few steps: step, jets, loss, accuracy, validation_accuracy,
                        and how binary attention is: share_50, share_90, entropy
    scores.json         accuracy, AUC, rejections on jets that training never saw

Until then it holds `state.pt` (weights, optimiser, step), rewritten every `checkpoint_every`
steps in one move: a run that was stopped goes on from there, and ends in the same weights as
one that was not, because order and dropout depend on (seed, step) alone.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hyflexsim.analysis import classification
from hyflexsim.models.part import ParticleTransformer
from hyflexsim.models.part_checkpoint import PartSpec, load_part, named_spec, save_part
from hyflexsim.models.part_inputs import jet_features
from hyflexsim.models.part_topk import set_top_k
from hyflexsim.models.part_training import (
    JetTensors,
    batches,
    entropy_of,
    mirrored,
    scores_of,
    sharpness_of,
)
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jet_sets import fingerprint, load_set, split
from hyflexsim.workloads.jets import Jets
from hyflexsim.workloads.part_recipe import PartRecipe

Report = Callable[[str, int, int], None]
STATE, DONE = "state.pt", "scores.json"


@dataclass
class Parts:
    """The jets of a training, as tensors."""

    train: JetTensors
    validation: JetTensors
    test: JetTensors


def tensors(
    jets: Jets, spec: PartSpec, report: Callable[[int], None] = lambda _: None
) -> JetTensors:
    """All jets as a ParT of that spec reads them; targets by the spec's classes."""
    target = np.array([spec.classes.index(str(label)) for label in jets.labels])
    made = []
    for j in range(len(jets)):
        made.append(jet_features(jets.inputs(j), spec.features, jets.axis(j)))
        report(j + 1)
    return JetTensors.of(made, target, spec.particles)


def prepare(jets: str | Path | None, recipe: PartRecipe, spec: PartSpec, report: Report) -> Parts:
    """Load, split by blocks, keep `train_jets` of each class for training."""
    loaded = load_set(jets, recipe.classes)
    parts = split(loaded.labels, recipe.validation, recipe.test)
    train = parts.train
    if recipe.train_jets is not None:
        own_rows = [train[loaded.labels[train] == name] for name in recipe.classes]
        short = [
            name
            for name, r in zip(recipe.classes, own_rows, strict=True)
            if len(r) < recipe.train_jets
        ]
        if short:
            raise InputError(f"train_jets must be at most the jets there are; {short[0]} has fewer")
        train = np.concatenate([r[: recipe.train_jets] for r in own_rows])
    made = []
    for rows in (train, parts.validation, parts.test):
        own = loaded.take(rows)
        made.append(tensors(own, spec, _counting(report, len(own))))
    return Parts(*made)


def _counting(report: Report, total: int) -> Callable[[int], None]:
    return lambda done: report("reading jets", done, total)


def train_part(
    out: str | Path,
    recipe: PartRecipe,
    jets: str | Path | None = None,
    *,
    start: str | Path | None = None,
    report: Report = lambda *_: None,
) -> dict[str, Any]:
    """Train to the end of the recipe and write `out`; returns what scores.json says.

    `start` is a checkpoint to go on from (fine-tuning); its spec then replaces the recipe's
    model, and its classes must be the recipe's. Raises InputError for an `out` that holds
    another training, and what reading jets raises.
    """
    out = Path(out)
    spec = named_spec(recipe.model, recipe.classes, recipe.particles)
    about = _about(recipe, jets, start)
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
    parts = prepare(jets, recipe, spec, report)
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / "recipe.json", about)
    curve = _fit(out, model, parts, recipe, spec, report)
    set_top_k(model, recipe.top_k)
    scores = evaluate(model, parts.test, spec, report)
    _write_curve(out / "curve.parquet", curve)
    save_part(out / "model.safetensors", model, spec)
    _write_json(out / DONE, scores)
    (out / STATE).unlink(missing_ok=True)
    return scores


def evaluate(
    model: ParticleTransformer, jets: JetTensors, spec: PartSpec, report: Report = lambda *_: None
) -> dict[str, Any]:
    """Accuracy, AUC and rejections of a model on jets (analysis/classification.py)."""
    scores = scores_of(model, jets, report=lambda done: report("scoring", done, len(jets)))
    return classification.report(scores, jets.target.numpy(), spec.classes)


def _fit(
    out: Path,
    model: ParticleTransformer,
    parts: Parts,
    recipe: PartRecipe,
    spec: PartSpec,
    report: Report,
) -> list[dict[str, float]]:
    optimiser = torch.optim.AdamW(
        _groups(model, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.98)
    )
    first, curve = _resume(out, model, optimiser)
    per_epoch = max(len(parts.train) // recipe.batch, 1)
    order: list[torch.Tensor] = []
    loss_sum, right, seen = 0.0, 0, 0
    end = recipe.steps if recipe.stop is None else min(recipe.stop, recipe.steps)
    for step in range(first, end):
        if not order or step % per_epoch == 0:
            order = batches(len(parts.train), recipe.batch, recipe.seed, step // per_epoch)
        rows = order[step % per_epoch]
        loss, hits = _step(model, optimiser, parts.train, rows, recipe, spec.features, step)
        loss_sum, right, seen = loss_sum + loss * len(rows), right + hits, seen + len(rows)
        last = step + 1 == end
        if last or (step + 1) % recipe.checkpoint_every == 0:
            few = _some(parts.validation)
            checked, target = scores_of(model, few), few.target.numpy()
            curve.append(
                {
                    "step": step + 1,
                    "jets": (step + 1) * recipe.batch,
                    "loss": loss_sum / seen,
                    "accuracy": right / seen,
                    "validation_accuracy": float((checked.argmax(1) == target).mean()),
                    **sharpness_of(model, _some(few, 200)),
                }
            )
            loss_sum, right, seen = 0.0, 0, 0
            _keep(out, model, optimiser, step + 1, curve)
        if step + 1 in recipe.snapshots:
            save_part(out / f"model-{step + 1:05d}.safetensors", model, spec)
        now = f"loss {curve[-1]['loss']:.3f}" if curve else "training"
        report(now, step + 1, end)
    return curve


def _step(
    model: ParticleTransformer,
    optimiser: torch.optim.Optimizer,
    jets: JetTensors,
    rows: torch.Tensor,
    recipe: PartRecipe,
    features: str,
    step: int,
) -> tuple[float, int]:
    torch.manual_seed(recipe.seed * 1_000_003 + step)  # reflections and dropout
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate * schedule(step, recipe.steps, recipe.warmup)
    model.train()
    target = jets.target[rows]
    x, v, mask = jets.batch(rows)
    if recipe.mirror:
        x = mirrored(x, features, torch.rand(len(rows)) < 0.5)
    if recipe.entropy_penalty:
        logits, records = model(x, v, mask, return_attention=True)
        penalty = entropy_of(records, mask)
    else:
        logits, penalty = model(x, v, mask), torch.zeros(())
    loss = functional.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
    total = loss + recipe.entropy_penalty * penalty
    if not torch.isfinite(total):
        raise InputError(f"learning_rate: the loss is not finite at step {step}; take a lower one")
    optimiser.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach()), int((logits.argmax(-1) == target).sum())


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate: linear warm-up, then half a cosine down to 1 %.

    >>> [round(schedule(s, 101, 0.1), 3) for s in (0, 9, 55, 100)]
    [0.1, 1.0, 0.505, 0.01]
    """
    rise = max(1, round(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    along = (step - rise) / max(steps - 1 - rise, 1)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices only, not on biases, norms and scales."""
    return [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _set_dropout(model: ParticleTransformer, rate: float) -> None:
    block: Any
    for block in model.blocks:
        block.attn.dropout = rate
        block.dropout.p = block.act_dropout.p = rate


def _some(jets: JetTensors, most: int = 1000) -> JetTensors:
    """At most so many of the jets, evenly taken: for looks on the way."""
    if len(jets) <= most:
        return jets
    rows = torch.linspace(0, len(jets) - 1, most).long()
    ends_of = jets.offsets.tolist()
    own = torch.cat([torch.arange(ends_of[r], ends_of[r + 1]) for r in rows.tolist()])
    ends = torch.cat([torch.zeros(1, dtype=torch.int64), jets.offsets.diff()[rows].cumsum(0)])
    return JetTensors(jets.x[own], jets.v[own], ends, jets.target[rows])


def _about(recipe: PartRecipe, jets: Any, start: Any) -> dict[str, Any]:
    weights = Path(start) / "model.safetensors" if start and Path(start).is_dir() else start
    return {
        "recipe": json.loads(recipe.model_dump_json()),
        "jets": fingerprint(jets),
        "start": fingerprint(weights) if weights else None,
        "versions": {name: version(name) for name in ("torch", "numpy", "hyflexsim")},
    }


def _finished(out: Path, about: dict[str, Any]) -> bool:
    """Whether `out` is this very training, done. Refuses a folder with another one."""
    if not out.exists():
        return False
    if not out.is_dir() or (any(out.iterdir()) and not (out / "recipe.json").is_file()):
        raise InputError(f"--out must be a new folder or one of this training; {out} is neither")
    if (out / "recipe.json").is_file():
        old = json.loads((out / "recipe.json").read_text("utf-8"))
        if old != about:
            key = next(k for k in about if old.get(k) != about[k])
            raise InputError(f"--out: {out} holds a training with another {key}; name a new folder")
    return (out / DONE).is_file()


def _resume(
    out: Path, model: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, list[dict[str, float]]]:
    path = out / STATE
    if not path.is_file():
        return 0, []
    try:
        state = torch.load(path, weights_only=True)
    except Exception:  # damaged: begin again
        return 0, []
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["curve"]


def _keep(
    out: Path, model: nn.Module, optimiser: torch.optim.Optimizer, step: int, curve: list[Any]
) -> None:
    state: dict[str, Any] = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
    state |= {"step": step, "curve": curve}
    scratch = out / f".{STATE}.unfinished"
    torch.save(state, scratch)
    os.replace(scratch, out / STATE)


def _write_json(path: Path, content: Any) -> None:
    scratch = path.with_name(f".{path.name}.unfinished")
    scratch.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    os.replace(scratch, path)


def _write_curve(path: Path, curve: list[dict[str, float]]) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    pq.write_table(pa.Table.from_pylist(curve), path)
