"""What happened when: one row a visit, kept in columns of 36 bytes.

Rows come in blocks. Beyond a bound the blocks in memory move to a scratch file, and a filter may
drop rows that nobody wants to look at; sums over all visits are exact in any case
(:mod:`~hyflexsim.sim.engine.tally`).
"""

from __future__ import annotations

import fnmatch
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.dealing import Lanes
from hyflexsim.sim.plan.plan import Plan

BLOCK = 262144
DTYPES = (np.int32, np.int32, np.int32, np.int64, np.int64, np.int64)
NAMES = ("step", "request", "token", "arrival", "start", "end")
ROW_BYTES = 36
MEMORY = 256 * 2**20

Block = tuple[np.ndarray, ...]
Watch = Callable[[Block], None]
"""Is told of every block that is kept, as soon as it is full."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Which rows of the trace to keep, and how many bytes of them in memory.

    ``components``, ``layers``: patterns of names, such as ``"pu03.*"`` (empty: all).
    ``requests``: from, up to (None: all). ``every``: of those, each so-many-th. ``memory``: bytes
    of trace in memory; what is beyond goes to a scratch file.
    """

    components: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    requests: tuple[int, int] | None = None
    every: int = 1
    memory: int = MEMORY

    @property
    def all(self) -> bool:
        """Whether nothing is dropped."""
        return not (self.components or self.layers or self.requests) and self.every == 1


class Trace:
    """Columns of equal length, ordered by ``end``; times in integer ps.

    ``step`` indexes the plan's steps; ``request``, ``token`` say whose visit it was; the component
    follows from all three (plan/dealing.py). ``arrival``: all inputs there; ``start``: service
    begins. A column is put together when it is first asked for; :meth:`blocks` reads a long trace
    piece by piece.
    """

    def __init__(self, blocks: Sequence[Block], spilled: Spill | None = None) -> None:
        self._blocks = list(blocks)
        self._spilled = spilled

    def __len__(self) -> int:
        return sum(len(block[0]) for block in self._blocks) + (
            self._spilled.rows if self._spilled else 0
        )

    @property
    def nbytes(self) -> int:
        """Memory of the blocks that are in memory, in bytes."""
        return sum(column.nbytes for block in self._blocks for column in block)

    @property
    def spilled(self) -> bool:
        """Whether the first part of the trace lies in a scratch file."""
        return self._spilled is not None

    def blocks(self) -> Iterator[Block]:
        """The six columns, piece by piece, in order of ``end``."""
        if self._spilled is not None:
            yield from self._spilled.blocks()
        yield from self._blocks

    def columns(self) -> tuple[np.ndarray, ...]:
        """The six columns, in the order of the fields."""
        return (self.step, self.request, self.token, self.arrival, self.start, self.end)

    def _column(self, index: int) -> np.ndarray:
        empty = np.zeros(0, dtype=DTYPES[index])
        return np.concatenate([empty, *(block[index] for block in self.blocks())])

    @cached_property
    def step(self) -> np.ndarray:
        """Step, int32."""
        return self._column(0)

    @cached_property
    def request(self) -> np.ndarray:
        """Request, int32."""
        return self._column(1)

    @cached_property
    def token(self) -> np.ndarray:
        """Token or part of a token, int32."""
        return self._column(2)

    @cached_property
    def arrival(self) -> np.ndarray:
        """When all inputs were there, int64 ps."""
        return self._column(3)

    @cached_property
    def start(self) -> np.ndarray:
        """When service began, int64 ps."""
        return self._column(4)

    @cached_property
    def end(self) -> np.ndarray:
        """When service ended, int64 ps."""
        return self._column(5)


class Spill:
    """A scratch Parquet file of raw columns; it goes when nobody holds it any more."""

    def __init__(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 (short runs do without)
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._folder = tempfile.TemporaryDirectory(prefix="hyflexsim-trace-")
        self.path = Path(self._folder.name) / "blocks.parquet"
        types = [pa.from_numpy_dtype(dtype) for dtype in DTYPES]
        self._schema = pa.schema(list(zip(NAMES, types, strict=True)))
        self._writer = pq.ParquetWriter(
            self.path, self._schema, compression="zstd", use_dictionary=False
        )
        self.rows = 0

    def write(self, blocks: Iterable[Block]) -> None:
        """Append blocks, one row group each."""
        import pyarrow as pa  # noqa: PLC0415

        for block in blocks:
            columns = [pa.array(column) for column in block]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
            self.rows += len(block[0])

    def close(self) -> None:
        """No more blocks will come."""
        self._writer.close()

    def blocks(self) -> Iterator[Block]:
        """What was written, one row group at a time."""
        import pyarrow.parquet as pq  # noqa: PLC0415

        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                yield tuple(table[name].to_numpy() for name in NAMES)


class Recorder:
    """Collects visits, as rows of six integers or in whole blocks.

    ``watch`` is told of every block that is kept.

    >>> recorder = Recorder()
    >>> recorder.rows.extend((3, 0, 1, 100, 120, 170))
    >>> int(recorder.finish().end[0])
    170
    """

    def __init__(
        self, plan: Plan | None = None, keep: Keep | None = None, watch: Watch | None = None
    ) -> None:
        self.rows = array("q")
        self.limit = 6 * BLOCK
        self.keep = keep or Keep()
        self._watch = watch
        self._filter = None if self.keep.all or plan is None else Filter(plan, self.keep)
        self._blocks: list[Block] = []
        self._spill: Spill | None = None

    def pack(self) -> Block:
        """Move the buffered rows into a block, and return it."""
        rows = np.frombuffer(self.rows, dtype=np.int64).reshape(-1, 6)
        block = tuple(rows[:, i].astype(dtype) for i, dtype in enumerate(DTYPES))
        del rows  # an exported buffer cannot shrink
        del self.rows[:]
        self.add(block)
        return block

    def add(self, block: Block) -> None:
        """Keep a block, which must not change any more: what the filter leaves of it."""
        if self._filter is not None:
            block = self._filter(block)
        if not len(block[0]):
            return
        if self._watch is not None:
            self._watch(block)
        self._blocks.append(block)
        if ROW_BYTES * sum(len(block[0]) for block in self._blocks) > self.keep.memory:
            self._spill = self._spill or Spill()
            self._spill.write(self._blocks)
            self._blocks.clear()

    def finish(self) -> Trace:
        """All rows as one :class:`Trace`."""
        self.pack()
        blocks, self._blocks = self._blocks, []
        spill, self._spill = self._spill, None  # the trace alone holds it, and lets it go
        if spill is not None:
            spill.close()
        return Trace(blocks, spill)


class Filter:
    """Drops the rows of a block that :class:`Keep` does not name.

    Raises :class:`InputError` for a pattern that matches nothing.
    """

    def __init__(self, plan: Plan, keep: Keep) -> None:
        self._keep = keep
        names = [component.name for component in plan.components]
        wanted = _matching("trace.components", keep.components, names)
        layers = _matching("trace.layers", keep.layers, [step.layer for step in plan.steps])
        self._lanes = Lanes(plan)
        kept = [wanted[list(step.lanes)] & layers[i] for i, step in enumerate(plan.steps)]
        self._table = self._lanes.table(kept, bool)
        if not self._table.any():
            raise InputError("trace.components and trace.layers must have a visit in common")

    def __call__(self, block: Block) -> Block:
        """The rows to keep."""
        first, stop = self._keep.requests or (0, np.iinfo(np.int32).max)
        request = block[1]
        kept = (request - first) % self._keep.every == 0
        kept &= (request >= first) & (request < stop)
        block = tuple(column[kept] for column in block)  # as a rule few: the rest costs little
        step, request, token = block[:3]
        kept = self._table[step, self._lanes(step, request, token)]
        return tuple(column[kept] for column in block)


def _matching(key: str, patterns: tuple[str, ...], names: Sequence[str]) -> np.ndarray:
    """Which names match any of the patterns; all, where there is no pattern."""
    known = dict.fromkeys(names)
    matched: set[str] = set(known) if not patterns else set()
    for pattern in patterns:
        mine = {name for name in known if fnmatch.fnmatchcase(name, pattern)}
        if not mine:
            some = ", ".join(list(known)[:8])
            raise InputError(f"{key}: {pattern!r} matches nothing; names are {some}, ...")
        matched |= mine
    return np.array([name in matched for name in names], dtype=bool)
