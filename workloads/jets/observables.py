"""Classic observables of a jet's substructure, from its particles.

- mass: invariant mass of the particles, GeV;
- tau_N: N-subjettiness (Thaler and Van Tilburg, arXiv 1011.2268, eq. 2.1, beta = 1)::

      tau_N = sum_i pT_i min_a DR(i, a) / (R0 sum_i pT_i)        R0 = 0.8

  with the exclusive kT subjets as axes, **not minimised** afterwards, so values are a little
  above those of a minimised definition; the ratios tau21 and tau32 tell two and three prongs;
- of the subjets (as many as the class has prongs, see subjets.py): share of pT of the
  hardest, distance in (y, phi) of the two hardest;
- lepton isolation: pT of the other particles within 0.3 of the hardest lepton, over its pT
  (0: alone); NaN without an electron or muon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyflexsim.workloads.jets.jets import Jets
from hyflexsim.workloads.jets.subjets import PRONGS, kt_subjets

Floats = NDArray[np.float64]

R0, CONE = 0.8, 0.3
LEPTONS = (3, 4)  # part_pid of electron and muon
NAMES = (
    *("mass", "multiplicity", "tau1", "tau2", "tau3", "tau21", "tau32"),
    *("subjet_pt_share", "subjet_dr", "lepton_isolation"),
)
"""Columns of :func:`observables`."""


def observables(
    jets: Jets, report: Callable[[int], None] = lambda _: None
) -> tuple[dict[str, Floats], NDArray[np.int16]]:
    """Columns NAMES, (J,) each, and the subjet of each particle (P,). `report`: jets done."""
    columns = {name: np.full(len(jets), np.nan) for name in NAMES}
    subjet = np.zeros(int(jets.offsets[-1]), dtype=np.int16)
    for j in range(len(jets)):
        own = jets.inputs(j)
        momenta = np.stack([own[k].astype(np.float64) for k in ("px", "py", "pz", "energy")], 1)
        prongs = PRONGS[str(jets.labels[j])]
        found = kt_subjets(momenta, tuple({1, 2, 3, prongs}))
        row = _row(momenta, found, prongs)
        row["lepton_isolation"] = lepton_isolation(momenta, own["pid"])
        for name, value in row.items():
            columns[name][j] = value
        subjet[jets.offsets[j] : jets.offsets[j + 1]] = found[prongs]
        report(j + 1)
    return columns, subjet


def _row(momenta: Floats, found: dict[int, Any], prongs: int) -> dict[str, float]:
    total = momenta.sum(0)
    tau = {n: n_subjettiness(momenta, found[n]) for n in (1, 2, 3)}
    sums = axes_of(momenta, found[prongs])
    pt = np.hypot(sums[:, 0], sums[:, 1])
    return {
        "mass": float(np.sqrt(max(total[3] ** 2 - (total[:3] ** 2).sum(), 0.0))),
        "multiplicity": float(len(momenta)),
        **{f"tau{n}": value for n, value in tau.items()},
        "tau21": tau[2] / tau[1] if tau[1] > 0 else 0.0,
        "tau32": tau[3] / tau[2] if tau[2] > 0 else 0.0,
        "subjet_pt_share": float(pt[0] / pt.sum()),
        "subjet_dr": float(delta_r(sums[:1], sums[1:2])[0, 0]) if len(sums) > 1 else np.nan,
    }


def axes_of(momenta: Floats, subjet: NDArray[Any]) -> Floats:
    """Sum of the four-vectors of each subjet, (S, 4), from (N, 4) and indices (N,)."""
    sums = np.zeros((int(subjet.max()) + 1, 4))
    np.add.at(sums, subjet, momenta)
    return sums


def n_subjettiness(momenta: Floats, subjet: NDArray[Any]) -> float:
    """tau_N for the N subjets given, dimensionless.

    >>> p = np.array([[3.0, 0, 0, 3], [1, 0, 0, 1]])    # both on the axis
    >>> n_subjettiness(p, np.array([0, 0]))
    0.0
    """
    pt = np.hypot(momenta[:, 0], momenta[:, 1])
    nearest = delta_r(momenta, axes_of(momenta, subjet)).min(1)
    return float((pt * nearest).sum() / (R0 * pt.sum()))


def delta_r(a: Floats, b: Floats) -> Floats:
    """Distances in (eta, phi) of four-vectors (A, 4) and (B, 4): (A, B)."""
    eta = [np.arcsinh(p[:, 2] / np.hypot(p[:, 0], p[:, 1])) for p in (a, b)]
    phi = [np.arctan2(p[:, 1], p[:, 0]) for p in (a, b)]
    dphi = (phi[0][:, None] - phi[1] + np.pi) % (2 * np.pi) - np.pi
    out: Floats = np.hypot(eta[0][:, None] - eta[1], dphi)
    return out


def lepton_isolation(momenta: Floats, pid: NDArray[Any]) -> float:
    """pT within 0.3 of the hardest electron or muon over its pT, itself left out; NaN if none."""
    leptons = np.flatnonzero(np.isin(pid, LEPTONS))
    if len(leptons) == 0:
        return float("nan")
    pt = np.hypot(momenta[:, 0], momenta[:, 1])
    hardest = leptons[pt[leptons].argmax()]
    near = delta_r(momenta[hardest : hardest + 1], momenta)[0] < CONE
    return float((pt[near].sum() - pt[hardest]) / pt[hardest])
