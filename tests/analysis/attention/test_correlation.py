"""Rank correlations: against scipy's definition by hand, pair observables in closed form."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.analysis.attention.correlation import (
    PAIRS,
    jet_correlations,
    pair_correlations,
    pair_observables,
    spearman,
)
from hyflexsim.analysis.attention.directory import load_attention
from hyflexsim.analysis.attention.received import received_table
from hyflexsim.analysis.attention.rows import binary_table
from hyflexsim.analysis.attention.substructure import strongest


@given(st.lists(st.integers(-100, 100), min_size=3, max_size=20, unique=True), st.integers(0, 99))
def test_monotone_maps_change_nothing(values, seed):
    other = np.random.default_rng(seed).permutation(len(values)).astype(float)
    rho = spearman(values, other)
    assert -1 <= rho <= 1
    assert spearman(np.array(values) * 3 + 1, other) == pytest.approx(rho)
    assert spearman(np.argsort(np.argsort(values)), other) == pytest.approx(rho)
    assert spearman(other, -other) == -1


def test_by_hand():
    """1 - 6 sum d^2 / (n (n^2 - 1)) with d = 1, 1, 0, 0: 1 - 12 / 60."""
    assert spearman([1, 2, 3, 4], [2, 1, 3, 4]) == pytest.approx(0.8)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_pair_observables_by_hand():
    """pt 3 and 1 at right angles in phi: DR = pi/2, kT = pi/2, z = 1/4, m2 = 2 * 3 * 1."""
    frame = pd.DataFrame({"pt": [3.0, 1.0], "deta": [0.0, 0.0], "dphi": [0.0, math.pi / 2]})
    found = pair_observables(frame)
    assert found["delta_r"][0, 1] == pytest.approx(math.pi / 2)
    assert found["kt"][1, 0] == pytest.approx(math.pi / 2)
    assert found["z"][0, 1] == pytest.approx(0.25)
    assert found["mass"][0, 1] == pytest.approx(6)


def test_pairs_against_spearman(attention_dir):
    run = load_attention(attention_dir)
    table = pair_correlations(run)
    assert len(table) == 2 * 2 * 3 * len(PAIRS)
    plain = []
    for jet, maps in run.all_maps("untrained"):
        other = ~np.eye(maps.weights.shape[-1], dtype=bool)
        z = pair_observables(run.of_jet(jet))["z"]
        plain.append(spearman(maps.weights[1, 2][other], z[other]))
    mine = table[(table["model"] == "untrained") & (table["observable"] == "z")]
    rho = mine[(mine["layer"] == 2) & (mine["head"] == 3)]["rho"].iloc[0]
    assert rho == pytest.approx(np.mean(plain), abs=1e-9)


def test_jets_find_a_planted_correlation(attention_dir, monkeypatch):
    monkeypatch.setattr("hyflexsim.analysis.attention.correlation.LEAST", 4)
    run = load_attention(attention_dir)
    received, rows = received_table(run), binary_table(run)
    planted = received.astype({"delta_r": "float64"})
    own = run.jets.set_index("jet")["tau21"]
    chosen = (planted["layer"] == 2) & (planted["head"] == 1) & (planted["model"] == "trained")
    planted.loc[chosen, "delta_r"] = -planted.loc[chosen, "jet"].map(own)
    table = jet_correlations(planted, rows, run.jets)
    found = table[(table["attention"] == "delta_r") & (table["observable"] == "tau21")]
    found = found[(found["model"] == "trained") & (found["layer"] == 2) & (found["head"] == 1)]
    assert (found["rho"] == -1).all()
    assert found["jets"].tolist() == [4, 4]
    best = strongest(table)
    mine = best[(best["attention"] == "delta_r") & (best["observable"] == "tau21")]
    assert mine[mine["model"] == "trained"]["best"].iloc[0] == -1
