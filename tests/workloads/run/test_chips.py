"""Every chip that comes with hyflexsim runs the same models, on both engines, and adds up."""

import numpy as np
import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.load import presets
from hyflexsim.workloads import Scenario, simulate
from hyflexsim.workloads.run.kept import Kept

MODELS = {
    "bert-base": ("bert-base", ["workload.tokens=16", "workload.requests=2"]),
    "gpt2": (
        "llama-3.2-1b",
        ["model.name=gpt2", "workload.prefill=4", "workload.decode=3"],
    ),
    "part-full": ("part-jets", ["workload.count=2"]),
}
LARGE = {
    "bert-large": ("bert-base", ["model.name=bert-large", "workload.tokens=4"]),
    "llama-3.2-1b": ("llama-3.2-1b", ["workload.prefill=3", "workload.decode=2"]),
}
CHIPS = {  # that hold the larger models; what does not fit is refused with the shortfall
    "asadi": {"bert-base": 32, "gpt2": 64, "bert-large": 128, "llama-3.2-1b": 512},
    "hyflexpim": {"llama-3.2-1b": 4},
    "hyflexpim-topk": {"llama-3.2-1b": 4},
    "hyflexpim-slc": {"bert-large": 2, "llama-3.2-1b": 8},
    "isaac": {"bert-base": 2, "gpt2": 4, "bert-large": 8, "llama-3.2-1b": 32},
    "neurram": {
        **{"bert-base": 128, "gpt2": 128, "part-full": 4},
        **{"bert-large": 512, "llama-3.2-1b": 1024},
    },
}
PRUNED = ("asadi", "hyflexpim-slc", "sprint")
"""Chips that leave keys out."""


def run(chip, model, *overrides, kept=None):
    scenario, changes = (MODELS | LARGE)[model]
    chips = CHIPS.get(chip, {}).get(model, 1)
    fixed = [f"chip.preset={chip}", f"chip.chips={chips}", "mapping.pus_per_layer=auto"]
    scenario = Scenario.load(scenario, [*fixed, *changes, *overrides])
    return simulate(scenario, kept=kept or Kept())


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("chip", presets())
def test_both_engines_play_every_chip_alike_and_it_adds_up(chip, model):
    kept = Kept()
    one, other = (
        run(chip, model, f"run.engine={engine}", kept=kept) for engine in ("simpy", "compiled")
    )
    for column in ("step", "request", "token", "arrival", "start", "end"):
        assert np.array_equal(
            getattr(one.played.trace, column), getattr(other.played.trace, column)
        )
    assert one.tables["energy"] == other.tables["energy"]
    assert list(one.tables["components"]) == list(other.tables["components"])
    check_work_and_energy(one, counted=chip not in PRUNED and model != "gpt2")


def check_work_and_energy(result, counted):
    wanted = sum(
        sum(g.macs(result.graph, request.tokens).values())
        for request in result.requests
        if request.prefill is None
    )
    if counted:
        assert result.summary["macs"] == wanted
    rows = result.tables["energy"]
    assert all(row["energy_pj"] == row["count"] * row["unit_pj"] for row in rows)
    power = result.summary["power_w"]
    assert 0 < power["mean"] <= power["peak"]
    each = sum(float(row["energy_pj"]) for row in result.tables["requests"])
    assert each == pytest.approx(sum(row["energy_pj"] for row in rows), rel=1e-9)


@pytest.mark.parametrize("model", sorted(LARGE))
@pytest.mark.parametrize("chip", presets())
def test_larger_models_run_on_every_chip(chip, model):
    summary = run(chip, model).summary
    assert summary["latency_ps"]["p50"] > 0
    assert summary["energy_per_request_pj"] > 0
    assert 0 < summary["power_w"]["mean"] <= summary["power_w"]["peak"]


def test_both_energy_modes_give_multi_level_cells_the_same_advantage():
    """All-SLC against 5 % SLC, linear layers of BERT-Large: 1.26 in both."""
    gains, kept = [], Kept()
    for mode in ("action", "power-time"):
        analog = []
        for rate in (1.0, 0.05):
            changes = [
                *("model.name=bert-large", "workload.tokens=4", "workload.requests=1"),
                *(f"run.energy={mode}", f"mapping.slc_rate={rate}", "mapping.copies=none"),
                *("chip.chips=2", "mapping.pus_per_layer=auto"),
            ]
            rows = simulate(Scenario.load("bert-base", changes), kept=kept).tables["energy"]
            kinds = ("bank", "adc", "shift_add", "input_buffer", "output_buffer")
            analog.append(sum(row["energy_pj"] for row in rows if row["kind"] in kinds))
        gains.append(analog[0] / analog[1])
    assert gains[0] == pytest.approx(gains[1], rel=0.03)
    assert 1.2 < gains[0] < 1.3


def test_logits_that_nobody_reads_are_not_made():
    """The head of GPT-2 runs once a prompt, or for all its eight tokens where all are asked for."""
    runs = {}
    for logits in ("last", "all"):
        changes = [
            *("model.name=gpt2", 'workload={kind="tokens", tokens=8}', f"workload.logits={logits}"),
            *("mapping.slc_rate=0.1", "mapping.pus_per_layer=auto"),
        ]
        runs[logits] = simulate(Scenario.load("bert-base", changes), kept=Kept())
    graph = runs["all"].graph
    head = next(op for op, marked in graph.nodes(data="head") if marked)
    saved = 7 * g.unit_macs(graph.nodes[head])
    assert runs["all"].summary["macs"] - runs["last"].summary["macs"] == saved
    assert runs["last"].summary["latency_ps"]["p50"] <= runs["all"].summary["latency_ps"]["p50"]


def test_pruned_keys_are_counted_out():
    """Sixteen keys, an eighth kept: two of sixteen products of queries and keys."""
    changes = ["chip.preset=hyflexpim-slc", "workload.tokens=16", "workload.requests=1"]
    rows = simulate(Scenario.load("bert-base", changes)).tables["energy"]
    nors = {row["op"]: row["count"] for row in rows if row["action"] == "nor"}
    assert nors["encoder.layer.0.attention.self.qk"] == 16 * 2 * 768 * 3360
