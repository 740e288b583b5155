"""Shares of the learning rate at steps worked out by hand; laws that hold for all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.models.errors import ModelError
from hyflexsim.models.schedules import NAMES, schedule


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("linear", [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("constant", [0.5] + [1] * 9),
        ("cosine", [0.5, 1] + [(1 + math.cos(math.pi * t / 8)) / 2 for t in range(8)]),
        ("restarts", [0.5, 1, 1, 0.75, 0.25, 1, 0.75, 0.25, 1, 0.75]),
        (  # flat for 5.6 of the 8 steps after the ramp, then 1 % at the end
            "flat-decay",
            [0.5, 1, 1, 1, 1, 1, 1, 1, 0.01 ** (0.4 / 2.4), 0.01 ** (1.4 / 2.4)],
        ),
    ],
)
def test_ten_steps_of_which_two_warm_up(name, shares):
    share = schedule(name, 10, 0.2, cycle=3)
    assert [share(t) for t in range(10)] == pytest.approx(shares)


@given(
    name=st.sampled_from(NAMES),
    steps=st.integers(1, 200),
    warmup=st.floats(0, 0.99),
    cycle=st.integers(1, 50),
)
def test_a_share_is_a_share_and_the_highest_rate_is_reached(name, steps, warmup, cycle):
    share = schedule(name, steps, warmup, cycle)
    shares = [share(t) for t in range(steps)]
    assert all(0 <= s <= 1 for s in shares)
    assert max(shares) == 1
    ramp = max(1, math.ceil(warmup * steps))
    assert shares[:ramp] == sorted(shares[:ramp])
    if name != "restarts":
        assert shares[ramp:] == sorted(shares[ramp:], reverse=True)


def test_refusals():
    with pytest.raises(ModelError, match=r"^schedule must be one of linear, .*; got 'step'$"):
        schedule("step", 10)
    with pytest.raises(ModelError, match=r"needs a cycle of at least 1 step; got None$"):
        schedule("restarts", 10)
