"""Every block of docs/how-to.md runs, in order, in one folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "how-to.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PASSED = ("HOME", "HYFLEXSIM_CACHE", "OMP_NUM_THREADS")


@pytest.mark.slow
def test_the_page_runs(tmp_path):
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    env |= {key: os.environ[key] for key in PASSED if key in os.environ}
    for language, code in BLOCKS:
        command = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), code
    assert (tmp_path / "runs" / "tall" / "summary.json").is_file()


def test_there_are_blocks():
    assert len(BLOCKS) >= 5
