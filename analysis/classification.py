"""How well scores tell classes apart: accuracy, AUC, background rejection, with errors.

Definitions of JetClass (arXiv 2202.03772 §5): the score of a signal S against QCD is
p_S / (p_S + p_QCD); the rejection at 50 % signal efficiency is one over the share of QCD
jets above the threshold that half of the signal passes. Every class counts the same, however
many jets it has, so a set may hold more QCD jets than others to measure large rejections.

Errors of accuracies and AUCs are one standard deviation, binomial and by Hanley and McNeil
(1982). Rejections have a 95 % interval, exact for the Poisson number of background jets above
the threshold (Garwood 1936); the threshold is taken as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

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


def auc_error(value: float, positives: float, negatives: float) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982, eq. 1).

    >>> round(auc_error(0.9, 100, 100), 4)
    0.0226
    """
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value)
    spread += (positives - 1) * (q1 - value**2) + (negatives - 1) * (q2 - value**2)
    return float(np.sqrt(max(spread, 0.0) / (positives * negatives)))


def rejection(
    signal: Floats, background: Floats, efficiency: float
) -> tuple[float | None, float, float | None]:
    """1 / (share of background above the score that `efficiency` of the signal passes).

    With the ends of its 95 % interval. Where no background jet passes, value and upper end are
    not known: None.

    >>> rejection(np.arange(10.0), np.arange(-10.0, 10.0), 0.5)[0]    # 5 ... 9 of 20 pass
    4.0
    """
    threshold = np.quantile(signal, 1 - efficiency, method="lower")
    passed, of = int((background > threshold).sum()), len(background)
    low = of / (chi2.ppf(0.975, 2 * passed + 2) / 2)
    if passed == 0:
        return None, float(low), None
    return of / passed, float(low), float(of / (chi2.ppf(0.025, 2 * passed) / 2))


def report(scores: Floats, target: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, and per class AUC (mean over the other classes) and rejections against QCD.

    `scores` (J, C) are probabilities, `target` (J,) indices of the right class. Rejections are
    there only where `classes` has QCD. Where all classes have as many jets, the AUC is that
    against all others together.
    """
    if scores.shape != (len(target), len(classes)) or len(target) == 0:
        raise InputError(
            f"scores must be (jets, classes) = ({len(target)}, {len(classes)}); got {scores.shape}"
        )
    counts = np.bincount(target, minlength=len(classes))  # (C,)
    there: list[int] = np.flatnonzero(counts).tolist()
    right = np.array([(scores[target == c].argmax(1) == c).mean() for c in there])
    rows: dict[str, dict[str, Any]] = {}
    for c, accuracy in zip(there, right, strict=True):
        value, error = _against_others(scores[:, c], target, c, counts)
        row = {"jets": int(counts[c]), "accuracy": float(accuracy)}
        rows[classes[c]] = row | {"auc": value, "auc_error": error}
        if "QCD" in classes and classes[c] != "QCD":
            rows[classes[c]] |= _against_qcd(scores, target, c, list(classes).index("QCD"))
    spread = np.sqrt((right * (1 - right) / counts[there]).sum()) / len(there)
    aucs = [row["auc"] for row in rows.values() if row["auc"] is not None]
    return {
        "jets": len(target),
        "accuracy": float(right.mean()),
        "accuracy_error": float(spread),
        "auc_mean": float(np.mean(aucs)) if aucs else None,
        "classes": rows,
    }


def _against_others(
    score: Floats, target: NDArray[np.int64], c: int, counts: NDArray[np.int64]
) -> tuple[float | None, float | None]:
    """AUC of class c, the others with equal weight, and its error; None without others."""
    others = [d for d in np.flatnonzero(counts).tolist() if d != c]
    if not others:
        return None, None
    pairs = []
    for d in others:
        both = (target == c) | (target == d)
        pairs.append(auc(score[both], target[both] == c))
    negatives = len(others) ** 2 / (1 / counts[others]).sum()  # their number if all are equal
    value = float(np.mean(pairs))
    return value, auc_error(value, counts[c], negatives)


def _against_qcd(
    scores: Floats, target: NDArray[np.int64], signal: int, qcd: int
) -> dict[str, Any]:
    both = scores[:, [signal, qcd]]
    score = both[:, 0] / np.maximum(both.sum(1), 1e-300)
    out: dict[str, Any] = {}
    if not (target == qcd).any():
        return out
    for percent in (50, 70):
        found = rejection(score[target == signal], score[target == qcd], percent / 100)
        names = ("", "_low", "_high")
        out |= {f"rejection_{percent}{n}": x for n, x in zip(names, found, strict=True)}
    return out
