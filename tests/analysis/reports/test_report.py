"""Reports: one file, nothing from elsewhere, every number of the tables in it."""

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from hyflexsim.analysis import load, typical_request
from hyflexsim.analysis.reports import zoomable
from hyflexsim.analysis.reports.page import Page, Table
from hyflexsim.analysis.reports.report import write_report
from hyflexsim.analysis.reports.zoomable import zoomable_timeline
from hyflexsim.analysis.run.report import PICTURES, possible
from hyflexsim.sim.errors import InputError


class Parsed(HTMLParser):
    """Tables as lists of rows, and all that a page would fetch."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.tables, self.stack = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.fetched += [named[key] for key in ("src", "href") if key in named]
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag == "td":
            self.tables[-1][-1].append(named["data-v"])
        self.stack.append(tag)

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "style":
            assert "url(" not in data


@pytest.fixture(scope="module")
def report(bert_dir, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "r.html"
    assert write_report(bert_dir, file) == file
    return file.read_text("utf-8")


def test_nothing_is_fetched(report, bert_dir):
    fetched = Parsed(report).fetched
    assert all(each.startswith("data:") for each in fetched)
    assert sum(each.startswith("data:image/png") for each in fetched) == len(PICTURES) + len(
        possible(load(bert_dir))
    )


def test_tables_are_whole(report, bert_dir):
    run = load(bert_dir)
    components, energy, requests, placement = (t[1:] for t in Parsed(report).tables[:4])
    assert sorted(row[0] for row in components) == sorted(run.components["component"])
    assert sum(float(row[-2]) for row in energy) == pytest.approx(run.energy["energy_pj"].sum())
    assert [int(row[-2]) for row in requests] == run.requests["latency_ps"].tolist()
    assert len(placement) == len(run.placement)


def test_notes_scenario_and_versions_are_there(report, bert_dir):
    run = load(bert_dir)
    for text in (*run.summary["notes"], run.summary["model"]):
        assert text in report
    assert "&quot;op_kinds&quot;" in report


def test_the_timeline_has_every_visit_of_its_request(bert_dir):
    run = load(bert_dir)
    title, markup = zoomable_timeline(run)
    request = int(re.fullmatch(r"Request (\d), zoomable", title)[1])
    wanted = run.trace[run.trace["request"] == request]
    (shown,) = re.findall(r'"component",(\[.*?\])', markup)[:1]
    drawn = sum(len(json.loads(part)) for part in re.findall(r'"component",(\[.*?\])', markup))
    assert json.loads(shown)
    assert drawn == len(wanted)


def test_a_long_timeline_says_what_is_left_out(bert_dir, monkeypatch):
    monkeypatch.setattr(zoomable, "MOST", 7)
    run = load(bert_dir)
    _, markup = zoomable_timeline(run)
    count = (run.trace["request"] == typical_request(run)).sum()
    assert f"The first 7 of {count:,} visits." in markup


def test_a_long_table_says_what_is_left_out():
    page = Page("t", tables=[Table("long", pd.DataFrame({"n": range(7)}), most=3)])
    assert "and 4 more rows" in page.html()
    assert Parsed(page.html()).tables[0][1:] == [["0"], ["1"], ["2"]]


def test_what_people_type_is_text():
    page = Page("<b>", notes=["a & b"], tables=[Table("x", pd.DataFrame({"<i>": ["<u>"]}))])
    assert not {"<b>", "<i>", "<u>"} & set(re.findall(r"<\w>", page.html().split("<body>")[1]))


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(InputError, match="no folder of a run, a sweep or a study"):
        write_report(tmp_path)


def test_nothing_half_written(tmp_path):
    with pytest.raises(InputError, match="No such file or directory"):
        Page("t").write(tmp_path / "none" / "r.html")
    assert list(tmp_path.iterdir()) == []
