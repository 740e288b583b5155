"""Counts and joules of one small op, by hand."""

import pytest

from hyflexsim.sim import energy
from hyflexsim.sim import graph as g
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.units.catalogue import load_chip


@pytest.fixture(scope="module")
def linear():
    """One gemv, 128 inputs, 32 outputs: SLC 2 x 2 arrays full to the last cell."""
    graph = g.new_graph("linear")
    g.add_op(graph, "in", "input", layer="blocks.0", width=128)
    g.add_op(graph, "fc", "gemv", layer="blocks.0", rows=128, cols=32, width=32, weight="w")
    g.add_op(graph, "out", "output", layer="blocks.0", width=32)
    g.connect(graph, "in", "fc")
    g.connect(graph, "fc", "out")
    return graph


def played(graph, hw, tokens, slc_rate=1.0):
    options = Options(copies="none", slc_rate=slc_rate)
    plan = build_plan(graph, place(graph, hw, options))
    requests = [Request(0, tokens)]
    return plan, play(plan, requests)


def counts(rows):
    total = {}
    for row in rows:
        total[row["action"]] = total.get(row["action"], 0) + row["count"]
    return total


def test_actions_of_one_gemv(linear, hw):
    """3 vectors, 8 planes each, 4 arrays of 64 rows, 2 row tiles x 256 columns.

    Bus in: 128 B; out: 2 x 32 partial sums of 22 bits = 176 B; added: 32. Input crosses host port
    and global bus, the result of 32 B both again.
    """
    assert counts(energy.ledger(*played(linear, hw, 3), hw)) == {
        "wordline_drive": 3 * 8 * 4 * 64,
        "array_read": 3 * 8 * 4,
        "sample_hold": 3 * 8 * 512,
        "input_register": 3 * 8 * 4,
        "adc_conversion_slc": 3 * 8 * 512,
        "shift_add": 3 * 8 * 512,
        "output_register": 3 * 8 * 4,
        "partial_sum_add": 3 * 32,
        "pu_bus_bit": 3 * 8 * (128 + 176),
        "global_bus_bit": 3 * 8 * (128 + 32),
        "host_port_bit": 3 * 8 * (128 + 32),
    }


def test_mlc_halves_arrays_and_conversions(linear, hw):
    """Half the columns, so half of everything analog; each conversion costs twice."""
    rows = energy.energy_rows(*played(linear, hw, 1, slc_rate=0.0), hw, "action")
    got = counts(rows)
    assert got["adc_conversion_mlc"] == 8 * 256
    assert got["array_read"] == 8 * 2
    assert "adc_conversion_slc" not in got
    slc = energy.energy_rows(*played(linear, hw, 1), hw, "action")
    adc = {
        mode: sum(r["energy_pj"] for r in table if r["kind"] == "adc")
        for mode, table in (("slc", slc), ("mlc", rows))
    }
    assert adc["mlc"] == adc["slc"]  # HyFlexPIM §3.2: ADC energy of a GEMV is equal in both modes


def test_one_array_and_plane_costs_table_2(linear, hw):
    """All parts of an array for 100 ns: 930.69 mW / 512 x 100 ns = 181.78 pJ."""
    rows = energy.energy_rows(*played(linear, hw, 1), hw, "action")
    analog = ("bank", "adc", "shift_add", "input_buffer", "output_buffer")
    total = sum(row["energy_pj"] for row in rows if row["kind"] in analog)
    assert total / (8 * 4) == pytest.approx(930.69 / 512 * 100, rel=1e-5)


def test_power_time_agrees_with_actions_for_the_analog_part(linear, hw):
    """Table 2's unit energies are its powers times the busy time: equal for full arrays in SLC.

    The registers belong to the bank's power and to the buffers' actions.
    """
    run = played(linear, hw, 5)
    action = energy.energy_rows(*run, hw, "action")
    power = energy.energy_rows(*run, hw, "power-time")
    analog = ("bank", "adc", "shift_add", "input_buffer", "output_buffer")
    sums = [sum(r["energy_pj"] for r in rows if r["kind"] in analog) for rows in (action, power)]
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)


def test_what_table_2_does_not_list_draws_nothing(linear, hw):
    """Buses, links and the host's port count actions, and have no power of their own."""
    run = played(linear, hw, 1)
    kinds = [{row["kind"] for row in energy.energy_rows(*run, hw, m)} for m in energy.MODES]
    assert kinds[0] & set(hw.links) == {"pu_bus", "global_bus", "host_port"}
    assert kinds[1] & set(hw.links) == set()


def test_energy_is_count_times_unit_with_its_status(linear, hw):
    for row in energy.energy_rows(*played(linear, hw, 2), hw, "action"):
        assert row["energy_pj"] == row["count"] * row["unit_pj"]
        name = row["action"].removesuffix("_bit")
        name = f"{name}.energy.bit" if name in hw.links else f"energy.{row['action']}"
        (key,) = [key for key in hw.provenance if key.endswith(name)]
        assert row["status"] == hw.provenance[key].status


def test_calibration_term_is_off_unless_asked_for(linear):
    """unhalved_mac, 0.119 pJ on each of 128 x 32 MACs, only with an override."""
    hw = load_chip("hyflexpim", {"energy.unhalved_mac": "0.119 pJ"})
    rows = energy.energy_rows(*played(linear, hw, 1), hw, "action")
    (row,) = [row for row in rows if row["action"] == "unhalved_mac"]
    assert row["count"] == 128 * 32
    assert row["energy_pj"] == 128 * 32 * 0.119


def test_components_report_busy_and_waiting(linear, hw):
    """Two vectors at once: the second waits for the first in the bank's input buffer.

    The bank is busy 2 x 800 ns, ADC and shift-and-add in its shadow as long; the second vector,
    1 ns behind on the host port, waits 799 ns.
    """
    plan, run = played(linear, hw, 2)
    rows = {row["component"]: row for row in energy.components(plan, run)}
    bank = rows["pu00.fc.W.bank"]
    assert bank["visits"] == 2
    assert bank["busy_ps"] == rows["pu00.fc.W.adc"]["busy_ps"] == 1_600_000
    assert rows["pu00.fc.W.shift_add"]["busy_ps"] == 1_600_000
    assert bank["wait_ps"] == 799_000
    assert bank["peak_queue"] == 1
    assert bank["utilisation"] == 1_600_000 / run.finished[0]
    assert rows["pu00.fc.W.bank.input_buffer"]["wait_ps"] == 799_000


def test_writes_are_counted_in_cells(hw):
    """Q, K and V of 64 INT8 values: 3 x 512 cells a token."""
    graph = g.new_graph("written")
    g.add_op(graph, "in", "input", layer="blocks.0", width=64)
    for x in "qkv":
        g.add_op(graph, x, "gemv", layer="blocks.0", rows=64, cols=64, width=64, weight=x)
        g.connect(graph, "in", x)
    common = {"layer": "blocks.0", "context": "all", "heads": 1, "inner": 64}
    g.add_op(graph, "qk", "matmul", width=1, multiplies=["values", "values"], **common)
    g.add_op(graph, "soft", "softmax", layer="blocks.0", context="all", width=1, elements=1)
    g.add_op(graph, "pv", "matmul", width=64, multiplies=["probabilities", "values"], **common)
    for source, target, rule in (
        ("q", "qk", "stream"),
        ("k", "qk", "all"),
        ("qk", "soft", "stream"),
        ("soft", "pv", "stream"),
        ("v", "pv", "all"),
    ):
        g.connect(graph, source, target, rule)
    plan, run = played(graph, hw, 5)
    rows = energy.ledger(plan, run, hw)
    assert energy.cell_writes(energy.counted(plan, run, hw)) == 5 * 3 * 512
    products = {row["op"]: row["count"] for row in rows if row["action"] == "nor"}
    assert products == {"qk": 25 * 64 * 64, "pv": 25 * 64 * 96}  # 8 x 8 and 12 x 8 NOR each
