"""The front, against its definition."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hyflexsim.analysis.studies.dominance import non_dominated


@given(
    arrays.arrays(
        float,
        st.tuples(st.integers(1, 12), st.integers(1, 4)),
        elements=st.integers(0, 4).map(float),
    )
)
def test_the_front_is_what_nobody_beats(points):
    for place, on_front in enumerate(non_dominated(points)):
        beaten = [
            all(a <= b for a, b in zip(other, points[place], strict=True))
            and any(a < b for a, b in zip(other, points[place], strict=True))
            for other in points
        ]
        assert on_front == (not any(beaten))
    assert non_dominated(points).any()
