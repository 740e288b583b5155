"""``hyflexsim run --values``."""

import pyarrow.parquet as pq
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli import main as cli
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.values import execute

SMALL = ("workload.count=1", "accuracy.seeds=1", "accuracy.limit=4")


def test_the_table_is_printed_and_kept(tmp_path, capsys):
    changes = [text for change in SMALL for text in ("--set", change)]
    with pytest.raises(SystemExit) as stop:
        cli.main(
            ["run", "hybrid-jets", *changes, "--values", "--no-plots", "--out", f"{tmp_path}/r"]
        )
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "largest difference" in printed
    assert "115 ops, 1 requests, 34 tokens: all equal" in printed
    table = pq.read_table(tmp_path / "r" / "values.parquet").to_pydict()
    assert list(table) == ["op", "what", "elements", "equal", "largest_difference"]
    assert table["elements"] == table["equal"]
    assert sum(table["elements"]) == 552_125
    assert set(table["largest_difference"]) == {0.0}


def refused(scenario, **options):
    with pytest.raises(InputError) as caught:
        execute(scenario, **options)
    return str(caught.value)


def test_refusals():
    one = Scenario.load("hybrid-jets", SMALL)
    assert refused(one, cells="wet") == "cells must be one of ideal, converters, noise; got 'wet'"
    keys = Scenario.load("hybrid-jets", [*SMALL, "chip.preset=hyflexpim-slc"])
    assert "leaves a share of keys out (serves.matmul keys)" in refused(keys)
    memory = Scenario.load("hybrid-jets", [*SMALL, "chip.preset=nmp"])
    assert refused(memory) == (
        "values: matrices must lie in analog arrays; banks is of kind near_bank"
    )
    large = Scenario.load("llama-3.2-1b")
    assert refused(large).startswith(
        "values: a model may have 200,000,000 parameters; llama-3.2-1b"
    )
    tiles = Scenario.load("hybrid-jets", [*SMALL, "mapping.tiles=ideal"])
    assert refused(tiles).startswith("tiles must be row-tile to say where a weight lies")


def test_requests_that_are_left_out_are_told():
    done = execute(Scenario.load("hybrid-jets", ["workload.count=3"]), requests=2)
    assert (done.requests, done.tokens) == (2, 34 + 45)
    assert done.notes == ["values of the first 2 requests; 1 more ran"]
