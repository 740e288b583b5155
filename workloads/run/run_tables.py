"""The Parquet tables of a run directory: their columns, and how a trace is written.

The schema with its meaning: docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hyflexsim.sim.energy import ServedBy
from hyflexsim.sim.engine.trace import DTYPES, Block
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.workloads.run import arrow_columns
from hyflexsim.workloads.run.run_dir import TEXT, write_rows

SCHEMAS: dict[str, dict[str, Any]] = {
    "components": {
        "component": TEXT,
        "kind": TEXT,
        "layer": TEXT,
        "pu": pa.int32(),
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
        "session": pa.int32(),
        "found": pa.int32(),
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
        "bytes": pa.int64(),
    },
}
"""Columns of the small tables."""

_WORDS = ("step", "op", "kind", "component", "layer")
_DELTA = ("request", "token", "arrival_ps", "start_ps", "end_ps")
TRACE = [*_WORDS, "request", "token", "plane", "arrival_ps", "start_ps", "end_ps"]
"""Columns of the trace."""

TRACE_PARQUET = {
    "compression": "lz4",  # its writing ends a run: faster than zstd, and hardly larger
    "use_dictionary": list(_WORDS),
    "column_encoding": dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
    "write_statistics": list(_DELTA),  # of words they take a third of the time and tell nothing
    "write_page_checksum": True,  # a damaged page may hold other numbers and look right
}


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One of :data:`SCHEMAS` from its rows."""
    write_rows(folder / f"{name}.parquet", SCHEMAS[name], rows)


EMPTY = tuple(np.zeros(0, dtype=dtype) for dtype in DTYPES)


class TraceNames:
    """Gives a block of the trace its names: a step's, its op's, kind's, component's and layer's."""

    def __init__(self, plan: Plan) -> None:
        steps = plan.steps
        self._components = arrow_columns.words([component.name for component in plan.components])
        self._served_by = ServedBy(plan)
        self._lead = np.array([step.lead_ps for step in steps], dtype=np.int64)
        self._planes = np.array([step.planes for step in steps], dtype=np.int32)
        self._names = {
            name: arrow_columns.coded([getattr(step, field) for step in steps])
            for name, field in (
                ("step", "name"),
                ("op", "op"),
                ("kind", "kind"),
                ("layer", "layer"),
            )
        }

    def __call__(self, block: Block) -> Any:
        """An arrow table; where a component had begun before its last input came, so it says."""
        step, request, token, arrival, start, end = block
        plain = arrow_columns.plain
        plane = np.zeros(len(token), dtype=np.int16)
        where = self._served_by(step, request, token)
        if (self._planes != 1).any():
            planes = self._planes[step]
            token, plane = token // planes, (token % planes).astype(np.int16)
        if self._lead.any():
            lead = self._lead[step]
            arrival, start = arrival - lead, start - lead
        columns = {name: _named(*coded, step) for name, coded in self._names.items()}
        columns["component"] = arrow_columns.dictionary(plain(where), self._components)
        columns |= {"request": plain(request), "token": plain(token), "plane": plain(plane)}
        columns |= {"arrival_ps": plain(arrival), "start_ps": plain(start), "end_ps": plain(end)}
        return pa.Table.from_arrays([columns[name] for name in TRACE], names=TRACE)


def _named(words: Any, codes: np.ndarray, step: np.ndarray) -> Any:
    """A dictionary-encoded column: the name that each visit's step has."""
    of_visits = np.take(codes, step, mode="clip")
    return arrow_columns.dictionary(arrow_columns.plain(of_visits), words)
