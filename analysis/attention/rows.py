"""How sharp is a row of attention: largest weight, entropy, keys that hold 90 %.

A row is one real query of one head in one layer: n weights that sum to one. It is *binary*
(arXiv 2412.03673) if nearly all of it is on one key. Three views of the same scores::

    weights      softmax(QK^T + U)      what the model uses
    without U    softmax(QK^T)          U left out of this softmax only, all else as it was
    decades      |QK^T| / |U|           which summand is larger, element by element
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyflexsim.analysis.attention.directory import AttentionRun, JetMaps

Singles = NDArray[np.float32]

LIMITS = (0.5, 0.9, 0.95)
HELD = 0.9  # "keys that hold 90 %"
DECADES = (0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, np.inf)
"""Borders of |QK^T| / |U|, as in the papers' notebooks."""

ROW_MEASURES = (
    *(f"share_{round(100 * limit)}" for limit in LIMITS),
    *("largest", "entropy", "effective_keys", "keys_90", "on_itself", "gap"),
)
"""Columns of :func:`row_measures`."""


def softmax(scores: Singles) -> Singles:
    """Over the last axis.

    >>> softmax(np.log(np.array([1.0, 3.0], dtype=np.float32))).tolist()
    [0.25, 0.75]
    """
    e = np.exp(scores - scores.max(-1, keepdims=True))
    out: Singles = e / e.sum(-1, keepdims=True)
    return out


def row_measures(weights: Singles, scores: Singles | None = None) -> dict[str, Singles]:
    """Means over the rows of (L, H, n, n) weights; an (L, H) array a measure.

    `share_50`, `share_90`, `share_95`: share of rows whose largest weight is above; `largest`:
    mean largest weight; `entropy` in nats; `effective_keys`: mean of exp(entropy);
    `keys_90`: mean of the fewest keys that hold 90 %; `on_itself`: share of rows whose largest
    weight is the query's own; `gap`: mean distance of the two largest `scores` (NaN without).

    >>> one_hot = np.eye(4, dtype=np.float32)[None, None]
    >>> found = row_measures(one_hot)
    >>> [float(found[k][0, 0]) for k in ("share_95", "entropy", "keys_90", "on_itself")]
    [1.0, 0.0, 1.0, 1.0]
    """
    n = weights.shape[-1]
    largest = weights.max(-1)  # (L, H, n)
    entropy = -(weights * np.log(np.maximum(weights, 1e-30))).sum(-1) + 0.0
    falling = -np.sort(-weights, axis=-1)
    held = np.cumsum(falling, axis=-1) / falling.sum(-1, keepdims=True)
    keys = 1 + (held < HELD - 1e-6).sum(-1)  # float32 sums
    found = {f"share_{round(100 * limit)}": (largest > limit).mean(-1) for limit in LIMITS}
    found |= {
        "largest": largest.mean(-1),
        "entropy": entropy.mean(-1),
        "effective_keys": np.exp(entropy).mean(-1),
        "keys_90": keys.mean(-1),
        "on_itself": (weights.argmax(-1) == np.arange(n)).mean(-1),
        "gap": _gap(scores) if scores is not None else np.full(weights.shape[:2], np.nan),
    }
    return found


def _gap(scores: Singles) -> Singles:
    """Mean difference of the largest and second largest score of a row; NaN with one key."""
    if scores.shape[-1] < 2:
        return np.full(scores.shape[:2], np.nan, dtype=np.float32)
    two = np.partition(scores, -2, axis=-1)[..., -2:]
    gap: Singles = (two[..., 1] - two[..., 0]).mean(-1)
    return gap


def decade_counts(qk: Singles, u: Singles) -> NDArray[np.int64]:
    """Entries of (L, H, n, n) QK^T by decade of |QK^T| / |U|: (L, H, 8). U is (H, n, n).

    Entries with U = 0 are left out.

    >>> qk = np.array([[[[0.5, 30.0], [4.0, 2e7]]]], dtype=np.float32)
    >>> decade_counts(qk, np.ones((1, 2, 2), dtype=np.float32))[0, 0].tolist()
    [1, 1, 1, 0, 0, 0, 0, 1]
    """
    layers, heads = qk.shape[:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(qk) / np.abs(u)  # (L, H, n, n)
    bins = np.digitize(ratio, DECADES[1:-1])
    valid = np.broadcast_to(u != 0, ratio.shape)
    kinds = len(DECADES) - 1
    head = np.arange(layers * heads).reshape(layers, heads, 1, 1)
    flat = (head * kinds + bins)[valid]
    return np.bincount(flat, minlength=layers * heads * kinds).reshape(layers, heads, kinds)


def binary_table(
    run: AttentionRun, report: Callable[[str, int, int], None] = lambda *_: None
) -> pd.DataFrame:
    """A row a (view, model, jet, layer, head): ROW_MEASURES, label, rows.

    `view` is "with U" or "without U" (the latter only for models that have U).
    """
    parts = []
    for model in run.models:
        for jet, maps in run.all_maps(model):
            parts += [_of_jet(run, model, jet, view, maps) for view in _views(run)]
            report(f"rows of {model}", jet + 1, len(run.jets))
    return pd.concat(parts, ignore_index=True)


def _views(run: AttentionRun) -> tuple[str, ...]:
    return ("with U", "without U") if run.manifest["bias"] else ("with U",)


def _of_jet(run: AttentionRun, model: str, jet: int, view: str, maps: JetMaps) -> pd.DataFrame:
    if view == "with U":
        found = row_measures(maps.weights, maps.qk + maps.u)
    else:
        found = row_measures(softmax(maps.qk), maps.qk)
    frame = per_head(found)
    frame.insert(0, "view", view)
    frame.insert(1, "model", model)
    frame.insert(2, "jet", jet)
    frame.insert(3, "label", str(run.jets["label"].iloc[jet]))
    frame["rows"] = maps.weights.shape[-1]
    return frame


def per_head(found: dict[str, Singles]) -> pd.DataFrame:
    """(L, H) arrays as a frame with a row a layer and head, both counted from 1."""
    layers, heads = next(iter(found.values())).shape
    layer, head = np.indices((layers, heads)) + 1
    columns = {"layer": layer.ravel(), "head": head.ravel()}
    return pd.DataFrame(columns | {name: value.ravel() for name, value in found.items()})


def decade_table(run: AttentionRun) -> pd.DataFrame:
    """Share of entries per decade of |QK^T| / |U|: a row a (model, layer, head, decade)."""
    parts = []
    kinds = len(DECADES) - 1
    for model in run.models if run.manifest["bias"] else []:
        total = sum(decade_counts(maps.qk, maps.u) for _, maps in run.all_maps(model))
        counts = np.asarray(total)
        layer, head, decade = np.indices(counts.shape)
        share = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
        frame = pd.DataFrame(
            {
                "layer": layer.ravel() + 1,
                "head": head.ravel() + 1,
                "from": np.array(DECADES[:-1])[decade.ravel()],
                "to": np.array(DECADES[1:])[decade.ravel()],
                "entries": counts.ravel(),
                "share": share.ravel(),
            }
        )
        frame.insert(0, "model", model)
        parts.append(frame)
    assert all(len(part) % kinds == 0 for part in parts)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def over_rows(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """ROW_MEASURES of each group, every row of attention counted alike.

    `rows` is their number and `error` one standard deviation of share_50, from the spread
    between jets (rows of one jet are not independent).
    """
    names = list(ROW_MEASURES)
    weighted = table[names].mul(table["rows"], axis=0)
    sums = pd.concat([table[by], weighted, table["rows"]], axis=1).groupby(by, sort=False).sum()
    means = sums[names].div(sums["rows"], axis=0)
    means["rows"] = sums["rows"]
    jets = table.groupby([*by, "jet"], sort=False)["share_50"].mean().groupby(by, sort=False)
    means["error"] = jets.std() / np.sqrt(jets.count())
    return means.reset_index()
