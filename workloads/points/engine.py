"""The engine of sweeps and studies: points out to where they are computed, and back to be kept.

A point is any function of a dict of settings: sweeps keep theirs in a results folder
(sweeping/results.py), studies in the table of their job (study.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from hyflexsim.workloads.points.done import Done
from hyflexsim.workloads.points.executors import Executor
from hyflexsim.workloads.points.store import FullError, Store
from hyflexsim.workloads.terminal import Say

Settings = Mapping[str, Any]


class Source(Protocol):
    """Says which point is next."""

    total: int

    def next(self, group: str) -> Next | None:
        """A point that has no answers yet, of this group if there is one; None: that is all."""

    def tell(self, done: Done) -> None:
        """A point that it gave is over."""


class Next(NamedTuple):
    """Number and settings of a point, and the group of points that have much in common with it."""

    point: int
    settings: Settings
    group: str = ""


class Listed:
    """Points that are known from the start, but for those that are done.

    A worker is given points of its group, then a group that nobody has begun, then what is left of
    the longest one. `group`: what points of a group have in common.
    """

    def __init__(
        self,
        points: Sequence[Settings],
        results: Store,
        group: Callable[[Settings], str] = lambda settings: "",
    ) -> None:
        self.total = len(points)
        self._fresh: dict[str, deque[Next]] = {}
        self._begun: dict[str, deque[Next]] = {}
        for number, settings in enumerate(points):
            if number not in results:
                name = group(settings)
                self._fresh.setdefault(name, deque()).append(Next(number, settings, name))

    def next(self, group: str) -> Next | None:
        """See :class:`Source`."""
        if group not in self._begun:
            if self._fresh:
                group = next(iter(self._fresh))
                self._begun[group] = self._fresh.pop(group)
            elif self._begun:
                group = max(self._begun, key=lambda name: len(self._begun[name]))
            else:
                return None
        left = self._begun[group]
        found = left.popleft()
        if not left:
            del self._begun[group]
        return found

    def tell(self, done: Done) -> None:
        """See :class:`Source`; nobody needs to know."""


def explore(
    source: Source,
    executor: Executor,
    results: Store,
    *,
    common: Settings | None = None,
    seen: Callable[[Done], None] | None = None,
    say: Say | None = None,
) -> None:
    """Compute all points of `source` that are not in `results`, and put them there.

    `common`: settings that every point has beside its own. `seen`: told of each point before it is
    kept; what it raises ends the sweep. Raises FullError where the disk is full,
    when the points that had begun are over and kept.
    """
    say = say or (lambda what, done, total: None)
    begun: dict[int, Settings] = {}
    full: FullError | None = None
    kept = len(results)
    say("computing points", kept, source.total)

    def begin() -> None:
        for group in executor.idle():
            given = source.next(group)
            if given is None:
                return
            begun[given.point] = given.settings
            executor.submit(given.point, {**(common or {}), **given.settings}, given.group)

    begin()
    while begun:
        done = executor.finished()
        if seen is not None:
            for each in done:
                seen(each)
        try:
            results.add(done, {each.point: begun.pop(each.point) for each in done})
        except FullError as error:
            full = error
        for each in done:
            source.tell(each)
        if full is None:
            begin()
        kept += len(done)
        say("computing points", kept, source.total)
    if full is not None:
        raise full
