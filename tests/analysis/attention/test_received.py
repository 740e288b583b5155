"""Received attention and subjets: uniform attention gives what is expected, loops agree."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.analysis.attention.directory import load_attention
from hyflexsim.analysis.attention.received import (
    inter_subjet,
    lepton_score_share,
    members,
    received,
    received_table,
)


@given(st.integers(2, 9), st.integers(0, 10_000))
def test_uniform_attention_gives_the_expected(n, seed):
    draw = np.random.default_rng(seed)
    own = draw.random(n) < 0.5
    own[0], own[-1] = True, False
    subjet = draw.integers(0, 3, n)
    uniform = np.full((2, 1, n, n), 1 / n)
    np.testing.assert_allclose(received(uniform, own), own.mean())
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    across = np.mean([subjet[i] != subjet[j] for i, j in pairs])
    if across:
        np.testing.assert_allclose(inter_subjet(uniform, subjet), across)
    else:
        assert np.isnan(inter_subjet(uniform, subjet)).all()


def test_by_hand():
    """Query 0 gives 0.6 to 1; 2 gives 0.3 to 1; the set {1}: mean of 0.6 and 0.3."""
    weights = np.array([[0.3, 0.6, 0.1], [0, 1, 0], [0.2, 0.3, 0.5]])[None, None]
    own = np.array([False, True, False])
    assert received(weights, own)[0, 0] == pytest.approx(0.45)
    crossing = (0.1 + 0 + 0.2 + 0.3) / (0.6 + 0.1 + 0 + 0 + 0.2 + 0.3)
    assert inter_subjet(weights, np.array([0, 0, 1]))[0, 0] == pytest.approx(crossing)
    assert np.isnan(received(weights, np.zeros(3, bool))).all()
    assert np.isnan(received(weights, np.ones(3, bool))).all()


def test_lepton_share_counts_positive_scores_only():
    qk = np.array([[[[1.0, -5.0], [2.0, 1.0]]]])
    u = np.array([[[0.0, 0.0], [0.0, 1.0]]])
    found = lepton_score_share(qk, u, np.array([False, True]))
    assert found[0, 0] == pytest.approx(2 / 5)


def test_members():
    frame = pd.DataFrame({"pid": [0, 4, 2], "pt": [1.0, 3, 2], "subjet": [0, 1, 0]})
    sets = members(frame.assign(b_subjet=[False, True, False]))
    assert sets["lepton"].tolist() == [False, True, False]
    assert sets["hardest"].tolist() == [False, True, False]
    assert sets["b_subjet"].tolist() == [False, True, False]
    assert sets["hardest_subjet"].tolist() == [True, False, True]
    alone = members(frame.assign(b_subjet=False, subjet=0))
    assert not alone["hardest_subjet"].any()


def test_table(attention_dir):
    run = load_attention(attention_dir)
    table = received_table(run)
    assert len(table) == 2 * 8 * 2 * 3
    known = table[table["label"] == "Tbl"]
    assert known["received_lepton"].notna().all()
    assert table.loc[table["label"] == "QCD", "inter_subjet"].isna().all()
    blunt = known[known["model"] == "untrained"]
    gain = blunt["received_b_subjet"].mean() / blunt["expected_b_subjet"].mean()
    assert gain == pytest.approx(1, abs=0.1)
    maps, particles = run.maps(5), run.of_jet(5)
    place = particles[["deta", "dphi"]].to_numpy()
    n = len(place)
    total = weighted = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                w = float(maps.weights[1, 0, i, j])
                total, weighted = total + w, weighted + w * np.hypot(*(place[i] - place[j]))
    row = table[(table["jet"] == 5) & (table["model"] == "trained") & (table["layer"] == 2)]
    assert row[row["head"] == 1]["delta_r"].iloc[0] == pytest.approx(weighted / total, rel=1e-5)
