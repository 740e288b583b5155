"""Data sets by name: what to train on and to measure by.

::

    glue/mrpc  glue/rte  glue/stsb     pairs of sentences      train, dev (mrpc also test)
    glue/sst2  glue/cola               sentences               train, dev
    wikitext-2  tinyshakespeare        text                    train, valid, test
    pydoc                              text                    train, valid, test
    cifar10  digits                    images                  train, test
    jets  jets-20k                     jets                    train, test

`pydoc`, `digits` and `jets` need nothing. The others come from a folder or from the hub, and are
not part of this repository: datasets/places.py says where they are looked for. The environment
decides only where data come from, and `source` and `about` of a result say which place it was.
Local and hub copies have equal counts, but for CIFAR-10, of which the local one is a part,
recompressed; the order of rows may differ (MRPC, articles of WikiText-2), so a limit may too.

Neither shuffled nor scaled nor tokenised: that is a task's (tasks/).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.datasets.catalogue import ENTRIES
from hyflexsim.workloads.datasets.kinds import Images, Sentences, Text
from hyflexsim.workloads.datasets.places import Entry, folder, source_now
from hyflexsim.workloads.nearest import nearest

if TYPE_CHECKING:
    from hyflexsim.workloads.datasets.jets import JetSet

__all__ = ["Images", "Listing", "Sentences", "Text", "describe", "folder", "load", "names"]

Glue = Literal["glue/mrpc", "glue/sst2", "glue/cola", "glue/rte", "glue/stsb"]
Texts = Literal["wikitext-2", "tinyshakespeare", "pydoc"]
Pictures = Literal["cifar10", "digits"]
JetNames = Literal["jets", "jets-20k"]


@overload
def load(name: Glue, split: str, *, limit: int | None = None) -> Sentences: ...
@overload
def load(name: Texts, split: str, *, limit: int | None = None) -> Text: ...
@overload
def load(name: Pictures, split: str, *, limit: int | None = None) -> Images: ...
@overload
def load(name: JetNames, split: str, *, limit: int | None = None) -> JetSet: ...
@overload
def load(name: str, split: str, *, limit: int | None = None) -> Any: ...
def load(name: str, split: str, *, limit: int | None = None) -> Any:
    """A split of a data set: Sentences, Text, Images or JetSet.

    `limit`: at most so many rows, spread over the whole split without a look at the labels, the
    same ones each time (`datasets.kinds.spread`); of a text, its first `limit` characters.

    Raises InputError, in one line, for: an unknown name or split; limit < 1; data that no place
    has, with what helps; a file or hub table that lacks a column or rows, or holds other values
    than it should, with the row.

    >>> digits = load("digits", "test", limit=100)
    >>> digits.pixels.shape, int(digits.pixels.max()), sorted(set(digits.labels.tolist()))
    ((100, 8, 8, 1), 16, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    >>> load("pydoc", "train", limit=22).text
    'The "assert" statement'
    >>> load("jets", "train", limit=5).counts.shape
    (5,)
    """
    entry = _entry(name)
    if split not in entry.rows:
        raise InputError(f"split of {name} must be one of {', '.join(entry.rows)}; got {split!r}")
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1; got {limit}")
    return entry.read(entry, split, limit)


@dataclass(frozen=True)
class Listing:
    """A line of the table of data sets."""

    name: str
    kind: str  # sentences, text, images, jets
    rows: dict[str, int]  # by split; those of the copy that would be taken
    unit: str  # what rows counts: sentences, pairs, characters, images, jets
    source: str  # where it would come from now: local, hub, built-in, missing

    def __iter__(self) -> Iterator[str]:
        """Four cells of a table: name, kind, rows with their unit, source."""
        rows = ", ".join(f"{count:,} {split}" for split, count in self.rows.items())
        return iter((self.name, self.kind, f"{rows} {self.unit}", self.source))

    def __str__(self) -> str:
        name, *cells = self
        return f"{name}: {', '.join(cells)}"


def names() -> list[Listing]:
    """All data sets. Nothing is downloaded: `hub` means that the library for it is installed.

    Raises InputError if HYFLEXSIM_DATA names something else than a folder.

    >>> print(*(line for line in names() if line.source == "built-in" and line.kind != "text"))
    ... # doctest: +NORMALIZE_WHITESPACE
    digits: images, 1,442 train, 355 test images, built-in
    jets: jets, 2,395 train, 600 test jets, built-in
    """
    return [_listing(entry) for entry in ENTRIES.values()]


def describe(name: str) -> str:
    """Origin and licence of a data set, as it would be loaded now, in one line.

    >>> describe("digits")
    'digits from scikit-learn (UCI optdigits, Alpaydin and Kaynak 1998); licence: CC BY 4.0 (UCI)'
    """
    entry = _entry(name)
    source = source_now(entry)
    if source == "built-in":  # says which Python, where that matters
        return str(entry.read(entry, "test", 1).about)
    return entry.about(source)


def _entry(name: str) -> Entry:
    if name not in ENTRIES:
        raise InputError(f"no data set {name!r}; {nearest(name, ENTRIES)}")
    return ENTRIES[name]


def _listing(entry: Entry) -> Listing:
    source = source_now(entry)
    rows = entry.rows
    if source == "hub" and entry.hub is not None:
        rows = entry.hub.rows or rows
    if not any(rows.values()):  # depends on the Python; quick to count
        rows = {split: len(entry.read(entry, split, None)) for split in rows}
    return Listing(entry.name, entry.kind, dict(rows), entry.unit, source)
