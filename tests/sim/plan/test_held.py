"""Texts whose first tokens were computed before: what is left of a plan, by hand and reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.held import begin_of, check_held
from hyflexsim.sim.plan.plan import Group, Step, Threshold
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.routing import frozen

SENT = frozen({"expert": 0, "tokens": [0, 2, 3, 6]})


def attention(plan_of):
    """In, keys, a query that needs those up to its own, a head from which text is fed back."""
    return plan_of(
        (0, 1, [Group(3, lag=1)], None, {}),
        (1, 4, [Group(0)], None, {}),
        (2, Rate(fixed=1, work=1), [Group(0), Threshold(1, "prefix")], None, {"size": "prefix"}),
        (3, 2, [Group(2)], None, {"head": True}),
    )


@pytest.mark.parametrize(
    ("options", "done"),
    [
        ({}, 3),
        ({"planes": 8}, 24),
        ({"head": True}, 0),
        ({"axis": "single"}, 0),
        ({"routed": SENT}, 2),
        ({"routed": SENT, "planes": 8}, 16),
    ],
)
def test_where_a_step_begins(options, done):
    """Of seven tokens the first three are done; the expert took two of these, 0 and 2."""
    assert begin_of(Step("s", "s", "bank", "l", (0,), Rate(), **options), 7, 3) == done


def test_a_text_by_hand(plan_of):
    """Six tokens, five of them the prompt, three of these held: 3 and 4 come, 5 is fed back.

    Query 3 needs key 3, query 4 keys 3 and 4: the first three are there. Sizes 4, 5, 6.
    """
    shape = shape_of(attention(plan_of), 6, 5, held=3)
    assert shape.counts == [6, 6, 6, 2]
    assert shape.begins == [3, 3, 3, 0]
    assert shape.served == [3, 3, 3, 2]
    assert shape.visits == 11
    assert shape.initial == [[3, 4], [], [], []]
    assert shape.sizes == [3, 3, 4 + 5 + 6, 2]
    need = next(edge.need for edge in shape.class_edges if edge.need is not None)
    assert need.tolist() == [0, 0, 0, 4, 5, 6]
    assert shape.marks == [3]


def test_a_text_alone_on_paper(plan_of):
    """Key 3 ends at 1 + 4, query 3 takes 5 to 10; query 4 takes 6 until 16, the head 2: 18."""
    played = engines.play(attention(plan_of), [Request(0, 5, 5, held=3)], engine="simpy")
    assert played.finished == [18]
    assert played.found == [3]


def test_the_first_chunk_begins_where_computing_does(plan_of):
    """Chunks of three of a prompt of nine, of which two tokens are there: 2-4, 5-7, 8."""
    waits = [Group(2, lag=1), Threshold(1, "chunk", stride=3)]
    plan = plan_of(
        (0, 1, waits, None, {}),
        (1, 1, [Group(0)], None, {}),
        (2, 1, [Group(1)], None, {"head": True}),
    )
    shape = shape_of(plan, 9, 9, held=2)
    need = next(edge.need for edge in shape.class_edges if edge.need is not None)
    assert need.tolist() == [0, 0, 0, 0, 0, 5, 5, 5, 8]


@pytest.mark.parametrize(
    ("reader", "what"),
    [
        (([Threshold(0, "all")], {}), "s1 waits for s0 by the rule all"),
        (
            ([Threshold(0, "last")], {"axis": "single"}),
            "s1 waits for s0 by the rule last",
        ),
        (([Threshold(0, "first")], {}), "s1 waits for s0 by the rule first"),
        (([Threshold(0, "prefix", ahead=1)], {}), "s1 waits for s0 by the rule prefix"),
        (([Threshold(0, "prefix", stride=2)], {}), "s1 waits for s0 by the rule prefix"),
        (([Threshold(0, "pair")], {"axis": "pair"}), "s1 serves pairs"),
        (([Group(0)], {"axis": "source", "extra": 4}), "s1 serves an encoder or a table"),
        (([Group(0)], {"extra": 1}), "s1 serves 1 tokens beside those of the text"),
        (([Group(0)], {"size": "all"}), "s1 looks at tokens behind its own"),
        (([Group(0)], {"size": "window", "ahead": 1}), "s1 looks at tokens behind its own"),
        (([Group(0, every=2)], {}), "s1 joins or splits tokens"),
    ],
)
def test_what_cannot_begin_so(plan_of, reader, what):
    inputs, options = reader
    plan = plan_of((0, 1, [], None, {}), (1, 1, inputs, None, options))
    said = f"keys and values of a text cannot be used again: {what}"
    with pytest.raises(InputError, match=f"^{said}$"):
        shape_of(plan, 4, 4, held=2)
    shape_of(plan, 4, 4)  # nobody asks


def test_what_is_done_once_a_request_does_not_matter(plan_of):
    """Fetched weights, planes, recurrences, experts: all begin somewhere."""
    plan = plan_of(
        (0, 5, [], None, {"axis": "single"}),
        (1, 1, [Threshold(0, "first"), Group(1, lag=1)], None, {}),
        (2, 1, [Group(1, spread=8)], None, {"planes": 8}),
        (3, 1, [Group(2, every=8), Threshold(1, "routed")], None, {}),
    )
    check_held(plan)
    assert shape_of(plan, 4, 4, held=2).served == [1, 2, 16, 2]


@pytest.mark.parametrize("held", [-1, 4, 5])
def test_the_last_token_of_a_prompt_is_computed(plan_of, held):
    with pytest.raises(ValueError, match=r"held must be 0 to 3 \(below the prompt's\); got"):
        shape_of(attention(plan_of), 5, 4, held=held)


@st.composite
def decoders(draw, plan_of):
    """Random decoders: forks, joins, attention, recurrences, planes, experts, lanes, buffers."""
    count, components = draw(st.integers(2, 6)), draw(st.integers(2, 5))

    def lanes():
        return tuple(
            draw(st.lists(st.integers(0, components - 1), min_size=1, max_size=2, unique=True))
        )

    chunk = draw(st.sampled_from([None, 1, 2]))
    feed = [Group(count, lag=1)] + ([Threshold(count - 1, "chunk", stride=chunk)] if chunk else [])
    chain = [(lanes(), draw(st.integers(1, 6)), feed, None, {})]
    planes = [1]
    for i in range(1, count):
        own, inputs = draw(st.sampled_from([1, 1, 2])), []
        for source in draw(st.lists(st.integers(0, i - 1), min_size=1, max_size=2, unique=True)):
            cut = {"every": planes[source], "spread": own} if planes[source] != own else {}
            inputs.append(
                draw(st.sampled_from([Group(source, **cut), Threshold(source, "prefix")]))
            )
        plain = len(inputs) == 1 and inputs[0] == Group(inputs[0].source)
        places = draw(st.sampled_from([None, 2])) if plain and own == 1 else None
        if places is None and own == 1 and draw(st.integers(0, 3)) == 0:
            inputs.append(Group(i, lag=1))
        rate = draw(st.sampled_from([Rate(fixed=2), Rate(fixed=1, work=1)]))
        chain.append((lanes(), rate, inputs, places, {"size": "prefix", "planes": own}))
        planes.append(own)
    last = Group(count - 1, every=planes[-1]) if planes[-1] > 1 else Group(count - 1)
    chain.append((lanes(), 3, [last], None, {"head": True}))
    return plan_of(*chain)


texts = st.tuples(st.integers(0, 20), st.integers(1, 5), st.integers(0, 4), st.integers(0, 3))


@settings(max_examples=120, deadline=None)
@given(data=st.data(), sent=st.lists(texts, min_size=1, max_size=3))
def test_both_engines_and_the_plain_event_loop_agree(
    plan_of, sequenced, outcome, reference, data, sent
):
    """Every arrival, start and end; and visits and sizes are those of the shapes."""
    plan = sequenced(data.draw, data.draw(decoders(plan_of)))
    requests = [Request(at, h + p + d, h + p, held=h) for at, p, d, h in sorted(sent)]
    one = outcome(engines.play, plan, requests, engine="simpy")
    assert outcome(engines.play, plan, requests, engine="compiled") == one
    assert sorted(zip(*(one[name] for name in "srtabe"), strict=True)) == reference(plan, requests)
    shapes = [shape_of(plan, r.tokens, r.prefill, held=r.held) for r in requests]
    assert one["visits"] == np.sum([shape.served for shape in shapes], axis=0).tolist()
    assert one["sizes"] == np.sum([shape.sizes for shape in shapes], axis=0).tolist()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), text=texts)
def test_the_whole_is_what_was_held_and_what_is_left(plan_of, data, text):
    """visits(total) - visits(held), and so the sizes; words are sampled once, of the whole."""
    plan = data.draw(decoders(plan_of))
    _, prompt, decode, held = text
    whole = shape_of(plan, held + prompt + decode, held + prompt)
    left = shape_of(plan, held + prompt + decode, held + prompt, held=held)
    assert left.held == held
    before = shape_of(plan, held, held) if held else None
    for i, step in enumerate(plan.steps):
        visits, sizes = (before.counts[i], before.sizes[i]) if before and not step.head else (0, 0)
        assert left.served[i] == whole.counts[i] - visits
        assert left.sizes[i] == whole.sizes[i] - sizes
