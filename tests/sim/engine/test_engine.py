"""The engine against closed forms, against a plain event loop, and against itself."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import DeadlockError
from hyflexsim.sim.plan.plan import Group, Threshold


def rows(played):
    return sorted(zip(*(column.tolist() for column in played.trace.columns()), strict=True))


def ends(played, step):
    return played.trace.end[played.trace.step == step].tolist()


def test_single_server_serves_one_token_after_the_other(plan_of):
    """n tokens at time 0, service 7: the k-th ends at 7 (k + 1)."""
    played = play(plan_of((0, 7, [], None, {})), [Request(0, 4)])
    assert ends(played, 0) == [7, 14, 21, 28]
    assert played.finished == [28]
    assert played.first_output == [7]


@pytest.mark.parametrize(("first", "second"), [(5, 3), (3, 5), (4, 4)])
def test_tandem(plan_of, first, second):
    """Two servers in a row: token n leaves at first + second + n max(first, second)."""
    plan = plan_of((0, first, [], None, {}), (1, second, [Group(0)], None, {}))
    played = play(plan, [Request(0, 6)])
    assert ends(played, 1) == [first + second + n * max(first, second) for n in range(6)]


@settings(max_examples=60, deadline=None)
@given(
    services=st.lists(st.integers(2, 9), min_size=2, max_size=5),
    places=st.lists(st.integers(1, 3), min_size=5, max_size=5),
    tokens=st.integers(1, 12),
)
def test_tandem_with_finite_buffers(plan_of, services, places, tokens):
    """Blocking recursion.

    start(i, n) = max(end(i - 1, n), end(i, n - 1), start(i + 1, n - places) + 1 ps)
    """
    chain = [(0, services[0], [], None, {})]
    for i, service in enumerate(services[1:], 1):
        chain.append((i, service, [Group(i - 1)], places[i], {}))
    played = play(plan_of(*chain), [Request(0, tokens)])
    start: dict[tuple[int, int], int] = {}
    for n in range(tokens):
        for i in range(len(services)):
            ready = start[i - 1, n] + services[i - 1] if i else 0
            free = start[i, n - 1] + services[i] if n else 0
            # place at i + 1 is taken when a token starts at i, free when it starts at i + 1
            last = i + 1 == len(services)
            held = n - places[i + 1] if not last else -1
            credit = start[i + 1, held] + 1 if held >= 0 else 0
            start[i, n] = max(ready, free, credit)
    trace = played.trace
    got = {(s, t): b for s, t, b in zip(trace.step, trace.token, trace.start, strict=True)}
    assert got == start
    peaks = [played.peak_places[i] for i in range(1, len(services))]
    assert all(peak <= place for peak, place in zip(peaks, places[1:], strict=False))


def test_a_larger_buffer_fills_up_to_its_size(plan_of):
    """A fast producer fills three places; the fourth token waits for a start downstream."""
    plan = plan_of((0, 1, [], None, {}), (1, 10, [Group(0)], 3, {}))
    played = play(plan, [Request(0, 8)])
    assert played.peak_places == {1: 3}


def test_fork_and_join(plan_of):
    """Token n leaves a fork of 4 and 6 when the slower is done, then 2 more: 1 + 6 + 2 + 6 n."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 4, [Group(0)], None, {}),
        (2, 6, [Group(0)], None, {}),
        (3, 2, [Group(1), Group(2)], None, {}),
    )
    assert ends(play(plan, [Request(0, 3)]), 3) == [9, 15, 21]


def test_barrier_waits_for_every_token(plan_of):
    """Attention: 5 keys of 10 end at 50; then 5 queries of 3, one after the other."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 10, [], None, {}),
        (2, 3, [Group(0), Threshold(1, "all")], None, {}),
    )
    assert ends(play(plan, [Request(0, 5)]), 2) == [53, 56, 59, 62, 65]


def test_prefix_lets_tokens_start_as_keys_come(plan_of):
    """Causal: query n starts when key n is there (keys are the slower)."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 10, [], None, {}),
        (2, 3, [Group(0), Threshold(1, "prefix")], None, {}),
    )
    assert ends(play(plan, [Request(0, 4)]), 2) == [13, 23, 33, 43]


def test_prefix_with_keys_out_of_order(plan_of):
    """Keys on two lanes, even tokens slow: query 1 waits for key 0 though key 1 is long done."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, Rate(work=10), [], None, {"size": "wave", "axis": "pair"}),
        (2, 3, [Group(0), Threshold(1, "prefix")], None, {}),
    )
    assert ends(play(plan, [Request(0, 2)]), 2) == [13, 23]


def test_pipelined_layers(plan_of):
    """Five layers, bottleneck 9: makespan = fill + (n - 1) bottleneck."""
    services = [4, 9, 2, 7, 5]
    chain = [(i, s, [Group(i - 1)] if i else [], None, {}) for i, s in enumerate(services)]
    played = play(plan_of(*chain), [Request(0, 10)])
    assert played.finished == [sum(services) + 9 * 9]


def test_requests_pipeline_through_the_layers(plan_of):
    """Two requests of two tokens behave like one of four: nothing waits for a whole request."""
    chain = [(i, s, [Group(i - 1)] if i else [], None, {}) for i, s in enumerate([4, 9])]
    assert play(plan_of(*chain), [Request(0, 2)] * 2).finished == [22, 40]


def test_copies_halve_the_bottleneck(plan_of):
    """Tokens go to two lanes in turn: 8 tokens of 10 in 40 instead of 80."""
    plan = plan_of(((0, 1), 10, [], None, {}))
    assert play(plan, [Request(0, 8)]).finished == [40]


def test_recurrence_serves_one_token_at_a_time(plan_of):
    """Token n needs token n - 1 of the same op: no overlap although two lanes are free."""
    plan = plan_of(((0, 1), 10, [Group(0, lag=1)], None, {}))
    assert ends(play(plan, [Request(0, 4)]), 0) == [10, 20, 30, 40]


def test_generation_feeds_the_last_op_back(plan_of):
    """Prompt of 3 through 2 + 5: first answer at 2 + 3 * 5; each further token takes 2 + 5."""
    plan = plan_of(
        (0, 2, [Group(1, lag=1)], None, {}),
        (1, 5, [Group(2)], None, {"head": True}),
        (2, 5, [Group(0)], None, {}),
        outputs=[1],
    )
    played = play(plan, [Request(0, 6, prefill=3)])
    first = 2 + 3 * 5 + 5
    assert played.first_output == [first]
    assert ends(played, 1) == [first + 12 * n for n in range(4)]


def test_serving_order_is_arrival_then_step_then_request_then_token(plan_of):
    """All arrive at time 0 at one component: step 0 of both requests, then step 1 of both."""
    plan = plan_of((0, 1, [], None, {}), (0, 1, [], None, {}))
    played = play(plan, [Request(0, 2), Request(0, 2)])
    order = [(s, r, t) for s, r, t, *_ in sorted(rows(played), key=lambda row: row[4])]
    assert order == [(s, r, t) for s in (0, 1) for r in (0, 1) for t in (0, 1)]


def test_a_blocked_step_does_not_block_others_of_its_component(plan_of):
    """The bus holds tokens of step 0 for a full buffer and lets those of step 2 pass.

    Token 0 of step 0 ends at 1 and starts downstream at once, but its place is seen free only at 2:
    the bus takes step 2's token 0 (ends at 2), then token 1 of step 0 (ends at 3, takes the place
    until 101), then step 2's token 1 (4). From then on a token of step 0 starts with each credit.
    """
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 100, [Group(0)], 1, {}),
        (0, 1, [Group(0)], None, {}),
        outputs=[1, 2],
    )
    played = play(plan, [Request(0, 4)])
    assert ends(played, 2) == [2, 4, 104, 204]


def test_credit_takes_one_picosecond(plan_of):
    """The place freed at 100 is seen at 101."""
    plan = plan_of((0, 1, [], None, {}), (1, 100, [Group(0)], 1, {}))
    played = play(plan, [Request(0, 4)])
    starts = played.trace.start[played.trace.step == 0].tolist()
    assert starts == [0, 2, 102, 202]


def test_window_holds_requests_back(plan_of):
    """One request at a time: the second enters when the first has left."""
    plan = plan_of((0, 10, [], None, {}), (1, 10, [Group(0)], None, {}))
    played = play(plan, [Request(0, 1), Request(3, 1)], window=1)
    assert played.entered == [0, 20]
    assert played.finished == [20, 40]
    assert played.peak_requests == 1


def test_deadlock_says_who_waits_for_whom(plan_of):
    """Queries wait in a bounded queue for all keys; the fork before both stops: nothing moves."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 1, [Group(0)], 1, {}),
        (2, 1, [Group(0)], 1, {}),
        (3, 1, [Group(1), Threshold(2, "all")], 1, {}),
        components=["bus", "query", "key", "digital"],
    )
    with pytest.raises(DeadlockError) as error:
        play(plan, [Request(0, 8)])
    assert str(error.value) == (
        "deadlock at 4 ps: s0 at bus holds request 0 token 2 until s1 has a place (all 1 taken); "
        "s1 at query holds request 0 token 1 until s3 has a place (all 1 taken); "
        "s3 waits with request 0 token 0 for s1, s2"
    )


def test_requests_must_come_in_order(plan_of):
    with pytest.raises(ValueError, match="requests must be in order of arrival"):
        play(plan_of((0, 1, [], None, {})), [Request(5, 1), Request(3, 1)])


@st.composite
def plans(draw, plan_of):
    """Random plans: chains, forks, joins, barriers, shared components, lanes, bounded buffers.

    Only steps whose inputs are all plain streams get a bounded buffer, as in the planner.
    """
    count = draw(st.integers(2, 8))
    components = draw(st.integers(1, 5))
    chain = []
    for i in range(count):
        inputs = []
        for source in draw(st.lists(st.integers(0, i - 1), max_size=2, unique=True)) if i else []:
            rule = draw(st.sampled_from(["stream", "stream", "prefix", "all", "lag"]))
            inputs.append(
                {"stream": Group(source), "lag": Group(source, lag=1)}.get(rule)
                or Threshold(source, rule)
            )
        plain = len(inputs) == 1 and inputs[0] == Group(inputs[0].source)
        places = draw(st.sampled_from([None, 1, 2])) if plain else None
        lanes = draw(st.lists(st.integers(0, components - 1), min_size=1, max_size=2, unique=True))
        if places is None and draw(st.integers(0, 5)) == 0:
            inputs.append(Group(i, lag=1))  # a recurrence
        chain.append((tuple(lanes), draw(st.integers(1, 6)), inputs, places, {}))
    return plan_of(*chain)


requests_strategy = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 6)), min_size=1, max_size=3
).map(lambda pairs: [Request(a, n) for a, n in sorted(pairs)])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), requests=requests_strategy)
def test_equal_to_the_plain_event_loop(plan_of, sequenced, reference, data, requests):
    """Every arrival, start and end, also under back-pressure, and where components take turns."""
    plan = sequenced(data.draw, data.draw(plans(plan_of)))
    assert rows(play(plan, requests)) == reference(plan, requests)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), requests=requests_strategy, at=st.integers(0, 60))
def test_equal_to_the_plain_event_loop_where_a_component_dies(
    plan_of, sequenced, reference, data, requests, at
):
    plan = sequenced(data.draw, data.draw(plans(plan_of)))
    deaths = {data.draw(st.sampled_from(plan.steps[0].lanes)): at}
    played = play(plan, requests, deaths=deaths)
    assert rows(played) == reference(plan, requests, deaths)
    served = {(s, r, t) for s, r, t, *_ in rows(played)}
    for number, request in enumerate(requests):
        steps, tokens = range(len(plan.steps)), range(request.tokens)
        whole = all((s, number, t) in served for s in steps for t in tokens)
        assert (number in played.lost) is not whole


def test_a_component_dies_between_two_requests(plan_of):
    """A server of 7 ps that dies at 14: what ends at 14 is out, what would end at 21 is lost."""
    requests = [Request(0, 1), Request(0, 1), Request(0, 1), Request(90, 1)]
    played = play(plan_of((0, 7, [], None, {})), requests, deaths={0: 14})
    assert played.finished == [7, 14, -1, -1]
    assert played.lost == [2, 3]
    assert played.tally.end_ps == 14


def test_a_deadlock_beside_a_dead_component_that_nobody_uses_is_a_deadlock(plan_of):
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 1, [Group(0)], 1, {}),
        (2, 1, [Group(0)], 1, {}),
        (3, 1, [Group(1), Threshold(2, "all")], 1, {}),
        (4, 1, [Group(3)], None, {}),
    )
    with pytest.raises(DeadlockError):
        play(plan, [Request(0, 8)], deaths={4: 0})


@settings(max_examples=40, deadline=None)
@given(data=st.data(), requests=requests_strategy, seed=st.integers(0, 2**16))
def test_construction_order_does_not_matter(plan_of, sequenced, data, requests, seed):
    """The same trace, row by row and in the same order, however the components were built."""
    plan = sequenced(data.draw, data.draw(plans(plan_of)))
    order = list(range(len(plan.components)))
    random.Random(seed).shuffle(order)
    straight, shuffled = play(plan, requests), play(plan, requests, construction=order)
    for a, b in zip(straight.trace.columns(), shuffled.trace.columns(), strict=True):
        assert np.array_equal(a, b)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), requests=requests_strategy)
def test_tokens_in_are_tokens_out(plan_of, sequenced, data, requests):
    """Every step serves every token of every request exactly once; nothing is left behind."""
    plan = sequenced(data.draw, data.draw(plans(plan_of)))
    played = play(plan, requests)
    keys = [(s, r, t) for s, r, t, *_ in rows(played)]
    assert keys == [
        (s, r, t)
        for s in range(len(plan.steps))
        for r, request in enumerate(requests)
        for t in range(request.tokens)
    ]
    trace = played.trace
    assert (trace.arrival <= trace.start).all()
    assert (trace.start < trace.end).all()
    assert (np.diff(trace.end) >= 0).all()


def test_trace_takes_at_most_forty_bytes_a_visit(plan_of):
    played = play(plan_of((0, 1, [], None, {})), [Request(0, 1000)])
    assert played.trace.nbytes / len(played.trace) <= 40
