"""The front, against its definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hyflexsim.analysis.studies.dominance import non_dominated
from hyflexsim.analysis.sweeps import swept

POINTS = arrays.arrays(
    float, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(0, 4).map(float)
)


@given(POINTS, st.integers(1, 5))
def test_blocks_change_nothing(points, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swept, "BLOCK", block)
        assert (swept.front_of(points) == non_dominated(points)).all()


@given(POINTS)
def test_the_front_is_what_nobody_beats(points):
    for place, on_front in enumerate(non_dominated(points)):
        beaten = [
            all(a <= b for a, b in zip(other, points[place], strict=True))
            and any(a < b for a, b in zip(other, points[place], strict=True))
            for other in points
        ]
        assert on_front == (not any(beaten))
    assert non_dominated(points).any()
