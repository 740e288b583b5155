"""``hyflexsim reproduce``: what is committed is what comes out; its files and refusals."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import is_block
from hyflexsim.workloads.reproduction import (
    accuracy_figures,
    end_to_end,
    fractional_copies,
    linear_energy,
    reproduce,
    study_tables,
    throughput,
)
from hyflexsim.workloads.reproduction.blocks import Blocks, Case
from hyflexsim.workloads.reproduction.claims import COLUMNS, Claim, Figure, paper
from hyflexsim.workloads.reproduction.claims import table as table_of
from hyflexsim.workloads.reproduction.page import page
from hyflexsim.workloads.run.run import simulate

DOCS = Path(__file__).parents[3] / "docs"


def committed(name):
    file = DOCS / "results" / f"reproduction-{name}.csv"
    return pd.read_csv(file, dtype={"x": str, "panel": str, "series": str}, keep_default_na=False)


def ours(name, **keys):
    rows = committed(name)
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    (found,) = rows["ours"]
    return float(found)


@pytest.mark.parametrize("name", ["table2", "fig2", "fig11", "fig12", "fig13", "fig17", "silicon"])
def test_committed_tables_are_what_comes_out(name, tmp_path):
    figure = reproduce.FIGURES[name](lambda *_: None)
    file = tmp_path / "table.csv"
    figure.table.to_csv(file, index=False, float_format="%.5g")
    assert file.read_text() == (DOCS / "results" / f"reproduction-{name}.csv").read_text()
    *_, section = page([figure]).partition("\n## ")
    assert section.rstrip() in (DOCS / "reproduction.md").read_text()


def test_committed_bars_of_the_long_figures_are_what_comes_out():
    whole = linear_energy.mac_pj(linear_energy.SYSTEMS["non-PIM"])
    for name in ("HyFlexPIM 5 %", "ASADI†", "NMP", "SPRINT"):
        bar = 100 * linear_energy.mac_pj(linear_energy.SYSTEMS[name]) / whole
        assert ours("fig14", series=name, x="128") == pytest.approx(bar, rel=1e-4)
    large = "BERT-Large, 5 % SLC"
    ratio = end_to_end.ratio(end_to_end.OURS[large])
    assert ours("fig15", panel=large, series="ASADI†", x="128") == pytest.approx(ratio, rel=1e-4)
    (panel, *_) = throughput.PANELS
    for rate, tokens in ((0.05, 128), (0.5, 8192)):
        bar = throughput.at(rate, tokens)
        place = {"panel": panel, "series": f"N = {tokens}", "x": f"{100 * rate:g}"}
        assert ours("fig16", **place) == pytest.approx(bar, rel=1e-4)


def test_committed_bars_of_fractional_copies_are_what_comes_out():
    """Three PUs a layer: near the two ends of the paper's range, and what uniform copies may do."""
    five, fifty, _ = fractional_copies.POINTS
    found = [throughput.at(0.05, 128, fractional_copies.THREE)]
    found.append(throughput.at(0.5, 8192, fractional_copies.THREE))
    for panel, bar in zip((five, fifty), found, strict=True):
        place = {"panel": panel, "series": "of single matrices", "x": "3"}
        assert ours("copies", **place) == pytest.approx(bar, rel=1e-4)
    assert 1.78 < found[0] < 1.82
    assert 1.13 < found[1] < 1.16


@pytest.mark.long
def test_the_page_is_what_the_command_makes(tmp_path):
    reproduce.reproduce(["all"], tmp_path, say=lambda *_: None, workers=0)
    made = {file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()}
    for file in made:
        if file.suffix != ".png":  # fonts differ by machine
            assert (tmp_path / file).read_bytes() == (DOCS / file).read_bytes(), file
        assert (DOCS / file).is_file()
    assert len(made) == 2 * len(reproduce.FIGURES) + 1


@pytest.mark.parametrize(("overlap", "copies"), [("pipelined", "none"), ("layer-serial", "fill")])
def test_closed_forms_are_those_of_a_run(overlap, copies):
    case = Case(model="bert-base", slc_rate=0.1, tokens=16, overlap=overlap, copies=copies)
    blocks = Blocks.of(case)
    # of sixty answers: where steps overlap the first one comes a little early
    assert blocks.played(60).per_s == pytest.approx(blocks.per_s, rel=0.005)
    rows = simulate(case.scenario()).tables["energy"]
    played = sum(row["energy_pj"] for row in rows if is_block(row["layer"]))
    assert sum(blocks.energy_pj().values()) == pytest.approx(played, rel=1e-12)
    graph_macs = g.macs(blocks.ready.graph, 16)
    nodes = blocks.ready.graph.nodes
    assert sum(blocks.macs().values()) == sum(
        count for op, count in graph_macs.items() if is_block(nodes[op]["layer"])
    )


def test_a_verdict_is_the_same_whether_ours_is_above_or_below():
    for ours_, words in ((1.0, "within 10"), (1.09, "within 10"), (1.2, "within 25"), (1.3, "off")):
        assert words in Claim("f", "c", 1.0, ours_).verdict
        assert words in Claim("f", "c", ours_, 1.0).verdict


def test_what_the_paper_says_has_a_source_and_fits_itself():
    for name in reproduce.FIGURES:
        if name not in (
            "fig11",
            "sensitivity",
            "copies",
            "reviewers",
        ):  # the paper has no numbers of these
            assert paper(name)["source"], name
            assert paper(name)["sure"] in ("text", "label", "order", "arithmetic", "shape")
    bars = paper("fig14")["percent"]
    assert set(bars) == set(linear_energy.SYSTEMS)
    assert {len(values) for values in bars.values()} == {len(paper("fig14")["tokens"])}
    best = {name: bars[name][0] / bars["HyFlexPIM 5 %"][0] for name in ("SPRINT", "NMP", "non-PIM")}
    assert best == pytest.approx(
        {
            "SPRINT": paper("headline")["energy_sprint"],
            "NMP": paper("headline")["energy_nmp"],
            "non-PIM": paper("headline")["energy_non_pim"],
        },
        abs=0.03,
    )


FIGURE = Figure(
    "one",
    "One",
    table_of([("", "a", "1", 1.0, float("nan")), ("", "a", "2", 3.0, 2.0)]),
    ("x", "y"),
    (Claim("one", "two", 2.0, 3.0, "itself", "why not"),),
)


def test_a_figure_survives_json():
    again = Figure.from_json(json.loads(json.dumps(FIGURE.as_json())))
    pd.testing.assert_frame_equal(again.table, FIGURE.table)
    assert replace(again, table=None) == replace(FIGURE, table=None)


def test_the_page_names_every_claim():
    text = page([FIGURE])
    assert "| two | 2 | 3 | 1.5 | off | closed form |" in text
    assert "- **two.** Hangs on itself. why not" in text
    assert "| off | 1 |" in text


def test_an_interrupted_command_goes_on_with_the_next_figure(tmp_path, monkeypatch):
    made = []

    def first(say):
        made.append("one")
        return FIGURE

    def second(say):
        made.append("two")
        if made.count("two") == 1:
            raise KeyboardInterrupt
        return replace(FIGURE, name="two")

    monkeypatch.setattr(reproduce, "FIGURES", {"one": first, "two": second})
    with pytest.raises(KeyboardInterrupt):
        reproduce.reproduce(["all"], tmp_path, say=lambda *_: None, workers=0)
    assert list(tmp_path.rglob("*.csv")) == []
    reproduce.reproduce(["all"], tmp_path, say=lambda *_: None, workers=0)
    assert made == ["one", "two", "two"]
    assert not (tmp_path / "reproduction.work").exists()
    assert len(list(tmp_path.rglob("*.png"))) == 2
    table = pd.read_csv(tmp_path / "results" / "reproduction-one.csv")
    assert tuple(table.columns) == COLUMNS


def test_the_command(hyflexsim, tmp_path):
    code, out, err = hyflexsim("reproduce", "table2", "fig2", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "static matrices" in out
    assert "derived, within 25 %" in out
    assert not (tmp_path / "out" / "reproduction.md").exists()  # a part of it is no page
    assert (tmp_path / "out" / "pictures" / "reproduction-fig2.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["fig99"], "no figure 'fig99'; nearest: fig"),
        (
            ["accuracy", "fig14"],
            "accuracy and attention and binary and played go alone; got accuracy fig14",
        ),
        (["played", "--tables-only"], "--runs and --tables-only do not go with played"),
        (
            ["fig2", "--recipe", "x"],
            "--recipe, --runs and --tables-only go with accuracy, attention",
        ),
        (["attention", "--recipe", "x"], "--recipe goes with accuracy"),
        (["binary", "--recipe", "x"], "--recipe goes with accuracy"),
        (["fig2", "--device", "cuda"], "--device goes with binary"),
        (["accuracy", "--recipe", "nothing"], "no studies of a recipe 'nothing'; "),
    ],
)
def test_refusals(hyflexsim, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = hyflexsim("reproduce", *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"hyflexsim: {message}")
    assert list(tmp_path.iterdir()) == []


def test_tables_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(study_tables, "TABLES", tmp_path)
    with pytest.raises(InputError, match="not there; hyflexsim reproduce accuracy --out docs"):
        accuracy_figures.fig13(lambda *_: None)
    with pytest.raises(InputError, match="not there; hyflexsim reproduce played --out docs"):
        fractional_copies.played(0.05, 128)


def test_figures_side_by_side_are_the_same(tmp_path):
    for workers in (0, 2):
        out = tmp_path / str(workers)
        reproduce.reproduce(["table2", "fig2"], out, say=lambda *_: None, workers=workers)
    tables = sorted(path.name for path in (tmp_path / "0" / "results").iterdir())
    assert tables == ["reproduction-fig2.csv", "reproduction-table2.csv"]
    for name in tables:
        one, two = (tmp_path / workers / "results" / name for workers in "02")
        assert one.read_bytes() == two.read_bytes()
