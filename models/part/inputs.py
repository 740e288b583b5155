"""From a jet's particles to what ParT reads: features x, four-vectors v, mask.

Features, their order, centres, scales and clips are those of JetClass (weaver-core's
JetClass_full.yaml and its kinpid and kin variants)::

    x <- clip((x - centre) * scale, -5, 5)      for the first five
    x <- tanh(x)                                d0 and dz in mm
    x <- clip(x, 0, 1)                          their errors
    x                                           charge, kinds, deta, dphi

Two traps. deta and dphi are the last two columns of every set, so kin is not the first
seven of full. And deta is signed: (eta - eta_jet) * sign(eta_jet).

Numpy in, numpy out; this file needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hyflexsim.models.errors import ModelError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

MAX_PARTICLES = 128
"""A jet is cut to its first 128 particles (file order: descending pT)."""

KINDS = ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")
"""What particle identification code 0 ... 4 means."""

_KINEMATIC = ("log_pt", "log_e", "log_pt_rel", "log_e_rel", "delta_r")
_IDENTITY = ("charge", *(f"is_{kind}" for kind in KINDS))
_TRACK = ("d0", "d0_err", "dz", "dz_err")
_AXIS = ("deta", "dphi")

FEATURES: dict[str, tuple[str, ...]] = {
    "full": (*_KINEMATIC, *_IDENTITY, *_TRACK, *_AXIS),  # 17
    "kinpid": (*_KINEMATIC, *_IDENTITY, *_AXIS),  # 13
    "kin": (*_KINEMATIC, *_AXIS),  # 7
}
"""Columns of x, in order, for each published model."""

CENTRE_SCALE: dict[str, tuple[float, float]] = {
    "log_pt": (1.7, 0.7),
    "log_e": (2.0, 0.7),
    "log_pt_rel": (-4.7, 0.7),
    "log_e_rel": (-4.7, 0.7),
    "delta_r": (0.2, 4.0),
}
"""Standardised and clipped to [-5, 5]; features not listed are taken as they are."""


def track_errors(px: ArrayLike, py: ArrayLike, pz: ArrayLike) -> tuple[Floats, Floats]:
    """Resolutions of d0 and dz in mm of tracks with momenta in GeV; (N,) each.

    d0: sqrt(0.015^2 + (0.075 / pT)^2); dz: sqrt(0.03^2 + (0.1 / pT)^2) sqrt(cosh eta): the
    sigmas with which this project's own jets are smeared (assumed, of the size of an LHC
    silicon tracker's). JetClass brings its own.
    """
    pt, eta, _ = _pt_eta_phi(*(np.asarray(p, dtype=np.float64) for p in (px, py, pz)))
    return np.hypot(0.015, 0.075 / pt), np.hypot(0.03, 0.1 / pt) * np.sqrt(np.cosh(eta))


def jet_features(
    particles: Mapping[str, ArrayLike],
    features: str = "full",
    jet: Sequence[float] | None = None,
) -> tuple[Singles, Singles]:
    """Features x (F, N) and four-vectors v (4, N) of one jet, N at most 128, not padded.

    `particles` holds arrays (N,): `px`, `py`, `pz`, `energy` (GeV) always; for kinpid and full
    also `charge` and `pid` (0 ... 4, see KINDS); for full also `d0`, `dz` (mm) and, if known,
    `d0_err`, `dz_err` (mm; else :func:`track_errors`; 0 for neutrals). `jet` is the jet's
    (px, py, pz, energy); by default the sum of all its particles, before the cut at 128.

    Raises ModelError for an unknown feature set, a missing array, unequal lengths, no particle,
    a value that is not finite, pT or energy that is not positive, a pid outside 0 ... 4.

    >>> one = {"px": [3.0], "py": [4.0], "pz": [0.0], "energy": [5.0]}
    >>> x, v = jet_features(one, "kin")
    >>> x[0].round(4)  # (ln 5 - 1.7) * 0.7
    array([-0.0634], dtype=float32)
    """
    if jet is None:
        momenta = (particles.get(name, ()) for name in ("px", "py", "pz", "energy"))
        jet = [float(np.sum(np.asarray(p, dtype=np.float64))) for p in momenta]
    x, v = particle_features(particles, features, jet)
    return x[:, :MAX_PARTICLES], v[:, :MAX_PARTICLES]


def particle_features(
    particles: Mapping[str, ArrayLike], features: str, jet: Sequence[ArrayLike]
) -> tuple[Singles, Singles]:
    """As :func:`jet_features` for particles of any jets, x (F, P) and v (4, P), none cut off.

    `jet`: px, py, pz, energy of the jet of each particle, (P,) each, or of the one jet.
    """
    if features not in FEATURES:
        raise ModelError(f"features must be one of {', '.join(FEATURES)}; got {features!r}")
    columns = _columns(particles, features)
    px, py, pz, energy = (columns[name] for name in ("px", "py", "pz", "energy"))
    pt, eta, phi = _pt_eta_phi(px, py, pz)
    total = [np.asarray(p, dtype=np.float64) for p in jet]
    jet_pt, jet_eta, jet_phi = _pt_eta_phi(*total[:3])
    deta = (eta - jet_eta) * np.where(jet_eta >= 0, 1.0, -1.0)
    dphi = (phi - jet_phi + np.pi) % (2 * np.pi) - np.pi
    value = {
        "log_pt": np.log(pt),
        "log_e": np.log(energy),
        "log_pt_rel": np.log(pt / jet_pt),
        "log_e_rel": np.log(energy / total[3]),
        "delta_r": np.hypot(deta, dphi),
        "deta": deta,
        "dphi": dphi,
    }
    for name, (centre, scale) in CENTRE_SCALE.items():
        value[name] = np.clip((value[name] - centre) * scale, -5, 5)
    if features != "kin":
        value["charge"] = columns["charge"]
        value |= {f"is_{kind}": columns["pid"] == code for code, kind in enumerate(KINDS)}
    if features == "full":
        charged = columns["charge"] != 0
        d0_err, dz_err = track_errors(px, py, pz)
        value["d0"], value["dz"] = np.tanh(columns["d0"]), np.tanh(columns["dz"])
        value["d0_err"] = np.clip(columns.get("d0_err", d0_err * charged), 0, 1)
        value["dz_err"] = np.clip(columns.get("dz_err", dz_err * charged), 0, 1)
    x = np.stack([value[name] for name in FEATURES[features]])  # (F, N)
    v = np.stack([px, py, pz, energy])  # (4, N)
    return x.astype(np.float32), v.astype(np.float32)


def pad(
    jets: Sequence[tuple[Singles, Singles]], length: int | None = None
) -> tuple[Singles, Singles, Singles]:
    """A batch of jets, padded with zeros: x (B, F, L), v (B, 4, L), mask (B, 1, L).

    `jets` are results of :func:`jet_features`; L is `length`, or the longest jet's N. The mask
    is 1 for particles, 0 for padding. Raises ModelError for no jets or a jet longer than L.
    """
    longest = max((x.shape[1] for x, _ in jets), default=0)
    size = longest if length is None else length
    if not jets or size < longest:
        raise ModelError(
            f"pad needs at least one jet and length at least {longest}; "
            f"got {len(jets)} jets, length {length}"
        )
    x = np.zeros((len(jets), jets[0][0].shape[0], size), dtype=np.float32)
    v = np.zeros((len(jets), 4, size), dtype=np.float32)
    mask = np.zeros((len(jets), 1, size), dtype=np.float32)
    for row, (features, vectors) in enumerate(jets):
        n = features.shape[1]
        x[row, :, :n], v[row, :, :n], mask[row, :, :n] = features, vectors, 1.0
    return x, v, mask


def _pt_eta_phi(px: Floats, py: Floats, pz: Floats) -> tuple[Floats, Floats, Floats]:
    pt = np.hypot(px, py)
    return pt, np.arcsinh(pz / pt), np.arctan2(py, px)


def _columns(particles: Mapping[str, ArrayLike], features: str) -> dict[str, Floats]:
    """The arrays a feature set needs, as float64 (N,), checked."""
    needed = ["px", "py", "pz", "energy"]
    if features != "kin":
        needed += ["charge", "pid"]
    if features == "full":
        needed += ["d0", "dz", *(name for name in ("d0_err", "dz_err") if name in particles)]
    for name in needed:
        if name not in particles:
            raise ModelError(f"features={features!r} needs particles[{name!r}]; it is missing")
    columns = {name: np.asarray(particles[name], dtype=np.float64) for name in needed}
    n = columns["px"].size
    for name, column in columns.items():
        if column.shape != (n,) or n == 0:
            raise ModelError(
                f"particles[{name!r}] must have the shape of px, (N,) with N > 0; "
                f"got {column.shape} and px {columns['px'].shape}"
            )
        if not np.isfinite(column).all():
            at = int(np.argmin(np.isfinite(column)))
            raise ModelError(f"particles[{name!r}] must be finite; got {column[at]} at {at}")
    positive = {"pT": np.hypot(columns["px"], columns["py"]), "energy": columns["energy"]}
    for name, column in positive.items():
        if column.min() <= 0:
            at = int(np.argmin(column))
            raise ModelError(f"{name} of a particle must be positive; got {column[at]} at {at}")
    if "pid" in columns and not np.isin(columns["pid"], range(len(KINDS))).all():
        wrong = columns["pid"][~np.isin(columns["pid"], range(len(KINDS)))][0]
        raise ModelError(f"particles['pid'] must be 0 ... {len(KINDS) - 1}; got {wrong:g}")
    return columns
