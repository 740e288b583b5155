"""Arrow arrays from numpy arrays and lists, without pandas.

``pyarrow.array`` and ``pyarrow.table`` import pandas to see whether they were handed some of it: a
sixth of a second that a run without pictures does not have. Here arrays are made of buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def plain(values: np.ndarray) -> Any:
    """The same memory as an arrow array.

    >>> plain(np.arange(3, dtype=np.int16)).type
    DataType(int16)
    """
    values = np.ascontiguousarray(values)
    type_ = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(type_, len(values), [None, pa.py_buffer(values)])


def words(values: Sequence[str | None]) -> Any:
    """A column of words.

    >>> words(["a", None, "µ"]).to_pylist()
    ['a', None, 'µ']
    """
    text = [(value or "").encode() for value in values]
    ends = np.cumsum([0, *map(len, text)], dtype=np.int64)
    if ends[-1] > np.iinfo(np.int32).max:
        return pa.array(values, pa.string())
    buffers = [_present(values), pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(text))]
    return pa.Array.from_buffers(pa.string(), len(text), buffers)


def coded(values: Sequence[str | None]) -> tuple[Any, np.ndarray]:
    """The words (arrow), each once, and which of them each value is (int32; -1 for None).

    Each word once: of a dictionary with a word twice, pyarrow writes a page that ends in whatever
    was in memory, and the words of every row beside it.
    """
    known = dict.fromkeys(value for value in values if value is not None)
    place: dict[str | None, int] = {word: at for at, word in enumerate(known)}
    return words(list(known)), np.array([place.get(v, -1) for v in values], dtype=np.int32)


def encoded(values: Sequence[str | None]) -> Any:
    """A dictionary-encoded column of words.

    ``Array.dictionary_encode`` gives the same, but imports ``pyarrow.compute``.

    >>> encoded(["b", None, "b"]).to_pylist()
    ['b', None, 'b']
    """
    known, codes = coded(values)
    present = [pa.py_buffer(np.packbits(codes >= 0, bitorder="little"))] if -1 in codes else [None]
    indices = pa.Array.from_buffers(pa.int32(), len(codes), [*present, pa.py_buffer(codes)])
    return dictionary(indices, known)


def dictionary(codes: Any, known: Any) -> Any:
    """A column of the words that arrow integers number."""
    return pa.DictionaryArray.from_arrays(codes, known, safe=False)


def column(values: Sequence[Any] | np.ndarray, type_: Any) -> Any:
    """A column of integers or floats, None where there is none; of other types by pyarrow.

    >>> column([1, None], pa.int32()).to_pylist()
    [1, None]
    """
    if pa.types.is_string(type_) and not isinstance(values, np.ndarray):
        return words(values)
    if not (pa.types.is_integer(type_) or pa.types.is_floating(type_)):
        return pa.array(values, type_)
    dtype = np.dtype(type_.to_pandas_dtype())
    present = None
    if not isinstance(values, np.ndarray):
        present = _present(values)
        values = np.array(values if present is None else [v or 0 for v in values])
    narrow = values.astype(dtype)
    if len(values) and values.dtype.kind in "iu" and (narrow != values).any():
        raise OverflowError(f"a value does not fit into {type_}")
    return pa.Array.from_buffers(type_, len(narrow), [present, pa.py_buffer(narrow)])


def _present(values: Sequence[Any]) -> Any:
    """Bits that say where a value is not None; None where none is."""
    if None not in values:
        return None
    present = np.array([value is not None for value in values])
    return pa.py_buffer(np.packbits(present, bitorder="little"))
