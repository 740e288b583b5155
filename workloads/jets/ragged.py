"""Columns of lists as flat arrays, checked: what files of jets are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError

_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def ragged(
    path: Path, table: Any, names: Sequence[str]
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Length of each row's lists (J,), and the columns of lists flat, checked.

    Raises InputError, naming file, column and row, for what is no list of finite numbers, and for
    lists of a row that differ in length.
    """
    counts: NDArray[np.int64] | None = None
    flat = {}
    for name in names:
        column = table[name].combine_chunks()
        if not any(is_one(column.type) for is_one in _LISTS):
            raise InputError(f"{path}: column {name} must be lists of numbers; got {column.type}")
        own, flat[name] = _taken_apart(column)
        counts = own if counts is None else counts
        if (own != counts).any():
            j = int(np.argmax(own != counts))
            what = name.partition("_")[0].replace("part", "particle").replace("truth", "product")
            raise InputError(
                f"{path}: column {name} must have one value a {what} ({counts[j]}); "
                f"got {own[j]} in row {j}"
            )
        finite(path, name, flat[name], np.repeat(np.arange(len(own)), own))
    assert counts is not None
    return counts, flat


def _taken_apart(column: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Lengths of lists, 0 of a missing one, and all their values."""
    if pa.types.is_fixed_size_list(column.type):
        import pyarrow.compute as pc  # noqa: PLC0415 (slow to import, seldom needed)

        lengths = numbers(pc.fill_null(pc.list_value_length(column), 0))
        return lengths.astype(np.int64), numbers(pc.list_flatten(column))
    ends = column.offsets.to_numpy()  # a missing list of a Parquet file is read as an empty one
    return np.diff(ends).astype(np.int64), numbers(column.values[ends[0] : ends[-1]])


def numbers(column: Any) -> NDArray[Any]:
    """A column of numbers as an array."""
    found: NDArray[Any] = np.asarray(column.to_numpy(zero_copy_only=False))
    return found


def finite(path: Path, name: str, column: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Raise InputError, naming the row, for values that are no finite numbers."""
    if column.dtype.kind not in "fiu":
        raise InputError(f"{path}: column {name} must hold numbers; got {column.dtype}")
    good = np.isfinite(column)
    if not good.all():
        at = int(np.argmin(good))
        raise InputError(f"{path}: {name} must be finite; got {column[at]} in row {rows[at]}")
