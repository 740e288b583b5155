"""Weights are dealt to what works: by brute force over all places."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.placement.slots import Slots

dead = st.lists(st.sets(st.integers(0, 6)), min_size=1, max_size=4)


@given(dead=dead, first=st.integers(0, 12), count=st.integers(0, 12))
def test_numbers_are_dealt_in_turn_to_places_that_work(dead, first, count):
    slots = Slots([np.array(sorted(each), dtype=int) for each in dead])
    works = [
        (turn, array) for array in range(40) for turn in range(len(dead)) if array not in dead[turn]
    ]
    numbers = range(first, first + count)
    assert [slots.place(n) for n in numbers] == [works[n] for n in numbers]
    for turn in range(len(dead)):
        assert slots.dealt(first, count, turn) == sum(works[n][0] == turn for n in numbers)
