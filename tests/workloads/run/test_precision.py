"""A run that stops when the mean latency is known well enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import Scenario, simulate
from hyflexsim.workloads.run.precision import FIRST, enough, first, first_of_each
from hyflexsim.workloads.run.prepare import prepare


def scenario(**changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    given = {"workload.count": 8 * FIRST, "workload.repeat": True, "trace.stop": 1}
    return Scenario.load("part-jets", given | named)


def stream(half):
    return {"latency_ps": {"mean": 100.0, "half_width": {"mean": half}}}


@pytest.mark.parametrize(
    ("halves", "count"),
    [
        ([1.0], FIRST),
        ([5.0, None, 2.0], 4 * FIRST),
        ([5.0, 4.0, 3.0], 8 * FIRST),  # and then there are no more
    ],
)
def test_requests_are_doubled_until_the_interval_is_narrow(halves, count):
    asked = scenario(run__precision=0.02)
    ready = prepare(asked)
    played = []

    def streams_of(part):
        played.append(len(part.requests))
        return [stream(halves[len(played) - 1])]

    found = enough(asked, ready, 0.02, streams_of)
    assert played == [FIRST * 2**i for i in range(len(halves))]
    assert len(found.requests) == len(found.labels) == count
    assert found.requests == ready.requests[:count]


def test_a_run_that_stops_is_one_of_so_many_requests():
    """The same as so many requests of the whole stream; and the interval is as narrow as asked."""
    stopped = simulate(scenario(run__precision=0.05))
    ready = prepare(scenario())
    plain = engines.play(ready.plan, ready.requests[:FIRST], window=ready.window)
    assert stopped.played.finished == plain.finished
    latency = stopped.summary["stream"]["latency_ps"]
    assert latency["half_width"]["mean"] <= 0.05 * latency["mean"]
    said = "stopped after 1,000 of 8,000 requests: mean latency is known to ± "
    assert any(note.startswith(said) for note in stopped.summary["notes"])


def test_one_that_cannot_know_says_so():
    few = simulate(scenario(workload__count=60, run__precision=0.001))
    said = "the mean latency is not known after 60 requests, not to the 0.1% asked"
    assert said in few.summary["notes"]


def test_clients_think_as_before():
    loop = {"kind": "closed", "clients": 4, "think": "1 us"}
    ready = prepare(scenario(workload__arrivals=loop))
    part = first(ready, 20)
    assert (part.host.clients, part.host.think) == (4, ready.host.think[:20])


def test_requests_that_come_at_once_have_no_mean_to_know():
    asked = scenario(run__precision=0.02, workload__arrivals={"kind": "at-once"})
    with pytest.raises(InputError, match=r"^run.precision must go with workload.arrivals that are"):
        enough(asked, prepare(asked), 0.02, lambda part: [stream(np.nan)])


def test_where_nobody_is_answered_the_death_is_named():
    dead = scenario(run__precision=0.02, faults__deaths={"pu3": "1 ns"})
    with pytest.raises(InputError, match=r"faults.deaths: no request is answered before pu03"):
        simulate(dead)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.integers(1, 9),
)
def test_the_first_of_each_model(models, most):
    """As few as give each so many or all: with one less some model has fewer."""
    requests = [Request(at, 1, model=model) for at, model in enumerate(models)]
    wanted = {model: min(most, models.count(model)) for model in models}
    count = first_of_each(requests, most)
    assert all(models[:count].count(model) >= n for model, n in wanted.items())
    assert any(models[: count - 1].count(model) < n for model, n in wanted.items())
