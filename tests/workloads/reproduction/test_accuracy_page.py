"""Tables of docs/accuracy.md "On the chip" are those of docs/results, number by number."""

import re
from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).parents[3] / "docs"
SECTION = (DOCS / "accuracy.md").read_text("utf-8").split("## On the chip")[1].split("\n## ")[0]
NAMES = {
    "ViT, digits": "vit-digits",
    "ParT, jets": "part-jets",
    "GPT-2 ↓": "gpt2-pydoc",
    "Mamba ↓": "mamba-pydoc",
    "MiniLM, STS-B": "minilm-stsb",
}
SIGNS = {
    "two's complement": "twos-complement",
    "biased": "biased",
    "pairs": "differential",
    "pairs on rows": "differential-rows",
}
SCORES = [
    [cell.strip() for cell in line.strip("| ").split("|")]
    for line in SECTION.splitlines()
    if line.startswith(tuple(f"| {name} |" for name in NAMES))
]


def costs():
    """(model, sign, arrays, µJ) of the second table, whose model stands in the first row alone."""
    rows = re.findall(r"^\| ([\w-]*) *\| ([\w' ]+) \| ([\d, ]+) \| ([\d., ]+) \|$", SECTION, re.M)
    model = ""
    for name, sign, arrays, energy in rows:
        model = name or model
        yield model, sign, [int(n) for n in arrays.split(",")], energy.split(", ")


def test_every_model_has_three_signs():
    assert [row[:2] for row in SCORES] == [
        [name, sign] for name in NAMES for sign in list(SIGNS)[:3]
    ]


@pytest.mark.parametrize("row", SCORES, ids=lambda row: f"{row[0]}-{row[1]}")
def test_scores(row):
    table = pd.read_csv(DOCS / "results" / f"{NAMES[row[0]]}-on-chip-{SIGNS[row[1]]}.csv")
    cases = [("chip", 0), ("chip", 0.1), *(("calibrated", rate) for rate in (0, 0.1, 0.5, 1))]
    for (noise, rate), cell in zip(cases, row[2:], strict=True):
        (found,) = table[(table["name"] == noise) & (table["slc_rate"] == rate)].itertuples()
        mean, _, half = cell.partition(" ± ")
        places = len(mean.partition(".")[2])
        assert f"{found.mean:.{places}f}" == mean
        if half:
            assert float(f"{found.half_width:.2g}") == float(half)
        else:
            assert not found.half_width > 1e-6  # one value, or none differs


def test_costs():
    names = {"GPT-2": "gpt2-pydoc", "Mamba": "mamba-pydoc", "ParT": "part-jets"}
    seen = list(costs())
    assert [(model, sign) for model, sign, *_ in seen] == [
        (name, sign) for name in names for sign in ("two's complement", "pairs", "pairs on rows")
    ]
    for model, sign, arrays, energy in seen:
        table = pd.read_csv(DOCS / "results" / f"{names[model]}-signs.csv")
        chip = "hyflexpim" if sign == "two's complement" else f"sign={SIGNS[sign]}"
        mine = table[table["chip"] == chip].set_index("slc_rate").loc[[0, 0.1, 1]]
        assert mine["arrays"].tolist() == arrays
        assert [f"{pj * 1e-6:.1f}" for pj in mine["energy_pj"]] == energy
