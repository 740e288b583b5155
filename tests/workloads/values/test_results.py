"""The table: what counts as equal."""

import math

import torch

from hyflexsim.workloads.values.results import Row, added, compare

KEY = ("op", "values")


def row(one, other, tolerance=0.0):
    made = (
        {KEY: torch.tensor(one, dtype=torch.float64)},
        {KEY: torch.tensor(other, dtype=torch.float64)},
    )
    (found,) = compare(*made, tolerance)
    return found


def test_elements_that_differ_are_counted():
    assert row([1.0, 2.0, 3.0], [1.0, 2.5, 7.0]) == Row(*KEY, 3, 1, 4.0)


def test_what_was_not_computed_is_infinitely_far():
    assert row([1.0, 2.0], [1.0, math.nan]) == Row(*KEY, 2, 1, math.inf)


def test_scores_that_neither_side_looks_at_do_not_count():
    assert row([1.0, -math.inf], [1.0, -math.inf]) == Row(*KEY, 1, 1, 0.0)
    assert row([1.0, -math.inf], [1.0, 2.0]) == Row(*KEY, 2, 1, math.inf)


def test_a_tolerance_is_relative():
    assert row([1e6], [1e6 + 1e-4], 1e-9).equal == 1
    assert row([1e6], [1e6 + 1e-2], 1e-9).equal == 0


def test_an_op_that_only_one_side_has_is_unequal():
    (found,) = compare({KEY: torch.zeros(4)}, {})
    assert found == Row(*KEY, 4, 0, math.inf)


def test_rows_of_requests_add_up():
    rows = [Row(*KEY, 3, 3, 0.0), Row("other", "W", 1, 1, 0.0), Row(*KEY, 2, 1, 0.5)]
    assert added(rows) == [Row(*KEY, 5, 4, 0.5), Row("other", "W", 1, 1, 0.0)]
