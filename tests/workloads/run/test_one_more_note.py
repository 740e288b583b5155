"""A run of one request says where one token more would be answered sooner, and why."""

import pytest

from hyflexsim.workloads import Scenario, simulate


def said(**changes):
    """Notes on one token more, and the latency in us."""
    settings = {"workload.requests": 1, **changes}
    summary = simulate(Scenario.load("bert-base", settings)).summary
    notes = [note for note in summary["notes"] if "would be answered in" in note]
    return notes, summary["latency_ps"]["max"] / 1e6


def test_one_token_more_is_sooner():
    (note,), now = said(**{"workload.tokens": 128})
    none, then = said(**{"workload.tokens": 129})
    assert then < now
    assert none == []
    start = (
        f"129 tokens would be answered in {then:.6g} us, sooner than 128 in {now:.6g} us: copies"
    )
    assert note.startswith(start)


@pytest.mark.parametrize(
    "changes",
    [
        {"mapping.copies": "none"},
        {"workload.requests": 2},
        {"workload.tokens": 512},  # the positions that the model has learned
        {"workload.lengths": {"kind": "uniform", "least": 128, "most": 128}},
    ],
    ids=["no copies", "two requests", "no more positions", "drawn lengths"],
)
def test_nothing_is_said_of_other_runs(changes):
    assert said(**{"workload.tokens": 128} | changes)[0] == []
