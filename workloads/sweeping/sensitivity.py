"""How much an answer hangs on each parameter: one at a time, at half and double its value.

Only parameters of the wanted status move (by default those that the chip's own paper does not
give), and only if they act on what is asked. A parameter that is a word takes its other words. One
that is 0 has no half and double: it stays, and is named. What follows from a moved parameter
follows (``sim/chip/rules.py``); what a rule has made does not move by itself.

A tornado is a table with a row a move: columns ``parameter``, ``status``, ``change`` (what it was
set to), ``side`` (``half``, ``double``, ``other``) and ``answer``; the first row has no parameter
and is the base.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.chip.parameters import Parameter
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.terminal import Say

UNSURE = ("third-party", "fitted", "inferred", "assumed")
"""Statuses of what a chip's own paper does not give."""
MACHINE = ("time", "energy", "area", "capacity")
"""Answers of runs without values: what else parameters act on cannot move them."""

Row = dict[str, Any]


class Move(NamedTuple):
    """One parameter set to another value, as ``--set`` takes it."""

    parameter: str
    status: str
    side: str
    setting: float | int | str


def moves(
    chip: Chip,
    *,
    statuses: Collection[str] = UNSURE,
    acts: Collection[str] = MACHINE,
    also: Collection[str] = (),
) -> tuple[list[Move], list[str]]:
    """All moves, and the names of parameters that would move if they were not 0.

    ``also``: parameters of any status.

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> found, still = moves(load_chip("hyflexpim"), statuses=["inferred"], acts=["energy"])
    >>> [(move.parameter, move.side, move.setting) for move in found][-2:]
    [('host_port.bandwidth', 'half', '64 GB/s'), ('host_port.bandwidth', 'double', '256 GB/s')]
    """
    found: list[Move] = []
    still = []
    for key, record in chip.provenance.items():
        parameter = chip.parameters[key]
        wanted = key in also or (record.status in statuses and set(parameter.acts) & set(acts))
        if not wanted or key in chip.derived:
            continue
        if record.value == 0:
            still.append(key)
        elif isinstance(record.value, str):
            others = (word for word in parameter.options if word != record.value)
            found += [Move(key, record.status, "other", word) for word in others]
        else:
            sides = {"half": record.value / 2, "double": record.value * 2}
            found += [
                Move(key, record.status, side, text)
                for side, value in sides.items()
                if (text := _text(parameter, value, record.unit)) is not None
            ]
    return found, still


def movable(chip: Chip) -> set[str]:
    """Parameters that a chip has of its own; the rest follows."""
    return set(chip.parameters) - set(chip.derived)


def _text(parameter: Parameter, value: float, unit: str) -> float | int | str | None:
    """A value with its unit; None where a number cannot be halved or would leave its range."""
    if not unit:
        if not parameter.low <= value <= parameter.high:
            return None
        if not parameter.whole:
            return value
        return int(value) if value == int(value) else None
    return f"{value:.12g} {unit}"


def tornado(
    of: Callable[[Sequence[Move]], float], found: Iterable[Move], say: Say
) -> Iterable[Row]:
    """Rows of a tornado, the base first. A move that the chip refuses has no row.

    ``of``: the answer with some parameters moved.
    """
    listed = list(found)
    yield row_of(None, of(()))
    for i, move in enumerate(listed):
        say(move.parameter, i, len(listed))
        try:
            yield row_of(move, of((move,)))
        except InputError:
            continue


def row_of(move: Move | None, answer: float) -> Row:
    """The row of a move; of the base, if there is none."""
    if move is None:
        return {"parameter": "", "status": "", "side": "", "change": "", "answer": answer}
    change = str(move.setting)
    return {
        "parameter": move.parameter,
        "status": move.status,
        "side": move.side,
        "change": change,
        "answer": answer,
    }


def span(rows: Iterable[Row]) -> dict[str, float]:
    """Largest over least answer of each parameter, its base among them; the widest first.

    >>> base = {"parameter": "", "answer": 2.0}
    >>> span([base, {"parameter": "a", "answer": 1.0}, {"parameter": "b", "answer": 2.2}])
    {'a': 2.0, 'b': 1.1}
    """
    answers: dict[str, list[float]] = {}
    for row in rows:
        answers.setdefault(row["parameter"], []).append(row["answer"])
    (base,) = answers.pop("")
    spans = {
        name: max(base, *values) / min(base, *values) if min(base, *values) > 0 else float("inf")
        for name, values in answers.items()
    }
    return dict(sorted(spans.items(), key=lambda pair: -pair[1]))
