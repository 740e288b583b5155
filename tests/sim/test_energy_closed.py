"""From counts to joules, with numbers small enough for the head."""

import dataclasses

import pytest

from hyflexsim.sim import energy
from hyflexsim.sim.chip.service import Action, Rate
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.plan import Group
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.units.catalogue import load_chip


def component(plan, index, **changes):
    """The plan with one component changed."""
    components = list(plan.components)
    components[index] = dataclasses.replace(components[index], **changes)
    return dataclasses.replace(plan, components=tuple(components))


def test_actions_count_visits_and_sizes(plan_of, hw):
    """Contexts 1, 2, 3 are 6: 3 x 5 + 6 x 7; elements of an SFU cost 0.542539 pJ."""
    actions = (Action("sfu_element", 5, 7),)
    plan = plan_of((0, 1, [], None, {"size": "prefix", "actions": actions, "unit": "sfu"}))
    played = play(plan, [Request(0, 3)])
    assert energy.totals(played) == ([3], [6])
    (row,) = energy.energy_rows(plan, played, hw, "action")
    price = hw["sfu.energy.sfu_element"]
    assert row == {
        "layer": "l",
        "op": "s0",
        "kind": "sfu",
        "action": "sfu_element",
        "count": 57,
        "unit_pj": price,
        "status": hw.provenance["sfu.energy.sfu_element"].status,
        "energy_pj": 57 * price,
    }


def test_steps_of_one_op_are_one_row_and_links_are_rows_of_their_own(plan_of, hw):
    bits = (Action("pu_bus_bit", 0, 8),)
    step = {"op": "x", "actions": bits, "unit": "pu_bus"}
    plan = plan_of((0, 1, [], None, step), (0, 1, [], None, step))
    (row,) = energy.ledger(plan, play(plan, [Request(0, 3)]), hw)
    assert (row["op"], row["kind"], row["count"]) == ("x", "pu_bus", 48)


def test_macs_are_complete_after_so_many_visits(plan_of):
    """Eight planes a token, counted once each: 3 tokens x 10, and 6 x 7 for a context."""
    plan = plan_of(
        (0, 1, [], None, {"planes": 8, "macs": (10, 0), "macs_in": 8}),
        (1, 1, [], None, {"size": "prefix", "macs": (0, 7)}),
    )
    assert energy.macs(plan, play(plan, [Request(0, 3)])) == 30 + 42


def test_an_action_of_every_mac_is_counted_where_it_costs(plan_of):
    plan = plan_of((0, 1, [], None, {"macs": (10, 0), "unit": "analog"}))
    played = play(plan, [Request(0, 3)])
    free, dear = (load_chip("hyflexpim", {"energy.unhalved_mac": f"{pj} pJ"}) for pj in (0, 2))
    assert energy.ledger(plan, played, free) == []
    (row,) = energy.energy_rows(plan, played, dear, "action")
    assert (row["action"], row["kind"], row["energy_pj"]) == ("unhalved_mac", "bank", 60)


@pytest.mark.parametrize("step", [{"unit": "analog"}, {"macs": (10, 0), "unit": "pu_bus"}])
def test_neither_without_macs_nor_on_a_link(plan_of, step):
    plan = plan_of((0, 1, [], None, step))
    dear = load_chip("hyflexpim", {"energy.unhalved_mac": "2 pJ"})
    assert energy.ledger(plan, play(plan, [Request(0, 3)]), dear) == []


def test_power_times_the_time_served(plan_of, hw):
    """2 mW for 3 visits of 500 ps: 1500 x 0.002 pJ; a part without power has no row."""
    plan = component(plan_of((0, 500, [], None, {}), (1, 9, [], None, {})), 0, power_mw=2.0)
    (row,) = energy.energy_rows(plan, play(plan, [Request(0, 3)]), hw, "power-time")
    assert row == {
        "layer": "l",
        "op": "s0",
        "kind": "bank",
        "action": "busy_ps",
        "count": 1500,
        "unit_pj": 2.0 * energy.PJ_PER_MW_PS,
        "energy_pj": 1500 * (2.0 * energy.PJ_PER_MW_PS),
        "status": "derived",
    }
    assert energy.PJ_PER_MW_PS == 1e-3  # a milliwatt is a nanojoule in a microsecond


def test_a_part_with_a_beat_is_busy_by_beats_and_so_is_what_works_in_its_shadow(plan_of, hw):
    """400 of 500 ps a visit; the shadow 300 at 5 mW."""
    plan = plan_of((0, 500, [], None, {}), components=["pu00.x.bank"])
    plan = component(plan, 0, power_mw=2.0, busy_ps=400, shadow=(("adc", 300, 5.0),))
    played = play(plan, [Request(0, 3)])
    rows = energy.energy_rows(plan, played, hw, "power-time")
    assert [(row["kind"], row["count"]) for row in rows] == [("bank", 1200), ("adc", 900)]
    assert energy.busy_ps(plan, plan.steps[0], 3, 1500) == 1200
    bank, adc = energy.components(plan, played)
    assert (bank["busy_ps"], bank["visits"], bank["wait_ps"], bank["peak_queue"]) == (
        1200,
        3,
        500 + 1000,
        2,
    )
    assert (adc["component"], adc["kind"], adc["busy_ps"]) == ("pu00.x.adc", "adc", 900)
    assert (adc["wait_ps"], adc["peak_queue"]) == (0, 0)
    assert (bank["utilisation"], adc["utilisation"]) == (1200 / 1500, 900 / 1500)


def test_without_a_beat_it_is_busy_while_it_serves(plan_of):
    plan = plan_of((0, 500, [], None, {}))
    (row,) = energy.components(plan, play(plan, [Request(0, 3)]))
    assert (row["busy_ps"], row["utilisation"], row["visits"]) == (1500, 1.0, 3)
    assert (row["layer"], row["pu"], row["chip"]) == ("", -1, 0)


def test_a_run_without_requests_uses_nothing(plan_of):
    plan = plan_of((0, 500, [], None, {}))
    played = play(plan, [])
    assert played.tally.end_ps == 0
    (row,) = energy.components(plan, played)
    assert (row["utilisation"], row["visits"]) == (0.0, 0)


def test_sequencers_are_no_components_of_the_table(plan_of, under):
    plan = under(plan_of((0, 500, [], None, {})), {0: 0})
    assert [row["component"] for row in energy.components(plan, play(plan, [Request(0, 1)]))] == [
        "c0"
    ]


def test_buffers_are_rows_of_places(plan_of):
    """Two places before a slow part: the third token waits outside; tokens wait 0, 9 and 18."""
    plan = plan_of((0, 1, [], None, {}), (1, 10, [Group(0)], 2, {}), components=["bus", "pu00.x"])
    played = play(plan, [Request(0, 3)])
    row = energy.components(plan, played)[-1]
    assert row["component"] == "pu00.s1.input_buffer"
    assert (row["kind"], row["visits"], row["peak_queue"]) == ("input_buffer", 3, 2)
    assert row["busy_ps"] == row["wait_ps"] == int(played.tally.first_wait_ps[1])
    assert row["utilisation"] == row["busy_ps"] / (2 * played.tally.end_ps)


def test_links_have_output_buffers(plan_of):
    plan = plan_of((0, 1, [], None, {}), (1, 10, [Group(0)], 2, {"unit": "bank"}))
    row = energy.components(plan, play(plan, [Request(0, 3)]))[-1]
    assert row["component"] == "c1.s1.output_buffer"


def test_visits_of_a_buffer_are_whole_tokens(plan_of):
    plan = plan_of((0, 1, [], None, {}), (1, 10, [Group(0, spread=4)], 2, {"planes": 4}))
    row = energy.components(plan, play(plan, [Request(0, 3)]))[-1]
    assert row["visits"] == 3


def test_cells_written_are_counted_alone():
    counts = {("a", "cell_write"): 3, ("a", "nor"): 5, ("b", "cell_write"): 4}
    assert energy.cell_writes(counts) == 7


def test_counts_by_unit_are_those_of_the_ledger(chain_of, hw):
    graph = chain_of({"b.0": [2, 1], "b.1": []})
    plan = build_plan(graph, place(graph, hw, Options(copies="none")))
    run = play(plan, [Request(0, 5), Request(7, 3)])
    wanted = {}
    for row in energy.ledger(plan, run, hw):
        key = row["unit"], row["action"]
        wanted[key] = wanted.get(key, 0) + row["count"]
    assert energy.counted(plan, run, hw) == wanted
    by_step = energy.action_counts_of(plan, hw).step_energies_pj(*energy.totals(run))
    whole = sum(row["energy_pj"] for row in energy.energy_rows(plan, run, hw, "action"))
    assert by_step.sum() == pytest.approx(whole, rel=1e-12)


def test_counts_beyond_64_bits_are_exact(plan_of, hw):
    """2^40 elements a token of 2^40."""
    actions = (Action("sfu_element", 0, 2**40),)
    plan = plan_of((0, 1, [], None, {"unit": "sfu", "actions": actions}))
    assert energy.action_counts_of(plan, hw).counts([1], [2**40]) == [2**80]


@pytest.mark.parametrize("lanes", [(0,), (2, 0, 1)])
@pytest.mark.parametrize("planes", [1, 2])
@pytest.mark.parametrize("in_turn", [False, True])
def test_who_served_a_visit(plan_of, lanes, planes, in_turn):
    plan = plan_of((1, 1, [], None, {}), (lanes, 1, [], None, {"planes": planes}))
    plan = dataclasses.replace(plan, in_turn=in_turn)
    trace = play(plan, [Request(0, 5), Request(0, 2)]).trace
    found = energy.ServedBy(plan)(trace.step, trace.request, trace.token).tolist()
    visits = zip(trace.step.tolist(), trace.request.tolist(), trace.token.tolist(), strict=True)
    assert found == [
        1 if step == 0 else lanes[(token // planes + in_turn * request) % len(lanes)]
        for step, request, token in visits
    ]


@pytest.mark.parametrize("mode", energy.MODES)
def test_one_request_costs_what_its_shape_says(chain_of, hw, mode):
    graph = chain_of({"b.0": [2, 1], "b.1": []})
    plan = build_plan(graph, place(graph, hw, Options(copies="none")))
    rows = energy.energy_rows(plan, play(plan, [Request(0, 5)]), hw, mode)
    whole = energy.request_energy_pj(plan, shape_of(plan, 5), hw, mode)
    assert whole == pytest.approx(sum(row["energy_pj"] for row in rows), rel=1e-12)
    assert whole > 0


def test_contexts_cost_by_each_of_their_tokens(plan_of, hw):
    """Times 10, 20, 30 ps at 1 mW: 60 x 0.001 pJ."""
    plan = component(plan_of((0, Rate(work=10), [], None, {"size": "prefix"})), 0, power_mw=1.0)
    assert energy.request_energy_pj(plan, shape_of(plan, 3), hw, "power-time") == pytest.approx(
        0.06, rel=1e-12
    )
