"""Who receives attention: leptons, the b-subjet, the hardest particle, other subjets.

For a set S of particles of a jet, in one head::

    received(S) = mean over queries i outside S of  sum over keys j in S of A_ij
    expected(S) = |S| / n          what uniform attention gives

and for a partition into subjets::

    inter = sum of A_ij over i != j in different subjets / sum of A_ij over i != j

(the papers' inter-subjet fraction). With one subjet it says nothing and is NaN. Its expected
value, for uniform attention, is the share of pairs i != j in different subjets.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyflexsim.analysis.attention.directory import AttentionRun, JetMaps
from hyflexsim.analysis.attention.rows import per_head

Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

LEPTONS = (3, 4)  # pid of electron and muon
SETS = ("lepton", "b_subjet", "hardest", "hardest_subjet")


def received(weights: Singles, members: Bools) -> Singles:
    """Mean weight, (L, H), that queries outside a set (n,) give to it; NaN if nobody is.

    >>> uniform = np.full((1, 1, 4, 4), 0.25, dtype=np.float32)
    >>> received(uniform, np.array([True, False, False, False])).tolist()
    [[0.25]]
    """
    if not members.any() or members.all():
        return np.full(weights.shape[:2], np.nan, dtype=np.float32)
    out: Singles = weights[..., ~members, :][..., members].sum(-1).mean(-1)
    return out


def inter_subjet(weights: Singles, subjet: NDArray[np.integer]) -> Singles:
    """Share of the weight between different particles that crosses subjets, (L, H).

    >>> uniform = np.full((1, 1, 3, 3), 1 / 3, dtype=np.float32)
    >>> round(float(inter_subjet(uniform, np.array([0, 0, 1]))[0, 0]), 4)
    0.6667
    """
    other = ~np.eye(len(subjet), dtype=bool)
    across = subjet[:, None] != subjet
    if not across.any():
        return np.full(weights.shape[:2], np.nan, dtype=np.float32)
    total = (weights * other).sum((-2, -1))
    out: Singles = (weights * across).sum((-2, -1)) / np.maximum(total, 1e-30)
    return out


def lepton_score_share(qk: Singles, u: Singles, lepton: Bools) -> Singles:
    """The follow-up's lepton share, (L, H): positive scores before softmax in lepton columns.

    sum of max(S, 0) over the columns of leptons / over all, S = QK^T + U (2512.00210's code).
    """
    scores = np.maximum(qk + u, 0)
    total = scores.sum((-2, -1))
    out: Singles = scores[..., lepton].sum((-2, -1)) / np.maximum(total, 1e-30)
    return out


def members(particles: pd.DataFrame) -> dict[str, Bools]:
    """The sets SETS of a jet's particles, (n,) each; subjet 0 is the hardest."""
    n = len(particles)
    several = bool((particles["subjet"] != particles["subjet"].iloc[0]).any())
    hardest = np.zeros(n, dtype=bool)
    hardest[int(particles["pt"].to_numpy().argmax())] = True
    return {
        "lepton": particles["pid"].isin(LEPTONS).to_numpy(),
        "b_subjet": particles["b_subjet"].to_numpy(dtype=bool),
        "hardest": hardest,
        "hardest_subjet": (particles["subjet"] == 0).to_numpy() & several,
    }


def received_table(
    run: AttentionRun, report: Callable[[str, int, int], None] = lambda *_: None
) -> pd.DataFrame:
    """A row a (model, jet, layer, head).

    Columns `received_<set>` and `expected_<set>` for SETS, `inter_subjet`,
    `expected_inter_subjet`, `lepton_score_share`, `delta_r` (mean distance in the eta-phi
    plane of query and key, weighted by attention, i != j), `label`.
    """
    parts = []
    for model in run.models:
        for jet, maps in run.all_maps(model):
            frame = per_head(_of_jet(run.of_jet(jet), maps))
            frame.insert(0, "model", model)
            frame.insert(1, "jet", jet)
            frame.insert(2, "label", str(run.jets["label"].iloc[jet]))
            parts.append(frame)
            report(f"received under {model}", jet + 1, len(run.jets))
    return pd.concat(parts, ignore_index=True)


def _of_jet(particles: pd.DataFrame, maps: JetMaps) -> dict[str, Singles]:
    sets, shape = members(particles), maps.weights.shape[:2]
    n = len(particles)

    def same(value: float) -> Singles:
        return np.full(shape, value, dtype=np.float32)

    found = {}
    for name, own in sets.items():
        known = 0 < own.sum() < n
        found[f"received_{name}"] = received(maps.weights, own)
        found[f"expected_{name}"] = same(own.mean() if known else np.nan)
    subjet = particles["subjet"].to_numpy()
    across = (subjet[:, None] != subjet).sum()
    found["inter_subjet"] = inter_subjet(maps.weights, subjet)
    found["expected_inter_subjet"] = same(across / (n * (n - 1)) if across else np.nan)
    found["lepton_score_share"] = (
        lepton_score_share(maps.qk, maps.u, sets["lepton"])
        if sets["lepton"].any()
        else same(np.nan)
    )
    found["delta_r"] = _mean_distance(particles, maps.weights)
    return found


def _mean_distance(particles: pd.DataFrame, weights: Singles) -> Singles:
    place = particles[["deta", "dphi"]].to_numpy(dtype=np.float64)
    distance = np.hypot(*np.moveaxis(place[:, None] - place, -1, 0))  # (n, n), inside a jet
    other = weights * ~np.eye(len(place), dtype=bool)
    total = other.sum((-2, -1))
    out: Singles = (other * distance).sum((-2, -1)) / np.maximum(total, 1e-30)
    return out.astype(np.float32)
