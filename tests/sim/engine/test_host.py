"""The host's queue and clients, against recursions and closed forms of queueing theory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.plan.plan import Group

ENGINES = pytest.mark.parametrize("engine", ["simpy", "compiled"])
GAPS = st.lists(st.integers(0, 12), min_size=1, max_size=30)


def one_server(plan_of, service=7):
    return plan_of((0, service, [], None, {}))


def arriving(gaps):
    return [Request(at, 1) for at in np.cumsum(gaps).tolist()]


@ENGINES
@settings(max_examples=60, deadline=None)
@given(gaps=GAPS, service=st.integers(1, 9), sizes=st.lists(st.integers(1, 4), min_size=30))
def test_lindley(plan_of, engine, gaps, service, sizes):
    """Waits of a queue with one server: W' = max(0, W + S - A) (Lindley 1952)."""
    requests = [Request(at, n) for at, n in zip(np.cumsum(gaps).tolist(), sizes, strict=False)]
    played = engines.play(one_server(plan_of, service), requests, engine=engine)
    wait, expected = 0, []
    for gap, size in zip([*gaps[1:], 0], sizes, strict=False):
        expected.append(wait)
        wait = max(0, wait + service * size - gap)
    came = [request.arrival for request in requests]
    served = [service * request.tokens for request in requests]
    waits = np.subtract(np.subtract(played.finished, came), served)
    assert waits.tolist() == expected
    assert played.arrived == came


def loss(arrivals, service, places):
    """Finish times (-1: refused) of one server with so many places, from the definition.

    A request that comes finds those that wait: not yet begun, were it the last of its instant.
    """
    begins, finished = [], []
    for at in arrivals:
        waiting = sum(begin > at for begin in begins)
        begin = max(at, begins[-1] + service if begins else 0)
        if begin > at and waiting >= places:
            finished.append(-1)
            continue
        begins.append(begin)
        finished.append(begin + service)
    return finished


@ENGINES
@settings(max_examples=100, deadline=None)
@given(gaps=GAPS, service=st.integers(1, 9), places=st.integers(0, 3))
def test_a_finite_queue(plan_of, engine, gaps, service, places):
    requests = arriving(gaps)
    plan = one_server(plan_of, service)
    played = engines.play(plan, requests, engine=engine, window=1, host=Host(places))
    assert played.finished == loss([r.arrival for r in requests], service, places)
    assert played.refused == played.lost == np.flatnonzero(np.array(played.entered) < 0).tolist()
    assert sum(at >= 0 for at in played.finished) == played.tally.visits[0]


@ENGINES
def test_a_request_waits_until_what_it_needs_is_free(plan_of, engine):
    """Two components, 7 ps a token. Of a memory of 4, 3 and 1 go together, 2 waits for the 3 to
    leave, and the 1 behind it waits too, though it would fit: nobody overtakes."""
    plan = plan_of(((0, 1), 7, [], None, {}))
    requests = [Request(0, 2), Request(0, 2), Request(0, 2), Request(0, 2)]
    host = Host(memory=4, needs=[3, 1, 2, 1])
    played = engines.play(plan, requests, engine=engine, host=host)
    assert played.entered == [0, 0, 7, 7]
    alone = engines.play(plan, requests, engine=engine, host=Host(memory=4, needs=[4] * 4))
    assert alone.entered == engines.play(plan, requests, engine=engine, window=1).entered


@ENGINES
def test_of_those_that_come_together_the_last_are_refused(plan_of, engine):
    """Two enter, three wait, two are refused; at 7 the first two leave just as two more come."""
    plan = plan_of(((0, 1), 7, [], None, {}))
    requests = [Request(0, 2)] * 7 + [Request(7, 2)] * 2
    played = engines.play(plan, requests, engine=engine, window=2, host=Host(3))
    assert played.refused == [5, 6, 8]
    assert played.entered == [0, 0, 7, 14, 21, -1, -1, 28, -1]


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_md1(plan_of, load):
    """Mean wait in M/D/1: ρ S / (2 (1 - ρ)) (Pollaczek-Khinchine), within its interval."""
    waits = [mean_wait(plan_of, load, seed) for seed in range(10)]
    half = half_width(waits)
    expected = load * SERVICE / (2 * (1 - load))
    assert abs(np.mean(waits) - expected) < half
    assert half < 0.1 * expected


SERVICE = 100_000


def poisson(load, seed, count=20_000):
    gaps = np.random.default_rng(seed).exponential(SERVICE / load, count)
    return arriving(np.rint(gaps).astype(int).tolist())


def half_width(means):
    """Of the 99 % interval of ten independent means (Student, 9 degrees of freedom)."""
    return 3.250 * np.std(means, ddof=1) / np.sqrt(10)


def mean_wait(plan_of, load, seed):
    requests = poisson(load, seed)
    plan = one_server(plan_of, SERVICE)
    played = engines.play(plan, requests, engine="compiled")
    return np.mean(np.subtract(played.finished, played.arrived)) - SERVICE


def md1k_loss(load, total):
    """Probability of loss in M/D/1/K, from the Markov chain embedded at departures.

    Queue lengths behind departing requests have the ratios π of M/G/1; p_K = 1 - 1 / (π₀' + ρ),
    with π₀' = π₀ / (π₀ + ... + π_{K-1}) (Gross, Harris: Fundamentals of Queueing Theory, 5.1.8).
    """
    arrive = [np.exp(-load)]
    for k in range(1, total + 2):
        arrive.append(arrive[-1] * load / k)
    pi = [1.0]
    for n in range(total - 1):
        inflow = sum(pi[j] * arrive[n - j + 1] for j in range(1, n + 1))
        pi.append((pi[n] - pi[0] * arrive[n] - inflow) / arrive[0])
    return 1 - 1 / (pi[0] / sum(pi) + load)


def test_md11_loses_as_erlang_says():
    assert md1k_loss(0.7, 1) == pytest.approx(0.7 / 1.7)


@pytest.mark.parametrize(("load", "places"), [(0.8, 0), (0.8, 2), (1.5, 4)])
def test_md1k_loss(plan_of, load, places):
    """K = one on the chip and those at the host."""
    shares = []
    for seed in range(10):
        requests = poisson(load, seed)
        plan = one_server(plan_of, SERVICE)
        played = engines.play(plan, requests, engine="compiled", window=1, host=Host(places))
        shares.append(len(played.refused) / len(requests))
    half = half_width(shares)
    assert abs(np.mean(shares) - md1k_loss(load, places + 1)) < half
    assert half < 0.01


@ENGINES
@pytest.mark.parametrize(("clients", "think"), [(1, 5), (3, 25), (4, 10)])
def test_clients_that_think_alike(plan_of, engine, clients, think):
    """n clients, service S, think Z: one answer each S, or n each S + Z where that is longer."""
    service, count = 10, 40
    requests = [Request(0, 1)] * count
    host = Host(clients=clients, think=[think] * count)
    played = engines.play(one_server(plan_of, service), requests, engine=engine, host=host)
    period = max(service * clients, service + think)
    rounds = range(count // clients)
    expected = [r * period + (c + 1) * service for r in rounds for c in range(clients)]
    assert played.finished[: len(expected)] == expected
    came = [at + think for at in played.finished[: count - clients]]
    assert played.arrived == [0] * clients + came


@ENGINES
def test_requests_of_clients_are_numbered_as_they_come(plan_of, engine):
    """The second client begins when the first has already been answered twice."""
    requests = [Request(0, 1), Request(50, 1), Request(50, 3), Request(50, 1)]
    host = Host(clients=2, think=[5, 5, 5, 5])
    played = engines.play(one_server(plan_of, 10), requests, engine=engine, host=host)
    assert played.arrived == [0, 15, 30, 50]
    assert played.finished == [10, 25, 60, 70]


@ENGINES
def test_a_client_whose_component_died_sends_no_more(plan_of, engine):
    plan = plan_of((0, 5, [], None, {}), (1, 5, [Group(0)], None, {}))
    host = Host(clients=1, think=[5] * 4)
    played = engines.play(plan, [Request(0, 1)] * 4, engine=engine, host=host, deaths={1: 22})
    assert played.finished == [10, -1, -1, -1]
    assert played.arrived == [0, 15, -1, -1]
    assert played.refused == []


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (Host(places=1, clients=2, think=[1, 1]), "a queue must have a place for each of 2"),
        (Host(memory=2, needs=[1, 3]), "each request must need from 1 to all 2 parts"),
        (Host(memory=2, needs=[1]), "each request must need from 1 to all 2 parts"),
        (Host(clients=2, think=[1]), "clients must think for at least 1 ps"),
        (Host(clients=2, think=[1, 0]), "clients must think for at least 1 ps"),
    ],
)
@ENGINES
def test_refusals(plan_of, engine, host, message):
    with pytest.raises(ValueError, match=message):
        engines.play(one_server(plan_of), [Request(0, 1)] * 2, engine=engine, host=host)
