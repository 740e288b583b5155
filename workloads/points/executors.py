"""Where points are computed: what the engine of sweeps wants of a place, and the simplest one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from hyflexsim.workloads.points.done import Done, PointFunction, attempt


class Executor(Protocol):
    """Takes points, gives them back when they are over, in any order."""

    workers: int
    """How many points are computed at once."""

    def idle(self) -> list[str]:
        """An entry for each point that it can take now: the group of which the worker had the last
        point, "" if it had none or nobody knows.
        """

    def submit(self, point: int, settings: Mapping[str, Any], group: str = "") -> None:
        """Begin a point, where one of its group was if that is idle; only if anybody is."""

    def finished(self) -> list[Done]:
        """Wait for a point; it and all others that are over by now."""

    def close(self) -> None:
        """Let go; points that are not over are forgotten."""


class Here:
    """Points one after the other, in this process: any function will do."""

    workers = 1

    def __init__(self, function: PointFunction) -> None:
        self._function = function
        self._next: tuple[int, Mapping[str, Any]] | None = None

    def idle(self) -> list[str]:
        """See :class:`Executor`."""
        return [""] if self._next is None else []

    def submit(self, point: int, settings: Mapping[str, Any], group: str = "") -> None:
        """See :class:`Executor`."""
        self._next = point, settings

    def finished(self) -> list[Done]:
        """See :class:`Executor`."""
        if self._next is None:
            return []
        done = attempt(self._function, *self._next)
        self._next = None
        return [done]

    def close(self) -> None:
        """See :class:`Executor`."""
