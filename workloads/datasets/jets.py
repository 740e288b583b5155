"""Jets split into train and test: the sample of this repository, or 20,000 in ten files.

The last fifth of each class is the test set, one run of rows. Two jets of one event are
neighbours within their class, so the last training jet of each class, which may share an event
with the first test jet, is left out. Whatever is drawn from the two sets, no event is in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.datasets.kinds import spread
from hyflexsim.workloads.datasets.places import Entry, place
from hyflexsim.workloads.jets.jets import Jets, load_jets
from hyflexsim.workloads.jets.sample import LABELS, SAMPLE
from hyflexsim.workloads.jets.sets import concatenate


@dataclass(frozen=True, eq=False, kw_only=True)
class JetSet(Jets):
    """Jets (see jets.py) that know where they are from. `targets` index JetClass's ten labels."""

    source: str
    about: str

    @property
    def classes(self) -> int:
        """Logits that `targets` ask for: ten, also where the files have fewer classes."""
        return len(LABELS)


def read_jets(entry: Entry, split: str, limit: int | None) -> JetSet:
    """The split's jets, classes taking turns."""
    if not entry.files:
        jets, source, where = load_jets(SAMPLE), "built-in", str(SAMPLE)
    else:
        paths = place(entry, split)
        assert isinstance(paths, list)  # jets have no hub
        jets, source, where = interleave(paths), "local", str(paths[0].parent)
    rows = split_rows(jets.labels, split)
    if not len(rows):
        raise InputError(
            f"{where}: split {split} needs at least 5 jets of a class; has {len(jets)}"
        )
    jets = jets.take(rows[spread(len(rows), limit)])
    return JetSet(**vars(jets), source=source, about=entry.about(source))


def split_rows(labels: NDArray[np.str_], split: str) -> NDArray[np.int64]:
    """Rows of "train" or "test", ascending.

    >>> labels = np.array(["QCD", "Hbb"] * 5)
    >>> split_rows(labels, "train").tolist(), split_rows(labels, "test").tolist()
    ([0, 1, 2, 3, 4, 5], [8, 9])
    """
    parts = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        held_out = len(own) // 5
        first = len(own) - held_out
        parts.append(own[first:] if split == "test" else own[: max(0, first - 1)])
    return np.sort(np.concatenate(parts)).astype(np.int64)


def interleave(paths: Sequence[Path]) -> Jets:
    """The jets of several files: the first of each, then the second of each, and so on."""
    many = [load_jets(path) for path in paths]
    turns = np.concatenate([np.arange(len(jets)) for jets in many])
    return concatenate(many).take(np.argsort(turns, kind="stable"))
