"""What jets may hold: units, signs, ranges, and particles that add up to their jet.

A file of the right columns may be in other units, or of other codes for particles; its numbers are
finite and mean something else. The limits tell units apart, not good jets from bad ones: nothing at
the LHC is above a beam's energy, which momenta in MeV are; the constituents of a jet add up to it
but for those that were cut and for a calibration; and tracks pass their vertex no closer than a
tracker can see, which distances in cm do, nor by as much as distances in um.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
RESOLVED = 0.005, 0.015
"""mm (assumed), of d0 and dz: half of what CMS resolves at 100 GeV (10 and 30 um, JINST 9 (2014)
P10009), where it is sharpest; half of the tracks of any jets are farther from their vertex."""
DECAY = 2.0
"""mm (assumed): half of the tracks of any jets have a smaller d0; of b hadrons c tau is 0.45 mm."""
VERTEX = 20.0
"""mm (assumed): the same of dz, which may be to a vertex of another collision."""
TRACKS = 100
"""Particles (assumed) from which on the one in the middle is told from chance."""
NOWHERE = 1e-6
"""mm: less is a vertex that was put in, and rounding."""
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

TRACK_LIMITS = {
    "part_d0": Limits(RESOLVED[0], DECAY, f"from {RESOLVED[0]:g} to {DECAY:g}"),
    "part_dz": Limits(RESOLVED[1], VERTEX, f"from {RESOLVED[1]:g} to {VERTEX:g}"),
}
"""Of the median distance of charged particles that have one."""

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
    for name, limits in TRACK_LIMITS.items():
        _distances(path, name, particles, limits)


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
    """Momenta across and along the beam, and energies, of a jet and of its particles."""
    pt, eta, phi, energy = (
        jet[name].astype(np.float64) for name in ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
    )
    momenta = [particles[f"part_{p}"].astype(np.float64) for p in ("px", "py", "pz")]
    energies = np.sqrt(sum(p**2 for p in momenta) + particles["part_mass"].astype(np.float64) ** 2)
    x, y, z, total = (
        np.bincount(owner, weights=values, minlength=len(pt)) for values in (*momenta, energies)
    )
    _close(
        *(path, "part_px and part_py must add up to jet_pt and jet_phi"),
        np.hypot(x - pt * np.cos(phi), y - pt * np.sin(phi)) / pt,
        lambda j: (
            f"{np.hypot(x[j], y[j]):.4g} GeV at {np.arctan2(y[j], x[j]):.3g} rad for "
            f"{pt[j]:.4g} GeV at {phi[j]:.3g} rad"
        ),
    )
    along = pt * np.sinh(eta)
    _close(
        *(path, "part_pz must add up to jet_pt sinh(jet_eta)"),
        np.abs(z - along) / (pt * np.cosh(eta)),
        lambda j: f"{z[j]:.4g} GeV for {along[j]:.4g} GeV",
    )
    _close(
        *(path, "energies by part_px, part_py, part_pz and part_mass must add up to jet_energy"),
        np.abs(total - energy) / energy,
        lambda j: f"{total[j]:.4g} GeV for {energy[j]:.4g} GeV",
    )


def _close(path: Path, what: str, apart: NDArray[np.float64], got: Callable[[int], str]) -> None:
    if (apart > APART).any():
        j = int(np.argmax(apart > APART))
        raise InputError(f"{path}: {what} within {APART:.0%}; got {got(j)} in row {j}")


def _distances(path: Path, name: str, particles: Columns, limits: Limits) -> None:
    """Distances of tracks from their vertex, of all jets of a file together."""
    far = np.abs(particles[name][particles["part_charge"] != 0].astype(np.float64))
    far = far[far > NOWHERE]
    if len(far) < TRACKS:
        return
    middle = float(np.median(far))
    if not limits.low <= middle <= limits.high:
        raise InputError(
            f"{path}: {name} must be in mm, its median over charged particles {limits.said}; got "
            f"{middle:.3g}"
        )
