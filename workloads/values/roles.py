"""What a step of a plan does to numbers, read off its name and kind.

A step's name is that of its op and a label. A label that is not known here is refused by name, so
that a new kind of unit is not executed by guess.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Step

CARRY = ("in", "out", "gather", "reduce", "load", "store", "read", "fetch", "choose")
"""Labels of steps that move what they wait for, or look at it and say what of it is used."""

_PART = re.compile(r"\.([VUW])\.(bank|adc|shift_add|out|sum|reduce)$")


class Role(NamedTuple):
    """``what`` a step does, as the table in execution.py has it; ``part``: of a matrix."""

    what: str
    part: str = ""


def role_of(step: Step, op_kind: str, links: frozenset[str]) -> Role:
    """The role of a step whose op is of a class; ``links``: kinds of component that are links.

    Raises InputError for a step that has no meaning here.
    """
    label = step.name.removeprefix(step.op)
    if not label:
        return Role("port" if op_kind in ("input", "output") else "serve")
    found = _PART.fullmatch(label)
    if found:
        part, what = found.groups()
        return Role("carry" if what == "reduce" else what, part)
    if label == ".write":
        return Role("write")
    if step.kind in links or label.removeprefix(".") in CARRY:
        return Role("carry")
    raise InputError(f"values: step {step.name} on {step.kind} has no meaning in numbers")


def count(step: Step, action: str, size: int = 1) -> int:
    """How often a visit of a size does something, by the plan's own counts."""
    return sum(a.per_visit + a.per_size * size for a in step.actions if a.name == action)
