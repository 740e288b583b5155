"""A table kept by columns that can be read by rows: a million requests in some ten megabytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

Row = dict[str, Any]


class Columns(Sequence[Row]):
    """Columns of equal length, arrays or lists; a row is made when it is asked for.

    >>> table = Columns({"request": np.arange(2), "label": ["QCD", "Tbl"]})
    >>> table[1], len(table)
    ({'request': 1, 'label': 'Tbl'}, 2)
    """

    def __init__(self, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Columns: ...

    def __getitem__(self, index: int | slice) -> Row | Columns:
        if isinstance(index, slice):
            return Columns({name: column[index] for name, column in self.columns.items()})
        return {name: _plain(column[index]) for name, column in self.columns.items()}

    def __iter__(self) -> Iterator[Row]:
        return (self[i] for i in range(len(self)))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
