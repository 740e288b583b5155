"""The engine of sweeps: points out to where they are computed, and back into the results folder.

A point is any function of a dict of settings, so a study of another kind than scenarios (ranks,
Pareto points) needs a function and a list of settings, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hyflexsim.workloads.sweeping.done import Done
from hyflexsim.workloads.sweeping.executors import Executor
from hyflexsim.workloads.sweeping.results import FullError, Results
from hyflexsim.workloads.terminal import Say

Settings = Mapping[str, Any]


class Source(Protocol):
    """Says which point is next."""

    total: int

    def next(self) -> tuple[int, Settings] | None:
        """Number and settings of a point that has no answers yet; None: that is all."""

    def tell(self, done: Done) -> None:
        """A point that it gave is over."""


class Listed:
    """Points that are known from the start, but for those that are done."""

    def __init__(self, points: Sequence[Settings], results: Results) -> None:
        self.total = len(points)
        self._left: Iterator[tuple[int, Settings]] = (
            (number, settings) for number, settings in enumerate(points) if number not in results
        )

    def next(self) -> tuple[int, Settings] | None:
        """See :class:`Source`."""
        return next(self._left, None)

    def tell(self, done: Done) -> None:
        """See :class:`Source`; nobody needs to know."""


def explore(
    source: Source,
    executor: Executor,
    results: Results,
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
    kept = len(results.rows())
    say("computing points", kept, source.total)

    def begin() -> None:
        while len(begun) < executor.slots and (point := source.next()):
            number, settings = point
            begun[number] = settings
            executor.submit(number, {**(common or {}), **settings})

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
