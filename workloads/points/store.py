"""What keeps the points that have been computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.done import Done


class FullError(InputError):
    """Points can no longer be written; all that had finished are."""


class Store(Protocol):
    """Points by number; what has been added is on disk."""

    def __contains__(self, point: int) -> bool: ...

    def __len__(self) -> int: ...

    def add(self, done: Sequence[Done], settings: Mapping[int, Mapping[str, Any]]) -> None:
        """Keep points that have just finished.

        Raises FullError where the disk is full; what was given is on disk all the same.
        """
