"""The Parquet tables of a run directory: their columns, and how a trace is written.

The schema with its meaning: docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hyflexsim.sim.energy import ServedBy
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.engine.trace import DTYPES, Block
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.workloads.run.run_dir import TEXT, write_rows

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


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One of :data:`SCHEMAS` from its rows."""
    write_rows(folder / f"{name}.parquet", SCHEMAS[name], rows)


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
                "step": _named([each.name for each in steps], step),
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
    """A dictionary-encoded column: the name that each visit's step has.

    Each word once: of a dictionary with a word twice, pyarrow writes a page that ends in whatever
    was in memory, and the words of every row beside it.
    """
    words = list(dict.fromkeys(names))
    place = {word: index for index, word in enumerate(words)}
    codes = np.array([place[name] for name in names], dtype=np.int32)
    return pa.DictionaryArray.from_arrays(codes[step], words)
