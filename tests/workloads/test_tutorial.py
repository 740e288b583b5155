"""Every ``bash`` and ``python`` block of docs/tutorial.md runs, in order, in one folder.

Blocks marked ``sh`` need an optional extra and half an hour; they are not run here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PASSED = ("HOME", "HYFLEXSIM_CACHE", "OMP_NUM_THREADS")


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    for language, code in BLOCKS:
        command = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=path | _home(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), code
    for name in ("runs/part-jets/timeline.png", "runs/what-if/summary.json", "map.png"):
        assert (tmp_path / name).is_file()
    for name in ("block.png", "tokens.png", "runs/from-python/trace.parquet", "runs/mine"):
        assert (tmp_path / name).exists()


def _home():
    """Where graphs are cached, so that a second run is fast, and how many threads there are."""
    return {key: os.environ[key] for key in PASSED if key in os.environ}


def test_there_are_blocks_in_both_languages():
    assert {language for language, _ in BLOCKS} == {"bash", "python"}
