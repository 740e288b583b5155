"""Who is let in: as many as the memory holds of the longest, or as fit, each by its own length."""

from __future__ import annotations

import pytest

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
