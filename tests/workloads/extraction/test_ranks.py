"""Ranks: floor(m n / (m + n)) is break-even; shared weights share a rank."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.models.lowrank.layers import rank_of
from hyflexsim.sim import graph as vocabulary
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction.ranks import block_matrices, break_even, with_ranks


@pytest.fixture
def graph():
    """Two blocks' worth: a square and a wide matrix in block 0, one shared in block 1, a head."""
    g = vocabulary.new_graph("tiny")
    vocabulary.add_op(g, "in", "input", layer="input", width=64)
    for name, layer, rows, cols, weight in [
        ("a", "blocks.0", 64, 64, "blocks.0.a.weight"),
        ("b", "blocks.0", 64, 256, "blocks.0.b.weight"),
        ("k", "blocks.1", 64, 32, "blocks.1.k.weight"),
        ("k@cls", "blocks.1", 64, 32, "blocks.1.k.weight"),
        ("dt", "blocks.1", 4, 64, "blocks.1.dt_proj.weight"),
        ("head", "head", 64, 10, "head.weight"),
    ]:
        size = {"rows": rows, "cols": cols, "width": cols, "weight": weight}
        vocabulary.add_op(g, name, "gemv", layer=layer, **size)
    return g


def ranks(graph):
    return {n: op["rank"] for n, op in graph.nodes(data=True) if op["kind"] == "gemv"}


def test_hard_threshold_is_break_even(graph):
    hard = with_ranks(graph, "hard-threshold")
    expected = {"a": 32, "b": 51, "k": 21, "k@cls": 21, "dt": None, "head": None}
    assert ranks(hard) == expected
    assert ranks(graph) == dict.fromkeys(expected)  # the original is untouched
    for weight, (m, n) in block_matrices(graph).items():
        r = break_even(m, n)
        assert r * (m + n) <= m * n < (r + 1) * (m + n), weight


def test_a_fraction_keeps_about_that_many_parameters(graph):
    half = with_ranks(graph, 0.5, skip=())
    assert ranks(half) == {"a": 16, "b": 25, "k": 10, "k@cls": 10, "dt": 1, "head": None}


@given(st.integers(2, 300), st.integers(2, 300), st.floats(1e-3, 1))
def test_a_share_means_the_same_to_compress(rows, cols, share):
    """G27: `rank = 0.5` of a scenario and of models.lowrank.compress."""
    graph = vocabulary.new_graph("one")
    vocabulary.add_op(graph, "in", "input", layer="input", width=rows)
    size = {"rows": rows, "cols": cols, "width": cols, "weight": "w"}
    vocabulary.add_op(graph, "a", "gemv", layer="blocks.0", **size)
    found = ranks(with_ranks(graph, share))["a"]
    assert found in (None, rank_of(torch.empty(0), rows, cols, share))
    assert found is not None or break_even(rows, cols) < 1


def test_named_ranks_reach_shared_weights_and_dense_stays_where_cheaper(graph):
    named = with_ranks(graph, {"k": 7, "head.weight": 4, "a": 33})
    assert ranks(named) == {"a": None, "b": None, "k": 7, "k@cls": 7, "dt": None, "head": 4}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"blocks.0.c.weight": 3}, "ranks: no matrix 'blocks.0.c.weight' in 'tiny'; nearest: "),
        ({"a": 65}, "ranks: rank of 'a' must be 1 to 64; got 65"),
        ({"a": 2, "blocks.0.a.weight": 3}, "ranks: weight 'blocks.0.a.weight' is given two ranks"),
        ("soft", "ranks must be 'hard-threshold', a fraction above 0 and at most 1, or a mapping"),
        (0.0, "ranks must be 'hard-threshold'"),
    ],
)
def test_refusals(graph, value, reason):
    with pytest.raises(InputError) as caught:
        with_ranks(graph, value)
    assert str(caught.value).startswith(reason)
