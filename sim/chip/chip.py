"""A chip as data: which units it has, which links join them, which unit serves which op class.

A chip is a TOML file, read by ``load.py``::

    [chip.pus]                       # every parameter is a table with value, status and source
    value = 24
    status = "stated"
    source = "HyFlexPIM §3.1"

    [units.analog]
    kind = "analog_array"            # a file in sim/units
    where = "pu"                     # in every PU; "chip": once a chip; "system": beside the chips
    [units.analog.rows]              # its parameters, known as analog.rows
    value = 64 ...

    [units.sfu]
    kind = "sfu"
    beside = "digital"               # one in each module of another unit

    [links.pu_bus]
    joins = ["analog", "digital"]    # see links.py; others: "pu", "pu" ...

    [serves]
    gemv = { unit = "analog" }
    matmul = { unit = "digital", format = "fp32" }
    "matmul.probabilities" = { unit = "digital" }     # scores times V
    "softmax|norm|pointwise" = { unit = "sfu" }
    results = { unit = "digital" }   # where results lie and wait

Beside the op classes (``sim/op_classes.py``) there are two roles: ``results`` and
``partial-sums``, the unit that adds partial sums of row tiles. ``weights`` names a unit that
holds the weights of a gemv where the one that multiplies does not: they are fetched once a request.
``keys`` names a unit that chooses which keys an attention product is computed for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import Unit
from hyflexsim.sim.chip.parameters import Follows, Parameter, Section, parameter, value_of
from hyflexsim.sim.chip.provenance import ASSUMPTIONS, Record, Row
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.op_classes import KINDS

ROLES = ("results", "partial-sums")
SERVED = (*(kind for kind in KINDS if kind not in ("input", "output")), *ROLES)
"""What ``[serves]`` may name."""
OPERANDS = ("matmul.values", "matmul.probabilities")
"""Op classes told apart by what they multiply."""
ENDS = ("pu", "chip", "host")
"""Ends of links that are no units."""


class ChipValues(Section):
    """What a chip is as a whole."""

    pus: Annotated[
        int, parameter("", 1, 4096, "processing units per chip", "area, capacity, time, energy")
    ]
    max_tokens: Annotated[
        int, parameter("", 1, 2**24, "longest sequence one PU serves alone", "capacity")
    ]
    technology_nm: Annotated[
        int, parameter("nm", 1, 1000, "node of all areas and powers", "energy, area")
    ]


class LinkEnergy(Section):
    """Of a link."""

    bit: Annotated[
        float,
        parameter(
            "pJ",
            0,
            1e12,
            "a bit (of a mesh: a bit and hop)",
            "energy",
            [Follows(rules.node_energy, ("chip.technology_nm",))],
        ),
    ]


_BANDWIDTH = (1e-6, 1e9)  # GB/s: one kilobyte to one exabyte per second


class LinkValues(Section):
    """A bus: one transfer at a time. A mesh: one at a time out of each PU, in hops."""

    bandwidth: Annotated[float, parameter("GB/s", *_BANDWIDTH, "of one transfer", "time, energy")]
    latency: Annotated[int, parameter("ps", 0, 10**12, "beyond size / bandwidth", "time")]
    energy: LinkEnergy


class PortEnergy(Section):
    """Of a link that leaves the chip."""

    bit: Annotated[float, parameter("pJ", 0, 1e12, "a bit", "energy")]


class PortValues(LinkValues):
    """A link that leaves the chip: its circuits are not of the chip's node."""

    energy: PortEnergy  # type: ignore[assignment]


def link_values(joins: tuple[str, str]) -> type[LinkValues]:
    """The parameters of a link between two ends."""
    return PortValues if {"chip", "host"} & set(joins) else LinkValues


@dataclass(frozen=True)
class Link:
    """One entry of ``[links]``. ``kind``: ``bus`` or ``mesh``; ``ports``: see ``load.py``."""

    name: str
    kind: str
    joins: tuple[str, str]
    values: LinkValues
    ports: str = "first"


@dataclass(frozen=True)
class Assignment:
    """One entry of ``[serves]``; see the head of this file."""

    op: str
    unit: str
    format: str = ""
    weights: str = ""
    keys: str = ""


@dataclass(frozen=True)
class Chip:
    """A chip; made by :func:`hyflexsim.sim.units.catalogue.load_chip`.

    ``provenance`` and ``parameters``: by full name, ``"analog.rows"``. ``derived``: names of values
    that a rule has made, with what they follow from.
    """

    name: str
    values: ChipValues
    units: dict[str, Unit]
    links: dict[str, Link]
    serves: dict[str, Assignment]
    provenance: dict[str, Record]
    parameters: dict[str, Parameter]
    derived: dict[str, str]

    def __repr__(self) -> str:
        return f"Chip({self.name!r})"  # a hundred values would drown every message

    def __getitem__(self, key: str) -> Any:
        """The value of a parameter by its full name, ``chip["analog.rows"]``."""
        owner, _, name = key.partition(".")
        if owner == "chip":
            return value_of(self.values, name)
        return value_of((self.units.get(owner) or self.links[owner]).values, name)

    def served_by(self, op: str, operand: str = "") -> Assignment:
        """Who serves an op class; raise :class:`InputError` where nobody does."""
        found = self.serves.get(f"{op}.{operand}") or self.serves.get(op)
        if found is None:
            known = ", ".join(self.serves) or "nothing"
            raise InputError(f"{self.name}: no unit serves {op}; serves has {known}")
        return found

    def unit(self, op: str, operand: str = "") -> Unit:
        """The unit that serves an op class or role."""
        return self.units[self.served_by(op, operand).unit]

    @property
    def holder(self) -> Unit:
        """The unit in which static weights lie."""
        gemv = self.served_by("gemv")
        return self.units[gemv.weights or gemv.unit]

    @property
    def vector_bits(self) -> int:
        """Bits of an element of a token, as gemvs take it and links carry it."""
        gemv = self.served_by("gemv")
        unit = self.units[gemv.unit]
        return unit.kind.input_bits(unit, gemv.format)

    @property
    def weight_bits(self) -> int:
        """Bits of a stored weight."""
        gemv = self.served_by("gemv")
        unit = self.units[gemv.unit]
        return unit.kind.weight_bits(unit, gemv.format)

    def link(self, one: str, other: str) -> Link | None:
        """The link that joins two ends, if there is one."""
        for link in self.links.values():
            if link.joins in ((one, other), (other, one)):
                return link
        return None

    def need_link(self, one: str, other: str) -> Link:
        """The same; raise :class:`InputError` where there is none."""
        link = self.link(one, other)
        if link is None:
            raise InputError(
                f"{self.name}: links must join {one} and {other} for this model; none does: add "
                f'[links.NAME] with joins = ["{one}", "{other}"]'
            )
        return link

    def action_energy(self, owner: str, action: str) -> tuple[float, str]:
        """pJ of one action of a unit or link, and the status of that value."""
        key = f"{owner}.energy.{'bit' if owner in self.links else action}"
        return float(self[key]), self.provenance[key].status

    def component_kind(self, owner: str, action: str) -> str:
        """The kind of component that an action is reported under."""
        if owner in self.links:
            return owner
        return self.units[owner].kind.actions[action]

    def describe(self) -> list[Row]:
        """A row a parameter, in the order of the file."""
        return [
            Row(key, record.value, record.unit, record.status, record.source)
            for key, record in self.provenance.items()
        ]


def used_assumptions(chip: Chip, values: bool = False) -> list[str]:
    """Names of the parameters that no paper gives: status fitted, inferred or assumed.

    ``values``: also those that act on values alone; on wear alone no run rests.
    """
    apart = {"wear"} if values else {"wear", "values"}
    return sorted(
        key
        for key, record in chip.provenance.items()
        if record.status in ASSUMPTIONS and not set(chip.parameters[key].acts) <= apart
    )
