"""One matrix on the chip: its parts, and how many copies of it there are.

A matrix with c copies serves c tokens at once, each copy its share of them. Copying only some of a
part's inputs or outputs would help nobody: every token needs the rest too, whose arrays then set
the pace. But the two factors of a matrix follow each other, so each may have copies of its own::

    V   V   (further)      copies 1, further (1, 0): a copy and a half, if both are equally large
    U
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyflexsim.sim.chip.kind import Part


@dataclass(frozen=True, slots=True)
class Weight:
    """One matrix on the chip; ``ops`` are the graph's nodes that share it.

    ``order``: its ranks (outputs, where dense), those first that are protected first.
    ``copies``: whole ones. ``further``: of each part, copies beyond these (empty: none of any).
    """

    name: str
    layer: str
    ops: tuple[str, ...]
    rank: int | None
    parts: tuple[Part, ...]
    order: Sequence[int]
    copies: int = 1
    further: tuple[int, ...] = ()

    @property
    def op(self) -> str:
        """The first of its ops, whose name it has in tables."""
        return self.ops[0]

    @property
    def pieces(self) -> int:
        """What one copy takes of its unit's capacity."""
        return sum(part.pieces for part in self.parts)

    @property
    def taken(self) -> int:
        """What all copies take of it, those of single parts included."""
        each = zip(self.parts, self.part_copies, strict=True)
        return sum(part.pieces * copies for part, copies in each)

    @property
    def part_copies(self) -> tuple[int, ...]:
        """Copies of each part."""
        further = self.further or (0,) * len(self.parts)
        return tuple(self.copies + more for more in further)

    def cells(self, column: str) -> int:
        """Sum over its parts of a column of the table of placements."""
        return sum(part.cells()[column] for part in self.parts)
