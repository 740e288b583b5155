"""Row measures and decades: closed forms, a plain loop, and sums over jets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.analysis.attention.directory import load_attention
from hyflexsim.analysis.attention.rows import (
    ROW_MEASURES,
    binary_table,
    decade_counts,
    decade_table,
    over_rows,
    row_measures,
    softmax,
)


def single(found):
    return {name: float(value[0, 0]) for name, value in found.items()}


@pytest.mark.parametrize("n", [1, 2, 10, 64])
def test_uniform_attention(n):
    found = single(row_measures(np.full((1, 1, n, n), 1 / n)))
    assert found["entropy"] == pytest.approx(math.log(n), abs=1e-9)
    assert found["effective_keys"] == pytest.approx(n)
    assert found["largest"] == pytest.approx(1 / n)
    assert found["share_50"] == (1 if n == 1 else 0)
    assert found["keys_90"] == math.ceil(0.9 * n - 1e-9)


def test_one_row_by_hand():
    """Weights 0.92, 0.05, 0.03 and 0.4, 0.35, 0.25: one above 0.9, keys 1 and 3."""
    rows = np.array([[0.05, 0.92, 0.03], [0.4, 0.35, 0.25], [0.0, 0.0, 1.0]])
    found = single(row_measures(rows[None, None]))
    assert found["share_50"] == pytest.approx(2 / 3)
    assert found["share_90"] == pytest.approx(2 / 3)
    assert found["share_95"] == pytest.approx(1 / 3)
    assert found["keys_90"] == pytest.approx((1 + 3 + 1) / 3)
    assert found["on_itself"] == pytest.approx(1 / 3)
    assert math.isnan(found["gap"])


@given(st.integers(2, 8), st.integers(0, 10_000), st.floats(0.1, 30))
def test_agrees_with_a_plain_loop(n, seed, sharp):
    scores = sharp * np.random.default_rng(seed).normal(size=(2, 2, n, n)).astype(np.float32)
    weights = softmax(scores)
    found = row_measures(weights, scores)
    for layer, head in np.ndindex(2, 2):
        rows = weights[layer, head].astype(np.float64)
        keys = []
        for row in rows:
            held, order = 0.0, sorted(row, reverse=True)
            while held < 0.9 * row.sum() - 1e-6:
                held += order.pop(0)
            keys.append(n - len(order))
        assert found["keys_90"][layer, head] == pytest.approx(np.mean(keys), abs=1.001 / n)
        assert found["largest"][layer, head] == pytest.approx(np.mean([max(r) for r in rows]))
        two = [sorted(s)[-2:] for s in scores[layer, head]]
        assert found["gap"][layer, head] == pytest.approx(
            np.mean([b - a for a, b in two]), rel=1e-4
        )


def test_decades_leave_zeros_of_u_out():
    qk = np.array([[[[5.0, 5.0], [500.0, 0.0]]]], dtype=np.float32)
    u = np.array([[[1.0, 0.0], [1.0, -10.0]]], dtype=np.float32)
    assert decade_counts(qk, u)[0, 0].tolist() == [1, 1, 0, 1, 0, 0, 0, 0]


@pytest.fixture(scope="module")
def run(attention_dir):
    return load_attention(attention_dir)


def test_table_has_every_jet_layer_and_head(run):
    told = []
    table = binary_table(run, lambda *step: told.append(step))
    assert len(table) == 2 * 2 * 8 * 2 * 3  # views, models, jets, layers, heads
    assert told[-1] == ("rows of untrained", 8, 8)
    one = table[(table["jet"] == 3) & (table["model"] == "trained") & (table["view"] == "with U")]
    expected = row_measures(run.maps(3).weights, run.maps(3).qk + run.maps(3).u)
    for name in ROW_MEASURES:
        np.testing.assert_allclose(one[name], expected[name].ravel(), rtol=1e-6)
    assert one["layer"].tolist() == [1, 1, 1, 2, 2, 2]
    assert one["head"].tolist() == [1, 2, 3, 1, 2, 3]
    bare = table[(table["jet"] == 3) & (table["model"] == "trained") & (table["view"] != "with U")]
    expected = row_measures(softmax(run.maps(3).qk))
    np.testing.assert_allclose(bare["entropy"], expected["entropy"].ravel(), rtol=1e-6)


def test_mean_over_rows_counts_every_row_once(run):
    table = binary_table(run)
    mine = table[(table["model"] == "trained") & (table["view"] == "with U")]
    found = over_rows(mine, ["layer", "head"])
    plain = np.concatenate([m.weights[1, 2].max(-1) > 0.5 for _, m in run.all_maps()])
    own = found[(found["layer"] == 2) & (found["head"] == 3)].iloc[0]
    assert own["share_50"] == pytest.approx(plain.mean(), rel=1e-6)
    assert own["rows"] == len(plain) == run.jets["particles"].sum()
    assert found["share_50"].min() > 0.2  # the trained model was made sharp
    blunt = over_rows(table[table["model"] == "untrained"], ["layer", "head"])
    assert blunt["share_50"].max() < 0.05


def test_shares_of_decades_add_up(run):
    table = decade_table(run)
    np.testing.assert_allclose(table.groupby(["model", "layer", "head"])["share"].sum(), 1)
    squares = int((run.jets["particles"].astype(int) ** 2).sum())
    assert (table.groupby(["model", "layer", "head"])["entries"].sum() == squares).all()
