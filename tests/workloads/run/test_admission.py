"""Who is let in: as many as the memory holds of the longest, or as fit, each by its own length."""

from __future__ import annotations

import pytest

from hyflexsim.sim.errors import CapacityError
from hyflexsim.sim.placement.memory import requests_at_once
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.scenario import Scenario

SMALL = {
    "workload.count": 40,
    "workload.arrivals": {"kind": "at-once"},
    "digital.arrays": 2,
    "digital.rows": 64,
}


def _scenario(admission: str, engine: str = "auto") -> Scenario:
    return Scenario.load("hybrid-jets", SMALL | {"host.admission": admission, "run.engine": engine})


def test_the_longest_counts_for_all_or_each_for_itself():
    longest, own = (prepare(_scenario(each)) for each in ("longest", "own"))
    most = max(request.tokens for request in longest.requests)
    at_once = requests_at_once(longest.graph, longest.placement, most)
    assert (longest.window, longest.host.memory) == (at_once, None)
    assert 1 < at_once < len(longest.requests)  # or this test shows nothing
    assert own.window == len(own.requests)
    assert own.host.memory is not None
    assert own.host.memory // max(own.host.needs) == at_once


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_what_is_on_the_chip_always_fits_and_more_of_it(engine):
    ready = prepare(_scenario("own"))
    own, longest = (
        simulate(_scenario(each, engine), graph=ready.graph).played for each in ("own", "longest")
    )
    stays = list(zip(ready.host.needs, own.entered, own.finished, strict=True))
    for at in own.entered:
        held = sum(need for need, entered, left in stays if entered <= at < left)
        assert held <= ready.host.memory
    assert own.peak_requests > longest.peak_requests
    assert max(own.finished) <= max(longest.finished)


def test_pages_that_run_out():
    """Text on little memory: all is answered, and what is computed twice is paid and said."""
    changes = {"workload.requests": 6, "workload.prefill": 64, "digital.arrays": 39}
    changes |= {"workload.arrivals": {"kind": "at-once"}, "workload.answers.most": 40}
    scenario = Scenario.load("gpt2-chat", changes)
    ready = prepare(scenario)
    result = simulate(scenario, graph=ready.graph)
    assert (ready.host.page, ready.host.needs) == (16, [])
    assert min(result.played.finished) > 0
    told = result.summary["stream"]["preempted"]
    assert told["times"] == len(result.played.preemptions) > 0
    assert told["requests"] <= told["times"] < told["recomputed_tokens"]
    assert [note for note in result.summary["notes"] if "gave up keys and values" in note]
    spent = sum(row["energy_pj"] for row in result.tables["requests"])
    assert spent == pytest.approx(
        sum(row["energy_pj"] for row in result.tables["energy"]), rel=1e-12
    )


def test_too_few_pages_for_one_request():
    scenario = Scenario.load("gpt2-chat", {"digital.arrays": 39, "workload.prefill": 300})
    with pytest.raises(CapacityError, match=r"a request of .* tokens"):
        prepare(scenario)
