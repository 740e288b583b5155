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

from hyflexsim.sim.energy import served_by
from hyflexsim.sim.engine import Played
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan import Plan

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

    A run directory is one that holds all files of ``marks``. Raises :class:`InputError`
    otherwise, so that nobody's files are ever replaced.
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
    schema = SCHEMAS[name]
    columns = {key: [row[key] for row in rows] for key in schema}
    table = pa.table(
        {
            key: pa.array(columns[key], pa.string()).dictionary_encode()
            if type_ is TEXT
            else pa.array(columns[key], type_)
            for key, type_ in schema.items()
        }
    )
    pq.write_table(table, folder / f"{name}.parquet", compression="zstd")


def write_trace(folder: Path, plan: Plan, played: Played) -> None:
    """``trace.parquet``, made column by column: some million rows in seconds."""
    pq.write_table(trace_table(plan, played), folder / "trace.parquet", **TRACE_PARQUET)


def trace_table(plan: Plan, played: Played) -> Any:
    """The trace with names; where a component had begun before its last input came, so it says."""
    trace = played.trace
    steps = plan.steps
    lead = np.array([step.lead_ps for step in steps], dtype=np.int64)[trace.step]
    planes = np.array([step.planes for step in steps], dtype=np.int32)
    if (planes == 1).all():
        token, plane = trace.token, np.zeros(len(trace), dtype=np.int16)
    else:
        mine = planes[trace.step]
        token, plane = trace.token // mine, (trace.token % mine).astype(np.int16)
    parts = [component.name for component in plan.components]
    return pa.table(
        {
            "step": pa.DictionaryArray.from_arrays(trace.step, [step.name for step in steps]),
            "op": _named([step.op for step in steps], trace.step),
            "kind": _named([step.kind for step in steps], trace.step),
            "component": pa.DictionaryArray.from_arrays(served_by(plan, played), parts),
            "layer": _named([step.layer for step in steps], trace.step),
            "request": trace.request,
            "token": token,
            "plane": plane,
            "arrival_ps": trace.arrival - lead,
            "start_ps": trace.start - lead,
            "end_ps": trace.end,
        }
    )


def _named(names: list[str], step: np.ndarray) -> Any:
    """A dictionary-encoded column: the name that each visit's step has."""
    words = list(dict.fromkeys(names))
    place = {word: index for index, word in enumerate(words)}
    codes = np.array([place[name] for name in names], dtype=np.int32)
    return pa.DictionaryArray.from_arrays(codes[step], words)
