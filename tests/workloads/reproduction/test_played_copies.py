"""Paces of a run beside closed forms, and the study of mappings with copies."""

from dataclasses import replace

import pandas as pd
import pytest

from hyflexsim.workloads.reproduction.blocks import Blocks, Case
from hyflexsim.workloads.reproduction.played_copies import TABLE, Point, played_copies
from hyflexsim.workloads.reproduction.study_tables import TABLES
from hyflexsim.workloads.run.run import simulate

SMALL = Case(model="bert-base", slc_rate=0.1, tokens=16, overlap="layer-serial", copies="fill")


def test_a_pace_is_that_of_layers_that_all_have_work():
    """Twelve layers on a PU each, without buses between PUs to wait for: the closed form."""
    blocks = Blocks.of(SMALL)
    found = blocks.played(5)
    assert (found.answers, found.in_flight) == (5, 12)
    assert found.per_s == pytest.approx(blocks.per_s, rel=0.005)


def test_with_memory_for_one_request_each_waits_for_the_one_before():
    """23 MiB less than 0.3 go to the embedding table; 40 tokens keep 184 KB in the first layer."""
    case = replace(SMALL, tokens=40, set=(("digital.arrays", 23),))
    blocks = Blocks.of(case)
    found = blocks.played(3)
    assert (found.answers, found.in_flight) == (3, 1)
    (alone,) = simulate(case.scenario()).tables["requests"]
    # the next enters when the last token is through, a little after the pooler has answered
    assert 1 < 1e12 / found.per_s / alone["latency_ps"] < 1.02
    assert found.per_s < blocks.per_s / 5


def test_the_study_is_resumed_and_gives_ratios_of_what_it_played(tmp_path):
    points = (Point(0.5, 4, "auto", 2), Point(0.5, 4, 1.5, 2))
    file = played_copies(tmp_path, say=lambda *_: None, points=points)
    assert file.name == f"{TABLE}.csv"
    rows = pd.read_csv(file)
    assert list(rows["pus_per_layer"]) == ["auto", "1.5"]
    areas = [2, 1]  # all-SLC takes two PUs a layer where ours takes one
    for how in ("closed", "played"):
        ratio = rows[f"{how}_per_s"] / rows[f"slc_{how}_per_s"] * areas
        assert rows[f"{how}_ratio"].tolist() == pytest.approx(ratio.tolist(), rel=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_the_committed_study_keeps_what_the_page_says():
    rows = pd.read_csv(TABLES / f"{TABLE}.csv", dtype={"pus_per_layer": str})
    assert set(rows["tokens"]) == {128, 8192}
    found = rows.set_index(["slc_rate", "tokens", "pus_per_layer"])["played_ratio"]
    assert 1.78 < found[0.05, 128, "auto"] < 1.82
    assert found[0.5, 128, "auto"] > 2 / 1.5  # above the bound of uniform copies
    assert 1.13 < found[0.5, 8192, "3"] < 1.16
