"""Which keys stay: by hand, laws for all scores, and early stop against the exact choice."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.values.codes import half
from hyflexsim.workloads.values.keeping import (
    Choice,
    bits_until_dropped,
    largest,
    near_the_largest,
    nearness,
)

INF = float("inf")


def rows(*scores):
    """Scores of one head, a row a query."""
    return torch.tensor(scores, dtype=torch.float64)[:, :, None]


def test_of_equal_scores_the_earlier_key_stays():
    kept = largest(rows([1, 3, 3, 3], [0, 0, 0, 0]), [2])
    assert kept[:, :, 0].tolist() == [[False, True, True, False], [True, True, False, False]]


def test_hidden_keys_are_never_kept():
    """A causal row, or padding: minus infinity stays away although more keys were asked for."""
    scores = rows([2, -INF, -INF], [1, 5, -INF])
    assert largest(scores, [3])[:, :, 0].tolist() == [[True, False, False], [True, True, False]]
    assert near_the_largest(scores, INF)[:, :, 0].tolist()[0] == [True, False, False]


def test_what_is_not_known_is_not_left_out():
    kept = largest(rows([1, float("nan"), 0], [1, 2, 0]), [1])
    assert kept[:, :, 0].tolist() == [[True, True, True], [False, True, False]]


def test_each_head_has_its_own_number():
    scores = torch.stack([rows([1, 2, 3])[..., 0], rows([1, 2, 3])[..., 0]], -1)
    assert largest(scores, [1, 3]).sum(1).tolist() == [[1, 3]]


def test_within_so_much_of_the_largest():
    kept = near_the_largest(rows([0, 3, 2.5, 1.9]), 1.0)
    assert kept[0, :, 0].tolist() == [False, True, True, False]


def test_a_mask_of_diagonals():
    kept = largest(nearness(4, 4, 1), [3])[:, :, 0].int()
    assert kept[1].tolist() == [1, 1, 1, 0]
    assert kept[2].tolist() == [0, 1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), tokens=st.integers(1, 12), k=st.integers(1, 14))
def test_laws(seed, tokens, k):
    """k keys a row and head, the largest ones; permuting particles permutes what is kept."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(tokens, tokens, 2, generator=draw, dtype=torch.float64)
    kept = largest(scores, [k, 1])
    assert (kept.sum(1) == torch.tensor([min(k, tokens), 1])).all()
    least = scores.masked_fill(~kept, INF).amin(1)
    most_left_out = scores.masked_fill(kept, -INF).amax(1)
    assert (least > most_left_out).all()
    order = torch.randperm(tokens, generator=draw)
    assert torch.equal(largest(scores[order][:, order], [k, 1]), kept[order][:, order])


def operands(seed, queries, keys, width, heads=2, bits=8):
    draw = torch.Generator().manual_seed(seed)
    top = 2 ** (bits - 1)
    shape = (heads, queries, width), (heads, keys, width)
    q, k = (torch.randint(-top + 1, top, s, generator=draw).double() for s in shape)
    bias = torch.randn(queries, keys, heads, generator=draw).double()
    return q, k, bias


def scored(scale, bias):
    return lambda product: half(half(product * scale).permute(1, 2, 0) + bias)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tokens=st.integers(1, 10),
    k=st.integers(1, 12),
    scale=st.sampled_from([1e-5, 1e-3, 0.03]),  # the first: many equal scores after rounding
)
def test_early_stop_is_the_exact_choice(seed, tokens, k, scale):
    """Keys that stay to the last bit hold all of the largest, so choosing among them is exact."""
    q, keys, bias = operands(seed, tokens, tokens, 4)
    if seed % 3 == 0:
        keys[:, -1] = keys[:, 0]  # ties, but for U
        bias[:, -1] = bias[:, 0]
    scores = scored(scale, bias)
    exact = scores(q @ keys.transpose(1, 2))
    limit = [k, 1]
    spent = bits_until_dropped(q, keys, scores, limit, 8)
    assert ((spent >= 1) & (spent <= 8)).all()
    kept = largest(exact, limit)
    assert (spent[kept] == 8).all()
    among = exact.masked_fill(spent < 8, -INF)
    assert torch.equal(largest(among, limit), kept)
    if k >= tokens:
        assert (spent[:, :, 0] == 8).all()  # nobody can drop out: the work of full attention


def test_a_key_far_below_drops_at_its_first_bit():
    """q = 100; keys 127, -127: after the sign the second is at most 100 * -1 < 100 * 0."""
    q, keys = torch.full((1, 1, 1), 100.0), torch.tensor([[[127.0], [-127.0], [120.0]]])
    spent = bits_until_dropped(q, keys, lambda p: p.permute(1, 2, 0), [1], 8)
    assert spent[0, :, 0].tolist() == [8, 1, 6]  # 0111 10.. is at most 123, 0111 11.. at least 124


def test_one_particle_keeps_itself():
    q, keys, bias = operands(3, 1, 1, 4)
    spent = bits_until_dropped(q, keys, scored(1e-3, bias), [1, 1], 8)
    assert spent.flatten().tolist() == [8, 8]
    assert largest(bias, [1, 1]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("luck", {}), r"^keys are chosen by one of scores, bits, bias, mask, upper bits; got 'lu"),
        (("scores", {"b.0": [1, 0]}), r"^keys of b\.0 must be at least 1 a head; got \[1, 0\]$"),
        (("bits", {}, 1.0), r"^within goes with scores, from 0; got 1\.0 by bits$"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InputError, match=message):
        Choice(*arguments)
