"""Pictures of what sparse attention is worth, of the tables that the page has."""

from pathlib import Path

import pandas as pd
import pytest

from hyflexsim.analysis.sparsity.answer import answer_plot
from hyflexsim.analysis.sparsity.bound import bound_plot
from hyflexsim.analysis.sparsity.levers import MOST_POINTS, PANELS, levers_plot
from hyflexsim.analysis.sparsity.trigger import trigger_plot
from hyflexsim.analysis.sparsity.ways import ways_plot

RESULTS = Path(__file__).parents[3] / "docs" / "results"
PLOTS = {
    "bound": bound_plot,
    "ways": ways_plot,
    "ways-gpt2-pydoc": ways_plot,
    "trigger": trigger_plot,
    "levers": levers_plot,
}


@pytest.mark.parametrize("name", PLOTS)
def test_they_are_legible(name, legible):
    legible(PLOTS[name](pd.read_csv(RESULTS / f"sparsity-{name}.csv")).figure, name)


def test_a_mark_for_each_design_rate_and_number_of_chips():
    table = pd.read_csv(RESULTS / "sparsity-trigger.csv")
    ax = trigger_plot(table)
    drawn = sorted(x for line in ax.lines[:-2] for x in line.get_xdata())
    assert drawn == pytest.approx(sorted(table["p999_us"]))
    assert [text.get_text() for text in ax.texts] == [
        str(chips) for _, rows in table.groupby("rate_per_s") for chips in rows["chips"]
    ]


def test_a_number_for_each_model_in_each_panel(legible):
    table = pd.read_csv(RESULTS / "sparsity-trigger.csv")
    designs = list(dict.fromkeys(table["design"]))[:3]
    scores = pd.DataFrame({"design": designs, "accuracy": [0.9, 0.8, 0.7], "accuracy_error": 0.005})
    figure = answer_plot(table, scores).figure
    legible(figure, "answer")
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [["1", "2", "3"]] * 3


def test_a_mark_for_each_lever_that_is_known():
    """At its change from the first row, or at the edge of the panel with its number."""
    table = pd.read_csv(RESULTS / "sparsity-levers.csv")
    figure = levers_plot(table).figure
    limits = [most for _, most in PANELS.values()] + [MOST_POINTS]
    for ax, column, most in zip(figure.axes, (*PANELS, "change"), limits, strict=True):
        wanted = []
        for _, rows in table.groupby("model", sort=False):
            first = rows[column].iloc[0]
            change = 100 * (rows[column] if column == "change" else rows[column] / first - 1)
            wanted += (
                change[rows["lever"] != table["lever"].iloc[0]].dropna().clip(-most, most).tolist()
            )
        marks = [line for line in ax.lines if line.get_marker() in ("o", "<", ">")]
        drawn = [x for line in marks for x in line.get_xdata()]
        assert sorted(drawn) == pytest.approx(sorted(wanted))
