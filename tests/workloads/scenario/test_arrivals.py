"""Arrival times against closed forms and, for the Poisson stream, its statistics."""

import numpy as np
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.arrivals import thinks, times
from hyflexsim.workloads.scenario.schema import (
    AtOnce,
    Bunched,
    Closed,
    Gamma,
    Interval,
    OnOff,
    Poisson,
    TraceFile,
)


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


def test_bunches_come_at_filled_crossings():
    """72 places of 25 ns filled, 8 empty: no request in the empty ones, all others alike."""
    beam = Bunched(rate_per_s=1e6, filled=[72, 8])
    crossings, rest = np.divmod(times(beam, 40_000), 25_000)
    assert not rest.any()
    each = np.bincount(crossings % 80, minlength=80)
    assert not each[72:].any()
    assert each[:72].min() > 0.7 * each[:72].mean()
    assert 40_000 / (crossings[-1] * 25e-9) == pytest.approx(1e6, rel=0.03)


def test_events_have_several_requests():
    """As many events as without, and of 1, 2, 3 requests in the shares that were given."""
    single = times(Bunched(rate_per_s=1e4), 20_000)
    several = times(Bunched(rate_per_s=1e4, per_event=[0.2, 0.5, 0.3]), 20_000)
    events, sizes = np.unique(several, return_counts=True)
    assert events.tolist() == sorted(set(single))[: len(events)]
    shares = np.bincount(sizes)[1:] / len(sizes)
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.02)


def test_an_event_in_every_crossing():
    assert times(Bunched(rate_per_s=2e7, filled=[1, 1]), 3) == [0, 50_000, 100_000]


def test_more_events_than_filled_crossings():
    with pytest.raises(
        InputError, match=r"rate_per_s must be at most 2e\+07, the filled crossings"
    ):
        times(Bunched(rate_per_s=3e7, filled=[1, 1]), 3)


def test_on_off_has_its_rate_and_its_bursts():
    """On a quarter of the time: a quarter of the rate, and gaps of a hyperexponential distribution.

    Interrupted Poisson process (Kuczura 1973): gaps have the mean (1 + w / v) / rate with 1 / w the
    mean time on and 1 / v off; their squared coefficient of variation is
    1 + 2 rate w / (v + w)^2.
    """
    source = OnOff(rate_per_s=4e6, on="1 us", off="3 us")
    gaps = np.diff(times(source, 200_000)) * 1e-12
    w, v = 1e6, 1e6 / 3
    assert gaps.mean() == pytest.approx((1 + w / v) / 4e6, rel=0.03)
    assert (gaps.std() / gaps.mean()) ** 2 == pytest.approx(1 + 2 * 4e6 * w / (v + w) ** 2, rel=0.1)


@pytest.mark.parametrize(
    "stream",
    [
        Bunched(rate_per_s=1e5, per_event=[0.5, 0.5]),
        OnOff(rate_per_s=1e6, on="1 us", off="9 us"),
    ],
)
def test_others_have_seeds_like_poisson(stream):
    assert times(stream, 50, seed=7) == times(stream, 4000, seed=7)[:50]
    assert times(stream, 50, seed=7) != times(stream, 50, seed=8)


def test_clients_begin_with_thinking():
    loop = Closed(clients=3, think="5 us")
    first, after = times(loop, 5), thinks(loop, 20_000)
    assert first == sorted(first)
    assert first[2:] == [first[2]] * 3
    assert not set(first) & set(after)
    assert np.mean(after) == pytest.approx(5e6, rel=0.03)
    assert times(Closed(clients=3, think="5 us", gaps="fixed"), 2) == [5_000_000] * 2


def test_a_trace_may_be_played_faster(tmp_path):
    path = tmp_path / "arrivals.txt"
    path.write_text("0 ns\n12.5 us\n1 ms\n")
    assert times(TraceFile(file=str(path), speed=1000), 3) == [0, 12_500, 1_000_000]
