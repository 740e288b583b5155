"""Conversations on a real plan: what is found is not computed, and all of it is told."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.workloads import simulate
from hyflexsim.workloads.cli.stream_table import stream as stream_table
from hyflexsim.workloads.run import colocated
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.run.prepare import check_sessions, prepare
from hyflexsim.workloads.scenario.colocation import Colocation
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import dotted

SESSIONS = {"kind": "fixed", "turns": 3, "think": "300 us"}
BASE = {
    "model.name": "distilgpt2",
    "workload.requests": 9,
    "workload.prefill": 6,
    "workload.answers": {"kind": "geometric", "mean": 4, "most": 9},
    "workload.arrivals.rate_per_s": 4000,
    "workload.sessions": SESSIONS,
}


SHORT = {  # little memory: conversations are dropped, and a turn that found its keys gives up
    "digital__arrays": 39,
    "host__page": 4,
    "workload__prefill": 20,
    "workload__answers": {"kind": "uniform", "least": 1, "most": 40},
    "workload__arrivals__rate_per_s": 20_000,
    "workload__sessions__think": "100 us",
}


def scenario(**changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return Scenario.load("gpt2-chat", BASE | named)


@pytest.fixture(scope="module")
def ready():
    return prepare(scenario())


@pytest.fixture(scope="module")
def kept(ready):
    return simulate(scenario(), graph=ready.graph)


@pytest.fixture(scope="module")
def short(ready):
    """With so little memory that conversations are dropped."""
    return simulate(scenario(**SHORT), graph=ready.graph)


def test_all_is_found_where_there_is_room(kept):
    told = kept.summary["stream"]["sessions"]
    assert (told["begun"], told["next_turns"], told["found"], told["dropped"]) == (3, 6, 6, 0)
    befores = [kept.requests[r.after].tokens for r in kept.requests if r.after is not None]
    assert told["found_tokens"] == sum(befores)
    whole = sum(request.tokens for request in kept.requests)
    assert told["found_tokens"] + told["computed_tokens"] == whole == kept.summary["tokens"]
    assert told["first_token_ps"]["not_found"] is None


def test_tokens_found_and_computed_are_all_tokens_where_pages_run_out(short):
    told, played = short.summary["stream"]["sessions"], short.played
    assert any(played.found[request] for request, _, _ in played.preemptions)
    assert 0 < told["found"] < told["next_turns"] == 6
    assert told["dropped"] == len(played.dropped) > 0
    again = sum(computed for _, _, computed in played.preemptions)
    whole = sum(request.tokens for request in short.requests)
    assert told["found_tokens"] + told["computed_tokens"] == whole + again


def test_a_turn_alone_takes_as_long_as_one_that_begins_so(ready):
    """One conversation: each turn as a request of its own, whose first tokens are there; and the
    visits of all are those of the whole prompts without those of what was held."""
    alone = simulate(scenario(workload__requests=3), graph=ready.graph)
    played, plan = alone.played, alone.plan
    latencies = np.subtract(played.finished, played.arrived).tolist()
    visits = 0
    for request, found, latency in zip(alone.requests, played.found, latencies, strict=True):
        own = Request(0, request.tokens, request.prefill, held=found)
        assert engines.play(plan, [own], engine="simpy", host=Host()).finished == [latency]
        shape = shape_of(plan, request.tokens, request.prefill)
        before = shape_of(plan, found, found).counts if found else [0] * len(plan.steps)
        done = [0 if s.head else n for s, n in zip(plan.steps, before, strict=True)]
        visits += shape.visits - sum(done)
    assert played.found == [0, *(r.tokens for r in alone.requests[:-1])]
    assert alone.summary["visits"] == visits


def test_forgotten_turns_are_requests_with_longer_prompts(ready):
    one = scenario(workload__requests=3, host__sessions="forgotten")
    alone = simulate(one, graph=ready.graph)
    assert alone.played.found == [0, 0, 0]
    latencies = np.subtract(alone.played.finished, alone.played.arrived).tolist()
    for request, latency in zip(alone.requests, latencies, strict=True):
        own = Request(0, request.tokens, request.prefill)
        assert engines.play(alone.plan, [own], engine="simpy").finished == [latency]
    assert [note for note in alone.summary["notes"] if "nothing of a conversation stays" in note]
    told = alone.summary["stream"]["sessions"]
    assert (told["found"], told["found_tokens"], told["next_turns"]) == (0, 0, 2)


@pytest.mark.parametrize("mode", ["action", "power-time"])
def test_energies_of_turns_add_up(ready, mode):
    result = simulate(scenario(**SHORT, run__energy=mode), graph=ready.graph)
    spent = sum(row["energy_pj"] for row in result.tables["requests"])
    total = sum(row["energy_pj"] for row in result.tables["energy"])
    assert spent == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("changes", [{}, SHORT])
def test_engines_agree(ready, changes):
    one, other = (
        simulate(scenario(**changes, run__engine=engine), graph=ready.graph)
        for engine in ("simpy", "compiled")
    )
    assert one.summary | {"engine": ""} == other.summary | {"engine": ""}
    for a, b in zip(one.played.trace.columns(), other.played.trace.columns(), strict=True):
        assert np.array_equal(a, b)


def test_conversations_of_one_turn_are_requests(ready):
    """The same run: trace, tables and what is told, but for the words about conversations."""
    one = simulate(scenario(workload__sessions=SESSIONS | {"turns": 1}), graph=ready.graph)
    none = simulate(scenario(workload__sessions={"kind": "alone"}), graph=ready.graph)
    for a, b in zip(one.played.trace.columns(), none.played.trace.columns(), strict=True):
        assert np.array_equal(a, b)
    for name, rows in none.tables.items():
        assert list(one.tables[name]) == list(rows)
    assert none.summary["stream"].pop("sessions") is None
    told = one.summary["stream"].pop("sessions")
    assert (told["begun"], told["next_turns"], told["found_tokens"]) == (9, 0, 0)
    assert one.summary == none.summary


def test_the_first_token_comes_sooner_where_keys_and_values_are_found(ready, kept):
    """A prompt of many tokens more than a few new ones."""
    changes = {"workload__prefill": 60, "workload__requests": 9, "host__page": 4}
    found, forgotten = (
        simulate(scenario(host__sessions=each, **changes), graph=ready.graph)
        for each in ("kept", "forgotten")
    )
    first = [each.summary["stream"]["sessions"]["first_token_ps"] for each in (found, forgotten)]
    assert first[0]["found"]["mean"] < first[1]["not_found"]["mean"]
    assert found.summary["energy_per_request_pj"] < forgotten.summary["energy_per_request_pj"]
    assert found.summary["macs"] < forgotten.summary["macs"]


def test_requests_of_the_table_name_their_sessions(kept):
    table = kept.tables["requests"].columns
    assert table["session"].tolist() == [0, 0, 0, 3, 3, 3, 6, 6, 6]
    assert table["found"].tolist() == kept.played.found


def test_turns_of_a_trace_wait_for_answers(ready, tmp_path):
    """A thousand times faster than it was: the second turn of a comes before the first is said."""
    path = tmp_path / "burst.csv"
    path.write_text(
        "Timestamp,Session ID,Request tokens,Response tokens\n"
        "1,a,8,6\n2,b,4,2\n3,a,20,3\n9000,b,9,2\n"
    )
    trace = {"kind": "trace", "file": str(path), "speed": 1e6}
    changes = {
        "workload__arrivals": trace,
        "workload__sessions": {"kind": "trace"},
        "workload__prompts__kind": "trace",
        "workload__answers": {"kind": "trace"},
        "workload__requests": 4,
    }
    result = simulate(scenario(**changes), graph=ready.graph)
    played = result.played
    assert played.arrived == [0, 10**6, played.finished[0] + 1, 8999 * 10**6]
    assert played.found == [0, 0, 13, 5]
    assert result.summary["stream"]["sessions"]["late"] == 1
    assert [n for n in result.summary["notes"] if n.startswith("1 of 2 next turns came later than")]


def test_conversations_behind_a_dispatcher(ready):
    """Two chips: all turns of a conversation are on one."""
    result = simulate(scenario(host__replicas=2), graph=ready.graph)
    trace, half = result.played.trace, len(result.plan.steps) // 2
    session = result.tables["requests"].columns["session"]
    visits = zip(trace.step.tolist(), trace.request.tolist(), strict=True)
    where = {(int(session[request]), step // half) for step, request in visits}
    assert len(where) == 3
    assert {chip for _, chip in where} == {0, 1}
    assert sum(found > 0 for found in result.played.found) == 6


def test_a_closed_loop_of_conversations(ready):
    clients = {"kind": "closed", "clients": 2, "think": "50 us", "gaps": "fixed"}
    sessions = {"kind": "fixed", "turns": 3}
    result = simulate(
        scenario(workload__arrivals=clients, workload__sessions=sessions), graph=ready.graph
    )
    played, think = result.played, 50 * 10**6
    free = min(played.finished[last] for last in (2, 5))
    for i, request in enumerate(result.requests):
        since = 0 if i in (0, 3) else free if i == 6 else played.finished[request.after]
        assert played.arrived[i] == since + think
    assert sum(found > 0 for found in played.found) == 6


def test_a_stop_rule_may_end_in_a_conversation(ready):
    """The first turns of a stream are a stream."""
    from hyflexsim.workloads.run.precision import first  # noqa: PLC0415

    part = first(ready, 5)
    host, requests = part.host, part.requests
    played = engines.play(part.plan, requests, engine="simpy", window=part.window, host=host)
    assert sum(found > 0 for found in played.found) == 3


def test_what_cannot_begin_with_what_was_kept(ready):
    import dataclasses  # noqa: PLC0415

    plan = ready.plan
    steps = (*plan.steps[:-1], dataclasses.replace(plan.steps[-1], axis="pair"))
    with pytest.raises(
        InputError, match=r"keys and values of a text cannot be used again: .* serv"
    ):
        check_sessions(ready.requests, dataclasses.replace(plan, steps=steps))


def test_values_are_of_whole_requests(ready):
    from hyflexsim.workloads.values.executed import Sides  # noqa: PLC0415 (torch)

    with pytest.raises(InputError, match=r"host.sessions must be forgotten; got 'kept'"):
        Sides(scenario(), ready=ready)


def test_several_models_of_which_one_talks():
    """Its conversations are as if it were alone on its chip; the other's requests have none."""
    mlp = Colocation.load("jets-and-mlp").models["mlp"].model.graph
    workload = {
        "kind": "generate",
        "prefill": 6,
        "decode": 3,
        "requests": 6,
        "sessions": SESSIONS,
        "arrivals": {"kind": "poisson", "rate_per_s": 4000},
    }
    changes = {
        "models.tagger.model.name": "distilgpt2",
        "models.tagger.chip": 1,
        "models.tagger.pus": 24,
        **{f"models.tagger.workload.{key}": value for key, value in workload.items()},
        "models.mlp.model.graph": mlp,
        "models.mlp.workload.requests": 20,
        "host.admission": "paged",
        "host.page": 4,
    }
    loaded = Colocation.load("jets-and-mlp", changes)
    result = colocated.simulate(loaded)
    alone = simulate(loaded.alone("tagger"))
    told = result.summary["models"]
    assert told["tagger"]["stream"]["sessions"] == alone.summary["stream"]["sessions"]
    assert told["tagger"]["stream"]["sessions"]["found"] == 4
    assert told["mlp"]["stream"]["sessions"] is None
    assert told["tagger"]["latency_ps"] == alone.summary["latency_ps"]


def test_the_table_of_the_command_line(short):
    console = Console(width=140, no_color=True)
    with console.capture() as capture:
        console.print(stream_table(short.summary))
    said = [" ".join(line.split()) for line in capture.get().splitlines()]
    told = short.summary["stream"]["sessions"]
    found = f"found {told['found']} of 6 next turns of 3 sessions found their keys and values"
    assert found in said
    assert f"dropped {told['dropped']} sessions, as others needed their pages" in said


PAGE = (Path(__file__).parents[3] / "docs" / "how-to.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (43|64) \| (.*) \|$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def of_page():
    """The sweep of docs/how-to.md, and what its points share."""
    sweep = tomllib.loads(PAGE.partition("sessions.toml <<'TOML'\n")[2].partition("TOML\n")[0])
    return dotted(sweep["set"]) | {"trace.stop": 1}, Kept()


@pytest.mark.parametrize(("arrays", "cells"), ROWS)
def test_the_table_of_the_page(of_page, arrays, cells):
    """Least and most memory."""
    settings, plans = of_page
    settings = settings | {"digital.arrays": int(arrays)}
    results = [
        simulate(Scenario.load("gpt2-chat", settings | {"host.sessions": each}), kept=plans)
        for each in ("kept", "forgotten")
    ]
    told = results[0].summary["stream"]["sessions"]
    assert told["next_turns"] == 29
    made = [str(told["found"]), str(told["dropped"])]
    for result in results:
        wait = result.summary["stream"]["first_token_ps"]["mean"]
        spent = result.summary["energy_per_request_pj"]
        made += [f"{wait * 1e-6:.0f} µs", f"{spent * 1e-9:.1f} mJ"]
    memory = prepare(results[0].scenario, kept=plans).host.memory
    assert " | ".join([str(memory), *made]) == cells


def test_the_table_of_the_page_is_there():
    assert [arrays for arrays, _ in ROWS] == ["43", "64"]
