"""Settings that have changed nothing are named; those that have are not."""

import pytest

from hyflexsim.workloads import Scenario, simulate

FEW = {"workload.count": 1}
IDLE = {
    "accuracy.seeds": 2,  # nothing is scored
    "mapping.weight_clip": "second-signed",  # acts on values
    "cells.slc_sigma": 0.01,
    "chip.max_tokens": 4000,  # no jet is as long
    "chip.chips": 3,  # one is enough
    "faults.seed": 3,  # nothing is broken
    "run.window": 100,  # there is one request
    "host.dispatch": "shortest-queue",  # there is one chip
    "mapping.deal": "in-turn",  # there is one request
    "mapping.slc_rates": {"*.fc2": 1.0},  # as all others
}
ACTING = {
    "analog.read_cycle": "50 ns",
    "adc.mlc_bits": 5,  # takes area, though no cell is multi-level
    "run.split_pairs": True,
    "mapping.slc_rates": {"*.fc1": 0.5},
    "mapping.copies": "none",
    "run.seed": 7,
    "workload.classes": ["Tbqq"],
    "host.replicas": 2,
}


def said(**changes):
    notes = simulate(Scenario.load("part-jets", {**FEW, **changes})).summary["notes"]
    return [note for note in notes if note.startswith("without effect")]


def test_idle_settings_are_named():
    """Each by the key that was set: of the chip by its full name, of tables by their own."""
    (note,) = said(**IDLE)
    names = {key if key != "cells.slc_sigma" else "analog.cells.slc_sigma" for key in IDLE}
    names = {key if key != "mapping.slc_rates" else f"{key}.*.fc2" for key in names}
    assert set(note.removeprefix("without effect in this run: ").split(", ")) == names


def test_those_that_act_are_not():
    assert said(**ACTING, **{"workload.count": 2}) == []


@pytest.mark.parametrize(
    ("sessions", "idle"),
    [({"kind": "alone"}, True), ({"kind": "fixed", "turns": 2, "think": "1 ms"}, False)],
)
def test_where_memory_decides_who_is_let_in(sessions, idle):
    """Nothing is forgotten of requests that stand alone."""
    changes = {"model.name": "distilgpt2", "workload.requests": 2, "workload.prefill": 4}
    changes |= {"workload.answers": {"kind": "fixed"}, "workload.decode": 2}
    changes |= {"workload.sessions": sessions, "host.sessions": "forgotten"}
    notes = simulate(Scenario.load("gpt2-chat", changes)).summary["notes"]
    named = [note for note in notes if note.startswith("without effect in this run: ")]
    assert ("host.sessions" in "".join(named)) is idle


def test_what_is_idle_by_itself_may_act_beside_another():
    broken = {"faults.seed": 3, "faults.pus": 0.3}
    assert said(**broken) == []


@pytest.mark.parametrize(("values", "idle"), [(False, ["analog.cells.noise"]), (True, [])])
def test_parameters_of_values_act_where_numbers_are_computed(values, idle):
    scenario = Scenario.load("part-jets", {**FEW, "analog.cells.noise": "none"})
    notes = simulate(scenario, values=values).summary["notes"]
    found = [note for note in notes if note.startswith("without effect")]
    assert found == [f"without effect in this run: {', '.join(idle)}"] * bool(idle)


@pytest.mark.parametrize("values", [False, True])
def test_broken_columns_act_where_numbers_are_computed(values):
    """Not repaired they move no time and no energy, but what is computed."""
    broken = {"faults.columns": 0.01, "faults.repair": "none", "mapping.spare_arrays": 1}
    scenario = Scenario.load("part-jets", {**FEW, "mapping.copies": "none", **broken})
    (note,) = (
        note
        for note in simulate(scenario, values=values).summary["notes"]
        if note.startswith("without effect")
    )
    idle = note.removeprefix("without effect in this run: ").split(", ")
    assert ("faults.columns" in idle) != values
    assert "mapping.spare_arrays" in idle  # nothing is repaired
