"""Golden runs of every shipped scenario: the same picoseconds and counts as when they were kept."""

import importlib.util
import json
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
_spec = importlib.util.spec_from_file_location("golden_runs", GOLDEN / "runs.py")
runs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runs)


@pytest.mark.parametrize("name", sorted(runs.RUNS))
def test_a_golden_run(name):
    kept = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(runs.digest(name))) == kept
