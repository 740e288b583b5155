"""A kind of unit: what it stores, how it serves an op, which actions it counts.

One file a kind in ``sim/units``. A kind is a class without state; a unit of a chip is its entry
``[units.NAME]`` with the kind's parameters. What a kind does not do, it does not override: being
asked for it is refused when the chip is loaded, by ``serves`` and ``holds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Protocol

from hyflexsim.sim.chip.parameters import Section, parameter
from hyflexsim.sim.chip.service import Access, Chain, Task

PLACES = ("pu", "chip", "system")
"""Where a unit may be: in every PU, once a chip, or beside each chip."""


@dataclass(frozen=True)
class Unit:
    """One entry of a chip's ``[units]``. ``total``: how many of it work as one in each place.

    ``values``: the kind's parameters. ``beside``: the unit in whose modules it sits.
    """

    name: str
    kind: Kind
    where: str
    total: int
    values: Any
    beside: str = ""

    def working(self, places: Fraction | int) -> int:
        """How many of it work as one in so many places, of some of which only a part."""
        return int(self.total * places)


class UnitValues(Section):
    """What every unit has."""

    count: Annotated[
        int,
        parameter(
            "",
            1,
            2**20,
            "of it in each place (in each module it is beside)",
            "time, energy, area",
        ),
    ]


class Part(Protocol):
    """A matrix, or one of its two factors, as a unit stores it.

    ``part``: ``W``, ``V`` or ``U``. ``pieces``: what it takes of the unit's capacity.
    ``row_tiles``: pieces that a vector is cut into, whose partial sums are added. Equal ones are
    hashed alike: what a unit does with a part is asked once for all that are equal.
    """

    @property
    def part(self) -> str:
        """Which factor."""

    @property
    def rows(self) -> int:
        """Inputs."""

    @property
    def outputs(self) -> int:
        """Results."""

    @property
    def pieces(self) -> int:
        """What one copy takes of the unit's capacity."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one vector."""

    def cells(self) -> Mapping[str, int]:
        """Columns of the table of placements: arrays by mode, and bytes."""


class Kind:
    """Base of all kinds."""

    name: ClassVar[str] = ""
    Values: ClassVar[type[Section]] = UnitValues
    serves: ClassVar[frozenset[str]] = frozenset()
    """Op classes (and roles, see ``chip.py``) it can be given."""
    formats: ClassVar[frozenset[str]] = frozenset()
    """Formats of numbers (formats.py) that ``[serves]`` may ask of it."""
    holds: ClassVar[str] = ""
    """What its capacity is counted in, where static weights may lie in it: arrays, bytes."""
    copied: ClassVar[bool] = False
    """Whether a second copy of a weight serves a second token."""
    actions: ClassVar[Mapping[str, str]] = {}
    """Action -> kind of component that it is reported under; its energy is ``energy.ACTION``."""
    crosses: ClassVar[bool] = False
    """Whether a gemv needs a link to where results lie (others read them in place)."""
    per_mac: ClassVar[str] = ""
    """An action that every multiply-accumulate counts beside the others."""
    bit_by_bit: ClassVar[bool] = False
    """Whether it can multiply with one bit of a stored operand after the other, and stop."""

    def __eq__(self, other: object) -> bool:
        """Kinds have no state: one is as good as another of its class."""
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def check(self, unit: Unit) -> None:
        """Raise :class:`~hyflexsim.sim.errors.InputError` for parameters that do not go
        together.
        """

    def check_served(self, unit: Unit, op: str, format: str) -> None:
        """Raise :class:`~hyflexsim.sim.errors.InputError` where a parameter is missing without
        which it cannot serve ``op`` (a product with its operand) in that format.
        """

    # --- weights ---------------------------------------------------------------------------------

    def hold(
        self, unit: Unit, rows: int, outputs: int, rank: int | None, slc_rate: float, tiles: str
    ) -> tuple[Part, ...]:
        """The parts of a weight of ``rows`` inputs; two where it has a rank."""
        raise NotImplementedError

    def capacity(self, unit: Unit) -> int:
        """Pieces that one place holds."""
        raise NotImplementedError

    def multiply(self, unit: Unit, part: Part, task: Task, planes: bool) -> Chain:
        """One vector times a part. ``planes``: bit-plane by bit-plane, where it works so."""
        raise NotImplementedError

    def interval_ps(self, unit: Unit, parts: tuple[Part, ...]) -> int:
        """Time between two vectors of one copy."""
        raise NotImplementedError

    def fetch(self, unit: Unit, size_bytes: int) -> Chain:
        """Read weights for one request, where they do not stay in the unit that multiplies."""
        raise NotImplementedError

    def input_bits(self, unit: Unit, format: str) -> int:
        """Bits of an element of a vector that it takes."""
        raise NotImplementedError

    def weight_bits(self, unit: Unit, format: str) -> int:
        """Bits of a stored weight."""
        return self.input_bits(unit, format)

    def partial_bits(self, unit: Unit) -> int:
        """Bits of a partial sum that another unit adds up."""
        return 32

    # --- activations -----------------------------------------------------------------------------

    def serve(self, unit: Unit, task: Task) -> Chain:
        """One token of any other op."""
        raise NotImplementedError

    def write(self, unit: Unit, task: Task) -> Chain:
        """Bring ``task.width`` elements that others multiply with (keys, values) into the unit."""
        return ()

    def access(self, unit: Unit, access: Access) -> Chain:
        """Reading or writing bytes, for memories that serve ``results`` and count them."""
        return ()

    def memory_bytes(self, unit: Unit) -> int:
        """Bytes that wait in one place, for units that serve ``results``."""
        raise NotImplementedError

    def waiting_tokens(
        self, unit: Unit, side: str, token_bytes: int, group: Fraction | int
    ) -> int | None:
        """Tokens that fit into an op's ``input`` or ``output`` buffer; None: as many as memory."""
        return None

    def kept(self, unit: Unit) -> float:
        """Share of keys it lets through, for units that choose keys."""
        raise NotImplementedError

    def stored_bits(self, unit: Unit) -> int:
        """Bits of a stored operand, for units that multiply ``bit_by_bit``."""
        raise NotImplementedError

    def chooses(self, unit: Unit) -> str:
        """How it chooses keys by the values of each request: a name of ``CHOICES`` (selector.py);
        empty: it lets a share of them through, the same for all.
        """
        return ""

    def moves(self, unit: Unit) -> bool:
        """Whether what holds it up is moving data, not arithmetic: a roofline's word for it."""
        return not self.serves & {"gemv", "matmul", "softmax", "partial-sums"}

    # --- ledgers ---------------------------------------------------------------------------------

    def area(self, unit: Unit) -> dict[str, float]:
        """Part -> mm² of one unit."""
        return {}

    def power(self, unit: Unit) -> dict[str, float]:
        """Part -> mW of one unit with everything busy."""
        return {}
