"""Every ``bash`` and ``python`` block of the README runs, in order, in one folder.

Blocks marked ``sh`` set up an environment, or need an optional extra and half an hour; they are not
run here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hyflexsim.workloads import simulate
from hyflexsim.workloads.cli.terminal_tables import si

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


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
    """Where graphs are cached, so that a second run of the tests is fast."""
    return {key: os.environ[key] for key in ("HOME", "HYFLEXSIM_CACHE") if key in os.environ}


def test_there_are_blocks_in_both_languages():
    assert {language for language, _ in BLOCKS} == {"bash", "python"}


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", README))
def test_links_lead_somewhere(target):
    if target == "docs/timeline.png" or target.startswith("https://"):
        pytest.skip("made from a real run, or outside")
    assert (ROOT / target).exists()


@pytest.mark.parametrize("name", ["part-jets", "bert-base", "llama-3.2-1b", "hybrid-jets"])
def test_the_table_says_what_the_scenarios_say(name):
    (row,) = re.findall(rf"^\| `{name}`:.*$", README, re.MULTILINE)
    summary = simulate(name).summary
    latency = summary["latency_ps"]
    said = [si(latency["p50"] * 1e-12, "s"), si(summary["energy_per_request_pj"] * 1e-12, "J")]
    if latency["p99"] != latency["p50"]:
        said.append(si(latency["p99"] * 1e-12, "s"))
    for row_of in summary.get("accuracy", {}).get("noise", ()):
        if row_of["name"] == "calibrated":
            said.append(f"{row_of['mean']:.3f} ± {row_of['half_width']:.3f}")
    assert [text for text in said if text.split()[0] not in row] == []
