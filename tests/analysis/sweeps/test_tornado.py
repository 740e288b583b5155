"""Tornado: lengths are the answers', the widest on top, legible."""

from pathlib import Path

import pandas as pd
import pytest

from hyflexsim.analysis import tornado_plot
from hyflexsim.analysis.sweeps.tornado import MOST

COMMITTED = Path(__file__).parents[3] / "docs" / "results" / "reproduction-sensitivity.csv"


def rows(**answers):
    table = [{"panel": "p", "parameter": "", "side": "", "change": "", "answer": 10.0}]
    for name, pair in answers.items():
        for side, answer in zip(("half", "double"), pair, strict=True):
            row = {"parameter": name, "side": side, "change": "1", "answer": answer}
            table.append({"panel": "p"} | row)
    return pd.DataFrame(table)


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_bars_reach_from_the_base_to_the_answers_the_widest_first():
    (ax,) = tornado_plot(rows(a=(9, 11), b=(8, 16), c=(10, 10)), title="t", axis="x")
    assert names(ax) == ["b", "a"]  # c does not move it
    ends = sorted(bar.get_x() + bar.get_width() for bar in ax.patches)
    assert ends == [8, 9, 11, 16]
    assert {bar.get_x() for bar in ax.patches} == {10}


def test_only_the_widest_are_drawn():
    many = {f"p{i}": (9, 11 + i) for i in range(MOST + 5)}
    (ax,) = tornado_plot(rows(**many), title="t", axis="x")
    assert names(ax) == [f"p{i}" for i in range(MOST + 4, 4, -1)]


@pytest.mark.parametrize("case", ["committed", "one", "long"])
def test_no_text_on_text_and_none_cut_off(case, legible):
    table = {
        "committed": pd.read_csv(COMMITTED, keep_default_na=False),
        "one": rows(a=(9, 11)),
        "long": rows(**{f"analog.a_very_long_name_of_a_parameter_{i}": (9, 12) for i in range(3)}),
    }[case]
    axes = tornado_plot(table, title="What moves the headline", axis="ratio")
    legible(axes[0].figure, case)
