"""What happened when: one row a visit, kept in columns of 36 bytes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

BLOCK = 1 << 16
DTYPES = (np.int32, np.int32, np.int32, np.int64, np.int64, np.int64)


@dataclass(frozen=True)
class Trace:
    """Columns of equal length, ordered by ``end``; times in integer ps.

    ``step`` indexes the plan's steps; ``request``, ``token`` say whose visit it was; the component
    follows from the step and the token. ``arrival``: all inputs there; ``start``: service begins.
    """

    step: np.ndarray
    request: np.ndarray
    token: np.ndarray
    arrival: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.step)

    @property
    def nbytes(self) -> int:
        """Memory of all columns, in bytes."""
        return sum(column.nbytes for column in self.columns())

    def columns(self) -> tuple[np.ndarray, ...]:
        """The six columns, in the order of the fields."""
        return (self.step, self.request, self.token, self.arrival, self.start, self.end)


class Recorder:
    """Collects visits: a flat buffer of six integers each, packed into columns block by block.

    >>> recorder = Recorder()
    >>> recorder.rows.extend((3, 0, 1, 100, 120, 170))
    >>> int(recorder.finish().end[0])
    170
    """

    def __init__(self) -> None:
        self.rows = array("q")
        self.limit = 6 * BLOCK
        self._blocks: list[list[np.ndarray]] = []

    def pack(self) -> None:
        """Move the buffered rows into typed columns."""
        rows = np.frombuffer(self.rows, dtype=np.int64).reshape(-1, 6)
        self._blocks.append([rows[:, i].astype(dtype) for i, dtype in enumerate(DTYPES)])
        del rows  # an exported buffer cannot shrink
        del self.rows[:]

    def finish(self) -> Trace:
        """All rows as one :class:`Trace`."""
        self.pack()
        columns = [np.concatenate([block[i] for block in self._blocks]) for i in range(len(DTYPES))]
        self._blocks.clear()
        return Trace(*columns)
