"""Warm-up and intervals, against what is known on paper and by counting how often they hold."""

import numpy as np
import pytest

from hyflexsim.workloads.run import steady


def md1(load, count, runs):
    """Waits in M/D/1 queues that start empty, in services (Lindley's recursion)."""
    gaps = np.random.default_rng(7).exponential(1 / load, (count, runs))
    waits, wait = np.empty((count, runs)), np.zeros(runs)
    for i in range(count):
        waits[i] = wait
        wait = np.maximum(0, wait + 1 - gaps[i])
    return waits.T


def test_mser_takes_the_truncation_of_the_least_standard_error():
    """The definition, one truncation after the other."""
    values = np.concatenate([np.linspace(50, 0, 60), np.random.default_rng(0).normal(0, 1, 440)])
    means = values.reshape(-1, 5).mean(axis=1)
    errors = [np.var(means[cut:]) / (len(means) - cut) for cut in range(len(means) - 3)]
    assert steady.warm_up(values) == 5 * int(np.argmin(errors))
    assert 40 <= steady.warm_up(values) <= 65


@pytest.mark.parametrize("values", [np.arange(500.0), np.ones(19), np.zeros(0)])
def test_a_run_that_is_too_short_to_know(values):
    assert steady.warm_up(values) is None


def test_nothing_to_warm_up():
    assert steady.warm_up(np.ones(100)) == 0


def test_intervals_hold_as_often_as_they_say():
    """Mean wait in M/D/1 at a load of 0.7: 0.7 / (2 x 0.3), inside 95 % of intervals."""
    found = [steady.mean(w[steady.warm_up(w) :]) for w in md1(0.7, 40_000, 200)]
    inside = sum(abs(each.value - 0.7 / 0.6) <= each.half_width for each in found)
    assert 180 <= inside <= 199  # 99.9 % of Binomial(200, 0.95)


def test_intervals_of_quantiles_hold_as_often_as_they_say():
    """The p99 of an exponential is ln 100."""
    random = np.random.default_rng(1)
    found = [steady.quantile(random.standard_exponential(20_000), 0.99) for _ in range(100)]
    inside = sum(abs(each.value - np.log(100)) <= each.half_width for each in found)
    assert 88 <= inside <= 100


def test_too_few_values_have_no_interval():
    values = np.arange(1999.0)
    assert steady.quantile(values, 0.99) == (np.quantile(values, 0.99), None)
    assert steady.quantile(np.arange(2000.0), 0.99).half_width > 0
    assert steady.quantile(np.arange(19_999.0), 0.999).half_width is None
    assert steady.mean(np.arange(199.0)).half_width is None
    assert steady.mean(np.arange(200.0)).half_width > 0
