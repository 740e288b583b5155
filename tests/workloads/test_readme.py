"""The README: its links lead somewhere, its table says what the scenarios say, it stays short."""

import re
from pathlib import Path

import pytest

from hyflexsim.workloads import simulate
from hyflexsim.workloads.cli.terminal_tables import si

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", README))
def test_links_lead_somewhere(target):
    if target.startswith("https://"):
        pytest.skip("outside")
    assert (ROOT / target).exists()


def test_it_is_a_screen_of_text():
    assert len(README.splitlines()) <= 50


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
