"""Prompts in chunks, so that the tokens of others get in between: closed forms."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.plan.plan import Group, Threshold
from hyflexsim.sim.plan.unrolled import shape_of

ENGINES = pytest.mark.parametrize("engine", ["simpy", "compiled"])
IN, BODY, HEAD = 2, 3, 5


def decoder(plan_of, chunk=None):
    """In, a layer, a head from which text is sampled and fed back."""
    waits = [Group(2, lag=1)] + ([Threshold(1, "chunk", stride=chunk)] if chunk else [])
    return plan_of(
        (0, IN, waits, None, {}),
        (1, BODY, [Group(0)], None, {}),
        (2, HEAD, [Group(1)], None, {"head": True}),
    )


def test_a_token_needs_the_chunks_before_its_own(plan_of):
    """A prompt of 7 tokens in chunks of 3, and 2 tokens of text, which need no chunk more."""
    edge = next(e for e in shape_of(decoder(plan_of, 3), 9, 7).class_edges if e.need is not None)
    assert edge.need.tolist() == [0, 0, 0, 3, 3, 3, 6, 6, 6]


@ENGINES
@settings(max_examples=30, deadline=None)
@given(chunk=st.integers(1, 5), chunks=st.integers(1, 5), text=st.integers(0, 3))
def test_a_prompt_alone(plan_of, engine, chunk, chunks, text):
    """A chunk takes IN + BODY a token, since the layer is slower than what comes in."""
    prompt = chunk * chunks
    requests = [Request(0, prompt + text, prompt)]
    played = engines.play(decoder(plan_of, chunk), requests, engine=engine)
    first = chunks * (IN + chunk * BODY) + HEAD
    assert played.first_output == [first]
    assert played.finished == [first + text * (IN + BODY + HEAD)]


@ENGINES
def test_text_gets_in_between(plan_of, engine):
    """A prompt of 30 tokens comes while another request says its words.

    At once it is in the layer's queue: the other's next word waits for all that is left of it. In
    chunks of 3 the word waits for one chunk at most, and the prompt takes longer.
    """
    requests = [Request(0, 8, 1), Request(1, 30, 30)]
    whole, chunked = (
        engines.play(decoder(plan_of, chunk), requests, engine=engine) for chunk in (None, 3)
    )
    assert whole.first_output[1] < chunked.first_output[1]
    assert chunked.finished[0] < whole.finished[0]
    assert chunked.finished[0] - chunked.first_output[0] <= 7 * (IN + BODY + HEAD + 3 * (IN + BODY))


@settings(max_examples=40, deadline=None)
@given(
    sent=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(0, 4)), min_size=1),
    chunk=st.integers(1, 4),
)
def test_engines_agree(plan_of, outcome, reference, sent, chunk):
    plan = decoder(plan_of, chunk)
    requests = [Request(at, p + d, p) for at, p, d in sorted(sent)[:8]]
    one = outcome(engines.play, plan, requests, engine="simpy")
    assert outcome(engines.play, plan, requests, engine="compiled") == one
    rows = zip(*(one[name] for name in "srtabe"), strict=True)
    assert sorted(rows) == reference(plan, requests)
