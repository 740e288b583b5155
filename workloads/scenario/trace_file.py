"""Traces: files that say when requests came, and how long they and their answers were.

======== ===========================================================================================
.csv     a header, then a row a request; .parquet: the same columns; .jsonl: an object a request
  time   ``TIMESTAMP`` (dates and times, as in Azure's LLM inference traces), ``Timestamp``
         (seconds, as in BurstGPT), ``timestamp`` (milliseconds, as in Mooncake's), ``time_s``
         (seconds) or ``time_ps``; the first row is time zero
  prompt ``ContextTokens`` (Azure), ``Request tokens`` (BurstGPT), ``input_length`` (Mooncake)
         or ``tokens``
  answer ``GeneratedTokens`` (Azure), ``Response tokens`` (BurstGPT), ``output_length`` (Mooncake)
         or ``answer``
  talk   ``Session ID`` (BurstGPT), ``session_id`` or ``conversation_id``: the conversation that a
         request is a turn of (sessions.py); an empty one is none
  model  ``Model`` (BurstGPT) or ``model``: where a scenario names one, only its rows are taken
other    text: one time with its unit a line (``12.5 us``), from time zero; ``#`` starts a comment
======== ===========================================================================================

Times ascend. Rows beyond the last request are not read, other columns not looked at. Column names:
github.com/Azure/AzurePublicDataset, github.com/HPMLL/BurstGPT, github.com/kvcache-ai/Mooncake.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from hyflexsim.sim.chip import measure
from hyflexsim.sim.errors import InputError, shortened
from hyflexsim.sim.regular_file import regular
from hyflexsim.workloads.scenario.schema import MOST_TOKENS

LATEST = 2**62
"""ps: 53 days, and int64 still has room for the run after it."""

TIMES = {
    **{"TIMESTAMP": 10**12, "Timestamp": 10**12, "timestamp": 10**9},
    **{"time_s": 10**12, "time_ps": 1},
}
"""Columns of times, and ps in one of their numbers."""

PROMPTS = ("ContextTokens", "Request tokens", "input_length", "tokens")
ANSWERS = ("GeneratedTokens", "Response tokens", "output_length", "answer")
SESSIONS = ("Session ID", "session_id", "conversation_id")
MODELS = ("Model", "model")


class Trace(NamedTuple):
    """Times in ps; tokens of prompts and answers, and conversations, where the file has them."""

    times: list[int]
    prompts: list[int] | None
    answers: list[int] | None
    sessions: list[str] | None


def read_trace(path: Path, count: int, speed: float = 1.0, model: str | None = None) -> Trace:
    """The first ``count`` requests of a trace, or those for a ``model``; times are divided by
    ``speed``. Time zero is the first row's, whatever model it is for.

    Raises :class:`InputError` for a file that cannot be read, is too short, lacks a column of
    times or of models, or has times that do not ascend, or lengths that are not positive.
    """
    with _reading(path):
        regular(path)
        if path.suffix in (".csv", ".jsonl", ".parquet"):
            trace = _columns(path, count, Fraction(speed), model)
        elif model is not None:
            raise InputError(
                f"{path}: must be a .csv, .jsonl or .parquet file with a column of models"
            )
        else:
            trace = Trace(_text(path, count, Fraction(speed)), None, None, None)
    if len(trace.times) < count:
        what = f"times, one a request{'' if model is None else f' of model {model!r}'}"
        raise InputError(f"{path}: must have {count} {what}; got {len(trace.times)}")
    return trace


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV file ({error})") from None


def _text(path: Path, count: int, speed: Fraction) -> list[int]:
    result: list[int] = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            text = line.partition("#")[0].strip()
            if len(result) == count:
                break
            if not text:
                continue
            try:
                time = measure.read(text, "ps")
            except InputError as error:
                raise InputError(f"{path}: line {number} {error}") from None
            if time.denominator != 1:
                raise InputError(f"{path}: line {number} must be whole ps; got {text!r}")
            result.append(_after(path, f"line {number}", result, time / speed, text))
    return result


def _after(path: Path, where: str, before: list[int], time: Fraction, text: Any) -> int:
    """A time in whole ps, which is not before the last one."""
    whole = round(time)
    if not (before[-1] if before else 0) <= whole <= LATEST:
        raise InputError(
            f"{path}: {where} must be a time from 0 to {LATEST} ps (53 days), not before the one "
            f"above it; got {text!r}"
        )
    return whole


def _columns(path: Path, count: int, speed: Fraction, model: str | None) -> Trace:
    names, rows = _rows(path)
    time = _needed(path, names, tuple(TIMES))
    owner = None if model is None else _needed(path, names, MODELS)
    prompt, answer, session = (
        next((name for name in known if name in names), None)
        for known in (PROMPTS, ANSWERS, SESSIONS)
    )
    times: list[int] = []
    talks: list[str] = []
    lengths: dict[str, list[int]] = {name: [] for name in (prompt, answer) if name is not None}
    first: Fraction | None = None
    for where, row in rows:
        if len(times) == count:
            break
        cells = dict(zip(names, row, strict=False))
        at = _time(path, where, time, cells.get(time))
        if first is None and at < 0:
            raise InputError(f"{path}: {where}: {time} must be from 0 on; got {cells[time]!r}")
        first = at if first is None else first
        if owner is not None and str(cells.get(owner)) != model:
            continue
        times.append(_after(path, f"{where}: {time}", times, (at - first) / speed, cells[time]))
        for name, column in lengths.items():
            column.append(_length(path, where, name, cells.get(name)))
        if session is not None:
            talks.append("" if cells.get(session) is None else str(cells[session]).strip())
    tokens = [None if name is None else lengths[name] for name in (prompt, answer)]
    return Trace(times, tokens[0], tokens[1], None if session is None else talks)


def _needed(path: Path, names: Sequence[str], known: Sequence[str]) -> str:
    found = next((name for name in known if name in names), None)
    if found is None:
        raise InputError(
            f"{path}: must have a column {' or '.join(known)}; got {', '.join(names)[:80]}"
        )
    return found


def _rows(path: Path) -> tuple[list[str], Iterator[tuple[str, Sequence[Any]]]]:
    """Names of columns, and rows one by one, with where they stand."""
    if path.suffix == ".csv":
        lines = _lines(path)
        return [name.strip() for name in next(lines, ("", []))[1]], lines
    if path.suffix == ".jsonl":
        names = list(next(_objects(path), ("", {}))[1])
        return names, ((where, [row.get(name) for name in names]) for where, row in _objects(path))
    import pyarrow as pa  # noqa: PLC0415 (a CSV file needs no pyarrow)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        source = pq.ParquetFile(path.open("rb"))
    except pa.ArrowInvalid:
        raise InputError(f"{path}: not a Parquet file") from None
    known = (*TIMES, *PROMPTS, *ANSWERS, *SESSIONS, *MODELS)
    names = [name for name in source.schema_arrow.names if name in known]
    batches = source.iter_batches(columns=names)
    rows = (row for b in batches for row in zip(*b.to_pydict().values(), strict=True))
    return names, ((f"row {number}", row) for number, row in enumerate(rows, start=1))


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        for line in lines:
            if line:
                yield f"line {lines.line_num}", line


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise InputError(
                    f"{path}: line {number} must be a JSON object; got {shortened(line.strip())}"
                )
            yield f"line {number}", row


def _time(path: Path, where: str, name: str, cell: Any) -> Fraction:
    """A time in ps: a number in the unit of its column, or a date since 1970."""
    try:
        if isinstance(cell, bool):
            raise TypeError
        if isinstance(cell, datetime):
            return _since(cell)
        if isinstance(cell, str) and cell.strip().count("-") == 2:
            return _date(cell.strip())
        return Fraction(cell) * TIMES[name]
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        raise InputError(
            f"{path}: {where}: {name} must be a number or a date and time; got {cell!r}"
        ) from None


def _date(text: str) -> Fraction:
    """A date and time, with any number of digits behind the second.

    >>> int(_date("1970-01-01 00:00:01.0000001"))
    1000000100000
    """
    whole, _, rest = text.partition(".")
    digits = rest[: next((i for i, c in enumerate(rest) if not c.isdigit()), len(rest))]
    moment = datetime.fromisoformat(whole + rest[len(digits) :])
    return _since(moment) + Fraction(int(digits or 0), 10 ** len(digits)) * 10**12


def _since(moment: datetime) -> Fraction:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    micro = (passed.days * 86_400 + passed.seconds) * 10**6 + passed.microseconds
    return Fraction(micro * 10**6)


def _length(path: Path, where: str, name: str, cell: Any) -> int:
    try:
        length = int(cell)
    except (ValueError, TypeError):
        length = 0
    if not 1 <= length <= MOST_TOKENS:
        raise InputError(
            f"{path}: {where}: {name} must be an integer from 1 to {MOST_TOKENS}; got {cell!r}"
        )
    return length
