"""More tokens that are answered sooner: said of runs that are alike but for their tokens."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hyflexsim.analysis.run import sooner as module
from hyflexsim.analysis.run.sooner import sooner


@dataclass(frozen=True)
class Run:
    """What of a run is looked at."""

    path: Path
    summary: dict[str, Any]
    scenario: dict[str, Any]


def run(tokens, latency, copies="fill", seed=0):
    return Run(
        Path(f"runs/of{tokens}"),
        {"tokens": tokens, "latency_ps": {"max": latency}},
        {"mapping": {"copies": copies}, "workload": {"tokens": tokens, "seed": seed}},
    )


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setattr(module, "Run", Run)


def test_one_token_more_that_takes_less():
    (line,) = sooner([run(128, 339_405_737), run(129, 339_011_276)])
    assert line.startswith("of129 answers 129 tokens sooner than of128 128: copies of a matrix")
    assert sooner([run(129, 339_011_276), run(128, 339_405_737)]) == [line]


def test_nothing_is_said_of_other_runs():
    first = run(128, 100)
    other = replace(run(129, 99), scenario=run(129, 99, seed=1).scenario)
    for second in (run(129, 100), run(127, 99), other):
        assert sooner([first, second]) == []
    assert sooner([run(128, 100, "none"), run(129, 99, "none")]) == []


def test_a_directory_without_its_scenario(tmp_path):
    assert sooner([tmp_path]) == []
