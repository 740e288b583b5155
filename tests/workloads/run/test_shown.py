"""What a notebook shows of a result: the run's headline, and its pictures where they are cheap."""

import html

import pytest

from hyflexsim.analysis.run import shown
from hyflexsim.workloads import Scenario, simulate


@pytest.fixture(scope="module")
def result():
    return simulate(Scenario.load("part-jets", ["workload.count=2"]))


def test_a_result_shows_what_its_run_directory_does(result):
    seconds = dict(result.seconds)
    made = result._repr_html_()
    for name, value in shown.facts(result.summary).items():
        assert f">{html.escape(name)}</th><td>{html.escape(value)}</td>" in made
    assert made.count("<img ") == 2
    assert result.seconds == seconds


def test_a_long_result_shows_its_headline(result, monkeypatch):
    monkeypatch.setattr(shown, "DRAWN", 1)
    assert result._repr_html_() == shown.headline(result.summary)


def test_the_headline_has_the_scores(result):
    noise = [{"name": "chip", "mean": 0.9, "half_width": 0.0141}]
    noise += [{"name": "calibrated", "mean": 0.8, "half_width": None}]
    accuracy = {"metric": {"name": "F1"}, "noise": noise}
    facts = shown.facts(result.summary | {"accuracy": accuracy})
    assert facts["F1, chip noise"] == "0.900 ± 0.014"
    assert facts["F1, calibrated noise"] == "0.800"
