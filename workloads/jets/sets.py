"""Sets of jets for training and for looking at attention: files, folders, splits.

A set is a Parquet file of jets.py, or a folder with one file a class (`QCD.parquet`, ...).
Neighbouring jets of a class may come from one event (two W of a WW event), so a set is split
into contiguous blocks of each class and never row by row::

    class QCD   | train ............................ | validation | test |

The first rows train, the last ones test; the border runs once through each class.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.jets import Jets, load_jets
from hyflexsim.workloads.jets.sample import LABELS, SAMPLE

DATA_FOLDER = "HYFLEXSIM_DATA"
"""Environment variable: a folder in which relative paths of data are looked up as well."""


class Split(NamedTuple):
    """Rows of each part of a set."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def find(path: str | Path | None) -> Path:
    """Where a file or folder of jets is: as given, or below $HYFLEXSIM_DATA; None: the sample.

    >>> find(None).name
    'jets.parquet'
    """
    if path is None:
        return SAMPLE
    path = Path(path)
    folder = os.environ.get(DATA_FOLDER)
    if not path.exists() and folder and not path.is_absolute():
        path = Path(folder) / path
    if not path.exists():
        also = f" nor in {DATA_FOLDER}={folder}" if folder else f" (and {DATA_FOLDER} is not set)"
        raise InputError(f"{path}: no such file or folder of jets{also}")
    return path


def load_set(
    path: str | Path | None = None,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    *,
    truth: bool = False,
) -> Jets:
    """The first `per_class` jets of each class in a file or folder, class after class.

    Raises InputError for what load_jets refuses, a folder without such files, a class that the
    set does not have.

    >>> jets = load_set(classes=["Tbl", "QCD"], per_class=2)
    >>> jets.labels.tolist()
    ['Tbl', 'Tbl', 'QCD', 'QCD']
    """
    path = find(path)
    for name in classes or ():
        if name not in LABELS:
            raise InputError(f"classes must be of {', '.join(LABELS)}; got {name!r}")
    if per_class is not None and per_class < 1:
        raise InputError(f"jets of each class must be at least 1; got {per_class}")
    if not path.is_dir():
        whole = load_jets(path, truth=truth)
        there = [name for name in LABELS if (whole.labels == name).any()]
        wanted = _present(path, classes, there)
        rows = [np.flatnonzero(whole.labels == name)[:per_class] for name in wanted]
        return whole.take(np.concatenate(rows))
    there = [name for name in LABELS if (path / f"{name}.parquet").is_file()]
    if not there:
        raise InputError(f"{path}: must hold a file such as QCD.parquet; it has none")
    parts = [
        load_jets(path / f"{name}.parquet", limit=per_class, truth=truth)
        for name in _present(path, classes, there)
    ]
    return concatenate(parts)


def _present(path: Path, classes: Sequence[str] | None, there: Sequence[str]) -> Sequence[str]:
    for name in classes or ():
        if name not in there:
            helps = "; name a file with such jets (hyflexsim jets makes one), or other classes"
            raise InputError(
                f"{path}: no jet of {name}; it has {', '.join(there)}{helps * (path == SAMPLE)}"
            )
    return classes or there


def concatenate(parts: Sequence[Jets]) -> Jets:
    """Sets one after the other; decay products only if all have them."""

    def joined(offsets: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        counts = np.concatenate([np.diff(o) for o in offsets])
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    jet = {n: np.concatenate([p.jet[n] for p in parts]) for n in parts[0].jet}
    shared = [n for n in parts[0].particles if all(n in p.particles for p in parts)]
    particles = {n: np.concatenate([p.particles[n] for p in parts]) for n in shared}
    labels = np.concatenate([p.labels for p in parts])
    ends = [p.truth_offsets for p in parts if p.truth_offsets is not None]
    decays = [p.truth for p in parts if p.truth is not None]
    if len(decays) < len(parts):
        return Jets(labels, joined([p.offsets for p in parts]), jet, particles)
    truth = {n: np.concatenate([decay[n] for decay in decays]) for n in decays[0]}
    offsets = joined([p.offsets for p in parts])
    return Jets(labels, offsets, jet, particles, joined(ends), truth)


def split(labels: NDArray[np.str_], validation: float = 0.1, test: float = 0.1) -> Split:
    """Rows for training, validation and test: contiguous blocks of each class.

    Raises InputError if a class is too small for one jet in each part.

    >>> parts = split(np.array(["QCD"] * 10 + ["Hbb"] * 10), 0.1, 0.2)
    >>> parts.train.tolist(), parts.validation.tolist(), parts.test.tolist()
    ([0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16], [7, 17], [8, 9, 18, 19])
    """
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    for name in dict.fromkeys(labels.tolist()):
        rows = np.flatnonzero(labels == name)
        last, held = round(len(rows) * test), round(len(rows) * validation)
        border = [len(rows) - last - held, len(rows) - last]
        for part, block in zip(parts, np.split(rows, border), strict=True):
            if len(block) == 0:
                raise InputError(
                    f"each class must have jets for training, validation ({validation:g}) and "
                    f"test ({test:g}); {name} has {len(rows)} jets"
                )
            part.append(block)
    return Split(*(np.concatenate(part) for part in parts))


def fingerprint(path: str | Path | None) -> str:
    """First 16 hex digits of the SHA-256 of a set's bytes, file after file, read piece by piece.

    Raises InputError for what is no file: a device or a pipe may have no end.
    """
    path = find(path)
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
        if not file.is_file():
            raise InputError(f"{file}: must be a file; a device, a pipe or a folder is none")
        with file.open("rb") as content:
            hashlib.file_digest(content, lambda: digest)
    return digest.hexdigest()[:16]
