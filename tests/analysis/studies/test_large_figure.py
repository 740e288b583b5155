"""The picture of ``hyflexsim large``."""

import pandas as pd

from hyflexsim.analysis.studies.large_figure import chips_plot


def test_a_mark_a_row_and_a_key_for_each_reading():
    rows = [("a", 0.0, 1, 13, 205.0), ("a", 0.0, 2, 14, 162.0), ("b", 0.2, 1, 80, 391.0)]
    table = pd.DataFrame(rows, columns=["model", "slc_rate", "ways", "chips", "further_us"])
    ax = chips_plot(table)
    marks = [line for line in ax.lines if line.get_marker() not in ("None", None)]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in marks] == [row[3:] for row in rows]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["a", "b", "pipeline", "2 chips a layer", "0 % SLC", "20 % SLC"]
    assert "µs" in ax.get_ylabel()
