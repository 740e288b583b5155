"""Main effects in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.analysis.sweeps.effects import LEVELS, classes, effect, largest


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=4, unique=True), st.integers(1, 4))
def test_in_a_full_grid_a_setting_that_does_nothing_has_no_effect(values, others):
    setting, other = (a.ravel() for a in np.meshgrid(values, range(others)))
    answer = 10.0 + other
    assert effect(setting.astype(float), answer).percent == pytest.approx(0, abs=1e-9)


def test_a_linear_answer_has_its_slope():
    setting, other = (a.ravel() for a in np.meshgrid([1.0, 2.0, 3.0], [5.0, 15.0]))
    found = effect(setting, setting * 10 + other)  # mean 30
    assert found.at.tolist() == [1, 2, 3]
    assert found.percent == pytest.approx([-100 / 3, 0, 100 / 3])
    assert largest(setting, [setting * 10 + other, other]) == pytest.approx(200 / 3)


@given(st.lists(st.floats(0, 1), min_size=LEVELS * 2 + 1, max_size=80, unique=True))
def test_many_values_fall_into_classes_of_equal_number(values):
    found = classes(np.array(values))
    counts = np.bincount(found)
    assert len(counts) == LEVELS
    assert counts.max() - counts.min() <= 1
    order = np.argsort(values)
    assert (np.diff(found[order]) >= 0).all()
