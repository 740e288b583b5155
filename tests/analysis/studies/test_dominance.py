"""Fronts of any number of costs, against the definition read aloud."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hyflexsim.analysis.studies.dominance import non_dominated, on_front

few = st.integers(0, 4).map(float)  # so that ties are common
tables = st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(float, shape, elements=few)
)


def beats(one, other):
    no_worse = all(a <= b for a, b in zip(one, other, strict=True))
    return no_worse and any(a < b for a, b in zip(one, other, strict=True))


@given(tables)
def test_on_the_front_is_what_no_other_beats(points):
    rows = points.tolist()
    wanted = [not any(beats(other, row) for other in rows) for row in rows]
    assert non_dominated(points).tolist() == wanted
    assert any(wanted)


@given(tables, st.randoms())
def test_order_scale_and_what_is_beaten_do_not_matter(points, random):
    mask = non_dominated(points)
    order = list(range(len(points)))
    random.shuffle(order)
    assert non_dominated(points[order]).tolist() == mask[order].tolist()
    assert non_dominated(points**3 - 7).tolist() == mask.tolist()
    assert non_dominated(points[mask]).all()


def test_costs_are_compared_to_three_places():
    costs = [[71.854, 10.0], [71.861, 10.0], [71.2, 10.0]]
    assert on_front(costs, [0.1, 0.1, 0.2]).tolist() == [True, True, True]
    assert on_front(costs, [0.11, 0.1, 0.2]).tolist() == [False, True, True]
    assert on_front(np.zeros((2, 1)), [0.3, 0.2]).tolist() == [False, True]
