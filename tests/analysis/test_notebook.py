"""What a notebook shows of results: their numbers, a table, pictures that are pictures."""

import base64
import html
import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest

from hyflexsim import analysis
from hyflexsim.analysis.notebook import ROWS, Picture, block
from hyflexsim.analysis.run.shown import facts

PNG = b"\x89PNG\r\n"


def pictures(shown):
    """The PNG files in a piece of HTML."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', shown)
    return [base64.b64decode(data) for data in found]


def load(name):
    """A file of made-up directories beside these tests."""
    path = Path(__file__).parent / name
    spec = importlib.util.spec_from_file_location(f"shown_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_run_shows_its_headline_and_two_pictures(bert_dir):
    run = analysis.load(bert_dir)
    shown = run._repr_html_()
    for name, value in facts(run.summary).items():
        assert f">{html.escape(name)}</th><td>{html.escape(value)}</td>" in shown
    assert [file[: len(PNG)] for file in pictures(shown)] == [PNG, PNG]


def test_a_run_without_its_visits_shows_no_picture(bert_dir):
    shown = analysis.load(bert_dir, trace_columns=())._repr_html_()
    assert "latency p50" in shown
    assert pictures(shown) == []


@pytest.mark.parametrize("kind", ["accuracy", "study", "pareto"])
def test_a_study_shows_its_table_and_a_picture(tmp_path, kind):
    made = load("studies/synthetic.py")
    folder = getattr(made, kind)(tmp_path / kind)
    study = analysis.load_study(folder, kind)
    shown = study._repr_html_()
    assert html.escape(study.info["title"]) in shown
    assert "<th>" in shown
    assert [file[: len(PNG)] for file in pictures(shown)] == [PNG]


def test_a_sweep_shows_counts_its_table_and_the_front(tmp_path):
    made = load("sweeps/test_pictures.py")
    axes = made.grid(**{"adc.slc_bits": [4, 5, 6], "mapping.slc_rate": [0.1, 0.5, 1.0]})
    swept = analysis.load_sweep(made.write(tmp_path / "sweep", axes, made.AIMS, fails=2))
    shown = swept._repr_html_()
    assert ">points</th><td>9</td>" in shown
    assert ">failed</th><td>2</td>" in shown
    assert ">too small</th><td>2 points</td>" in shown
    assert "adc.slc_bits" in shown
    assert [file[: len(PNG)] for file in pictures(shown)] == [PNG]


def test_a_sweep_of_failures_shows_what_went_wrong(tmp_path):
    made = load("sweeps/test_pictures.py")
    axes = made.grid(**{"adc.slc_bits": [4, 5], "mapping.slc_rate": [0.1]})
    swept = analysis.load_sweep(made.write(tmp_path / "sweep", axes, made.AIMS, fails=2))
    shown = swept._repr_html_()
    assert ">too small</th><td>2 points</td>" in shown
    assert pictures(shown) == []


def test_every_picture_of_analysis_shows_itself(bert_dir):
    run = analysis.load(bert_dir)
    for draw in (analysis.timeline, analysis.energy_breakdown, analysis.latency_cdf):
        figure = draw(run).figure
        assert isinstance(figure, Picture)
        assert [file[: len(PNG)] for file in pictures(figure._repr_html_())] == [PNG]


def test_texts_are_escaped_and_long_tables_cut():
    table = pd.DataFrame({"<b>": range(ROWS + 5)})
    shown = block("a < b", {"<i>": "&"}, table)
    assert "<p><b>a &lt; b</b></p>" in shown
    assert "&lt;i&gt;</th><td>&amp;</td>" in shown
    assert "<th>&lt;b&gt;</th>" in shown
    assert shown.count("<tr>") == 1 + ROWS
    assert "and 5 more rows" in shown
