"""The Parquet tables of a run directory."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim import analysis
from hyflexsim.analysis.run.run import COLUMNS
from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Component, Group, Plan, Step
from hyflexsim.workloads.run import run_tables, trace_writer
from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.scenario import Scenario


def twins(count):
    """Pairs of steps with one name, as a transfer to several places has."""
    steps = [
        Step(
            f"layer.{i // 2}.in",
            f"layer.{i // 2}",
            "pu_bus",
            "layer",
            lanes=(0,),
            rate=Rate(1),
            inputs=(Group(i - 1),) if i else (),
        )
        for i in range(count)
    ]
    return Plan(tuple(steps), (Component("bus", "pu_bus"),), frozenset({count - 1}))


def test_equal_traces_are_equal_bytes_where_steps_share_a_name(tmp_path):
    plan = twins(200)
    played = compiled.play(plan, [Request(0, 500)])
    written = []  # each after other words have been in memory
    for turn in range(3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        pq.write_table(
            pa.table({"x": [f"{turn}" * 40 + f"{i}" for i in range(9000)]}), folder / "x"
        )
        trace_writer.write_trace(folder, plan, played)
        written.append((folder / "trace.parquet").read_bytes())
    assert written[0] == written[1] == written[2]


def test_every_word_of_a_column_is_in_its_dictionary_once(tmp_path):
    plan = twins(6)
    played = compiled.play(plan, [Request(0, 4)])
    trace_writer.write_trace(tmp_path, plan, played)
    table = pq.read_table(tmp_path / "trace.parquet")
    for name in ("step", "op", "kind", "component", "layer"):
        words = table[name].combine_chunks().dictionary.to_pylist()
        assert len(words) == len(set(words))
    assert table["step"].to_pylist() == [plan.steps[i].name for i in played.trace.step]
    group = pq.read_metadata(tmp_path / "trace.parquet").row_group(0)
    assert "RLE_DICTIONARY" in group.column(0).encodings


def test_any_pu_of_a_large_machine_has_a_row(tmp_path):
    row = dict.fromkeys(run_tables.SCHEMAS["components"], 0)
    row |= {"component": "pu99999.sfu", "kind": "sfu", "layer": "h.0", "pu": 99_999}
    run_tables.write_table(tmp_path, "components", [row])
    assert pq.read_table(tmp_path / "components.parquet")["pu"].to_pylist() == [99_999]


def test_bytes_of_weights_in_memory_are_in_the_table(tmp_path):
    row = dict.fromkeys(run_tables.SCHEMAS["placement"], 0)
    row |= dict.fromkeys(("layer", "op", "weight"), "fc") | {"bytes": 2**40}
    run_tables.write_table(tmp_path, "placement", [row])
    assert pq.read_table(tmp_path / "placement.parquet")["bytes"].to_pylist() == [2**40]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    simulate(Scenario.load("part-jets", ["workload.count=1"])).save(folder)
    return folder


@pytest.mark.parametrize("table", COLUMNS)
def test_one_flipped_bit_is_seen(whole, table):
    """In any column that is read, though the page could still be decoded: checksums tell."""
    file = whole / f"{table}.parquet"
    right = file.read_bytes()
    group = pq.read_metadata(file).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    for column in [each for each in columns if each.path_in_schema in COLUMNS[table]]:
        first = column.dictionary_page_offset or column.data_page_offset
        wrong = bytearray(right)
        wrong[first + column.total_compressed_size - 1] ^= 1  # the last byte of its last page
        file.write_bytes(wrong)
        with pytest.raises(InputError) as caught:
            analysis.load(whole)
        assert str(caught.value).startswith(f"{file}: is damaged; "), column.path_in_schema
    file.write_bytes(right)
    analysis.load(whole)
