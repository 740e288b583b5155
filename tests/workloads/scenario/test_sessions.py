"""Conversations of a scenario: turns, what they begin with, when they come; and what is refused."""

import numpy as np
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run.prepare import load_requests, think_of
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import (
    Closed,
    FixedTurns,
    Generate,
    GeometricTurns,
    Poisson,
    UniformTurns,
)
from hyflexsim.workloads.scenario.sessions import before_each, thinking, turns

POISSON = Poisson(rate_per_s=1e4)
THINK = {"think": "2 ms"}


def text(sessions, requests, **more):
    return Generate(sessions=sessions, requests=requests, **{"arrivals": POISSON, **more})


def lengths_of(before):
    """Turns of each conversation."""
    firsts = [i for i, after in enumerate(before) if after is None]
    return np.diff([*firsts, len(before)])


def test_turns_begin_with_all_before_them():
    """Prompts of 5, 2, 3 new tokens, answers of 4, 1, 6 words; then the next conversation's.

    Of the first turn 8 tokens have keys, all but the last word of the answer: 9 + 2 are the prompt
    of the second, which says one word; 12 + 3 that of the third.
    """
    workload = text(FixedTurns(turns=3, **THINK), 4)
    made = turns(workload, [5, 2, 3, 7], [4, 1, 6, 1], 0)
    assert made == [(5, 8, None), (11, 11, 0), (15, 20, 1), (7, 7, None)]


def test_requests_are_turns_and_the_last_conversation_ends_with_them():
    assert before_each(text(FixedTurns(turns=3, **THINK), 5)) == [None, 0, 1, None, 3]
    assert before_each(text(FixedTurns(turns=1, **THINK), 3)) == [None] * 3


def test_uniform_turns_have_all_of_their_range():
    drawn = lengths_of(before_each(text(UniformTurns(least=2, most=4, **THINK), 30_000)))[:-1]
    assert np.bincount(drawn)[2:] / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert set(drawn) == {2, 3, 4}


def test_geometric_turns_have_their_mean():
    given = GeometricTurns(mean=3, most=50, **THINK)
    drawn = lengths_of(before_each(text(given, 60_000)))[:-1]
    assert drawn.mean() == pytest.approx(3, rel=0.02)
    assert drawn.std() == pytest.approx(np.sqrt(1 - 1 / 3) * 3, rel=0.05)
    cut = lengths_of(before_each(text(GeometricTurns(mean=3, most=2, **THINK), 1000)))
    assert cut.max() == 2


def test_longer_runs_begin_alike():
    given = GeometricTurns(mean=3, **THINK)
    assert before_each(text(given, 500), 4)[:200] == before_each(text(given, 200), 4)
    assert before_each(text(given, 500), 4) != before_each(text(given, 500), 5)


def test_thinking():
    """Exponential with its mean, or always the same; clients think as they always do."""
    drawn = np.array(thinking(text(FixedTurns(turns=2, **THINK), 20_000)))
    assert drawn.mean() == pytest.approx(2e9, rel=0.03)
    assert drawn.std() == pytest.approx(2e9, rel=0.04)
    given = FixedTurns(turns=2, gaps="fixed", **THINK)
    assert thinking(text(given, 3)) == [2 * 10**9] * 3
    clients = Closed(clients=2, think="5 us", gaps="fixed")
    assert thinking(text(FixedTurns(turns=2), 2, arrivals=clients)) == [5 * 10**6] * 2
    assert thinking(Generate(requests=3)) == []


def loaded(**changes):
    given = {
        "model.name": "distilgpt2",
        "workload.requests": 4,
        "workload.prefill": 5,
        "workload.answers.kind": "fixed",
        "workload.decode": 3,
    }
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return Scenario.load("gpt2-chat", given | named)


@pytest.fixture(scope="module")
def graph():
    from hyflexsim.workloads.run.prepare import load_graph  # noqa: PLC0415

    return load_graph(loaded())


def test_arrivals_are_those_of_first_turns(graph):
    scenario = loaded(
        workload__sessions={"kind": "fixed", "turns": 2, "think": "1 ms", "gaps": "fixed"},
        workload__arrivals={"kind": "interval", "interval": "3 us"},
    )
    requests, _ = load_requests(scenario, graph)
    assert [request.arrival for request in requests] == [0, 0, 3_000_000, 3_000_000]
    assert [request.after for request in requests] == [None, 0, None, 2]
    assert [(request.prefill, request.tokens) for request in requests] == [(5, 7), (13, 15)] * 2
    assert all(request.keeps for request in requests)
    assert think_of(scenario, 4) == [10**9] * 4


@pytest.mark.parametrize("change", [{"host__sessions": "forgotten"}, {"host__admission": "own"}])
def test_what_does_not_stay(graph, change):
    sessions = {"kind": "fixed", "turns": 2, "think": "1 ms"}
    requests, _ = load_requests(loaded(workload__sessions=sessions, **change), graph)
    assert [request.after for request in requests] == [None, 0, None, 2]
    assert not any(request.keeps for request in requests)


TRACE = """\
Timestamp,Session ID,Request tokens,Response tokens
5,a,10,4
6,,3,1
7,b,6,2
8,a,20,5
"""


def of_trace(path, **changes):
    return loaded(
        workload__arrivals={"kind": "trace", "file": str(path), "speed": 1000},
        workload__sessions__kind="trace",
        **{"workload__prompts__kind": "trace", "workload__answers__kind": "trace", **changes},
    )


@pytest.mark.parametrize("column", ["Session ID", "session_id", "conversation_id"])
def test_sessions_of_a_trace(graph, tmp_path, column):
    """Prompts are whole ones; a row without a session stands alone; each row has its time."""
    path = tmp_path / "burst.csv"
    path.write_text(TRACE.replace("Session ID", column))
    scenario = of_trace(path)
    requests, _ = load_requests(scenario, graph)
    assert [request.after for request in requests] == [None, None, None, 0]
    assert [request.prefill for request in requests] == [10, 3, 6, 20]
    assert [request.arrival for request in requests] == [0, 10**9, 2 * 10**9, 3 * 10**9]
    assert think_of(scenario, 4) == [1] * 4


def test_new_tokens_of_a_trace_that_has_no_prompts(graph, tmp_path):
    path = tmp_path / "burst.csv"
    path.write_text(TRACE)
    scenario = of_trace(path, workload__prompts__kind="fixed")
    requests, _ = load_requests(scenario, graph)
    assert [request.prefill for request in requests] == [5, 5, 5, 5 + 4 + 5]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "8,a,20,5",
            "8,a,14,5",
            "burst.csv: request 4, which goes on with request 1 of its session, must have a prompt "
            "of more than 14 tokens, its prompt and answer; got 14",
        ),
        (
            "6,,3,1",
            "5,a,30,1",
            "burst.csv: request 2 must come after request 1 of its session, 'a'; both come at once",
        ),
        (
            "Session ID",
            "User",
            "burst.csv: must have a column Session ID or session_id or conversation_id for "
            "workload.sessions",
        ),
    ],
)
def test_traces_that_are_refused(graph, tmp_path, old, new, message):
    path = tmp_path / "burst.csv"
    path.write_text(TRACE.replace(old, new))
    with pytest.raises(InputError) as error:
        load_requests(of_trace(path), graph)
    assert str(error.value).endswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"workload__sessions": {"kind": "fixed", "turns": 2}},
            'workload.sessions.think must be a duration such as "1 ms", the mean time from an '
            "answer to the next turn; got nothing",
        ),
        (
            {
                "workload__sessions": {"kind": "fixed", "turns": 2, "think": "1 ms"},
                "workload__arrivals": {"kind": "closed", "clients": 2, "think": "1 ms"},
            },
            "workload.sessions.think must not stand beside closed arrivals, whose clients have a "
            "think of their own; got '1 ms'",
        ),
        (
            {"workload__sessions__kind": "trace"},
            "workload.arrivals.kind must be trace for workload.sessions of a trace; got 'poisson'",
        ),
        (
            {
                "workload__sessions": {"kind": "fixed", "turns": 4, "think": "1 ms"},
                "workload__prefill": 300,
            },
            "distilgpt2: tokens must be at most 1024, the positions that it has learned (in a run, "
            'model.positions = "any" goes beyond); got 1211',
        ),
    ],
)
def test_refusals_of_requests(graph, changes, message):
    with pytest.raises(InputError) as error:
        load_requests(loaded(**changes), graph)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("sessions", "message"),
    [
        ({"kind": "fixed", "think": "1 ms"}, "turns must be an integer from 1 to 1000000; got no"),
        ({"kind": "fixed", "turns": 0}, "workload.sessions.turns must be an integer from 1 to"),
        ({"kind": "uniform", "least": 3, "most": 2}, "least must be at most 2, which is most; got"),
        ({"kind": "geometric", "mean": 0.5}, "workload.sessions.mean must be a number from 1 to"),
        ({"kind": "fixed", "turns": 2, "think": "0 ms"}, "think must be a duration such as"),
        ({"kind": "often"}, "kind must be one of alone, fixed, uniform, geometric, trace; got 'of"),
        ({"kind": "trace", "think": "1 ms"}, "unknown key 'workload.sessions.think'"),
    ],
)
def test_refusals_of_a_scenario(sessions, message):
    with pytest.raises(InputError) as error:
        loaded(workload__sessions=sessions)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_host_keeps_or_forgets():
    with pytest.raises(InputError, match=r"host.sessions must be kept or forgotten; got 'lost'"):
        loaded(host__sessions="lost")
