"""An axis of a sweep: a key and the values that it takes, a list or a range.

A range ``{ from = 1, to = 8 }`` of integers has all of them; ``steps = 5`` takes so many, evenly
spaced, with ``log = true`` evenly on a logarithmic scale. One without steps is continuous: random
points lie anywhere in it, a grid cannot have it. Ends may have a unit, both the same:
``{ from = "50 ns", to = "200 ns", steps = 4 }``; numbers with a unit are rounded to four digits, of
which three behind the point, since a chip counts in whole ps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest

RANGE = ("from", "to", "steps", "log")
_MEASURE = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(\D.*?)\s*")


class Axis(NamedTuple):
    """A key, and its values: ``choices``, or (None) all between ``low`` and ``high``.

    ``whole``: only integers. ``unit``: written behind each number of a range.
    """

    key: str
    choices: Sequence[Any] | None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    unit: str = ""

    def at(self, share: float) -> Any:
        """The value so far along the axis; ``share`` from 0 up to below 1.

        >>> Axis("k", ["a", "b"]).at(0.5), Axis("k", None, 10, 20).at(0.5)
        ('b', 15.0)
        """
        if self.choices is not None:
            return self.choices[int(share * len(self.choices))]
        return self.written(_between(self.low, self.high, share, self.log))

    def written(self, number: float) -> Any:
        """A number of a range as the scenario wants it."""
        if self.unit:
            return f"{round(float(f'{number:.4g}'), 3):.12g} {self.unit}"
        return round(number) if self.whole else float(number)


def axis(source: str, key: str, given: Any) -> Axis:
    """An axis from what stands in a file; ``source``: how errors call the file.

    >>> axis("a.toml", "k", {"from": 1, "to": 9, "steps": 3}).choices
    [1, 5, 9]
    >>> axis("a.toml", "k", {"from": "1 ns", "to": "4 ns", "steps": 3, "log": True}).choices
    ['1 ns', '2 ns', '4 ns']

    Raises InputError: an empty list, a value twice, a range that is none.
    """
    if isinstance(given, Mapping):
        return _range(source, key, given)
    if not isinstance(given, list | tuple):
        raise InputError(f"{source}: {key} must be a list or a range; got {given!r}")
    if not given:
        raise InputError(f"{source}: {key} must have a value at least; got an empty list")
    for place, value in enumerate(given):
        if any(_same(value, other) for other in given[:place]):
            raise InputError(f"{source}: values of {key} must differ; got {value!r} twice")
    return Axis(key, list(given))


def is_range(table: Mapping[str, Any]) -> bool:
    """Whether a table is a range, and not keys under a key."""
    return "from" in table or "to" in table


def _range(source: str, key: str, given: Mapping[str, Any]) -> Axis:
    for name in given:
        if name not in RANGE:
            raise InputError(f"{source}: {key}: unknown key {name!r}; {nearest(name, RANGE)}")
    ends = [_number(source, key, name, given.get(name)) for name in ("from", "to")]
    (low, unit), (high, other) = ends
    log, steps = given.get("log", False), given.get("steps")
    if not isinstance(log, bool):
        raise InputError(f"{source}: {key}.log must be true or false; got {log!r}")
    if unit != other:
        raise InputError(f"{source}: {key} must have one unit; got {unit!r} and {other!r}")
    if not low < high:
        raise InputError(f"{source}: {key}.from must be below {key}.to; got {low:g} and {high:g}")
    if log and low <= 0:
        raise InputError(f"{source}: {key}.from must be above 0 with log = true; got {low:g}")
    whole = isinstance(low, int) and isinstance(high, int) and not unit
    found = Axis(key, None, low, high, log, whole, unit)
    if steps is None:
        every = whole and not log
        return found._replace(choices=range(int(low), int(high) + 1)) if every else found
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 2:
        raise InputError(f"{source}: {key}.steps must be an integer from 2; got {steps!r}")
    if steps > 10**6:
        raise InputError(f"{source}: {key}.steps must be at most 1000000; got {steps}")
    values = [_between(low, high, i / (steps - 1), log) for i in range(steps)]
    return found._replace(choices=list(dict.fromkeys(map(found.written, values))))


def _number(source: str, key: str, name: str, given: Any) -> tuple[float, str]:
    """An end of a range, and its unit."""
    if isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given):
        return given, ""
    match = _MEASURE.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        got = "nothing" if given is None else repr(given)
        raise InputError(f"{source}: {key}.{name} must be a number, or one with a unit; got {got}")
    return float(match[1]), match[2]


def _between(low: float, high: float, share: float, log: bool) -> float:
    if share in (0, 1):  # exactly as written
        return high if share else low
    if log:
        return float(math.exp(math.log(low) + share * (math.log(high) - math.log(low))))
    return low + share * (high - low)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)
