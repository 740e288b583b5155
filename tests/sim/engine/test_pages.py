"""Keys and values in pages: who goes on, who gives up, and that nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.plan.members import side_by_side
from hyflexsim.sim.plan.plan import Group
from hyflexsim.sim.plan.unrolled import shape_of

ENGINES = pytest.mark.parametrize("engine", ["simpy", "compiled"])


@ENGINES
def test_who_came_last_gives_up_for_the_first(plan_of, engine):
    """In and out, 1 ps each; three pages of one token; two prompts of one token, three words each.

    The first says its first word at 2, and gets the third page. The second says its first at 3 and
    finds none: it gives up its page, which the first gets at 4, and two would be too many. At 6 the
    first has said its third. The second computes its prompt and its word anew, two tokens from 6 to
    8, says its second word at 9 and its third at 11.
    """
    plan = plan_of((0, 1, [Group(1, lag=1)], None, {}), (1, 1, [Group(0)], None, {"head": True}))
    requests = [Request(0, 3, 1), Request(0, 3, 1)]
    played = engines.play(plan, requests, engine=engine, host=Host(memory=3, page=1))
    assert played.preemptions == [(1, 1, 1)]
    assert played.entered == [0, 0]
    assert played.finished == [6, 11]
    assert played.first_output == [2, 3]
    whole = shape_of(plan, 3, 1).visits + shape_of(plan, 1, 1).visits + shape_of(plan, 3, 2).visits
    assert played.tally.visits.sum() == whole


streams = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=9
)


@settings(max_examples=80, deadline=None)
@given(
    sent=streams,
    page=st.integers(1, 4),
    room=st.integers(0, 6),
    window=st.sampled_from([None, 2]),
    lanes=st.sampled_from([(1,), (1, 2)]),
    members=st.integers(1, 2),
    places=st.sampled_from([None, 1]),
    shortest=st.booleans(),
)
def test_engines_agree_and_all_is_accounted_for(
    decoder, outcome, sent, page, room, window, lanes, members, places, shortest
):
    plan = side_by_side(decoder(lanes), members)
    at = np.cumsum([gap for gap, _, _ in sent]).tolist()
    requests = [Request(a, p + d, p) for a, (_, p, d) in zip(at, sent, strict=True)]
    memory = room + max(-(-request.tokens // page) for request in requests)
    host = Host(places, members=members, shortest=shortest, memory=memory, page=page)
    one, other, grown = (
        outcome(engines.play, plan, requests, engine="simpy", window=window, host=host),
        outcome(engines.play, plan, requests, engine="compiled", window=window, host=host),
        outcome(compiled.play, plan, requests, room=1, window=window, host=host),
    )
    assert one == other == grown
    assert [i for i, end in enumerate(one["finished"]) if end < 0] == one["refused"]
    visits, sizes = 0, 0
    prompts = [request.prefill for request in requests]
    for number, entered, computed in one["preemptions"]:  # in order
        assert prompts[number] == entered <= computed < requests[number].tokens
        visits += shape_of(plan, computed, entered).visits
        sizes += sum(shape_of(plan, computed, entered).sizes)
        prompts[number] = computed + 1
    for number, request in enumerate(requests):
        if number not in one["refused"]:
            visits += shape_of(plan, request.tokens, prompts[number]).visits
            sizes += sum(shape_of(plan, request.tokens, prompts[number]).sizes)
    assert (sum(one["visits"]), sum(one["sizes"])) == (visits, sizes)


@ENGINES
@settings(max_examples=30, deadline=None)
@given(sent=streams, page=st.integers(1, 3))
def test_pages_enough_for_all_change_nothing(decoder, outcome, engine, sent, page):
    plan = decoder()
    requests = [Request(gap, p + d, p) for gap, p, d in sorted(sent)]
    host = Host(memory=sum(request.tokens for request in requests), page=page)
    free = outcome(engines.play, plan, requests, engine=engine)
    assert outcome(engines.play, plan, requests, engine=engine, host=host) == free


@ENGINES
@pytest.mark.parametrize(
    ("host", "message"),
    [
        (Host(page=2), "pages must be of a memory"),
        (Host(page=2, memory=1), "each request must need from 1 to all 1 parts"),
    ],
)
def test_refusals(decoder, engine, host, message):
    with pytest.raises(ValueError, match=message):
        engines.play(decoder(), [Request(0, 3, 1)], engine=engine, host=host)


@ENGINES
def test_text_has_one_output(plan_of, engine):
    plan = plan_of(
        (0, 1, [Group(0, lag=1)], None, {"head": True}), (1, 1, [], None, {}), outputs=[0, 1]
    )
    with pytest.raises(ValueError, match="member 0 has 2 outputs: pages need one"):
        engines.play(plan, [Request(0, 1, 1)], engine=engine, host=Host(memory=1, page=1))
