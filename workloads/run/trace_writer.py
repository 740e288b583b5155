"""Writes the trace of a run while its engine still plays.

What is in the file: run_tables.py, which is imported here once there is something to write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.engine.trace import Block
from hyflexsim.sim.plan.plan import Plan

AHEAD = 16
"""Blocks that may wait to be written, 9 MB each."""


def write_trace(folder: Path, plan: Plan, played: Played) -> None:
    """``trace.parquet``, piece by piece: memory does not grow with its length."""
    with TraceWriter(folder, plan) as file:
        for block in played.trace.blocks():
            file.add(block)


class TraceWriter:
    """Writes ``trace.parquet`` block by block in two threads of its own: names, pages.

    Both are machine code most of the time, so a trace is written while the engine plays.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._path = folder / "trace.parquet"
        self._plan = plan
        self._naming, self._packing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._ahead: deque[Future[None]] = deque()
        self._opened = self._naming.submit(self._open)

    def add(self, block: Block) -> None:
        """Have a block written, which must not change any more; waits where many lie ready."""
        named = self._naming.submit(lambda: self._opened.result()[0](block))
        self._ahead.append(self._packing.submit(self._pack, named))
        while len(self._ahead) > AHEAD or (self._ahead and self._ahead[0].done()):
            self._ahead.popleft().result()

    def finish(self) -> None:
        """Wait until everything is written."""
        try:
            while self._ahead:
                self._ahead.popleft().result()
            self._opened.result()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Write no more, and close the file; nothing happens where it is closed."""
        for thread in (self._naming, self._packing):
            thread.shutdown(cancel_futures=True)
        if not self._opened.cancelled() and self._opened.exception() is None:
            self._opened.result()[1].close()

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def _open(self) -> tuple[Callable[[Block], Any], Any]:
        import pyarrow.parquet as pq  # noqa: PLC0415 (while the engine plays)

        from hyflexsim.workloads.run.run_tables import (  # noqa: PLC0415 (the same)
            EMPTY,
            TRACE_PARQUET,
            TraceNames,
        )

        name = TraceNames(self._plan)
        return name, pq.ParquetWriter(self._path, name(EMPTY).schema, **TRACE_PARQUET)

    def _pack(self, named: Future[Any]) -> None:
        self._opened.result()[1].write_table(named.result())
