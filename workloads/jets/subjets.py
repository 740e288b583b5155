"""Exclusive kT subjets of a jet, in plain numpy.

All particles of the jet are merged, the pair of smallest distance first, until n subjets
are left (Catani et al. 1993; Ellis and Soper 1993; E-scheme: four-vectors are added)::

    d_ij = min(pT_i^2, pT_j^2) (dy^2 + dphi^2)

There is no beam distance: the jet is given, so every particle belongs to a subjet. That is
FastJet's exclusive clustering with a radius wider than the jet, and a test holds the two to
the same subjets. The papers' notebooks take R = 0.8 and may lose particles at the edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError

Floats = NDArray[np.float64]

PRONGS = {
    "QCD": 1,
    **dict.fromkeys(("Hbb", "Hcc", "Hgg", "Zqq", "Wqq", "Tbl"), 2),
    **dict.fromkeys(("Hqql", "Tbqq"), 3),
    "H4q": 4,
}
"""Subjets of a jet of each class: its visible decay products (1 for QCD, as in 2412.03673)."""


def kt_subjets(momenta: Floats, numbers: tuple[int, ...]) -> dict[int, NDArray[np.int16]]:
    """Subjet of each particle (N,), for each wanted number of subjets; 0 is the hardest.

    `momenta` (N, 4) px, py, pz, E in GeV. A jet of fewer particles than subjets has a subjet a
    particle. Raises InputError for a number below one.

    >>> p = np.array([[9.0, 0, 0, 9], [5, 0, 0, 5], [0, 20, 0, 20]])
    >>> kt_subjets(p, (2,))[2].tolist()
    [1, 1, 0]
    """
    if not numbers or min(numbers) < 1:
        raise InputError(f"a jet has at least 1 subjet; got {numbers}")
    n = len(momenta)
    p = np.array(momenta, dtype=np.float64)
    member = np.arange(n)  # subjet of each particle, by the row of p that holds its sum
    distance = np.full((n, n), np.inf)
    for i in range(n):
        distance[i, :i] = _distances(p, i)[:i]
    found: dict[int, NDArray[np.int16]] = {}
    left = n
    while True:
        for wanted in numbers:
            if wanted == left or (wanted > n and left == n):
                found[wanted] = _by_pt(p, member)
        if left <= max(1, min(numbers)):
            return found
        i, j = divmod(int(distance.argmin()), n)  # i > j
        p[j] += p[i]
        member[member == i] = j
        distance[i, :], distance[:, i] = np.inf, np.inf
        alive = np.zeros(n, dtype=bool)
        alive[member] = True
        new = np.where(alive, _distances(p, j), np.inf)
        distance[j, :j], distance[j + 1 :, j] = new[:j], new[j + 1 :]
        left -= 1


def _distances(p: Floats, i: int) -> Floats:
    pt2, y, phi = _pt2_y_phi(p)
    dphi = (phi - phi[i] + np.pi) % (2 * np.pi) - np.pi
    out: Floats = np.minimum(pt2, pt2[i]) * ((y - y[i]) ** 2 + dphi**2)
    return out


def _pt2_y_phi(p: Floats) -> tuple[Floats, Floats, Floats]:
    """pT^2, rapidity, azimuth of four-vectors (N, 4).

    y = asinh(pz / mT) with mT^2 = E^2 - pz^2 at least pT^2, which rounding cannot spoil.
    """
    px, py, pz, energy = p.T
    pt2 = px**2 + py**2
    mt = np.sqrt(np.maximum((energy - pz) * (energy + pz), np.maximum(pt2, 1e-300)))
    return pt2, np.arcsinh(pz / mt), np.arctan2(py, px)


def _by_pt(p: Floats, member: NDArray[np.int64]) -> NDArray[np.int16]:
    heads = np.unique(member)
    order = heads[np.argsort(-np.hypot(p[heads, 0], p[heads, 1]), kind="stable")]
    rank = np.empty(len(p), dtype=np.int16)
    rank[order] = np.arange(len(order), dtype=np.int16)
    return rank[member]
