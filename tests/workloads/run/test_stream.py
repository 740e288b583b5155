"""What a run says of its stream: conservation, loss, queues that grow, deadlines, clients."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim import analysis
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import Scenario, simulate
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.run.stream import served_at_most

JETS = {"workload.count": 60, "trace.stop": 1}


def jets(**changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return Scenario.load("part-jets", {**JETS, **named})


@pytest.fixture(scope="module")
def hot():
    return simulate(jets(workload__arrivals={"kind": "interval", "interval": "10 ns"}))


def test_a_queue_that_grows_says_so(hot):
    """Requests every 10 ns: 100 M a second."""
    stream = hot.summary["stream"]
    assert stream["offered_per_s"] == pytest.approx(1e8)
    assert stream["served_at_most_per_s"] < 1e8
    assert any(re.search("grows without bound: 100,000,000 req", n) for n in hot.summary["notes"])
    assert stream["warm_up"] is None
    assert set(stream["latency_ps"]["half_width"].values()) == {None}


def test_the_default_stream_of_jets_does_not_grow_but_one_at_750_khz_does():
    cool = simulate(Scenario.load("part-jets", {"trace.stop": 1}))
    assert cool.summary["stream"]["served_at_most_per_s"] is None
    assert not any("without bound" in note for note in cool.summary["notes"])
    changes = {"trace.stop": 1, "workload.arrivals.rate_per_s": 7.5e5}
    stream = simulate(Scenario.load("part-jets", changes)).summary["stream"]
    assert stream["served_at_most_per_s"] == pytest.approx(5.07e5, rel=0.05)  # 20,000 jets: 515 k/s
    assert stream["offered_per_s"] > 6e5


def test_littles_law(hot):
    """The mean number in the system, times the makespan, is the sum of all latencies."""
    table, summary = hot.tables["requests"].columns, hot.summary
    mean = summary["stream"]["in_system"]["mean"]
    assert round(mean * summary["makespan_ps"]) == table["latency_ps"].sum()
    assert summary["stream"]["at_host"] == {"mean": 0, "most": 0}


def test_a_full_queue_loses_requests_and_says_so(hot):
    """One on the chip, two at the host: all that are answered waited for at most two others."""
    changes = {"run__window": 1, "host__queue": 2, "host__deadline": "10 us"}
    arrivals = {"kind": "interval", "interval": "10 ns"}
    full = simulate(jets(workload__arrivals=arrivals, **changes))
    summary, played = full.summary, full.played
    assert summary["lost_by"] == {"queue": summary["lost"], "client": 0, "death": 0}
    assert summary["requests"] + summary["lost"] == 60
    assert len(full.tables["requests"]) == summary["requests"] < 60
    assert summary["stream"]["at_host"]["most"] == 2
    assert summary["stream"]["in_system"]["most"] == 3
    assert summary["stream"]["served_at_most_per_s"] is None
    assert [n for n in summary["notes"] if "found the host's queue full" in n] == [
        f"{summary['lost']} of 60 requests are lost: they found the host's queue full "
        "(host.queue); they are in no other figure"
    ]
    # energy and work are those of the answered ones alone
    assert sum(played.tally.visits) < sum(hot.played.tally.visits)
    whole = full.tables["requests"].columns["energy_pj"].sum() / summary["requests"]
    assert whole == pytest.approx(summary["energy_per_request_pj"])


def test_goodput_counts_what_keeps_the_deadline(hot):
    table = hot.tables["requests"].columns
    deadline = int(np.sort(table["latency_ps"])[20])
    arrivals = {"kind": "interval", "interval": "10 ns"}
    given = {"host.deadline": f"{deadline} ps"}
    found = simulate(jets(workload__arrivals=arrivals, **given)).summary
    assert found["stream"]["deadline_ps"] == deadline
    assert found["stream"]["in_time"] == 21 / 60
    assert found["stream"]["goodput_per_s"] == pytest.approx(21 / 60 * found["throughput_per_s"])


def test_clients_wait_for_answers():
    """Three clients: at most three in the system; what comes is what is answered."""
    arrivals = {"kind": "closed", "clients": 3, "think": "1 us", "gaps": "fixed"}
    result = simulate(jets(workload__arrivals=arrivals))
    assert result.summary["stream"]["in_system"]["most"] == 3
    assert result.summary["stream"]["served_at_most_per_s"] is None
    table = result.tables["requests"].columns
    assert table["arrival_ps"][:3].tolist() == [10**6] * 3
    assert table["arrival_ps"][3] == table["finish_ps"].min() + 10**6
    assert (table["latency_ps"] == table["finish_ps"] - table["arrival_ps"]).all()


def test_clients_need_places():
    arrivals = {"kind": "closed", "clients": 3, "think": "1 us"}
    with pytest.raises(
        InputError, match=r"^host.queue must be at least 3, a place for each client"
    ):
        prepare(jets(workload__arrivals=arrivals, host__queue=2))


def test_jets_may_come_again():
    with pytest.raises(InputError, match=r"or workload.repeat true; got 100000$"):
        prepare(jets(workload__count=100_000))
    ready = prepare(jets(workload__count=4000, workload__repeat=True))
    lengths = [request.tokens for request in ready.requests]
    assert lengths[3000:] == lengths[:1000]
    assert ready.labels[3000:] == ready.labels[:1000]
    assert lengths[:3000] == [r.tokens for r in prepare(jets(workload__count=3000)).requests]


@given(
    gap=st.integers(5, 100),
    service=st.integers(5, 100),
    count=st.integers(100, 400),
)
def test_what_comes_faster_than_it_is_served(gap, service, count):
    """D/D/1: the queue grows just if a service takes longer than a gap, by n (service - gap)."""
    arrived = np.arange(count) * gap
    finished = np.empty(count, dtype=np.int64)
    ends = 0
    for i, at in enumerate(arrived.tolist()):
        finished[i] = ends = max(ends, at) + service
    most = served_at_most(arrived, finished, float(service))
    if service <= gap:
        assert most is None
    elif count * (service - gap) > 20 * service:
        assert most == pytest.approx(1e12 / service, rel=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_queue_with_an_end_does_not_grow(seed):
    """M/D/1 at a load of 0.9: its queue is 4.05 on average, now and then 30."""
    random = np.random.default_rng(seed)
    arrived = np.cumsum(random.exponential(1000 / 0.9, 2000)).astype(np.int64)
    finished, ends = np.empty(2000, dtype=np.int64), 0
    for i, at in enumerate(arrived.tolist()):
        finished[i] = ends = max(ends, at) + 1000
    assert served_at_most(arrived, finished, 1000.0) is None


def test_the_run_directory_tells_it(tmp_path, hot):
    folder = hot.save(tmp_path / "hot", pictures=True)
    assert (folder / "queue.png").is_file()
    kept = json.loads((folder / "summary.json").read_text())
    assert kept["stream"] == hot.summary["stream"]
    assert analysis.load(folder).summary["lost_by"] == {"queue": 0, "client": 0, "death": 0}


@pytest.mark.parametrize("dispatch", ["round-robin", "shortest-queue"])
def test_replicas_behind_a_dispatcher(hot, dispatch):
    """Twice the area, nearly half the time, the same work and energy; the peak power doubles."""
    arrivals = {"kind": "interval", "interval": "10 ns"}
    two = simulate(jets(workload__arrivals=arrivals, host__replicas=2, host__dispatch=dispatch))
    one = hot.summary
    assert two.summary["visits"] == one["visits"]
    assert two.summary["macs"] == one["macs"]
    assert two.summary["energy_per_request_pj"] == pytest.approx(one["energy_per_request_pj"])
    for where in ("chip", "used"):
        assert two.summary["area_mm2"][where] == pytest.approx(2 * one["area_mm2"][where])
    assert two.summary["makespan_ps"] < 0.7 * one["makespan_ps"]
    assert two.summary["power_w"]["peak"] == pytest.approx(2 * one["power_w"]["peak"], rel=0.02)
    assert two.summary["power_w"]["mean"] <= two.summary["power_w"]["peak"]
    table = two.tables["requests"].columns
    assert table["energy_pj"].tolist() == hot.tables["requests"].columns["energy_pj"].tolist()
    chips = {row["chip"] for row in two.tables["components"]}
    assert chips == {0, 1}


def test_replicas_and_one_chip_are_not_taken_for_each_other():
    """A kept plan is of so many replicas."""
    kept = Kept()
    assert prepare(jets(), kept=kept).plan.members == 1
    assert prepare(jets(host__replicas=2), kept=kept).plan.members == 2


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_a_public_trace_of_text(tmp_path, engine):
    """Azure's columns: prompts and answers as the file has them, times a thousand times faster."""
    (tmp_path / "azure.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.9799600,12,4\n"
        "2023-11-16 18:17:04.0319600,5,1\n"
        "2023-11-16 18:17:04.1319600,9,3\n"
    )
    changes = {
        "model.name": "distilgpt2",
        "run.engine": engine,
        "workload.requests": 3,
        "workload.arrivals": {
            "kind": "trace",
            "file": str(tmp_path / "azure.csv"),
            "speed": 1000,
        },
        "workload.prompts.kind": "trace",
        "workload.answers.kind": "trace",
    }
    result = simulate(Scenario.load("llama-3.2-1b", changes))
    table = result.tables["requests"].columns
    assert table["arrival_ps"].tolist() == [0, 52 * 10**6, 152 * 10**6]
    assert table["prefill"].tolist() == [12, 5, 9]
    assert table["tokens"].tolist() == [15, 5, 11]
    stream = result.summary["stream"]
    first = table["first_token_ps"] - table["arrival_ps"]
    assert stream["first_token_ps"]["mean"] == pytest.approx(first.mean())
    each = (table["finish_ps"] - table["first_token_ps"])[[0, 2]] / [3, 2]
    assert stream["further_token_ps"]["mean"] == pytest.approx(each.mean())


def test_requests_lost_to_a_death_wait_in_no_queue():
    """A PU dies early in a stream that the chip keeps up with: lost, and nothing grows."""
    summary = simulate(jets(faults__deaths={"pu3": "150 us"})).summary
    assert summary["lost_by"]["death"] > 30
    assert summary["stream"]["served_at_most_per_s"] is None
    assert not any("grows without bound" in note for note in summary["notes"])
