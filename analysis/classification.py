"""How well scores tell classes apart: accuracy, AUC, background rejection, with errors.

Definitions of JetClass (arXiv 2202.03772 §5): the score of a signal S against QCD is
p_S / (p_S + p_QCD); the rejection at 50 % signal efficiency is one over the share of QCD
jets above the threshold that half of the signal passes. Errors are one standard deviation:
binomial for shares, Hanley and McNeil (1982) for the AUC, relative 1 / sqrt(background jets
above the threshold) for rejections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError

Floats = NDArray[np.float64]


def auc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Probability that a positive scores above a negative, ties counted half.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True]))
    0.875
    """
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place]  # from one, ties share the mean
    up, down = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - up * (up + 1) / 2) / (up * down))


def auc_error(value: float, positives: int, negatives: int) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982, eq. 1).

    >>> round(auc_error(0.9, 100, 100), 4)
    0.0226
    """
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value)
    spread += (positives - 1) * (q1 - value**2) + (negatives - 1) * (q2 - value**2)
    return float(np.sqrt(max(spread, 0.0) / (positives * negatives)))


def rejection(signal: Floats, background: Floats, efficiency: float) -> tuple[float, float]:
    """1 / (share of background above the score that `efficiency` of the signal passes), error.

    Where no background jet passes, the rejection is only known to be at least their number:
    (number, infinity) is returned.

    >>> rejection(np.arange(10.0), np.arange(-10.0, 10.0), 0.5)[0]    # 5 ... 9 of 20 pass
    4.0
    """
    threshold = np.quantile(signal, 1 - efficiency, method="lower")
    passed = int((background > threshold).sum())
    if passed == 0:
        return float(len(background)), float("inf")
    value = len(background) / passed
    return value, value / float(np.sqrt(passed))


def report(scores: Floats, target: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, and per class AUC (against all others) and rejections against QCD.

    `scores` (J, C) are probabilities, `target` (J,) indices of the right class. Rejections are
    there only where `classes` has QCD.
    """
    if scores.shape != (len(target), len(classes)) or len(target) == 0:
        raise InputError(
            f"scores must be (jets, classes) = ({len(target)}, {len(classes)}); got {scores.shape}"
        )
    right = float((scores.argmax(1) == target).mean())
    rows = {}
    for c, name in enumerate(classes):
        mine = target == c
        if not 0 < mine.sum() < len(target):
            continue
        value = auc(scores[:, c], mine)
        rows[name] = {
            "jets": int(mine.sum()),
            "accuracy": float((scores[mine].argmax(1) == c).mean()),
            "auc": value,
            "auc_error": auc_error(value, int(mine.sum()), int((~mine).sum())),
        }
        if "QCD" in classes and name != "QCD":
            rows[name] |= _against_qcd(scores, target, c, list(classes).index("QCD"))
    return {
        "jets": len(target),
        "accuracy": right,
        "accuracy_error": float(np.sqrt(right * (1 - right) / len(target))),
        "auc_mean": float(np.mean([row["auc"] for row in rows.values()])) if rows else None,
        "classes": rows,
    }


def _against_qcd(
    scores: Floats, target: NDArray[np.int64], signal: int, qcd: int
) -> dict[str, Any]:
    both = scores[:, [signal, qcd]]
    score = both[:, 0] / np.maximum(both.sum(1), 1e-300)
    out: dict[str, Any] = {}
    if not (target == qcd).any():
        return out
    for percent in (50, 70):
        value, error = rejection(score[target == signal], score[target == qcd], percent / 100)
        out[f"rejection_{percent}"] = value
        out[f"rejection_{percent}_error"] = None if np.isinf(error) else error
    return out
