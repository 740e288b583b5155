"""Does attention know substructure: rank correlations with classic observables.

Two levels. *Between jets* of one class: Spearman's rank correlation of what a head does in a
jet (its inter-subjet share, the distance it looks over, what the hardest subjet receives)
with the jet's observables (tau21, tau32, subjet pT share, distance of the subjets, lepton
isolation). *Between pairs* of particles: of the weight A_ij with DR, kT, z and m^2 of the
pair, inside each jet, averaged over jets.

A number alone proves little: an untrained model and its random features correlate too, so
every table has both, and the error is that of a rank correlation without correlation,
1 / sqrt(jets - 1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hyflexsim.analysis.attention.directory import AttentionRun

Floats = NDArray[np.float64]

ATTENTION = ("inter_subjet", "delta_r", "received_hardest_subjet", "received_lepton", "entropy")
OBSERVABLES = (
    *("tau21", "tau32", "subjet_pt_share", "subjet_dr"),
    *("lepton_isolation", "mass", "multiplicity"),
)
PAIRS = ("delta_r", "kt", "z", "mass")
LEAST = 10  # jets; below, no correlation is given


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation of two columns, ties sharing their mean rank; NaN for a constant.

    >>> spearman([1, 2, 3, 4], [10, 20, 25, 1000])
    1.0
    """
    x, y = (pd.Series(np.asarray(v, dtype=np.float64)).rank().to_numpy() for v in (a, b))
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return round(float((x * y).sum()) / size, 12) if size > 0 else float("nan")


def jet_correlations(
    received: pd.DataFrame, rows: pd.DataFrame, jets: pd.DataFrame
) -> pd.DataFrame:
    """A row a (model, label, layer, head, attention measure, observable): `rho`, `jets`, `error`.

    `received` is received_table's frame, `rows` binary_table's, `jets` those of the run.
    """
    keys = ["model", "jet", "layer", "head"]
    entropy = rows.loc[rows["view"] == "with U", [*keys, "entropy"]]
    table = received.merge(entropy, on=keys)
    observed = jets.set_index("jet")
    out = []
    for group, frame in table.groupby(["model", "label", "layer", "head"], sort=False):
        mine = observed.loc[frame["jet"]]
        for measure in ATTENTION:
            for name in OBSERVABLES:
                a, b = frame[measure].to_numpy(float), mine[name].to_numpy(float)
                good = np.isfinite(a) & np.isfinite(b)
                if good.sum() < LEAST:
                    continue
                rho = spearman(a[good], b[good])
                out.append((*group, measure, name, rho, int(good.sum())))
    columns = ["model", "label", "layer", "head", "attention", "observable", "rho", "jets"]
    found = pd.DataFrame(out, columns=columns)
    found["error"] = 1 / np.sqrt(found["jets"] - 1)
    return found


def pair_observables(particles: pd.DataFrame) -> dict[str, Floats]:
    """DR, kT = min(pT) DR, z = min(pT) / (pTi + pTj), m^2 = 2 pTi pTj (cosh Deta - cos Dphi).

    (n, n) each, of massless particles, from pt, deta, dphi. deta is unsigned by the jet's side,
    which changes none of them.
    """
    pt, eta, phi = (particles[k].to_numpy(dtype=np.float64) for k in ("pt", "deta", "dphi"))
    deta, dphi = eta[:, None] - eta, phi[:, None] - phi
    distance, softer = np.hypot(deta, dphi), np.minimum(pt[:, None], pt)
    return {
        "delta_r": distance,
        "kt": softer * distance,
        "z": softer / (pt[:, None] + pt),
        "mass": 2 * pt[:, None] * pt * (np.cosh(deta) - np.cos(dphi)),
    }


def pair_correlations(
    run: AttentionRun, report: Callable[[str, int, int], None] = lambda *_: None
) -> pd.DataFrame:
    """A row a (model, layer, head, pair observable): mean over jets of Spearman's rho, and error.

    Pairs i != j of a jet of at least five particles; the error is that of the mean.
    """
    out = []
    for model in run.models:
        values = []
        for jet, maps in run.all_maps(model):
            if maps.weights.shape[-1] >= 5:
                values.append(_pairs_of(run.of_jet(jet), maps.weights))
            report(f"pairs under {model}", jet + 1, len(run.jets))
        every = np.stack(values)  # (jets, L, H, pair observables)
        mean, error = every.mean(0), every.std(0) / np.sqrt(len(every))
        for (layer, head, k), rho in np.ndenumerate(mean):
            out.append((model, layer + 1, head + 1, PAIRS[k], rho, error[layer, head, k]))
    return pd.DataFrame(out, columns=["model", "layer", "head", "observable", "rho", "error"])


def _pairs_of(particles: pd.DataFrame, weights: NDArray[np.float32]) -> Floats:
    other = ~np.eye(len(particles), dtype=bool)
    layers, heads = weights.shape[:2]
    flat = weights[..., other].reshape(layers * heads, -1)
    a = _ranks(flat)
    b = _ranks(np.stack([pair_observables(particles)[name][other] for name in PAIRS]))
    return (a @ b.T).reshape(layers, heads, len(PAIRS))


def _ranks(values: NDArray[np.floating]) -> Floats:
    """Ranks of each row, ties shared, centred and of unit length: their products are rho."""
    ranks = pd.DataFrame(values.T).rank().to_numpy().T
    ranks = ranks - ranks.mean(1, keepdims=True)
    length = np.sqrt((ranks**2).sum(1, keepdims=True))
    out: Floats = np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)
    return out
