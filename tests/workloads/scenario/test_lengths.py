"""Lengths of requests against their distributions, and from traces."""

import numpy as np
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run.prepare import load_requests
from hyflexsim.workloads.scenario.lengths import lengths
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Fixed, FromTrace, Geometric, Lognormal, Uniform

COUNT = 40_000


def test_fixed():
    assert lengths("lengths", Fixed(), 7, 3) == [7, 7, 7]


def test_uniform_has_all_of_its_range():
    drawn = np.array(lengths("lengths", Uniform(least=3, most=6), 1, COUNT))
    assert np.bincount(drawn)[3:] / COUNT == pytest.approx([0.25] * 4, abs=0.01)
    assert drawn.min() == 3


def test_geometric_has_its_mean_and_deviation():
    """Deviation sqrt(1 - p) / p with p = 1 / mean."""
    drawn = np.array(lengths("answers", Geometric(mean=50), 1, COUNT))
    assert drawn.min() == 1
    assert drawn.mean() == pytest.approx(50, rel=0.02)
    assert drawn.std() == pytest.approx(np.sqrt(1 - 1 / 50) * 50, rel=0.03)


def test_lognormal_has_its_mean_and_variation():
    """Rounding up adds half a token."""
    drawn = np.array(lengths("prompts", Lognormal(mean=500, variation=1.5), 1, COUNT))
    assert drawn.mean() == pytest.approx(500.5, rel=0.03)
    assert drawn.std() == pytest.approx(750, rel=0.08)
    assert np.median(drawn) == pytest.approx(500 / np.sqrt(1 + 1.5**2), rel=0.03)


def test_longer_ones_are_cut_and_all_are_padded():
    given = Lognormal(mean=60, variation=1, most=100, multiple=16)
    drawn = set(lengths("prompts", given, 1, 2000))
    assert drawn == {16, 32, 48, 64, 80, 96, 112}


def test_prompts_and_answers_are_drawn_apart_and_longer_streams_begin_alike():
    given = Geometric(mean=20)
    first = lengths("prompts", given, 1, 50, seed=3)
    assert first == lengths("prompts", given, 1, 100, seed=3)[:50]
    assert first != lengths("answers", given, 1, 50, seed=3)
    assert first != lengths("prompts", given, 1, 50, seed=4)
    own = Geometric(mean=20, seed=3)
    assert first == lengths("prompts", own, 1, 50, seed=4)


def test_lengths_of_a_trace(tmp_path):
    """Prompts and answers beside times: the last token of an answer is not fed back."""
    path = tmp_path / "burst.csv"
    path.write_text("Timestamp,Request tokens,Response tokens\n5,472,18\n45,30,1\n")
    arrivals = {"kind": "trace", "file": str(path), "speed": 1e6}
    scenario = Scenario.load(
        "llama-3.2-1b",
        {
            "workload.requests": 2,
            "workload.arrivals": arrivals,
            "workload.prompts.kind": "trace",
            "workload.answers.kind": "trace",
        },
    )
    from hyflexsim.sim import graph as g  # noqa: PLC0415

    graph = g.new_graph("any")
    g.add_op(graph, "in", "input", layer="l", width=1)
    requests, _ = load_requests(scenario, graph)
    found = [(request.arrival, request.tokens, request.prefill) for request in requests]
    assert found == [(0, 489, 472), (40 * 10**6, 30, 30)]


def test_a_trace_stands_beside_its_scenario(tmp_path):
    """Relative paths start from the scenario's folder."""
    (tmp_path / "a.csv").write_text("time_s,tokens,answer\n0,7,2\n1,8,3\n")
    text = """
    [model]
    name = "distilgpt2"
    [workload]
    kind = "generate"
    requests = 2
    arrivals = { kind = "trace", file = "a.csv", speed = 1e6 }
    prompts = { kind = "trace" }
    answers = { kind = "trace", file = "a.csv" }
    """
    (tmp_path / "mine.toml").write_text(text)
    workload = Scenario.load(tmp_path / "mine.toml").workload
    assert workload.arrivals.file == workload.answers.file == str(tmp_path / "a.csv")


def test_refusals(tmp_path):
    with pytest.raises(InputError, match=r"^workload.answers.file must name a trace, since work"):
        lengths("answers", FromTrace(), 1, 2)
    path = tmp_path / "a.csv"
    path.write_text("time_s,tokens\n5,472\n")
    with pytest.raises(InputError, match=r"a.csv: must have a column GeneratedTokens or Response"):
        lengths("answers", FromTrace(file=str(path)), 1, 1)
    assert lengths("prompts", FromTrace(file=str(path)), 1, 1) == [472]
