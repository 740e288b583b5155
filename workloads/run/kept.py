"""What runs of one process have in common, made once: graphs, opened checkpoints, plans."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Kept:
    """The last few of each kind of thing, by what they were made from.

    >>> kept = Kept(most=1)
    >>> [kept.once("squares", n, lambda: print("made") or n * n) for n in (3, 3)]
    made
    [9, 9]
    """

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._kinds: dict[str, OrderedDict[Hashable, Any]] = {}

    def once(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned when `key` was last unknown; what `make` raises is raised."""
        things = self._kinds.setdefault(kind, OrderedDict())
        if key not in things:
            things[key] = make()
            if len(things) > self._most:
                things.popitem(last=False)
        things.move_to_end(key)
        thing: T = things[key]
        return thing
