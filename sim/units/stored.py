"""A matrix as bytes: how memories hold weights."""

from __future__ import annotations

from dataclasses import dataclass

from hyflexsim.sim.chip.kind import Part


@dataclass(frozen=True, slots=True)
class Stored:
    """One matrix, or factor, of INT8 weights in rows of a memory. ``pieces``: its bytes."""

    part: str
    rows: int
    outputs: int

    @property
    def pieces(self) -> int:
        """Bytes, one a weight."""
        return self.rows * self.outputs

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one vector."""
        return self.rows * self.outputs

    def cells(self) -> dict[str, int]:
        """Bytes only: there are no arrays."""
        return {"arrays_slc": 0, "arrays_mlc": 0, "bytes": self.pieces}


def stored_parts(rows: int, outputs: int, rank: int | None) -> tuple[Stored, ...]:
    """The matrix, or its two factors where it has a rank.

    >>> [part.pieces for part in stored_parts(4, 6, None)]
    [24]
    >>> [part.pieces for part in stored_parts(4, 6, 2)]
    [8, 12]
    """
    if rank is None:
        return (Stored("W", rows, outputs),)
    return Stored("V", rows, rank), Stored("U", rank, outputs)


def _is_a_part(part: Stored) -> Part:
    """Checked by mypy only: what memories hold is what the mapper asks for."""
    return part
