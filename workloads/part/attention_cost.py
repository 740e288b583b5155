"""What sparse attention costs: accuracy with only the k strongest keys of a query.

Three questions, on jets that training holds out:

1. all heads alike, k = 1, 2, 4, 8, 16, all: accuracy as the checkpoint is and, if asked,
   after a short fine-tune with the top-k in place (a training with `top_k`, recipe.py);
2. one head at a time at each k: how far the probabilities move (mean Kullback-Leibler
   divergence from full attention, nats a jet). Small ones can be cut first;
3. together: the fewest keys per layer and head that lose at most a tolerance of accuracy.
   Each head gets the smallest k whose own divergence is below a limit, and the largest limit
   whose *joint* accuracy is within the tolerance is taken.

The answer to 3 is `keys.parquet`, which a hardware study reads: layer (block's path), head
(from 0), keys (128: all). Accuracy differences are paired, jet by jet; their error is
sqrt(jets that changed sides) / jets.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from hyflexsim.models.part.checkpoint import PartSpec, load_part
from hyflexsim.models.part.feature_ranges import far_outside
from hyflexsim.models.part.inputs import MAX_PARTICLES
from hyflexsim.models.part.topk import attention_shape, set_top_k
from hyflexsim.models.part.training import JetTensors, scores_of
from hyflexsim.models.part.transformer import ParticleTransformer
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.outputs import check_folder, owned
from hyflexsim.workloads.part.attention_run import choose
from hyflexsim.workloads.part.parts import tensors
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.part.train_part import train_part
from hyflexsim.workloads.run.run_dir import write_json

KEYS = (1, 2, 4, 8, 16, MAX_PARTICLES)
"""Keys a query keeps; the last one is all of them."""

LIMITS = tuple(float(x) for x in np.geomspace(1e-5, 1.0, 26))  # nats a jet
MARK = "cost.json"

Scores = NDArray[np.float64]
Report = Callable[[str, int, int], None]


def attention_cost(
    out: str | Path,
    checkpoint: str | Path,
    jets: str | Path | None = None,
    *,
    per_class: int = 100,
    tolerance: float = 0.005,
    tune_steps: int = 0,
    tune_keys: tuple[int, ...] = KEYS[:-1],
    spec: PartSpec | None = None,
    head_order: str | None = None,
    report: Report = lambda *_: None,
) -> dict[str, Any]:
    """Write cost.json, accuracy.parquet, heads.parquet, keys.parquet; returns cost.json.

    `tune_steps` > 0 fine-tunes for each of `tune_keys` in `out/tuned-kNN`, resumable, on the
    training part of `jets`. Raises InputError for a bad tolerance or folder.
    """
    if not 0 <= tolerance < 1:
        raise InputError(f"--tolerance must be a share of accuracy, 0 ... 1; got {tolerance}")
    with owned(out) as output:
        check_folder(out, [] if _ours(output.path) else [MARK], "one of this command")
        model, spec = load_part(checkpoint, spec, head_order)
        chosen = choose(jets, spec.classes, per_class)
        data = tensors(chosen, spec, lambda done: report("reading jets", done, len(chosen)))
        full = scores_of(model, data)
        target = data.target.numpy()
        rows = [_row(k, "plain", _with(model, data, k), full, target) for k in KEYS]
        rows += _without_u(model, data, full, target)
        heads, divergence = _heads(model, data, full, target, report)
        keys, joint = _choose_keys(model, data, full, target, divergence, tolerance, report)
        for k in tune_keys if tune_steps else ():
            folder = output.path / f"tuned-k{k:02d}"
            recipe = _tuning(spec, k, tune_steps)
            train_part(folder, recipe, jets, start=checkpoint, report=report)
            tuned, _ = load_part(folder)
            rows.append(_row(k, "tuned", _with(tuned, data, k), full, target))
        found = {
            "jets": len(chosen),
            "accuracy": float((full.argmax(1) == target).mean()),
            "notes": far_outside(data, spec.features, spec.ranges),
            "tolerance": tolerance,
            "rows": rows,
            "joint": joint,
            "mean_keys": float(np.mean([row["keys"] for row in keys])),
            "first_to_cut": [
                {name: row[name] for name in ("layer", "head", "divergence", "accuracy_change")}
                for row in sorted(
                    (h for h in heads if h["keys"] == 1), key=lambda h: h["divergence"]
                )
            ],
        }
        with output.more(last=MARK) as folder:
            for name, table in (("accuracy", rows), ("heads", heads), ("keys", keys)):
                pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
            write_json(folder / MARK, found)
    return found


def _ours(out: Path) -> bool:
    return (out / MARK).is_file() or any(out.glob("tuned-k*/recipe.json"))


def _tuning(spec: PartSpec, k: int, steps: int) -> PartRecipe:
    return PartRecipe.load(
        None,
        {
            "classes": list(spec.classes),
            "particles": spec.particles,
            "steps": steps,
            "learning_rate": 5e-4,
            "warmup": 0.1,
            "top_k": k,
            "seed": 2,
        },
    )


def _with(model: ParticleTransformer, data: JetTensors, top_k: Any) -> Scores:
    set_top_k(model, top_k)
    try:
        return scores_of(model, data)
    finally:
        set_top_k(model, None)


def _without_u(
    model: ParticleTransformer, data: JetTensors, full: Scores, target: NDArray[Any]
) -> list[dict[str, Any]]:
    """The model with U left out of every layer, not retrained: what U is worth to it."""
    if model.pair_embed is None:
        return []
    kept, model.pair_embed = model.pair_embed, None
    try:
        return [_row(MAX_PARTICLES, "without U", scores_of(model, data), full, target)]
    finally:
        model.pair_embed = kept


def _row(k: int, how: str, scores: Scores, full: Scores, target: NDArray[Any]) -> dict[str, Any]:
    right, before = scores.argmax(1) == target, full.argmax(1) == target
    n = len(target)
    return {
        "keys": k,
        "how": how,
        "accuracy": float(right.mean()),
        "accuracy_error": float(np.sqrt(right.mean() * (1 - right.mean()) / n)),
        "change": float(right.mean() - before.mean()),
        "change_error": float(np.sqrt((right != before).sum()) / n),
        "same_decision": float((scores.argmax(1) == full.argmax(1)).mean()),
        "divergence": divergence_of(full, scores),
    }


def divergence_of(full: Scores, scores: Scores) -> float:
    """Mean Kullback-Leibler divergence of scores (J, C) from the full model's, nats.

    >>> p = np.array([[0.5, 0.5]])
    >>> round(divergence_of(p, np.array([[0.25, 0.75]])), 4)
    0.1438
    """
    p, q = np.maximum(full, 1e-12), np.maximum(scores, 1e-12)
    return max(float((p * np.log(p / q)).sum(1).mean()), 0.0)


def _heads(
    model: ParticleTransformer,
    data: JetTensors,
    full: Scores,
    target: NDArray[Any],
    report: Report,
) -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
    """A row a layer, head and k, that head alone cut; and divergences (layers, heads, KEYS)."""
    layers, count = attention_shape(model)
    divergence = np.zeros((layers, count, len(KEYS)))
    rows = []
    total, done = layers * count * (len(KEYS) - 1), 0
    for layer, head in np.ndindex(layers, count):
        for i, k in enumerate(KEYS[:-1]):
            table = np.full((layers, count), MAX_PARTICLES)
            table[layer, head] = k
            row = _row(k, "one head", _with(model, data, table.tolist()), full, target)
            divergence[layer, head, i] = row["divergence"]
            rows.append(
                {
                    "layer": f"blocks.{layer}",
                    "head": head,
                    "keys": k,
                    "divergence": row["divergence"],
                    "accuracy_change": row["change"],
                    "change_error": row["change_error"],
                    "same_decision": row["same_decision"],
                }
            )
            done += 1
            report("cutting heads", done, total)
    return rows, divergence


def keys_for(divergence: NDArray[np.float64], limit: float) -> NDArray[np.int64]:
    """Smallest of KEYS per layer and head whose divergence, and that of all larger k, is below.

    `divergence` (layers, heads, KEYS); the last one is 0.

    >>> keys_for(np.array([[[0.5, 0.2, 0.1, 0.0, 0.0, 0.0]]]), 0.15).tolist()
    [[4]]
    """
    fits = np.flip(np.cumprod(np.flip(divergence <= limit, -1), axis=-1), -1)  # (L, H, K)
    out: NDArray[np.int64] = np.array(KEYS)[fits.argmax(-1)]
    return out


def _choose_keys(
    model: ParticleTransformer,
    data: JetTensors,
    full: Scores,
    target: NDArray[Any],
    divergence: NDArray[np.float64],
    tolerance: float,
    report: Report,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The table of keys, and the joint row; bisects over LIMITS."""
    divergence[..., -1] = 0.0
    low, high = -1, len(LIMITS)  # the first fits (full attention), the second does not
    best = np.full(divergence.shape[:2], MAX_PARTICLES)
    joint = _row(MAX_PARTICLES, "joint", full, full, target)
    while high - low > 1:
        middle = (low + high) // 2
        table = keys_for(divergence, LIMITS[middle])
        row = _row(0, "joint", _with(model, data, table.tolist()), full, target)
        if row["change"] >= -tolerance:
            low, best, joint = middle, table, row
        else:
            high = middle
        report("joint table", len(LIMITS) - (high - low), len(LIMITS))
    joint["keys"] = float(best.mean())
    rows = [
        {"layer": f"blocks.{layer}", "head": head, "keys": int(best[layer, head])}
        for layer, head in np.ndindex(*best.shape)
    ]
    return rows, joint


def read_keys(path: str | Path) -> list[list[int]]:
    """keys.parquet, or the same as CSV, as a table (layers, heads) for set_top_k.

    Raises InputError if it is none.
    """
    path = Path(path)
    try:
        rows = (csv.read_csv if path.suffix == ".csv" else pq.read_table)(path).to_pylist()
        layers = list(dict.fromkeys(row["layer"] for row in rows))
        return [[int(row["keys"]) for row in rows if row["layer"] == name] for name in layers]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{path}: must be a keys.parquet; {str(error).splitlines()[0]}") from None


def read_cost(out: str | Path) -> dict[str, Any]:
    """cost.json of a folder."""
    content: dict[str, Any] = json.loads((Path(out) / MARK).read_text("utf-8"))
    return content
