"""Accuracy, AUC, rejection: against plain counting of pairs and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from hyflexsim.analysis.classification import auc, rejection, report
from hyflexsim.sim.errors import InputError


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10_000))
def test_auc_is_the_share_of_ordered_pairs(up, down, seed):
    draw = np.random.default_rng(seed)
    score = draw.integers(0, 5, up + down).astype(float)  # with ties
    positive = np.arange(up + down) < up
    pairs = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    assert auc(score, positive) == pytest.approx(np.mean(pairs))


def test_rejection_by_hand():
    """Half of four signals score above 1.5; of eight background jets two do."""
    signal, background = np.array([0.0, 1, 2, 3]), np.array([0.0, 0, 0, 0, 1, 1, 2, 4])
    value, low, high = rejection(signal, background, 0.5)
    assert value == 4
    assert poisson.cdf(2, 8 / low) == pytest.approx(0.025)  # two or fewer, if that many are due
    assert poisson.sf(1, 8 / high) == pytest.approx(0.025)  # two or more
    value, low, high = rejection(signal, np.zeros(5), 0.5)
    assert (value, high) == (None, None)
    assert np.exp(-5 / low) == pytest.approx(0.025)  # none, if that many are due


def test_report():
    classes = ("QCD", "Hbb", "Tbl")
    target = np.repeat([0, 1, 2], 50)
    draw = np.random.default_rng(0)
    scores = draw.dirichlet([1, 1, 1], 150)
    scores[np.arange(150), target] += 0.3
    scores /= scores.sum(1, keepdims=True)
    found = report(scores, target, classes)
    assert found["accuracy"] == pytest.approx(np.mean(scores.argmax(1) == target))
    assert found["classes"]["Hbb"]["auc"] == pytest.approx(auc(scores[:, 1], target == 1))
    assert list(found["classes"]) == list(classes)
    assert "rejection_50" not in found["classes"]["QCD"]
    assert found["classes"]["Hbb"]["rejection_50"] > found["classes"]["Hbb"]["rejection_70"]
    perfect = report(np.eye(3)[target], target, classes)
    assert perfect["accuracy"] == perfect["auc_mean"] == 1
    assert perfect["classes"]["Tbl"]["rejection_70"] is None
    assert perfect["classes"]["Tbl"]["rejection_70_low"] > 50 / 4
    with pytest.raises(InputError, match=r"^scores must be \(jets, classes\) = \(150, 3\); got"):
        report(scores[:, :2], target, classes)


def test_more_jets_of_a_class_change_no_weight():
    """QCD jets three times over: the same accuracy and AUC, smaller errors."""
    draw = np.random.default_rng(1)
    target = np.repeat([0, 1, 2], 40)
    scores = draw.dirichlet([1, 1, 1], 120)
    rows = np.concatenate([np.arange(120), np.arange(40), np.arange(40)])
    once = report(scores, target, ("QCD", "Hbb", "Tbl"))
    often = report(scores[rows], target[rows], ("QCD", "Hbb", "Tbl"))
    assert often["accuracy"] == pytest.approx(once["accuracy"])
    assert often["auc_mean"] == pytest.approx(once["auc_mean"])
    assert often["accuracy_error"] < once["accuracy_error"]
    for name in ("Hbb", "Tbl"):
        assert often["classes"][name]["auc"] == pytest.approx(once["classes"][name]["auc"])
        assert often["classes"][name]["auc_error"] < once["classes"][name]["auc_error"]
