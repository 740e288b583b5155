"""Writing a run directory: all of it or nothing.

Everything is written into a folder beside the target, which is renamed at the end; whatever
goes wrong before (Ctrl-C as well), the target stays as it was. The same tables give the same
bytes. The schema: docs/architecture.md.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hyflexsim.sim.energy import ServedBy
from hyflexsim.sim.engine import Played
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan import Plan
from hyflexsim.sim.trace import DTYPES, Block
from hyflexsim.workloads.columns import Columns

MARKS = ("scenario.json", "summary.json", "trace.parquet")
"""Files by which a run directory is recognised."""

TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMAS: dict[str, dict[str, Any]] = {
    "components": {
        "component": TEXT,
        "kind": TEXT,
        "layer": TEXT,
        "pu": pa.int16(),
        "chip": pa.int32(),
        "visits": pa.int64(),
        "busy_ps": pa.int64(),
        "wait_ps": pa.int64(),
        "utilisation": pa.float64(),
        "peak_queue": pa.int64(),
    },
    "energy": {
        "layer": TEXT,
        "op": TEXT,
        "kind": TEXT,
        "action": TEXT,
        "count": pa.int64(),
        "unit_pj": pa.float64(),
        "energy_pj": pa.float64(),
        "status": TEXT,
    },
    "requests": {
        "request": pa.int32(),
        "label": TEXT,
        "tokens": pa.int32(),
        "prefill": pa.int32(),
        "arrival_ps": pa.int64(),
        "start_ps": pa.int64(),
        "first_token_ps": pa.int64(),
        "finish_ps": pa.int64(),
        "latency_ps": pa.int64(),
        "energy_pj": pa.float64(),
    },
    "placement": {
        "layer": TEXT,
        "op": TEXT,
        "weight": TEXT,
        "pu": pa.int32(),
        "chip": pa.int32(),
        "rows": pa.int32(),
        "cols": pa.int32(),
        "rank": pa.int32(),
        "arrays_slc": pa.int32(),
        "arrays_mlc": pa.int32(),
        "copies": pa.int32(),
        "arrays_total": pa.int32(),
    },
}
"""Columns of the small tables."""

TRACE_PARQUET = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["step", "op", "kind", "component", "layer"],
    "column_encoding": dict.fromkeys(
        ("request", "token", "arrival_ps", "start_ps", "end_ps"), "DELTA_BINARY_PACKED"
    ),
}


def check_target(path: str | Path, marks: Sequence[str] = MARKS) -> Path:
    """``path``, if a run directory may be written there: it is new, empty or a run directory.

    ``marks``: files by which directories of that kind are known. Raises
    :class:`InputError` otherwise, so that nobody's files are ever replaced.
    """
    path = Path(path)
    if not path.name or path.name == "..":
        raise InputError(f"--out must name a folder; got {str(path)!r}")
    if path.is_dir():
        names = {file.name for file in path.iterdir()}
        if names and not names.issuperset(marks):
            raise InputError(f"--out must be a new folder or a run directory; {path} is neither")
    elif path.exists() or path.is_symlink():
        raise InputError(f"--out must be a new folder or a run directory; {path} is a file")
    return path


@contextmanager
def new_run_dir(path: str | Path, marks: Sequence[str] = MARKS) -> Iterator[Path]:
    """A folder to write into, which takes the name ``path`` when the block ends well.

    It has the name from the start, in a hidden folder beside the target, so that pictures drawn
    in the block are titled alike.
    """
    path = check_target(path, marks)
    parent = path.parent
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=parent, prefix=".hyflexsim-"))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        folder = scratch / path.name
        folder.mkdir()
        yield folder
        if path.exists():
            path.rename(scratch / "old")
        folder.rename(path)
        made.clear()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for folder in made:  # ours and, since nothing was written, empty
            folder.rmdir()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON, keys in the order given."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One of :data:`SCHEMAS` from its rows."""
    write_rows(folder / f"{name}.parquet", SCHEMAS[name], rows)


def write_rows(path: Path, schema: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """A Parquet file of the columns of a schema (name -> type), from rows."""
    by_column = rows.columns if isinstance(rows, Columns) else None
    columns = by_column or {key: [row[key] for row in rows] for key in schema}
    table = pa.table(
        {
            key: pa.array(columns[key], pa.string()).dictionary_encode()
            if type_ is TEXT
            else pa.array(columns[key], type_)
            for key, type_ in schema.items()
        }
    )
    pq.write_table(table, path, compression="zstd")


def write_trace(folder: Path, plan: Plan, played: Played) -> None:
    """``trace.parquet``, piece by piece: memory does not grow with its length."""
    name = TraceNames(plan)
    with pq.ParquetWriter(folder / "trace.parquet", name(EMPTY).schema, **TRACE_PARQUET) as file:
        for block in played.trace.blocks():
            file.write_table(name(block))


EMPTY = tuple(np.zeros(0, dtype=dtype) for dtype in DTYPES)


class TraceNames:
    """Gives a block of the trace its names: a step's, its op's, kind's, component's and layer's."""

    def __init__(self, plan: Plan) -> None:
        self._steps = steps = plan.steps
        self._components = [component.name for component in plan.components]
        self._served_by = ServedBy(plan)
        self._lead = np.array([step.lead_ps for step in steps], dtype=np.int64)
        self._planes = np.array([step.planes for step in steps], dtype=np.int32)

    def __call__(self, block: Block) -> Any:
        """An arrow table; where a component had begun before its last input came, so it says."""
        step, request, token, arrival, start, end = block
        steps = self._steps
        lead, planes = self._lead[step], self._planes[step]
        where = self._served_by(step, token)
        return pa.table(
            {
                "step": pa.DictionaryArray.from_arrays(step, [each.name for each in steps]),
                "op": _named([each.op for each in steps], step),
                "kind": _named([each.kind for each in steps], step),
                "component": pa.DictionaryArray.from_arrays(where, self._components),
                "layer": _named([each.layer for each in steps], step),
                "request": request,
                "token": token // planes,
                "plane": (token % planes).astype(np.int16),
                "arrival_ps": arrival - lead,
                "start_ps": start - lead,
                "end_ps": end,
            }
        )


def _named(names: list[str], step: np.ndarray) -> Any:
    """A dictionary-encoded column: the name that each visit's step has."""
    words = list(dict.fromkeys(names))
    place = {word: index for index, word in enumerate(words)}
    codes = np.array([place[name] for name in names], dtype=np.int32)
    return pa.DictionaryArray.from_arrays(codes[step], words)
