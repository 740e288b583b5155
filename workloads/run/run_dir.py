"""Files of a run directory: the same tables give the same bytes.

The schema: docs/architecture.md; tables of a run: run_tables.py; how all of them appear at once:
workloads/outputs.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyflexsim.workloads.run.column_table import Columns

MARKS = ("scenario.json", "summary.json", "trace.parquet")
"""Files by which a run directory is recognised."""

TEXT = "text"
"""In a schema: a column of words, dictionary-encoded."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON, keys in the order given."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_rows(path: Path, schema: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """A Parquet file of the columns of a schema (name -> arrow type or TEXT), from rows."""
    import pyarrow as pa  # noqa: PLC0415 (nothing before a run needs it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    from hyflexsim.workloads.run import arrow_columns as arrow  # noqa: PLC0415

    by_column = rows.columns if isinstance(rows, Columns) else None
    columns = by_column or {key: [row[key] for row in rows] for key in schema}
    table = pa.table(
        {
            key: arrow.encoded(list(columns[key]))
            if type_ is TEXT
            else arrow.column(columns[key], type_)
            for key, type_ in schema.items()
        }
    )
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
