"""The results folder of a sweep: every finished point is in it at once, and stays.

``sweep.json``       what the points depend on, and which columns are what
``parts/*.parquet``  finished points, a file each or for those that finished together
``points.parquet``   all of them, in order, when the sweep is done; then there are no parts

A file takes its name when it is whole, so a sweep that is killed leaves finished points only.
A file of random bytes is kept beside while points come in: on a full disk it is deleted, and what
has finished by then is written in its room.

A row a point: ``point``, the settings that vary, the answers, ``seconds``, ``peak_mb``, ``error``
(null where all went well). Numbers among the answers are float64.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyflexsim.models.whole_file import SCRATCH, whole
from hyflexsim.sim.cache import write_whole
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.outputs import check_folder, owned
from hyflexsim.workloads.points.done import Done
from hyflexsim.workloads.points.store import FullError
from hyflexsim.workloads.resumable import differing
from hyflexsim.workloads.run.run_dir import write_json

JOB, PARTS, TABLE, RESERVE = "sweep.json", "parts", "points.parquet", ".reserve"
MERGE = 256
"""Parts that are put together into one."""
SMALL = {"use_dictionary": False, "write_statistics": False, "compression": "none"}
"""How to write a part: what a whole table gains takes longer than all else of a point."""
WHOLE = {"compression": "zstd"}
ROOM = 2**20
OWN = ("point", "seconds", "peak_mb", "error")

Row = dict[str, Any]


class Results:
    """The finished points of a sweep; made by :func:`results`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / PARTS
        self._rows: dict[int, Row] = {}
        self._small: dict[Path, Sequence[Row]] = {}  # parts that have not been put together
        for path in self._files():
            for row in _read(path):
                self._rows[row["point"]] = row
        self._next = 1 + max((int(path.stem) for path in self._parts.glob("*.parquet")), default=-1)

    def __contains__(self, point: int) -> bool:
        return point in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> list[Row]:
        """All rows, in order of points."""
        return [self._rows[point] for point in sorted(self._rows)]

    def failed(self) -> list[int]:
        """Points that have an error instead of answers."""
        return [point for point, row in self._rows.items() if row["error"] is not None]

    def forget(self, points: Iterable[int]) -> None:
        """Drop rows, so that their points are run again."""
        old = self._files()
        for point in points:
            del self._rows[point]
        if self._rows:
            self._write(self.rows())
        for path in old:
            path.unlink()
        self._small.clear()

    def add(self, done: Sequence[Done], settings: Mapping[int, Mapping[str, Any]]) -> None:
        """Write points that have just finished; they are on disk when this returns.

        Raises FullError where the disk is full; what was given is on disk all the same.
        """
        rows = [_row(each, settings[each.point]) for each in done]
        try:
            self._write(rows)
        except OSError as error:
            self._make_room(rows, error)
        if len(self._small) >= MERGE:
            self._merge()

    def finish(self) -> None:
        """All points are there: one table instead of parts."""
        (self.folder / RESERVE).unlink(missing_ok=True)
        _write_table(self.folder / TABLE, self.rows())
        for path in self._parts.glob("*.parquet"):
            path.unlink()
        with suppress(FileNotFoundError):
            self._parts.rmdir()

    def _files(self) -> list[Path]:
        table = self.folder / TABLE
        return [*([table] if table.is_file() else []), *sorted(self._parts.glob("*.parquet"))]

    def _write(self, rows: Sequence[Row]) -> Path:
        self._parts.mkdir(exist_ok=True)
        path = self._parts / f"{self._next:09d}.parquet"
        _write_table(path, rows)
        self._next += 1
        self._rows |= {row["point"]: row for row in rows}
        self._small[path] = rows
        return path

    def _merge(self) -> None:
        """Many small parts in one; a reader in between finds some rows twice, none missing."""
        small = self._small
        with suppress(OSError):  # they may as well stay as they are
            whole = self._write([row for rows in small.values() for row in rows])
            del small[whole]
            for path in list(small):
                path.unlink()
                del small[path]

    def _make_room(self, rows: Sequence[Row], error: OSError) -> None:
        reserve = self.folder / RESERVE
        had = reserve.is_file()
        reserve.unlink(missing_ok=True)
        why = f"{self.folder}: cannot be written: {error.strerror or error}"
        try:
            self._write(rows)
        except OSError:
            raise FullError(
                f"{why}; {len(rows)} points that had finished are lost, all others are kept"
            ) from None
        if had:
            raise FullError(
                f"{why}; all {len(self._rows)} finished points are kept: make room and run the "
                "same command to go on"
            ) from None


@contextmanager
def results(out: Path, job: Mapping[str, Any], *, fresh: bool = False) -> Iterator[Results]:
    """The results folder of a sweep, for one process at a time.

    `job`: plain values, all that points depend on under ``points``. `fresh`: forget what is there.

    Raises InputError for a folder that is in use, that of another sweep (naming the first key that
    differs), or something else's. A sweep that fails before its first point leaves nothing.
    """
    with owned(check_folder(out, [JOB], "that of a sweep")):
        new = not out.exists()
        try:
            out.mkdir(exist_ok=True)
            for torn in (out / PARTS).glob(f"{SCRATCH}*"):  # of one that was killed while writing
                shutil.rmtree(torn, ignore_errors=True)
            _claim(out, job, fresh)
            yield Results(out)
        finally:
            (out / RESERVE).unlink(missing_ok=True)
            if not any((out / PARTS).glob("*.parquet")) and not (out / TABLE).is_file():
                _leave_nothing(out, new)


def _claim(out: Path, job: Mapping[str, Any], fresh: bool) -> None:
    """Write what the sweep is, or see that it is the same."""
    wanted = json.loads(json.dumps(job))
    if fresh:
        for path in (*(out / PARTS).glob("*.parquet"), out / TABLE, out / JOB):
            path.unlink(missing_ok=True)
    if (out / JOB).is_file():
        found = json.loads((out / JOB).read_text("utf-8"))
        other = differing(found.get("points"), wanted["points"])
        if other:
            raise InputError(
                f"{out}: is of a sweep with another {other}; give --out another name, or start "
                "anew with --fresh"
            )
    with whole(out / JOB) as scratch:
        write_json(scratch, wanted)
    write_whole(out / RESERVE, os.urandom(ROOM))


def _leave_nothing(out: Path, new: bool) -> None:
    (out / JOB).unlink(missing_ok=True)
    with suppress(OSError):
        (out / PARTS).rmdir()
    if new:
        with suppress(OSError):
            out.rmdir()


# --- rows ----------------------------------------------------------------------------------------


def _row(done: Done, settings: Mapping[str, Any]) -> Row:
    own = {"seconds": done.seconds, "peak_mb": done.peak_mb, "error": done.error}
    answers = {
        key: float(value) if isinstance(value, int | float) else str(value)
        for key, value in done.answers.items()
    }
    return {"point": done.point, **{k: plain(v) for k, v in settings.items()}, **answers, **own}


def plain(value: Any) -> Any:
    """A setting as a table has it: numbers, texts and truth values; all else as JSON."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    columns = dict.fromkeys(key for row in rows for key in row)
    ordered = [key for key in columns if key not in OWN[1:]]
    arrays = {key: _column([row.get(key) for row in rows]) for key in (*ordered, *OWN[1:])}
    with whole(path) as scratch:
        pq.write_table(pa.table(arrays), scratch, **(SMALL if len(rows) < MERGE else WHOLE))


def _column(values: Sequence[Any]) -> Any:
    """Of one type: where texts stand among numbers, all are texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) == 2:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if len(kinds) > 1:
        return pa.array([None if v is None else _text(v) for v in values], pa.string())
    return pa.array(values, None if kinds else pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read(path: Path) -> list[Row]:
    try:
        found: list[Row] = pq.ParquetFile(path).read().to_pylist()
    except (pa.ArrowInvalid, OSError):  # torn by a power cut: its points are run again
        return []
    return [{k: v for k, v in row.items() if v is not None or k == "error"} for row in found]
