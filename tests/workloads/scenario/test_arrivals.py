"""Arrival times against closed forms and, for the Poisson stream, its statistics."""

import numpy as np
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.arrivals import times
from hyflexsim.workloads.scenario.schema import AtOnce, Gamma, Interval, Poisson, TraceFile


def test_at_once():
    assert times(AtOnce(), 3) == [0, 0, 0]


def test_interval():
    assert times(Interval(interval="25 us"), 3) == [0, 25_000_000, 50_000_000]


def test_poisson_has_the_rate_and_the_spread_of_an_exponential():
    gaps = np.diff([0, *times(Poisson(rate_per_s=1e5), 20_000)])
    # mean and standard deviation are both 10 us; 20,000 draws know them to 1 %
    assert gaps.mean() == pytest.approx(1e7, rel=0.03)
    assert gaps.std() == pytest.approx(1e7, rel=0.03)


def test_poisson_is_the_same_every_time_and_longer_streams_begin_alike():
    stream = Poisson(rate_per_s=1e5)
    first = times(stream, 50, seed=7)
    assert first == times(stream, 50, seed=7) == times(stream, 100, seed=7)[:50]
    assert first != times(stream, 50, seed=8)
    assert all(isinstance(time, int) for time in first)


@pytest.mark.parametrize("variation", [0.25, 1.0, 3.0])
def test_gamma_has_its_rate_and_its_spread(variation):
    gaps = np.diff([0, *times(Gamma(rate_per_s=1e5, variation=variation), 40_000)])
    assert gaps.mean() == pytest.approx(1e7, rel=0.05)
    assert gaps.std() == pytest.approx(variation * 1e7, rel=0.05)


def test_gamma_has_seeds_like_poisson():
    stream = Gamma(rate_per_s=1e5, variation=2)
    assert times(stream, 50, seed=7) == times(stream, 100, seed=7)[:50]
    assert times(stream, 50, seed=7) != times(stream, 50, seed=8)
    with pytest.raises(InputError, match="rate_per_s is too small"):
        times(Gamma(rate_per_s=1e-9, variation=2), 5)


def test_a_seed_of_its_own_wins():
    own = Poisson(rate_per_s=1e5, seed=7)
    assert times(own, 5, seed=1) == times(Poisson(rate_per_s=1e5), 5, seed=7)


def test_a_rate_too_small_for_the_clock():
    with pytest.raises(InputError, match="rate_per_s is too small"):
        times(Poisson(rate_per_s=1e-9), 5)


def write(tmp_path, text):
    path = tmp_path / "arrivals.txt"
    path.write_text(text)
    return TraceFile(file=str(path))


def test_trace(tmp_path):
    trace = write(tmp_path, "# beam\n0 ns\n12.5 us   # second\n\n12.5 us\n1 ms\n")
    assert times(trace, 3) == [0, 12_500_000, 12_500_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 ns\n", "arrivals.txt: must have 2 times, one a request; got 1"),
        ("5 ns\n4 ns\n", "line 2 must be a whole number of ps, not before the line above it"),
        ("-1 ns\n2 ns\n", "line 1 must be a whole number of ps"),
        ("0.5 fs\n2 ns\n", "line 1 must be a whole number of ps"),
        ("5\n6\n", "line 1 must have unit"),
        ("soon\n6 ns\n", "line 1 must be a number and a unit; got 'soon'"),
    ],
)
def test_bad_traces_are_refused(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        times(write(tmp_path, text), 2)
    assert message in str(error.value)


def test_a_missing_trace(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: No such file or directory"):
        times(TraceFile(file=str(tmp_path / "none.txt")), 2)
