"""Which points a design has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.sweeping import designs
from hyflexsim.workloads.sweeping.axes import Axis, axis

AXES = [Axis("run.seed", [1, 2]), Axis("adc.slc_bits", [5, 6]), Axis("mapping.copies", ["none"])]


def test_a_grid_has_all_combinations():
    points = designs.grid(AXES)
    assert [(p["run.seed"], p["adc.slc_bits"]) for p in points] == [(1, 5), (1, 6), (2, 5), (2, 6)]
    assert list(points[0]) == ["run.seed", "adc.slc_bits", "mapping.copies"]


def test_seeds_and_arrivals_leave_the_plan_as_it_is():
    (a, b, c, _) = designs.grid(AXES)
    assert designs.plan_of(a) == designs.plan_of(c) != designs.plan_of(b)


def test_too_many_points_are_refused_with_their_number():
    axes = [axis("a.toml", f"k{i}", {"from": 1, "to": 1000}) for i in range(3)]
    with pytest.raises(InputError, match=r"at most 100,000 points; got 1,000,000,000"):
        designs.check_grid("a.toml", axes)


def test_a_grid_of_a_continuous_axis_is_refused():
    with pytest.raises(InputError, match=r"k\.steps must be given for a grid"):
        designs.check_grid("a.toml", [axis("a.toml", "k", {"from": 0.0, "to": 1.0})])


@given(points=st.integers(1, 60), axes=st.integers(1, 4), seed=st.integers(0, 2**63))
def test_a_latin_hypercube_has_one_point_in_each_part_of_each_axis(points, axes, seed):
    shares = designs.latin_shares(points, axes, seed)
    for column in shares.T:
        assert sorted(np.floor(column * points).astype(int)) == list(range(points))


@pytest.mark.parametrize("design", [designs.random, designs.latin])
def test_seeds_decide(design):
    axes = [axis("a.toml", "x", {"from": 0.0, "to": 1.0}), Axis("y", ["a", "b"])]
    assert design(axes, 9, 1) == design(axes, 9, 1)
    assert design(axes, 9, 1) != design(axes, 9, 2)


def test_equal_points_stand_once():
    points = designs.random([Axis("y", ["a", "b"])], 50, 0)
    assert sorted(point["y"] for point in points) == ["a", "b"]
