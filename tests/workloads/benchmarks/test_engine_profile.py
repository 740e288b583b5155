"""The profile of the compiled engine: it runs, and its parts make up the whole."""

import pytest

from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.workloads.benchmarks import engine_profile
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario.scenario import Scenario


def test_a_play_has_the_visits_of_its_plan(monkeypatch):
    monkeypatch.setattr(engine_profile, "TURNS", 1)
    ready = prepare(Scenario.load("part-jets", ["workload.count=1"]))
    visits, (tables, whole) = engine_profile.of_play(ready.plan, ready.requests, ready.window)
    (request,) = ready.requests
    assert visits == shape_of(ready.plan, request.tokens).visits
    assert tables > 0
    assert whole > 0


def test_parts_of_the_second_run_add_up(monkeypatch):
    monkeypatch.setattr(engine_profile, "TURNS", 1)
    names, seconds = (list(column.cells) for column in engine_profile.second_run().columns)
    assert names == ["Python", *(name for name, _ in engine_profile.PARTS), "all"]
    *parts, whole = (float(number) for number in seconds)
    assert sum(parts) == pytest.approx(whole, abs=0.0005 * len(seconds))  # printed to a millisecond
