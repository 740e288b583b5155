"""Ours and the paper's in one picture: what is drawn, and that it can be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from hyflexsim.analysis import beside_paper, save

RESULTS = Path(__file__).parents[3] / "docs" / "results"
TABLES = sorted(
    set(RESULTS.glob("reproduction-*.csv")) - {RESULTS / "reproduction-sensitivity.csv"}
)


def drawn(file, log=False):
    text = {"x": str, "panel": str, "series": str}
    table = pd.read_csv(file, dtype=text).fillna({"panel": "", "series": "", "x": ""})
    return table, beside_paper(table, title="A title", axes=("x", "y"), log=log)


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.stem)
@pytest.mark.parametrize("log", [False, True])
def test_no_text_on_text_and_none_cut_off(file, log, legible):
    _, axes = drawn(file, log)
    legible(axes[0].figure, file.stem)


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.stem)
def test_bars_are_ours_and_dashes_the_papers(file):
    table, axes = drawn(file)
    heights = [bar.get_height() for ax in axes for bar in ax.patches]
    assert sorted(heights) == pytest.approx(sorted(table["ours"]))
    dashes = [
        line.vertices[0, 1]
        for ax in axes
        for lines in ax.collections
        if isinstance(lines, LineCollection)
        for line in lines.get_paths()
        if len(line.vertices)
    ]
    assert sorted(d for d in dashes if np.isfinite(d)) == pytest.approx(
        sorted(table["paper"].dropna())
    )


def test_equal_tables_give_equal_bytes(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for file in files:
        save(drawn(TABLES[0])[1][0], file)
    assert files[0].read_bytes() == files[1].read_bytes()
