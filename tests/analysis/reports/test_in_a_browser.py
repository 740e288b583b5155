"""A report as Chromium shows it; needs ``pip install PyQt6-WebEngine``, which is Chromium."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hyflexsim.analysis.reports.report import write_report

THERE = importlib.util.find_spec("PyQt6") and importlib.util.find_spec("PyQt6.QtWebEngineCore")
pytestmark = pytest.mark.skipif(not THERE, reason="needs PyQt6-WebEngine")


@pytest.fixture(scope="module")
def report(bert_dir, tmp_path_factory):
    return write_report(bert_dir, tmp_path_factory.mktemp("report") / "r.html")


@pytest.mark.parametrize("width", [390, 1200], ids=["telephone", "desk"])
def test_as_people_see_it(report, width):
    script = Path(__file__).with_name("browser.py")
    done = subprocess.run(
        [sys.executable, str(script), str(report), str(width)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert {level for level, _ in found["console"]} <= {"InfoMessageLevel"}
    assert found["page"] <= found["window"]
    assert found["up"]
    assert found["down"]
    assert found["meet"] == []
    assert found["timeline"] == 1
