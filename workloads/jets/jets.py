"""Jets as data: the table's columns, and a reader that checks them.

A jet is a ragged list of particles. In memory it is flat: one array a column over all
particles of all jets, and offsets; jet j owns entries offsets[j] ... offsets[j + 1] - 1::

    px       a a a b b c c c c        offsets  0 3 5 9        counts  3 2 4

On disk it is Parquet, one row a jet. Columns (GeV, rad, mm):

- `label`: one of the ten classes of JetClass; a file named after a class may leave it out;
- `jet_pt`, `jet_eta`, `jet_phi`, `jet_energy`, `jet_mass`: the anti-kT R = 0.8 jet;
- `jet_nparticles`: constituents before the cut at 128;
- `part_px`, `part_py`, `part_pz`, `part_mass`: E is sqrt(p^2 + m^2), which keeps light
  particles exact where a float32 E would not; at most 128, descending in pT; lists may be filled
  up with zeros;
- `part_charge`; `part_pid`: 0 charged hadron, 1 neutral hadron, 2 photon, 3 electron, 4 muon;
- `part_d0`, `part_dz`: impact parameters, 0 for neutrals; `part_d0_err`, `part_dz_err`, if there
  are any: their errors, which otherwise follow from the momentum (models/part/inputs.py);
- `truth_pdg`, `truth_px`, `truth_py`, `truth_pz`, `truth_energy`: the decay products that
  were asked to lie inside the jet; read on request, and may be missing.

JetClass's own names are read too (jetclass.py), and ROOT files (root_file.py).

Which jets the sample holds and how they were made: data/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets import jetclass, plausible, root_file
from hyflexsim.workloads.jets.ragged import finite, numbers, ragged
from hyflexsim.workloads.jets.sample import LABELS, MAX_PARTICLES, SAMPLE

JET_COLUMNS = ("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_mass")
PARTICLE_COLUMNS = (
    *("part_px", "part_py", "part_pz", "part_mass"),
    *("part_charge", "part_pid", "part_d0", "part_dz"),
)
ERROR_COLUMNS = ("part_d0_err", "part_dz_err")
TRUTH_COLUMNS = ("truth_pdg", "truth_px", "truth_py", "truth_pz", "truth_energy")


@dataclass(frozen=True)
class Jets:
    """J jets with P particles in all. `len(jets)` is J."""

    labels: NDArray[np.str_]  # (J,) names from LABELS
    offsets: NDArray[np.int64]  # (J + 1,)
    jet: dict[str, NDArray[Any]]  # JET_COLUMNS: (J,) each
    particles: dict[str, NDArray[Any]]  # PARTICLE_COLUMNS: (P,) each
    truth_offsets: NDArray[np.int64] | None = None  # (J + 1,); None: not read or not there
    truth: dict[str, NDArray[Any]] | None = None  # TRUTH_COLUMNS: (T,) each

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Particles of each jet, (J,), 1 ... 128."""
        return np.diff(self.offsets)

    @property
    def targets(self) -> NDArray[np.int64]:
        """Index of each label in LABELS, (J,): the logit that should be the largest."""
        return np.array([LABELS.index(label) for label in self.labels], dtype=np.int64)

    def inputs(self, j: int) -> dict[str, NDArray[Any]]:
        """Particles of jet j by the names that models.part.inputs.jet_features reads, (N,) each."""
        return self.inputs_of(j, j + 1)

    def inputs_of(self, first: int, last: int) -> dict[str, NDArray[Any]]:
        """The same of all particles of jets `first` ... `last` - 1, one jet after the other."""
        own = slice(int(self.offsets[first]), int(self.offsets[last]))
        out = {k.removeprefix("part_"): column[own] for k, column in self.particles.items()}
        momentum = [out[name].astype(np.float64) for name in ("px", "py", "pz", "mass")]
        out["energy"] = np.sqrt(sum(p**2 for p in momentum))
        del out["mass"]
        return out

    def take(self, rows: NDArray[np.int64]) -> Jets:
        """Some of the jets, in the order given."""
        offsets, own = _pick(self.offsets, rows)
        particles = {name: column[own] for name, column in self.particles.items()}
        jet = {name: column[rows] for name, column in self.jet.items()}
        if self.truth is None or self.truth_offsets is None:
            return Jets(self.labels[rows], offsets, jet, particles)
        truth_offsets, own = _pick(self.truth_offsets, rows)
        truth = {name: column[own] for name, column in self.truth.items()}
        return Jets(self.labels[rows], offsets, jet, particles, truth_offsets, truth)

    def axis(self, j: int) -> tuple[float, float, float, float]:
        """Four-vector (px, py, pz, energy) of jet j in GeV."""
        px, py, pz, energy = self.axes(j, j + 1)
        return float(px[0]), float(py[0]), float(pz[0]), float(energy[0])

    def axes(self, first: int, last: int) -> list[NDArray[np.float64]]:
        """px, py, pz and energy of jets `first` ... `last` - 1 in GeV, (J,) each."""
        pt, eta, phi, energy = (
            self.jet[name][first:last].astype(np.float64) for name in JET_COLUMNS[:4]
        )
        return [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy]


def load_jets(
    path: str | Path | None = None,
    classes: Sequence[str] | None = None,
    limit: int | None = None,
    *,
    truth: bool = False,
) -> Jets:
    """The first `limit` jets of the given classes in a Parquet or ROOT file, by default the sample.

    With `truth` also the decay products, if the file has them. Particles without momentum are
    padding and left out.

    Raises InputError, in one line with file, column and row, for: no such file or none of these,
    a missing or repeated column, an unknown class, classes or a limit that leave no jet; and
    wherever in the file for: a jet without particles, lists of unequal length, values that are
    null, NaN or infinite, or that no jet has (plausible.py).

    >>> jets = load_jets(limit=10)
    >>> len(jets), sorted(set(jets.labels.tolist()))
    (10, ['Hbb', 'QCD', 'Tbl', 'Tbqq', 'Wqq'])
    """
    path = SAMPLE if path is None else Path(path)
    table = _read(path, truth)
    labels = _labels(path, table)
    for name in classes or ():
        if name not in LABELS:
            raise InputError(f"classes must be of {', '.join(LABELS)}; got {name!r}")
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1; got {limit}")
    rows = np.flatnonzero(np.isin(labels, classes)) if classes else np.arange(len(labels))
    if len(rows) == 0:
        raise InputError(
            f"{path}: no jet of {', '.join(classes or LABELS)}; "
            f"it has {', '.join(sorted(set(labels))) or 'none at all'}"
        )
    return _checked(path, table, labels).take(rows[:limit])


def _checked(path: Path, table: Any, labels: NDArray[np.str_]) -> Jets:
    """All jets of a file."""
    rows = np.arange(len(table))
    jet = {name: numbers(table[name]) for name in JET_COLUMNS}
    for name, column in jet.items():
        finite(path, name, column, rows)
    offsets, particles = _particles(path, table, jet)
    if "truth_pdg" not in table.column_names:
        return Jets(labels, offsets, jet, particles)
    counts, decay = ragged(path, table, TRUTH_COLUMNS)
    return Jets(labels, offsets, jet, particles, _ends(counts), decay)


def particle_counts(
    path: str | Path | None = None,
    classes: Sequence[str] | None = None,
    limit: int | None = None,
) -> NDArray[np.int64]:
    """Particles of each jet, (J,): the token counts of a stream of jets. As :func:`load_jets`.

    >>> particle_counts(limit=3).shape
    (3,)
    """
    return load_jets(path, classes, limit).counts


def _pick(
    offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets of the chosen rows, and where their entries were."""
    counts = np.diff(offsets)[rows]
    ends = _ends(counts)
    own = np.arange(ends[-1]) + np.repeat(offsets[rows] - ends[:-1], counts)
    return ends, own.astype(np.int64)


def _ends(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _read(path: Path, truth: bool = False) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file; a Parquet or ROOT file of jets is needed")

    def columns(names: Sequence[str]) -> Sequence[str]:
        return _wanted(path, names, truth)

    if path.suffix == ".root":
        table = root_file.read(path, columns)
    else:
        table = _read_parquet(path, columns)
    return jetclass.translated(path, table) if jetclass.is_jetclass(table.column_names) else table


def _read_parquet(path: Path, columns: root_file.Columns) -> Any:
    try:
        file = pq.ParquetFile(path)
        table = file.read(columns(file.schema_arrow.names))
        table.validate(full=True)  # a damaged page may be read without a word
        return table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: must be a readable Parquet file; {reason}") from None


def _wanted(path: Path, names: Sequence[str], truth: bool) -> Sequence[str]:
    """Columns to read, ours or JetClass's. Raises InputError for one that is missing."""
    theirs = jetclass.is_jetclass(names)
    needed = jetclass.COLUMNS if theirs else (*JET_COLUMNS, *PARTICLE_COLUMNS)
    missing = [name for name in needed if name not in names]
    if not theirs and "label" not in names and path.stem not in LABELS:
        missing.insert(0, "label")
    twice = [n for n in sorted(set(names)) if list(names).count(n) > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]} must be there once; it is there twice")
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; jets need it")
    if theirs:
        return [*needed, *(n for n in jetclass.OPTIONAL if n in names)]
    optional = [n for n in ("label", *ERROR_COLUMNS) if n in names]
    decays = TRUTH_COLUMNS if truth and set(names).issuperset(TRUTH_COLUMNS) else ()
    return [*needed, *optional, *decays]


def _labels(path: Path, table: Any) -> NDArray[np.str_]:
    if "label" not in table.column_names:
        return np.full(len(table), path.stem)
    labels = table["label"].to_pylist()
    for row, label in enumerate(labels):
        if label not in LABELS:
            raise InputError(
                f"{path}: label must be one of {', '.join(LABELS)}; got {label!r} in row {row}"
            )
    return np.array(labels, dtype=np.str_)


def _particles(
    path: Path, table: Any, jet: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Offsets (J + 1,) and flat columns (P,), without padding, each jet cut at 128."""
    errors = [name for name in ERROR_COLUMNS if name in table.column_names]
    counts, flat = ragged(path, table, (*PARTICLE_COLUMNS, *errors))
    real = np.any([flat[f"part_{p}"] != 0 for p in ("px", "py", "pz")], axis=0)
    if not real.all():  # arrays of one length, filled up with zeros
        owner = np.repeat(np.arange(len(counts)), counts)
        counts = np.bincount(owner[real], minlength=len(counts)).astype(np.int64)
        flat = {name: column[real] for name, column in flat.items()}
    if (counts == 0).any():
        row = int(np.argmin(counts))
        raise InputError(f"{path}: part_px must hold at least one particle; none in row {row}")
    plausible.check(path, jet, flat, counts)
    kept = np.minimum(counts, MAX_PARTICLES)
    if (kept < counts).any():
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        flat = {name: column[place < MAX_PARTICLES] for name, column in flat.items()}
    return _ends(kept), flat
