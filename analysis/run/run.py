"""A run directory as tidy tables.

:func:`load` checks every file and column against :data:`COLUMNS` (which repeats the schema of
docs/architecture.md in code), so everything after it can rely on them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hyflexsim.analysis.shown import Shown
from hyflexsim.sim.errors import InputError, shortened
from hyflexsim.sim.regular_file import regular

COLUMNS: dict[str, dict[str, str]] = {
    "trace": {
        "step": "category",
        "op": "category",
        "kind": "category",
        "component": "category",
        "layer": "category",
        "request": "int",
        "token": "int",
        "plane": "int",
        "arrival_ps": "int",
        "start_ps": "int",
        "end_ps": "int",
    },
    "components": {
        "component": "text",
        "kind": "text",
        "layer": "text",
        "pu": "int",
        "chip": "int",
        "visits": "int",
        "busy_ps": "int",
        "wait_ps": "int",
        "utilisation": "float",
        "peak_queue": "int",
    },
    "energy": {
        "layer": "text",
        "op": "text",
        "kind": "text",
        "action": "text",
        "count": "int",
        "unit_pj": "float",
        "energy_pj": "float",
        "status": "text",
    },
    "requests": {
        "request": "int",
        "label": "text",
        "tokens": "int",
        "prefill": "int",
        "arrival_ps": "int",
        "start_ps": "int",
        "first_token_ps": "int",
        "finish_ps": "int",
        "latency_ps": "int",
        "energy_pj": "float",
    },
    "placement": {
        "layer": "text",
        "op": "text",
        "weight": "text",
        "pu": "int",
        "chip": "int",
        "rows": "int",
        "cols": "int",
        "rank": "number",
        "arrays_slc": "int",
        "arrays_mlc": "int",
        "copies": "int",
        "arrays_total": "int",
    },
}
"""Tables of a run directory: ``<table>.parquet``, its columns and what they hold."""

SUMMARY = (
    *("scenario", "model", "preset", "requests", "tokens", "fidelity", "overlap", "energy_mode"),
    *("makespan_ps", "latency_ps", "throughput_per_s", "energy_per_request_pj"),
    *("energy_by_kind_pj", "utilisation_by_kind", "area_mm2", "writes_per_request", "visits"),
    *("macs", "assumptions", "notes", "power_w", "tops", "energy_per_token_pj"),
    *("energy_delay_pj_s", "bound", "lost_by", "stream"),
)
"""Keys of summary.json."""

NUMBERS = (
    *("requests", "tokens", "makespan_ps", "throughput_per_s", "energy_per_request_pj"),
    *("writes_per_request", "visits", "macs", "energy_per_token_pj", "energy_delay_pj_s"),
)
"""Those of one number each."""

TABLES: dict[str, tuple[str, ...]] = {
    "latency_ps": ("p50", "p95", "p99", "mean", "max"),
    "energy_by_kind_pj": (),
    "utilisation_by_kind": (),
    "area_mm2": ("chip", "used"),
    "power_w": ("mean", "peak"),
    "tops": ("achieved", "per_w", "per_mm2"),
}
"""Those of numbers by name, some of which must be there."""


@dataclass(frozen=True, eq=False)
class Run(Shown):
    """What happened in one run, as tables. Times in integer ps, energies in pJ.

    Attributes
    ----------
    trace
        A row a visit (one service of one token at one step), in order of ``end_ps``: ``step``,
        ``op``, ``kind``, ``component``, ``layer`` (categories), ``request``, ``token``, ``plane``
        (bit-plane, 0 at fidelity token), ``arrival_ps`` (all inputs there), ``start_ps``,
        ``end_ps``.
    components
        A row a component: ``component``, ``kind``, ``layer``, ``pu`` (-1 outside PUs), ``chip``,
        ``visits``, ``busy_ps``, ``wait_ps``, ``utilisation`` (busy / makespan, 0 to 1),
        ``peak_queue`` (tokens).
    energy
        A row per (``layer``, ``op``, ``kind``, ``action``): ``count``, ``unit_pj``,
        ``energy_pj`` = count × unit, ``status`` of the unit energy.
    requests
        A row a request: ``request``, ``label``, ``tokens``, ``prefill``, ``arrival_ps``,
        ``start_ps``, ``first_token_ps``, ``finish_ps``, ``latency_ps``, ``energy_pj``.
    placement
        A row per weight and PU: ``layer``, ``op``, ``weight``, ``pu``, ``chip``, ``rows``,
        ``cols``, ``rank`` (none where dense), ``arrays_slc`` and ``arrays_mlc`` (of one copy),
        ``copies``, ``arrays_total``.
    summary, scenario
        summary.json and scenario.json as dicts.
    path
        The directory.
    layers
        Where ``trace`` is a part: all layers, those first that finish something first.
    """

    SHOWN: ClassVar[str] = "run.shown"

    trace: pd.DataFrame
    components: pd.DataFrame
    energy: pd.DataFrame
    requests: pd.DataFrame
    placement: pd.DataFrame
    summary: dict[str, Any]
    scenario: dict[str, Any]
    path: Path
    layers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the run: its directory's."""
        return self.path.resolve().name

    @property
    def traced(self) -> pd.DataFrame:
        """Rows of ``requests`` of which the trace keeps visits ([trace] of the scenario)."""
        return _traced(self.requests, self.scenario)

    @property
    def classes(self) -> dict[str, str]:
        """Op class of each op, from the scenario."""
        kinds: dict[str, str] = self.scenario["op_kinds"]
        return kinds


def load(
    run_dir: str | Path,
    *,
    trace_columns: Iterable[str] | None = None,
    around: Callable[[pd.DataFrame], int] | None = None,
) -> Run:
    """Read a run directory.

    Parameters
    ----------
    run_dir
        Directory that ``hyflexsim run`` wrote.
    trace_columns
        Columns of the trace to load (default: all; of none it need not be there); 3 million visits
        take 130 MB in full.
    around
        Picks one of ``requests`` that the trace keeps: only row groups while that was on the chip.

    Raises
    ------
    InputError
        A file or column is missing, or has another type; one line that names file and column.
    """
    path = Path(run_dir)
    if not path.is_dir():
        raise InputError(f"{path}: no such run directory")
    wanted = list(COLUMNS["trace"] if trace_columns is None else trace_columns)
    unknown = [name for name in wanted if name not in COLUMNS["trace"]]
    if unknown:
        raise InputError(
            f"trace_columns must be of {', '.join(COLUMNS['trace'])}; got {unknown[0]!r}"
        )
    summary = read_summary(path)
    scenario = read_scenario(path)
    requests = _table(path, "requests")
    part = None if around is None else around(_traced(requests, scenario))
    return Run(
        trace=_table(path, "trace", wanted, part) if wanted else pd.DataFrame(),
        components=_table(path, "components"),
        energy=_table(path, "energy"),
        requests=requests,
        placement=_table(path, "placement"),
        summary=summary,
        scenario=scenario,
        path=path,
        layers=() if around is None else _first_layers(path / "trace.parquet"),
    )


def read_summary(path: Path) -> dict[str, Any]:
    """summary.json of a run directory, whose figures are numbers."""
    file = path / "summary.json"
    summary = read_json(file, SUMMARY)
    for key in NUMBERS:
        _check_number(file, key, summary[key])
    for key, names in TABLES.items():
        table = summary[key]
        if not isinstance(table, dict):
            raise InputError(f"{file}: key {key!r} must hold an object")
        for name in names:
            if name not in table:
                raise InputError(f"{file}: key '{key}.{name}' is missing")
        for name, value in table.items():
            _check_number(file, f"{key}.{name}", value)
    return summary


def _check_number(file: Path, key: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{file}: key {key!r} must be a number; got {shortened(value)}")


def read_scenario(path: Path) -> dict[str, Any]:
    """scenario.json of a run directory, whose classes of ops are words."""
    file = path / "scenario.json"
    scenario = read_json(file, ("op_kinds",))
    kinds = scenario["op_kinds"]
    if not isinstance(kinds, dict):
        raise InputError(f"{file}: key 'op_kinds' must hold an object")
    for op, kind in kinds.items():
        if not isinstance(kind, str):
            raise InputError(f"{file}: key 'op_kinds.{op}' must be a word; got {shortened(kind)}")
    return scenario


def _traced(requests: pd.DataFrame, scenario: dict[str, Any]) -> pd.DataFrame:
    """Those that the trace keeps; all, where that leaves none."""
    keep = {"first": 0, "stop": None, "every": 1} | scenario.get("trace", {})
    number = requests["request"] - keep["first"]
    kept = (number >= 0) & (number % keep["every"] == 0)
    if keep["stop"] is not None:
        kept &= requests["request"] < keep["stop"]
    return requests[kept] if kept.any() else requests


def read_json(file: Path, keys: Iterable[str]) -> dict[str, Any]:
    """A JSON object that must have these keys."""
    try:
        data = json.loads(regular(file).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error})") from error
    if not isinstance(data, dict):
        raise InputError(f"{file}: must hold an object; got {type(data).__name__}")
    for key in keys:
        if key not in data:
            raise InputError(f"{file}: key {key!r} is missing")
    return data


def _table(
    path: Path, table: str, names: list[str] | None = None, around: int | None = None
) -> pd.DataFrame:
    import pyarrow as pa  # noqa: PLC0415 (a third of a second that pictures of graphs do not need)

    file = path / f"{table}.parquet"
    columns = COLUMNS[table]
    try:
        source = _opened(file, [name for name, kind in columns.items() if kind == "category"])
    except KeyError as error:
        raise InputError(f"{file}: column {error.args[0].decode()!r} is missing") from None
    except OSError as error:
        reason = (
            (error.strerror or "cannot be read") if file.exists() else "No such file or directory"
        )
        raise InputError(f"{file}: {reason}") from error
    except pa.ArrowInvalid as error:
        raise InputError(f"{file}: not a Parquet file") from error
    with source, undamaged(file):
        found = source.schema_arrow
        for name, kind in columns.items():
            if name not in found.names:
                raise InputError(f"{file}: column {name!r} is missing")
            if found.names.count(name) > 1:
                raise InputError(f"{file}: column {name!r} must be there once")
            if not _matches(found.field(name).type, kind):
                raise InputError(
                    f"{file}: column {name!r} must hold {kind}; got {found.field(name).type}"
                )
        if table == "trace":
            every = range(source.num_row_groups)
            groups = every if around is None else _groups_around(source, around)
            return _by_groups(source, names or list(columns), groups)
        data = source.read(columns=names or list(columns))
    frame: pd.DataFrame = data.to_pandas(split_blocks=True, self_destruct=True)
    for name in frame.columns[frame.columns.isin([n for n, k in columns.items() if k == "text"])]:
        frame[name] = frame[name].astype(object).fillna("").astype(str)
    return frame


def _opened(file: Path, words: list[str]) -> Any:
    """A Parquet file whose pages are held against the checksums that runs write."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    return pq.ParquetFile(file, read_dictionary=words, page_checksum_verification=True)


@contextmanager
def undamaged(file: Path) -> Iterator[None]:
    """What is said of pages that cannot be read, or of words that are none, in one line."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        yield
    except (OSError, pa.ArrowException, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{file}: is damaged; {shortened(reason)}") from None


def visits_in(run_dir: str | Path) -> int:
    """Rows of the trace of a run directory."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return int(pq.read_metadata(Path(run_dir) / "trace.parquet").num_rows)
    except (OSError, ValueError):  # loading it will say what is wrong
        return 0


def _groups_around(source: Any, request: int) -> list[int]:
    """Row groups with visits while a request was on the chip, by the limits that they state."""
    every = range(source.num_row_groups)
    of_it = [g for g in every if _may_hold(source, g, "request", request, request)]
    if len(of_it) == len(every):  # no time of its visits can tell groups apart
        return of_it
    columns = ["request", "start_ps", "end_ps"]
    mine = _by_groups(source, columns, of_it)
    mine = mine[mine["request"] == request]
    if mine.empty:
        return []
    first, stop = int(mine["start_ps"].min()), int(mine["end_ps"].max())
    return [
        g
        for g in every
        if _may_hold(source, g, "end_ps", first, None)
        and _may_hold(source, g, "start_ps", None, stop)
    ]


def _may_hold(source: Any, group: int, name: str, low: int | None, high: int | None) -> bool:
    """Whether a row group may have a value of at least ``low`` and at most ``high``."""
    place = source.schema_arrow.names.index(name)
    limits = source.metadata.row_group(group).column(place).statistics
    if limits is None or not limits.has_min_max:
        return True
    return (low is None or limits.max >= low) and (high is None or limits.min <= high)


def _first_layers(file: Path) -> tuple[str, ...]:
    """Layers of a trace in the order in which they finish something."""

    found: dict[str, None] = {}
    with undamaged(file), _opened(file, ["layer"]) as source:
        for group in range(source.num_row_groups):
            layers = _by_groups(source, ["layer"], [group])["layer"]
            found |= dict.fromkeys(layers.dropna().unique().tolist())
            if len(found) == len(layers.cat.categories):
                break
    return tuple(found)


def _by_groups(source: Any, names: list[str], groups: Sequence[int]) -> pd.DataFrame:
    """Row groups of a long table, one at a time into arrays of its length: half of the memory."""
    rows = sum(source.metadata.row_group(group).num_rows for group in groups)
    arrays: dict[str, np.ndarray] = {}
    words: dict[str, _Words] = {}
    done = 0
    for group in groups:
        table = source.read_row_group(group, columns=names)
        for name in names:
            at = done
            for piece in table[name].chunks:
                if hasattr(piece, "dictionary"):
                    part = words.setdefault(name, _Words()).codes(piece)
                else:
                    part = piece.to_numpy(zero_copy_only=False)
                if name not in arrays:
                    arrays[name] = np.empty(rows, dtype=part.dtype)
                elif arrays[name].dtype.itemsize < part.dtype.itemsize:  # more words than before
                    arrays[name] = arrays[name].astype(part.dtype)
                arrays[name][at : at + len(part)] = part
                at += len(part)
        done += len(table)
    if len(arrays) < len(names):  # not a row
        empty: pd.DataFrame = source.read_row_groups([], columns=names).to_pandas()
        return empty
    columns = {
        name: pd.Categorical.from_codes(array, pd.Index(list(words[name].known)), validate=False)
        if name in words
        else array
        for name, array in arrays.items()
    }
    return pd.DataFrame(columns, columns=names, copy=False)


class _Words:
    """The words of a column, numbered alike in all row groups: first seen first."""

    def __init__(self) -> None:
        self.known: dict[Any, int] = {}
        self._last: Any = None
        self._number = np.zeros(0, dtype=np.int16)

    def codes(self, piece: Any) -> np.ndarray:
        """Numbers of the words of a dictionary-encoded piece; -1 where there is none."""
        if self._last is None or not piece.dictionary.equals(self._last):
            self._last = piece.dictionary
            given = piece.dictionary.to_pylist()
            number = [self.known.setdefault(word, len(self.known)) for word in given]
            small = len(self.known) <= np.iinfo(np.int16).max
            self._number = np.array([*number, -1], dtype=np.int16 if small else np.int32)
        indices = piece.indices
        if indices.null_count:
            indices = indices.fill_null(-1)
        codes: np.ndarray = self._number[indices.to_numpy(zero_copy_only=False)]
        return codes


def _matches(given: Any, kind: str) -> bool:
    import pyarrow.types as t  # noqa: PLC0415

    if t.is_dictionary(given):
        given = given.value_type
    text = t.is_string(given) or t.is_large_string(given) or t.is_null(given)
    number = t.is_integer(given) or t.is_floating(given)
    return bool(
        {
            "category": text,
            "text": text,
            "int": t.is_integer(given),
            "float": number,
            "number": number or t.is_null(given),
        }[kind]
    )
