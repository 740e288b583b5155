"""Scans whose numbers are known on paper."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.workloads.values.scans import Scan, Sums

HALF = -math.log(2)  # a decay by half for each step of size 1


def node(kind, **shapes):
    """An exported scan whose operands have these shapes."""
    labels = {
        "scan": "x dt a b c d z",
        "chunk_scan": "x dt a b c d bias limit",
        "sums": "decay first key value",
    }[kind].split()
    args = [
        SimpleNamespace(meta={"val": torch.empty(shapes[label])}) if label in shapes else None
        for label in labels
    ]
    return SimpleNamespace(op="call_function", target=f"hyflexsim.{kind}", args=args)


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def play(scan, *operands):
    state, results = scan.start(), []
    for each in zip(*operands, strict=True):
        state, y = scan.advance(state, each, lambda values: values)
        results.append(y.tolist())
    return results


def test_a_decay_by_channel_and_state():
    """Two channels share B and C; the second state never decays: sums of all inputs."""
    decay = double([[HALF, 0.0], [0.0, 0.0]])
    scan = Scan(node("scan", b=(1, 2, 3)), {}, decay, double([0.0, 10.0]), None)
    x, one, c = double([[1, 1]] * 3), double([[1, 1]] * 3), double([[1, 0]] * 3)
    found = play(scan, x, one, double([[1, 1]] * 3), c)
    assert [y[0] for y in found] == pytest.approx([1, 1.5, 1.75])
    assert [y[1] for y in found] == [11, 12, 13]


def test_a_decay_by_head():
    """Two heads of two channels: one halves, one keeps; each has B and C of its own group."""
    scan = Scan(node("chunk_scan", b=(1, 3, 2, 1)), {}, double([[HALF]] * 2 + [[0.0]] * 2), None, 0)
    x, dt = double([[1, 2, 1, 2]] * 3), double([[1, 1]] * 3)
    found = play(scan, x, dt, double([[1, 5]] * 3), double([[1, 2]] * 3))
    assert found[2] == pytest.approx([1.75, 3.5, 30, 60])


def test_means_of_values():
    """Keys of 0, bonus ln 3: a token counts thrice for itself, once for the next one, then the same
    in one channel and half as much in the other.
    """
    scan = Sums(node("sums"), {}, double([0.0, HALF]), double([math.log(3)] * 2), None)
    found = play(scan, double([[0, 0]] * 3), double([[6, 6], [9, 9], [4, 4]]))
    assert found[0] == pytest.approx([6, 6])
    assert found[1] == pytest.approx([(6 + 27) / 4] * 2)
    assert found[2] == pytest.approx([(6 + 9 + 12) / 5, (3 + 9 + 12) / 4.5])


@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(-5, 5)), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_means_are_those_written_out(tokens):
    """Relative to the largest weight or not, sums are the same: RWKV-4 (eq. 16)."""
    decay, bonus = -0.3, 0.7
    scan = Sums(node("sums"), {}, double([decay]), double([bonus]), None)
    keys, values = (double([[pair[i]] for pair in tokens]) for i in (0, 1))
    found = [y[0] for y in play(scan, keys, values)]
    for n, y in enumerate(found):
        age = [math.exp((n - 1 - i) * decay + tokens[i][0]) for i in range(n)]
        weights = [*age, math.exp(bonus + tokens[n][0])]
        total = sum(w * v for w, (_, v) in zip(weights, tokens[: n + 1], strict=True))
        assert y == pytest.approx(total / sum(weights), abs=1e-9)


def test_rows_are_tokens():
    """Mamba has tokens last, Mamba-2 heads and channels last."""
    tokens_last = Scan(node("scan"), {}, double([[0.0]]), None, None)
    assert tokens_last.rows(torch.zeros(1, 6, 4)).shape == (4, 6)
    heads_last = Scan(node("chunk_scan"), {}, double([[0.0]]), None, None)
    assert heads_last.rows(torch.zeros(1, 4, 3, 2)).shape == (4, 6)
