"""Layer-serial on whole models: a token, requests at once, copies where arrays are free."""

from hyflexsim.sim.engine.engines import play
from hyflexsim.sim.plan.overlap import turns_ps
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario.scenario import Scenario

SERIAL = ["run.overlap=layer-serial"]
LARGE = ["model.name=bert-large", "mapping.slc_rate=0.05", *SERIAL]


def played(name, *changes):
    prepared = prepare(Scenario.load(name, list(changes)))
    return prepared, play(prepared.plan, prepared.requests, window=prepared.window)


def test_a_generated_token_is_not_faster_than_with_overlap():
    """GPT-2: what follows the first token takes longer in turns, with copies and without."""
    gpt2 = ["model.name=gpt2", "workload.prefill=32", "workload.decode=8", "chip.chips=1"]
    times = []
    for more in ([], [*SERIAL], [*SERIAL, "mapping.copies=none"]):
        _, run = played("llama-3.2-1b", *gpt2, *more)
        times.append(run.finished[0] - run.first_output[0])
    overlapped, turns, alone = times
    assert turns > overlapped
    assert turns == alone


def test_requests_at_once_are_served_like_spaced_ones():
    """BERT-Large, 12 of 64 tokens: as many a second as when they come 600 us apart."""
    jobs = [*LARGE, "workload.tokens=64", "workload.requests=12"]
    spaced = 'workload.arrivals={kind="interval",interval="600 us"}'
    together, apart = (max(played("bert-base", *jobs, *x)[1].finished) for x in ([], [spaced]))
    assert together < apart


def test_free_arrays_are_used():
    """BERT-Large, 1,024 tokens: `fill` finds copies that make the groups faster by half."""
    few = [*LARGE, "model.positions=any", "workload.tokens=1024", "workload.requests=1"]
    times, copies = [], []
    for choice in ("none", "fill"):
        prepared = prepare(Scenario.load("bert-base", [*few, f"mapping.copies={choice}"]))
        times.append(max(turns_ps(prepared.plan, 1024).values()))
        copies.append(max(weight.copies for weight in prepared.placement.weights.values()))
    assert copies[0] == 1 < copies[1]
    assert times[1] < times[0] / 1.5
