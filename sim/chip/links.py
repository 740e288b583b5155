"""Which links mean something: ends that a transfer goes between.

======================  ===========================================================================
joins                   transfers
======================  ===========================================================================
host, chip              inputs and outputs of a model. Every chip needs one
pu, pu                  results that layers on other PUs of the chip read, vectors and partial sums
                        of a layer that is spread over PUs; a bus, or a mesh. Needed where layers
                        lie on several PUs
chip, chip              the same from chip to chip, in steps to the neighbour. Needed where a model
                        takes several chips
UNIT, the unit that     operands of UNIT from where results lie, and its results back. Analog arrays
holds results           need one; any other unit without one reads and writes results for nothing
======================  ===========================================================================

Nothing else is ever crossed: weights fetched from ``weights``, choosers of ``keys`` and the unit of
``partial-sums`` reach the memory of results without a link, and so do gemvs of a MAC array (reads
of its operands are accesses of that memory). A link that no transfer could use is refused where
that is certain, and is among a run's notes otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hyflexsim.sim.errors import InputError

BETWEEN = (("host", "chip"), ("pu", "pu"), ("chip", "chip"))
"""What links may join beside a unit and the memory of results."""
_ROLES = ("results", "partial-sums")
"""Those who only have a role never ask for a transfer."""


def between_units(joins: tuple[str, str], units: Collection[str]) -> bool:
    """Whether a link joins two units of a chip."""
    return set(joins) <= set(units)


def check_link(
    at: str, entry: Mapping[str, Any], units: Collection[str], serves: Mapping[str, str], own: bool
) -> None:
    """Raise :class:`InputError` for a link that no transfer can use.

    ``serves``: units by what they serve. ``own``: whether the link was drawn knowing them; one of
    an extended file, which joins those who served before, is only noted by runs.
    """
    joins = tuple(entry["joins"])
    if entry.get("kind") == "mesh" and joins != ("pu", "pu"):
        raise InputError(f"{at}.kind must be bus: only pu and pu are joined by a mesh")
    if "ports" in entry and set(joins) != {"host", "chip"}:
        raise InputError(f"{at}.ports goes with joins of host and chip; it joins {_pair(joins)}")
    if any(sorted(joins) == sorted(pair) for pair in BETWEEN):
        return
    memory = serves.get("results")
    if memory is None and between_units(joins, units):
        return  # nobody knows yet
    asking = [unit for op, unit in serves.items() if op not in _ROLES and unit != memory]
    if memory in joins and any(unit in joins for unit in asking):
        return
    if not own and between_units(joins, units):
        return
    pairs = [_pair(pair) for pair in BETWEEN]
    others = ", ".join(dict.fromkeys(asking))
    if memory is not None and others:
        pairs.append(f"{memory} (where results lie) and one of {others}")
    raise InputError(f"{at}.joins must be {'; '.join(pairs)}; no transfer could use {_pair(joins)}")


def _pair(joins: Collection[str]) -> str:
    return " and ".join(joins)
