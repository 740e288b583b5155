"""The front of a large sweep, block by block, is that of all points at once."""

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
