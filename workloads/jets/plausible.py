"""What jets may hold: units, signs, ranges, and particles that add up to their jet.

A file of the right columns may be in other units, or of other codes for particles; its numbers are
finite and mean something else. The limits tell units apart, not good jets from bad ones: nothing at
the LHC is above a beam's energy, which momenta in MeV are, and the constituents of a jet add up to
it but for those that were cut and for a calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError

BEAM = 7000.0
"""GeV of a proton of the LHC as designed (LHC Design Report, CERN-2004-003): no jet has more."""
LEAST = 1.0
"""GeV (assumed): jets of less are none, and a jet in TeV has less."""
APART = 0.2
"""Share of jet_pt (assumed) by which the particles' sum may differ; 0.8 % at most in the sample."""
PIDS = "0 charged hadron, 1 neutral hadron, 2 photon, 3 electron, 4 muon"


class Limits(NamedTuple):
    """Values a column may have, and how to say it."""

    low: float
    high: float
    said: str
    whole: bool = False


JET_LIMITS = {
    "jet_pt": Limits(LEAST, BEAM, f"from {LEAST:g} to {BEAM:g} GeV"),
    "jet_eta": Limits(-10.0, 10.0, "a pseudorapidity from -10 to 10"),
    "jet_phi": Limits(-2 * np.pi, 2 * np.pi, "an angle in rad, from -2π to 2π"),
    "jet_energy": Limits(LEAST, BEAM, f"from {LEAST:g} to {BEAM:g} GeV"),
    "jet_mass": Limits(0.0, BEAM, f"from 0 to {BEAM:g} GeV"),
}
PARTICLE_LIMITS = {
    **{f"part_{p}": Limits(-BEAM, BEAM, f"from -{BEAM:g} to {BEAM:g} GeV") for p in ("px", "py")},
    "part_pz": Limits(-BEAM, BEAM, f"from -{BEAM:g} to {BEAM:g} GeV"),
    "part_mass": Limits(0.0, BEAM, f"from 0 to {BEAM:g} GeV"),
    "part_charge": Limits(-1, 1, "-1, 0 or 1", whole=True),
    "part_pid": Limits(0, 4, f"0 to 4 ({PIDS})", whole=True),
}

Columns = Mapping[str, NDArray[Any]]


def check(path: Path, jet: Columns, particles: Columns, counts: NDArray[np.int64]) -> None:
    """Raise InputError, naming file, column, value and row, for jets that cannot be.

    `jet`: columns (J,), `particles`: flat columns (P,), `counts`: particles of each jet (J,).
    """
    rows = np.arange(len(counts))
    for name, limits in JET_LIMITS.items():
        _within(path, name, jet[name], limits, rows)
    owner = np.repeat(rows, counts)
    for name, limits in PARTICLE_LIMITS.items():
        _within(path, name, particles[name], limits, owner)
    _sums(path, jet, particles, owner)


def _within(
    path: Path, name: str, column: NDArray[Any], limits: Limits, rows: NDArray[np.int64]
) -> None:
    good = (column >= limits.low) & (column <= limits.high)
    if limits.whole:
        good &= column == np.round(column)
    if not good.all():
        at = int(np.argmin(good))
        raise InputError(
            f"{path}: {name} must be {limits.said}; got {column[at]:g} in row {rows[at]}"
        )


def _sums(path: Path, jet: Columns, particles: Columns, owner: NDArray[np.int64]) -> None:
    """Momenta across the beam of a jet and of its particles."""
    pt, phi = jet["jet_pt"].astype(np.float64), jet["jet_phi"].astype(np.float64)
    x, y = (
        np.bincount(owner, weights=particles[name], minlength=len(pt))
        for name in ("part_px", "part_py")
    )
    apart = np.hypot(x - pt * np.cos(phi), y - pt * np.sin(phi)) / pt
    if (apart > APART).any():
        j = int(np.argmax(apart > APART))
        raise InputError(
            f"{path}: part_px and part_py must add up to jet_pt and jet_phi within {APART:.0%}; "
            f"got {np.hypot(x[j], y[j]):.4g} GeV at {np.arctan2(y[j], x[j]):.3g} rad for "
            f"{pt[j]:.4g} GeV at {phi[j]:.3g} rad in row {j}"
        )
