"""Columns of one split, from a Parquet file or from the hub, checked on the way out.

Both places give the same: plain Python values by our column names, for the rows that were asked
for. A refusal names the place, the column, what it must hold, what it holds and the row.
"""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.datasets.kinds import spread
from hyflexsim.workloads.datasets.places import VARIABLE, Entry, Hub, place


@dataclass(frozen=True)
class Columns:
    """Some rows of a table: `values[name][i]` is column `name` of the table's row `rows[i]`."""

    where: str  # file, or data set on the hub
    source: str  # local, hub
    rows: NDArray[np.int64]
    values: dict[str, list[Any]]

    def texts(self, name: str) -> list[str]:
        """A column of text."""
        self._check(name, "text", lambda value: isinstance(value, str))
        return self.values[name]

    def classes(self, name: str, count: int) -> NDArray[np.int64]:
        """A column of classes 0 ... count - 1, (rows,)."""
        self._check(
            name,
            f"whole numbers 0 ... {count - 1}",
            lambda value: type(value) is int and 0 <= value < count,
        )
        return np.array(self.values[name], dtype=np.int64)

    def scores(self, name: str, top: float) -> NDArray[np.float64]:
        """A column of numbers 0 ... top, (rows,)."""
        self._check(
            name,
            f"numbers 0 ... {top:g}",
            lambda value: (
                type(value) in (float, int) and math.isfinite(value) and 0 <= value <= top
            ),
        )
        return np.array(self.values[name], dtype=np.float64)

    def pictures(self, name: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """A column of images, as JPEG or PNG bytes or decoded by the hub: (rows, *shape)."""
        pixels = np.empty((len(self.rows), *shape), dtype=np.uint8)
        for i, value in enumerate(self.values[name]):
            image = _pixels(value)
            if image is None or image.shape != shape:
                allowed = f"images of {' × '.join(map(str, shape))}"
                got = "no image" if image is None else " × ".join(map(str, image.shape))
                raise self._refusal(name, allowed, got, i)
            pixels[i] = image
        return pixels

    def _check(self, name: str, allowed: str, good: Callable[[Any], bool]) -> None:
        for i, value in enumerate(self.values[name]):
            if not good(value):
                raise self._refusal(name, allowed, f"{value!r:.40}", i)

    def _refusal(self, name: str, allowed: str, got: str, i: int) -> InputError:
        return InputError(
            f"{self.where}: column {name} must hold {allowed}; got {got} in row {self.rows[i]}"
        )


def columns(entry: Entry, split: str, limit: int | None) -> Columns:
    """The entry's columns, `limit` rows spread over the split, from the first place that has it.

    Raises InputError for a place that is missing or unreadable, missing columns, no rows.
    """
    found = place(entry, split)
    if isinstance(found, Hub):
        return _from_hub(entry, found, split, limit)
    return from_file(found[0], entry.columns, limit)


def from_file(path: Path, names: Sequence[str], limit: int | None = None) -> Columns:
    """Columns of a Parquet file."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(path)
        rows = _rows(str(path), file.schema_arrow.names, names, file.metadata.num_rows, limit)
        table = file.read(list(names)).take(pa.array(rows))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: must be a readable Parquet file; {_line(error)}") from None
    return Columns(str(path), "local", rows, {name: table[name].to_pylist() for name in names})


def _from_hub(entry: Entry, hub: Hub, split: str, limit: int | None) -> Columns:
    """Columns of a data set on the hub, by our names."""
    where = " ".join(filter(None, (hub.repository, hub.config, hub.splits[split])))
    names = [hub.columns.get(name, name) for name in entry.columns]
    try:
        library = importlib.import_module("datasets")
        data = library.load_dataset(hub.repository, hub.config, split=hub.splits[split])
        rows = _rows(where, data.column_names, names, len(data), limit)
        picked = data if len(rows) == len(data) else data.select(rows.tolist())
        lists = {ours: list(picked[hubs]) for ours, hubs in zip(entry.columns, names, strict=True)}
    except InputError:
        raise
    except Exception as error:  # network, cache and format errors have no common class
        raise InputError(
            f"{entry.name}: the hub did not give {where} ({_line(error)}); "
            f"set {VARIABLE} to a folder with {entry.files[split][0]}, or try again online"
        ) from None
    return Columns(where, "hub", rows, lists)


def _rows(
    where: str, present: Sequence[str], names: Sequence[str], rows: int, limit: int | None
) -> NDArray[np.int64]:
    missing = [name for name in names if name not in present]
    if missing:
        raise InputError(
            f"{where}: column {missing[0]} is missing; it has {', '.join(present) or 'none'}"
        )
    if not rows:
        raise InputError(f"{where}: must hold at least one row; got none")
    return spread(rows, limit)


def _pixels(value: Any) -> NDArray[np.uint8] | None:
    """Height × width × channels, or None for what is no image."""
    from PIL import Image  # noqa: PLC0415

    try:
        image = Image.open(io.BytesIO(value)) if isinstance(value, bytes) else value
        pixels = np.asarray(image)
    except OSError:
        return None
    return pixels if pixels.dtype == np.uint8 and pixels.ndim > 1 else None


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
