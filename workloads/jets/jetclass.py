"""Jets with JetClass's own columns (arXiv 2202.03772), put into those of jets.py.

========================================== ====================================================
there                                      here
========================================== ====================================================
`part_energy`                              `part_mass`: sqrt(max(E² - p², 0))
`part_isChargedHadron` … `part_isMuon`     `part_pid`: which of the five it is
`part_d0val`, `part_dzval` (mm)            `part_d0`, `part_dz`
`part_d0err`, `part_dzerr` (mm)            `part_d0_err`, `part_dz_err`, as they are, if there
`jet_energy`, `jet_pt`, `jet_eta`          `jet_mass` too; the groomed `jet_sdmass` is another
`label_QCD` … `label_Tbl`                  `label`: the one that is not 0
========================================== ====================================================

What else is there (`part_deta`, `jet_tau1` …) follows from these and is not read.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.ragged import finite, numbers, ragged
from hyflexsim.workloads.jets.sample import LABELS

FLAGS = tuple(
    f"part_is{kind}" for kind in ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
)
MOMENTA = ("part_px", "part_py", "part_pz")
TRACKS = {"part_d0": "part_d0val", "part_dz": "part_dzval"}
ERRORS = {"part_d0_err": "part_d0err", "part_dz_err": "part_dzerr"}
LISTS = (*MOMENTA, "part_energy", "part_charge", *FLAGS, *TRACKS.values())
JET = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
CLASSES = tuple(f"label_{name}" for name in LABELS)
COLUMNS = (*JET, *LISTS, *CLASSES)
OPTIONAL = tuple(ERRORS.values())
"""As of our own columns: what a file does not say is that of the tracker assumed here."""


def is_jetclass(names: Collection[str]) -> bool:
    """Whether these are JetClass's names.

    >>> is_jetclass(["part_energy", "part_isPhoton"]), is_jetclass(["part_mass", "part_pid"])
    (True, False)
    """
    return bool({"part_energy", *FLAGS} & set(names)) and "part_mass" not in names


def translated(path: Path, table: Any) -> Any:
    """The same jets as a table with the columns of jets.py.

    Raises InputError for lists of unequal length, a particle that is of no kind or of several, a
    jet with no label or several, and numbers that are not finite.
    """
    known = {ours: name for ours, name in ERRORS.items() if name in table.column_names}
    counts, flat = ragged(path, table, (*LISTS, *known.values()))
    energy = {name: flat[name].astype(np.float64) for name in (*MOMENTA, "part_energy")}
    square = energy["part_energy"] ** 2 - sum(energy[name] ** 2 for name in MOMENTA)
    lists: dict[str, NDArray[Any]] = {name: flat[name] for name in (*MOMENTA, "part_charge")}
    lists["part_mass"] = np.sqrt(np.maximum(square, 0.0))
    lists["part_pid"] = _kinds(path, flat, counts)
    for ours, theirs in (TRACKS | known).items():
        lists[ours] = flat[theirs]
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    columns: dict[str, Any] = {
        name: pa.LargeListArray.from_arrays(ends, pa.array(values))
        for name, values in lists.items()
    }
    jet = {name: numbers(table[name]) for name in JET}
    for name, values in jet.items():
        finite(path, name, values, np.arange(len(counts)))
    momentum = jet["jet_pt"].astype(np.float64) * np.cosh(jet["jet_eta"].astype(np.float64))
    mass = np.sqrt(np.maximum(jet["jet_energy"].astype(np.float64) ** 2 - momentum**2, 0.0))
    return pa.table({**jet, "jet_mass": mass, **columns, "label": _labels(path, table)})


def _kinds(path: Path, flat: dict[str, NDArray[Any]], counts: NDArray[np.int64]) -> NDArray[Any]:
    """0 … 4 of each particle; 0 where there is only padding."""
    flags = np.stack([flat[name] != 0 for name in FLAGS])  # (5, P)
    real = np.any([flat[name] != 0 for name in MOMENTA], axis=0)
    wrong = real & (flags.sum(0) != 1)
    if wrong.any():
        at = int(np.argmax(wrong))
        row = int(np.searchsorted(np.cumsum(counts), at, side="right"))
        raise InputError(
            f"{path}: a particle must be one of {', '.join(FLAGS)}; got {int(flags[:, at].sum())} "
            f"of them in row {row}"
        )
    kinds: NDArray[Any] = flags.argmax(0).astype(np.int8)
    return kinds


def _labels(path: Path, table: Any) -> list[str]:
    marks = np.stack([numbers(table[name]) != 0 for name in CLASSES])  # (10, J)
    wrong = marks.sum(0) != 1
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{path}: one of {CLASSES[0]} … {CLASSES[-1]} must be set; got "
            f"{int(marks[:, row].sum())} of them in row {row}"
        )
    return [LABELS[i] for i in marks.argmax(0)]
