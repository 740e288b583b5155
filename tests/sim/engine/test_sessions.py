"""Conversations: the next turn finds its keys and values, or computes all; both engines alike."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.engine.sessions import Kept
from hyflexsim.sim.plan.members import side_by_side
from hyflexsim.sim.plan.plan import Group
from hyflexsim.sim.plan.unrolled import shape_of

ENGINES = pytest.mark.parametrize("engine", ["simpy", "compiled"])


def line(plan_of):
    """In and out, 1 ps each."""
    return plan_of((0, 1, [Group(1, lag=1)], None, {}), (1, 1, [Group(0)], None, {"head": True}))


def conversation(at, turns, first=0, keeps=True):
    """Requests of one session: of each turn new tokens, and tokens fed back of its answer."""
    requests, held = [], 0
    for i, (new, answer) in enumerate(turns):
        prompt = held + new + (1 if i else 0)  # the last word of the answer has no keys yet
        after = first + i - 1 if i else None
        requests.append(Request(at, prompt + answer, prompt, after=after, keeps=keeps))
        held = prompt + answer
    return requests


@ENGINES
@settings(max_examples=30, deadline=None)
@given(
    turns=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), min_size=2, max_size=4),
    think=st.integers(1, 50),
    page=st.integers(1, 5),
)
def test_a_conversation_alone(decoder, engine, turns, think, page):
    """Each turn takes as long as a request that begins with what the last one has computed."""
    plan, requests = decoder(), conversation(3, turns)
    host = Host(memory=30 + sum(map(sum, turns)), page=page, think=[think] * len(turns))
    played = engines.play(plan, requests, engine=engine, host=host)
    assert played.found == [0] + [request.tokens for request in requests[:-1]]
    assert played.dropped == []
    for i, request in enumerate(requests):
        alone = Request(0, request.tokens, request.prefill, held=played.found[i])
        taken = engines.play(plan, [alone], engine=engine)
        assert played.finished[i] - played.arrived[i] == taken.finished[0]
        assert played.first_output[i] - played.arrived[i] == taken.first_output[0]
        whole = engines.play(plan, [dataclasses.replace(alone, held=0)], engine=engine)
        assert (taken.finished[0] < whole.finished[0]) == (played.found[i] > 0)
    gaps = [b - a for a, b in zip(played.finished, played.arrived[1:], strict=False)]
    assert gaps == [think] * (len(turns) - 1)


@ENGINES
def test_on_paper(plan_of, engine):
    """In and out, 1 ps each. A prompt of 2, answered at 3 by a word and at 5 by another; 10 ps on
    comes a prompt of 3 + 1 + 1 tokens, of which 2 are new: its word is there 3 ps later. With
    nothing kept it takes 6."""
    plan, host = line(plan_of), Host(memory=9, page=1, think=[10, 10])
    for keeps, last, found in ((True, 18, 3), (False, 21, 0)):
        played = engines.play(
            plan, conversation(0, [(2, 1), (1, 0)], keeps=keeps), engine=engine, host=host
        )
        assert (played.arrived, played.finished) == ([0, 15], [5, last])
        assert played.found == [0, found]
        assert played.tally.visits.tolist() == [8 - found, 3]


@ENGINES
def test_pages_that_others_need_are_given_up_by_who_left_first(plan_of, engine):
    """Six pages of a token. Prompts of 2 come at 0 and 1 and leave at 3 and 5, one of 3 comes at 10
    and leaves at 14: 2 pages are free for it, so the first is dropped, all of it. Its next turn
    comes at 23, finds nothing, and needs 4 pages: 1 is free, the second is dropped, and the third,
    too. The next turn of the second comes at 45, and needs 4: what stays of the first has to go.

    Nine pages: at 23 there are 7 in use, of which its next turn takes 2 and needs 2 more. At 45 all
    9 are; it finds 2 and needs 2 more: the third, which has been there the longest, is dropped.
    """
    plan = line(plan_of)
    one = conversation(0, [(2, 0), (1, 0)])
    two = conversation(1, [(2, 0), (1, 0)], first=2)
    alone = [Request(10, 3, 3, keeps=True)]
    requests = [*one, *two, *alone]
    host = Host(memory=6, page=1, think=[20, 1, 40, 1, 1])
    played = engines.play(plan, requests, engine=engine, host=host)
    assert [played.finished[i] for i in (0, 2, 4)] == [3, 5, 14]
    assert (played.arrived[1], played.arrived[3]) == (23, 45)
    assert (played.found, played.dropped) == ([0, 0, 0, 0, 0], [0, 1, 2, 4])
    wider = engines.play(plan, requests, engine=engine, host=dataclasses.replace(host, memory=9))
    assert (wider.found, wider.dropped) == ([0, 2, 0, 2, 0], [4])


@ENGINES
def test_a_conversation_stays_on_its_chip(decoder, engine):
    """Two chips. The next turn goes where its keys are, though the other chip is idle."""
    plan = side_by_side(decoder(), 2)
    requests = [
        *conversation(0, [(2, 0), (1, 0), (1, 0)]),
        Request(1000, 5, 1, keeps=True),
        Request(1000, 5, 1, keeps=True),
    ]
    host = Host(memory=40, page=4, think=[995] * 5, members=2, shortest=True)
    played = engines.play(plan, requests, engine=engine, host=host)
    assert played.found == [0, 2, 4, 0, 0]
    steps = played.trace.step[np.isin(played.trace.request, (0, 1, 2))]
    assert set(steps.tolist()) == {0, 1, 2}


@ENGINES
def test_turns_of_a_conversation_are_one_turn_of_the_dispatcher(decoder, engine):
    """Two chips by turns, and conversations of two turns that nobody keeps: one on each chip."""
    plan = side_by_side(decoder(), 2)
    requests = [
        *conversation(0, [(2, 0), (1, 0)], keeps=False),
        *conversation(0, [(2, 0), (1, 0)], first=2, keeps=False),
    ]
    host = Host(members=2, think=[5] * 4)
    trace = engines.play(plan, requests, engine=engine, host=host).trace
    where = {int(r): int(s) // 3 for s, r in zip(trace.step, trace.request, strict=True)}
    assert where == {0: 0, 1: 0, 2: 1, 3: 1}


@ENGINES
def test_a_turn_comes_not_before_its_time(plan_of, engine):
    """Turns of a trace: one has a time of its own, the next one's is over when the last is out."""
    first, second, third = conversation(0, [(2, 0), (1, 0), (1, 0)])
    second, third = (dataclasses.replace(r, arrival=at) for r, at in ((second, 50), (third, 51)))
    requests = [first, second, third]
    played = engines.play(line(plan_of), requests, engine=engine, host=Host(think=[1] * 3))
    assert played.arrived == [0, 50, played.finished[1] + 1]


@ENGINES
def test_clients_begin_the_next_conversation_after_their_last_turn(plan_of, engine):
    """One client, two conversations of two turns, one after the other; thinks 10, 20, 30, 40."""
    requests = [*conversation(7, [(1, 0), (1, 0)]), *conversation(7, [(1, 0), (1, 0)], first=2)]
    host = Host(clients=1, think=[10, 20, 30, 40], memory=9, page=1)
    played = engines.play(line(plan_of), requests, engine=engine, host=host)
    assert played.arrived[0] == 7
    gaps = [b - a for a, b in zip(played.finished, played.arrived[1:], strict=False)]
    assert gaps == [10, 20, 30]
    assert played.found == [0, 1, 0, 1]


@ENGINES
def test_under_a_sequencer_who_came_first_has_the_turn_first(plan_of, under, engine):
    """In and out take turns, 1 ps a token. A prompt of 20 has them from 5 to 26. Meanwhile one of 1
    comes at 9, and at 10 the next turn, of 3 tokens, of a conversation with a lower number: after
    it."""
    plan = under(line(plan_of), {0: 0, 1: 0})
    requests = [
        *conversation(0, [(1, 0), (1, 0)], keeps=False),
        Request(5, 20, 20),
        Request(9, 1, 1),
    ]
    played = engines.play(plan, requests, engine=engine, host=Host(think=[8] * 4))
    assert played.arrived == [0, 10, 5, 9]
    assert played.finished == [2, 32, 26, 28]


@ENGINES
def test_who_is_refused_comes_no_more(plan_of, engine):
    """No places: the second conversation finds the chip busy, and its next turn is never sent."""
    requests = [*conversation(0, [(2, 0), (1, 0)]), *conversation(0, [(2, 0), (1, 0)], first=2)]
    host = Host(0, memory=9, page=1, think=[5] * 4)
    played = engines.play(line(plan_of), requests, engine=engine, window=1, host=host)
    assert played.refused == [2]
    assert played.arrived == [0, 8, 0, -1]
    assert played.lost == [2, 3]


sessions = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=5,
)
hosts = st.fixed_dictionaries(
    {
        "page": st.integers(1, 4),
        "clients": st.sampled_from([None, None, 1, 2]),
        "members": st.integers(1, 2),
        "shortest": st.booleans(),
    }
)


def stream(sent):
    """Requests of several conversations, one after the other."""
    requests = []
    for at, (_, turns) in zip(np.cumsum([gap for gap, _ in sent]).tolist(), sent, strict=True):
        requests += conversation(at, turns, len(requests))
    return requests


def visits_of(plan, requests, played):
    """Visits and sizes of what was computed: from what was found, and anew after giving up."""
    visits, sizes, tokens = 0, 0, 0
    again = {}
    for number, entered, computed in played["preemptions"]:
        held = 0 if number in again else played["found"][number]
        shape = shape_of(plan, computed, entered, held=held)
        visits, sizes = visits + shape.visits, sizes + sum(shape.sizes)
        tokens += computed - held
        again[number] = computed + 1
    for number, request in enumerate(requests):
        if played["entered"][number] < 0:
            continue
        held = 0 if number in again else played["found"][number]
        shape = shape_of(plan, request.tokens, again.get(number, request.prefill), held=held)
        visits, sizes = visits + shape.visits, sizes + sum(shape.sizes)
        tokens += request.tokens - held
    return visits, sizes, tokens


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    sent=sessions,
    given_host=hosts,
    room=st.integers(0, 12),
    window=st.sampled_from([None, 2]),
    lanes=st.sampled_from([(1,), (1, 2)]),
    places=st.sampled_from([None, 1]),
)
def test_engines_agree_and_all_is_accounted_for(
    decoder, sequenced, outcome, data, sent, given_host, room, window, lanes, places
):
    """Tokens computed and tokens found are the tokens of all turns, but for what is done twice."""
    requests = stream(sent)
    one_chip = sequenced(data.draw, decoder(lanes))
    plan = side_by_side(one_chip, given_host["members"])
    most = max(-(-request.tokens // given_host["page"]) for request in requests)
    think = data.draw(st.lists(st.integers(1, 30), min_size=len(requests), max_size=len(requests)))
    places = None if given_host["clients"] else places
    host = Host(places, memory=room + most, think=think, **given_host)
    one, other, grown = (
        outcome(engines.play, plan, requests, engine="simpy", window=window, host=host),
        outcome(engines.play, plan, requests, engine="compiled", window=window, host=host),
        outcome(compiled.play, plan, requests, room=1, window=window, host=host),
    )
    assert one == other == grown
    visits, sizes, tokens = visits_of(plan, requests, one)
    assert (sum(one["visits"]), sum(one["sizes"])) == (visits, sizes)
    everything = sum(r.tokens for r, at in zip(requests, one["entered"], strict=True) if at >= 0)
    twice = sum(computed for _, _, computed in one["preemptions"])
    assert tokens + sum(one["found"]) == everything + twice
    for request, found in zip(requests, one["found"], strict=True):
        assert found in (0, request.after is not None and requests[request.after].tokens)
    taken = {requests[i].after for i, found in enumerate(one["found"]) if found}
    assert not taken & set(one["dropped"])


@settings(max_examples=60, deadline=None)
@given(sent=sessions, think=st.integers(1, 30), room=st.integers(0, 40))
def test_the_plain_event_loop_gives_the_same(decoder, reference, outcome, sent, think, room):
    """Requests that come when these entered, with what these found: every arrival, start and end.

    Without preemption: the plain loop has no pages.
    """
    requests, plan = stream(sent), decoder()
    memory = room + sum(r.tokens for r in requests if r.after is None) + 10 * len(requests)
    host = Host(memory=memory, page=1, think=[think] * len(requests))
    played = outcome(engines.play, plan, requests, engine="simpy", host=host)
    assert played["preemptions"] == []
    plain = [
        Request(at, r.tokens, r.prefill, held=found)
        for r, at, found in zip(requests, played["entered"], played["found"], strict=True)
    ]
    rows = zip(*(played[name] for name in "srtabe"), strict=True)
    assert sorted(rows) == reference(plan, plain)


@settings(max_examples=60, deadline=None)
@given(sent=sessions, page=st.integers(1, 3), room=st.integers(0, 8))
def test_conversations_of_one_turn_are_requests(decoder, outcome, sent, page, room):
    requests = stream([(gap, turns[:1]) for gap, turns in sent])
    memory = room + max(-(-request.tokens // page) for request in requests)
    host = Host(memory=memory, page=page)
    alone = [dataclasses.replace(request, keeps=False) for request in requests]
    for engine in ("simpy", "compiled"):
        kept = outcome(
            engines.play,
            decoder(),
            requests,
            engine=engine,
            host=dataclasses.replace(host, think=[1] * len(requests)),
        )
        plain = outcome(engines.play, decoder(), alone, engine=engine, host=host)
        assert kept | {"dropped": []} == plain


@given(
    left=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), max_size=8),
    room=st.integers(0, 20),
)
def test_what_stays_is_the_latest(left, room):
    """Those that left last stay, as many as fit; of one instant those of higher numbers."""
    kept = Kept()
    for number, (at, pages) in enumerate(left):
        kept.keep(number, pages, at)
    dropped = kept.shrink(room)
    order = sorted(range(len(left)), key=lambda i: (left[i][0], i))
    assert dropped == order[: len(dropped)]
    stays = [left[i][1] for i in order[len(dropped) :]]
    assert kept.pages == sum(stays) <= room
    assert not dropped or sum(stays) + left[dropped[-1]][1] > room


@ENGINES
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"after": 2}, "request 1 must be the one turn after a request before it"),
        ({"after": -1}, "request 1 must be the one turn after a request before it"),
        ({"prefill": 3}, "request 1 must begin with the 3 tokens of request 0"),
        ({"held": 1}, "request 1 must begin with the 3 tokens of request 0"),
    ],
)
def test_turns_that_do_not_follow(plan_of, engine, change, message):
    first, second, third = conversation(0, [(3, 0), (1, 0), (1, 0)])
    requests = [first, dataclasses.replace(second, **change), third]
    with pytest.raises(ValueError, match=message):
        engines.play(line(plan_of), requests, engine=engine, host=Host(think=[1] * 3))


@ENGINES
def test_two_turns_after_one(plan_of, engine):
    first, second = conversation(0, [(3, 0), (1, 0)])
    with pytest.raises(ValueError, match="request 2 must be the one turn after"):
        engines.play(
            line(plan_of), [first, second, second], engine=engine, host=Host(think=[1] * 3)
        )


@ENGINES
def test_clients_think(plan_of, engine):
    with pytest.raises(ValueError, match="clients must think for at least 1 ps"):
        engines.play(line(plan_of), conversation(0, [(3, 0), (1, 0)]), engine=engine)
