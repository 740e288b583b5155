"""Places of arrays on the PUs of a layer, dealt to them in turn; broken ones are passed over.

Place p of n PUs is array p // n of PU p mod n. Weights are numbered through what works::

    PU 0   0   2  (x)  5          x: dead, so weights 0 to 5 lie in places 0 1 2 3 5 6
    PU 1   1   3   4
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Slots:
    """``left_out``: of each PU of the group the arrays (n,) that hold nothing, rising."""

    def __init__(self, left_out: Sequence[np.ndarray]) -> None:
        self.pus = len(left_out)
        self._by_turn = [arrays * self.pus + turn for turn, arrays in enumerate(left_out)]
        dead = np.sort(np.concatenate(self._by_turn))
        self._before = dead - np.arange(len(dead))

    def place(self, number: int) -> tuple[int, int]:
        """Position of the PU in its group, and number of the array there.

        >>> none, third = np.array([], dtype=int), np.array([2])
        >>> [Slots([third, none]).place(n) for n in (3, 4, 5)]
        [(1, 1), (1, 2), (0, 3)]
        """
        array, turn = divmod(self._at(number), self.pus)
        return turn, array

    def dealt(self, first: int, count: int, turn: int) -> int:
        """How many of the numbers first, first + 1, ... lie on the PU at a position."""
        low, high = self._at(first), self._at(first + count)
        passed = np.searchsorted(self._by_turn[turn], [low, high])
        places = (high - 1 - turn) // self.pus - (low - 1 - turn) // self.pus
        return places - int(passed[1] - passed[0])

    def _at(self, number: int) -> int:
        if not len(self._before):
            return number
        return number + int(np.searchsorted(self._before, number, side="right"))
