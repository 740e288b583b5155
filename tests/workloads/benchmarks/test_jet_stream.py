"""Very many jets, here a few: what is told of them."""

from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.workloads.benchmarks import jet_stream
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario.scenario import Scenario


def test_all_visits_are_counted_and_few_are_kept(capsys):
    jet_stream.main(count=205)
    told = capsys.readouterr().out
    ready = prepare(Scenario.load("part-jets", ["workload.count=205"]))
    visits = sum(shape_of(ready.plan, request.tokens).visits for request in ready.requests)
    kept = sum(shape_of(ready.plan, request.tokens).visits for request in ready.requests[::2])
    assert f"205 jets, {visits:,} visits" in told
    assert f"{kept:,} visits kept" in told
