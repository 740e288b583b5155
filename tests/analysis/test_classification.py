"""Accuracy, AUC, rejection: against plain counting of pairs and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    value, error = rejection(signal, background, 0.5)
    assert value == 4
    assert error == pytest.approx(4 / np.sqrt(2))
    assert rejection(signal, np.zeros(5), 0.5) == (5.0, float("inf"))


def test_report():
    classes = ("QCD", "Hbb", "Tbl")
    target = np.repeat([0, 1, 2], 50)
    draw = np.random.default_rng(0)
    scores = draw.dirichlet([1, 1, 1], 150)
    scores[np.arange(150), target] += 1
    scores /= scores.sum(1, keepdims=True)
    found = report(scores, target, classes)
    assert found["accuracy"] == np.mean(scores.argmax(1) == target)
    assert list(found["classes"]) == list(classes)
    assert "rejection_50" not in found["classes"]["QCD"]
    assert found["classes"]["Hbb"]["rejection_50"] >= found["classes"]["Hbb"]["rejection_70"]
    perfect = report(np.eye(3)[target], target, classes)
    assert perfect["accuracy"] == perfect["auc_mean"] == 1
    assert perfect["classes"]["Tbl"]["rejection_70_error"] is None
    with pytest.raises(InputError, match=r"^scores must be \(jets, classes\) = \(150, 3\); got"):
        report(scores[:, :2], target, classes)
