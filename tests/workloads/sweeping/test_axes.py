"""Axes: lists, ranges, and what is neither."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.sweeping.axes import axis


def made(given_):
    return axis("a.toml", "key", given_)


def test_a_list_is_what_it_is():
    assert made(["none", 3, True]).choices == ["none", 3, True]


def test_one_and_true_and_one_point_zero_are_three_values():
    assert made([1, True, 1.0]).choices == [1, True, 1.0]


@pytest.mark.parametrize(
    ("given_", "values"),
    [
        ({"from": 1, "to": 4}, [1, 2, 3, 4]),
        ({"from": 1, "to": 8, "steps": 3}, [1, 4, 8]),  # 4.5 is rounded to even
        ({"from": 0.0, "to": 1.0, "steps": 5}, [0, 0.25, 0.5, 0.75, 1]),
        ({"from": 1, "to": 64, "steps": 4, "log": True}, [1, 4, 16, 64]),
        ({"from": "50 ns", "to": "200 ns", "steps": 3, "log": True}, ["50 ns", "100 ns", "200 ns"]),
        ({"from": "50 ns", "to": "60 ns", "steps": 4}, ["50 ns", "53.33 ns", "56.67 ns", "60 ns"]),
        ({"from": 1, "to": 2, "steps": 9}, [1, 2]),  # integers that fall together stand once
    ],
)
def test_ranges(given_, values):
    assert list(made(given_).choices) == values


def test_a_range_without_steps_is_continuous():
    found = made({"from": 1.0, "to": 100.0, "log": True})
    assert found.choices is None
    assert found.at(0) == 1.0
    assert found.at(0.5) == pytest.approx(10)


@given(
    low=st.integers(1, 1000),
    more=st.integers(1, 1000),
    share=st.floats(0, 1, exclude_max=True),
    log=st.booleans(),
    real=st.booleans(),
)
def test_values_are_within_the_ends(low, more, share, log, real):
    ends = (float(low), float(low + more)) if real else (low, low + more)
    value = made({"from": ends[0], "to": ends[1], "log": log}).at(share)
    assert ends[0] * (1 - 1e-12) <= value <= ends[1] * (1 + 1e-12)
    assert isinstance(value, float) == real


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ([], "must have a value at least; got an empty list"),
        ([1, 2, 1], "must differ; got 1 twice"),
        (3, "must be a list or a range; got 3"),
        ({"from": 1}, "key.to must be a number, or one with a unit; got nothing"),
        ({"from": 2, "to": 1}, "key.from must be below key.to; got 2 and 1"),
        ({"from": 0, "to": 1, "log": True}, "above 0 with log = true; got 0"),
        ({"from": 0, "to": 1, "step": 2}, "unknown key 'step'; nearest: steps"),
        ({"from": 0, "to": 1, "steps": 1}, "steps must be an integer from 2; got 1"),
        ({"from": 0, "to": 1, "steps": 10**9}, "steps must be at most 1000000; got 1000000000"),
        ({"from": "1 ns", "to": "1 us"}, "must have one unit; got 'ns' and 'us'"),
        ({"from": True, "to": 2}, "key.from must be a number"),
        ({"from": float("nan"), "to": 2}, "key.from must be a number"),
        ({"from": 0, "to": 1, "log": 1}, "key.log must be true or false; got 1"),
    ],
)
def test_refusals_name_file_key_and_value(given_, words):
    with pytest.raises(InputError) as refused:
        made(given_)
    assert str(refused.value).startswith("a.toml: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
