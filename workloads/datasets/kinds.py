"""What a data set is once loaded, a class for each kind; and which rows a limit keeps.

Jets are in datasets/jets.py. Left out: tokens, scaled pixels, features. These belong to a task
and its model (tasks/).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Sentences:
    """n sentences or pairs of sentences with a class or a score each. `len(data)` is n."""

    texts: list[str]  # (n,)
    pairs: list[str] | None  # (n,) the second sentences, None where there are none
    labels: NDArray[Any]  # (n,) int64 classes 0 ... classes - 1, or float64 scores
    classes: int  # 1: a score
    source: str  # local, hub, built-in
    about: str  # origin and licence, one line

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, eq=False)
class Text:
    """Running text. `len(data)` is its length in characters."""

    text: str
    source: str
    about: str

    def __len__(self) -> int:
        return len(self.text)

    @property
    def sha256(self) -> str:
        """Checksum of this split in UTF-8, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Images:
    """n images of one size with a class each. `len(data)` is n."""

    pixels: NDArray[np.uint8]  # (n, height, width, channels)
    labels: NDArray[np.int64]  # (n,) 0 ... classes - 1
    classes: int
    source: str
    about: str

    def __len__(self) -> int:
        return len(self.pixels)


def spread(rows: int, limit: int | None) -> NDArray[np.int64]:
    """At most `limit` of `rows` row numbers, ascending, spread over the whole file.

    The file is cut into `limit` equal runs and one row is taken of each, at the place that
    multiples of the golden section say. So labels are never looked at, the same arguments give
    the same rows, an ordered file is sampled from end to end, and no stride can fall in step
    with classes that take turns. limit None or >= rows: all rows.

    >>> spread(100, 5).tolist(), spread(3, 9).tolist()
    ([0, 32, 44, 77, 89], [0, 1, 2])
    """
    if limit is None or limit >= rows:
        return np.arange(rows)
    edges = np.arange(limit + 1) * rows // limit
    place = np.arange(limit) * GOLDEN % 1  # (limit,) 0 ... 1
    picked: NDArray[np.int64] = edges[:-1] + (place * np.diff(edges)).astype(np.int64)
    return picked
