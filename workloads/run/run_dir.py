"""Writing a run directory: all of it or nothing.

Everything is written into a folder beside the target, which is renamed at the end; whatever
goes wrong before (Ctrl-C as well), the target stays as it was. The same tables give the same
bytes. The schema: docs/architecture.md; tables of a run: run_tables.py.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run.column_table import Columns

MARKS = ("scenario.json", "summary.json", "trace.parquet")
"""Files by which a run directory is recognised."""

TEXT = "text"
"""In a schema: a column of words, dictionary-encoded."""


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


def write_rows(path: Path, schema: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """A Parquet file of the columns of a schema (name -> arrow type or TEXT), from rows."""
    import pyarrow as pa  # noqa: PLC0415 (nothing before a run needs it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    from hyflexsim.workloads.run import arrow_columns as arrow  # noqa: PLC0415

    by_column = rows.columns if isinstance(rows, Columns) else None
    columns = by_column or {key: [row[key] for row in rows] for key in schema}
    table = pa.table(
        {
            key: arrow.words(list(columns[key])).dictionary_encode()
            if type_ is TEXT
            else arrow.column(columns[key], type_)
            for key, type_ in schema.items()
        }
    )
    pq.write_table(table, path, compression="zstd")
