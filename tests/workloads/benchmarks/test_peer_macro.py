"""The same macro by AccelForge: ours in closed form, what is committed, what happens without it."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hyflexsim.workloads.benchmarks import peer_macro, peer_macro_run

TABLE = Path(__file__).parents[3] / "docs" / "results" / "peer-macro.csv"
ISAAC, HYFLEXPIM = peer_macro.MACROS.values()
FULL = ("one", 4, 128, 32)


def test_a_full_array_by_hand():
    """128 x 32 weights in 128 columns: eight planes of as many conversions, drives and one read."""
    found = peer_macro.ours(ISAAC, FULL)
    macs = 128 * 32
    assert found.arrays == 1
    assert found.ns == 800
    assert found.played_ns > found.ns
    assert found.fj["converters"] == pytest.approx(8 * 128 * 1562.5 / macs, rel=1e-12)
    assert found.fj["cells"] == pytest.approx(8 * 30_000 / macs, rel=1e-12)
    held = 128 * (390.6 + 0.977)
    assert found.fj["drivers, sample-and-hold"] == pytest.approx(8 * held / macs, rel=1e-12)


def test_arrays_are_those_that_the_peer_gets():
    for macro in (ISAAC, HYFLEXPIM):
        _, _, inputs, outputs = product = ("projection", 1, 768, 768)
        cells = peer_macro_run.WEIGHT_CELLS * outputs
        arrays = -(-inputs // macro.rows) * -(-cells // peer_macro_run.COLUMNS)
        assert peer_macro.ours(macro, product).arrays == arrays


def test_the_committed_table_is_ours():
    with TABLE.open(encoding="utf-8") as file:
        committed = {
            (row["macro"], row["product"], row["what"]): row for row in csv.DictReader(file)
        }
    for name, macro in peer_macro.MACROS.items():
        (product, *_) = peer_macro.linear()
        found = peer_macro.ours(macro, product)
        of_parts = {**found.fj, "all parts": sum(found.fj.values()), "arrays": found.arrays}
        for what, value in (of_parts | {"a vector, arrays alone": found.ns}).items():
            row = committed[name, product[0], what]
            assert float(row["hyflexsim"]) == pytest.approx(value, rel=1e-4)
            assert float(row["accelforge"]) > 0


@pytest.fixture
def one_product(monkeypatch):
    monkeypatch.setattr(peer_macro, "linear", lambda: [FULL])
    monkeypatch.setattr(peer_macro, "MACROS", {"ISAAC": ISAAC})


def run(*args):
    from typer import Typer  # noqa: PLC0415

    app = Typer()
    app.command()(peer_macro.main)
    return CliRunner().invoke(app, args)


def test_without_the_peer_ours_is_printed(one_product, monkeypatch, tmp_path):
    monkeypatch.setattr(peer_macro, "measure", lambda command: {"missing": "accelforge"})
    done = run("--out", str(tmp_path / "table.csv"))
    assert done.exit_code == 0
    assert "accelforge: skipped, not installed here" in done.output
    rows = list(csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8")))
    assert [row["what"] for row in rows[:2]] == ["converters", "cells"]
    assert {row["accelforge"] for row in rows} == {""}


def test_what_the_peer_says_stands_beside_ours(one_product, monkeypatch, tmp_path):
    said = {"name": "one", "fj": {"ADC": 781.25, "RowDrivers": 1.0, "ColumnDrivers": 2.0}}
    peer = {"products": [{**said, "seconds": 4 * 800e-9, "arrays": 8}]}
    monkeypatch.setattr(peer_macro, "measure", lambda command: peer)
    done = run("--out", str(tmp_path / "table.csv"))
    assert done.exit_code == 0
    rows = {r["what"]: r for r in csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8"))}
    assert float(rows["converters"]["accelforge"]) == 781.25
    assert float(rows["drivers, sample-and-hold"]["accelforge"]) == 3.0
    assert float(rows["a vector, arrays alone"]["accelforge"]) == 800


def test_a_component_without_a_part_is_refused():
    with pytest.raises(ValueError, match=r"^accelforge names Router$"):
        peer_macro._grouped({"ADC": 1.0, "Router": 2.0})
