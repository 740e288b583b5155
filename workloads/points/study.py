"""The rows of a study: points of its own kind, computed side by side, kept in its job's table.

A sweep keeps the point that failed beside all others; a study has no use for a part of its table,
and ends at the first that fails. What had been computed is kept for the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any, Generic, TypeVar

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.chosen import executor_of
from hyflexsim.workloads.points.done import Done, PointFunction
from hyflexsim.workloads.points.engine import Listed, Settings, explore
from hyflexsim.workloads.resumable import Rows
from hyflexsim.workloads.terminal import Say

T = TypeVar("T")
Row = dict[str, Any]


def computed(
    rows: Rows,
    points: Sequence[Settings],
    function: PointFunction,
    *,
    common: Settings,
    workers: int | None = None,
    group: Callable[[Settings], str] = lambda settings: "",
    say: Say | None = None,
) -> list[Row]:
    """Rows of all points, in their order: the columns that tell rows apart, and the answers.

    `rows`: those that there are, to which others are added. `function`: computes a point from
    `common` and its own settings, all of them plain values. `workers`: as in
    :func:`~hyflexsim.workloads.points.chosen.executor_of`. `group`: what points have in common.

    Raises InputError for a point that fails: its one line.
    """
    kept = _Kept(rows, points)
    if len(kept) < len(points):
        with closing(executor_of(function, workers)) as executor:
            source = Listed(points, kept, group)
            explore(source, executor, kept, common=common, seen=_whole, say=say)
    return kept.rows()


class _Kept:
    """The table of a job, as a :class:`~hyflexsim.workloads.points.store.Store`."""

    def __init__(self, table: Rows, points: Sequence[Settings]) -> None:
        self._table = table
        self._keys = [{name: settings[name] for name in table.key} for settings in points]

    def __contains__(self, point: int) -> bool:
        return self._keys[point] in self._table

    def __len__(self) -> int:
        return sum(key in self._table for key in self._keys)

    def add(self, done: Sequence[Done], settings: Mapping[int, Settings]) -> None:
        for each in done:
            self._table.add(self._keys[each.point] | each.answers)

    def rows(self) -> list[Row]:
        return [self._table[key] for key in self._keys]


def _whole(done: Done) -> None:
    if done.error is not None:
        raise InputError(done.error)


class Held(Generic[T]):
    """The last thing that was opened, kept open for the next point that asks for the same.

    >>> held = Held()
    >>> from contextlib import nullcontext
    >>> held.get("one", lambda: nullcontext(1)), held.get("one", lambda: nullcontext(2))
    (1, 1)
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._found: tuple[Any, T] | None = None

    def get(self, key: Any, opening: Callable[[], AbstractContextManager[T]]) -> T:
        """What is open by this key; opened now, and the last one closed, if it is another."""
        if self._found is None or self._found[0] != key:
            self.close()
            self._found = key, self._stack.enter_context(opening())
        return self._found[1]

    def close(self) -> None:
        """Close what is open."""
        self._found = None
        self._stack.close()
