"""Families that people bring: a random model of each, played in numbers, is torch's.

The plan's numbers equal those of the quantised model bit for bit, and the program in floating point
gives what the torch model gives.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch

from hyflexsim.sim.engine import engine
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction.families import FAMILIES
from hyflexsim.workloads.run.prepare import plan_of
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.values.executed import Sides
from hyflexsim.workloads.values.reference import Reference

EXECUTED = [name for name, family in FAMILIES.items() if family.state != "refused"]
AS_OTHERS = ("qwen3_moe", "deepseek_v3", "gpt_oss", "jamba")  # experts: Mixtral; scans: Mamba-2
ONE_LAYER = {"num_hidden_layers": 1}
BESIDE = [name for name in EXECUTED if name in ("t5", "bart")]


@pytest.fixture
def play(tmp_path):
    """A function: a small model of a family, opened and played."""
    torch.set_num_threads(1)

    def sides(name, workload, changes=(), **model):
        file = tmp_path / "config.json"
        file.write_text(json.dumps(FAMILIES[name].configs[0] | dict(changes)))
        content = {
            "title": name,
            "model": {"name": str(file), **model},
            "mapping": {"slc_rate": 0.3},
            "workload": workload,
        }
        with torch.no_grad():
            opened = Sides(Scenario.model_validate({"name": name, **content}))
            shake(opened)
            return opened, opened.run()

    return sides


def shake(sides):
    """Biases that start as 0 and scales that start as 1 become numbers that show."""
    draw = torch.Generator().manual_seed(1)
    for values in sides.subject.model.parameters():
        if values.min() == values.max():
            values.add_(torch.randn(values.shape, generator=draw), alpha=0.2)
    sides.program.start({})


def model_of(name):
    return {"source": 6} if name in BESIDE else {}


def tokens_of(name):
    config = FAMILIES[name].configs[0]
    if "patch_size" not in config:
        return 9
    more = {"deit": 2, "siglip": 0, "swin": 0, "dinov2-registers": 5}.get(name, 1)
    return (config["image_size"] // config["patch_size"]) ** 2 + more


@pytest.mark.parametrize("name", EXECUTED)
def test_values_are_torchs(play, name):
    sides, done = play(
        name, {"kind": "tokens", "tokens": tokens_of(name), "logits": "all"}, **model_of(name)
    )
    assert not done.stuck
    assert done.unequal() == []
    assert {row.op for row in done.rows} >= set(sides.program.ops) - idle(sides, done)
    assert_is_torchs(sides, name)


def idle(sides, done):
    """Ops of experts that no token was sent to."""
    routed = {name for name, op in sides.program.graph.nodes(data=True) if op.get("routed")}
    return routed - {row.op for row in done.rows if row.elements}


def assert_is_torchs(sides, name):
    """The program in floating point gives what the torch model gives."""
    with torch.no_grad():
        inputs = dict(sides.subject.inputs[0])
        if name == "clip-text":  # the pooled token is that of the largest number: here the last
            ids = inputs["input_ids"].clamp(max=FAMILIES[name].configs[0]["vocab_size"] - 2)
            ids[:, -1] = ids.max() + 1
            inputs["input_ids"] = ids
        sides.program.start(inputs)
        ours = Reference(sides.program, sides._matrices(), None).run()["output", "values"]
        single = {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()}
        theirs = sides.subject.model(**single)
    theirs = (
        theirs
        if isinstance(theirs, torch.Tensor)
        else theirs[0 if theirs[0].numel() == ours.numel() else -1]
    )
    difference = (ours - theirs.double().reshape(ours.shape)).abs().max()
    assert float(difference) < 1e-4 * float(theirs.abs().max())


@pytest.mark.parametrize("name", EXECUTED)
def test_text_is_generated_from_what_was_computed(play, name):
    config = FAMILIES[name].configs[0]
    if not any("Causal" in cls or "Conditional" in cls for cls in config.get("architectures", ())):
        pytest.skip("writes no text")
    if name in AS_OTHERS:
        pytest.skip("generates as Mixtral and Mamba-2 do")
    workload = {"kind": "generate", "prefill": 2, "decode": 4}
    _, done = play(name, workload, rank="hard-threshold", **model_of(name))
    assert not done.stuck
    assert done.unequal() == []
    rows = {(row.op, row.what): row for row in done.rows}
    assert rows["output", "values"].elements == 4 * config["vocab_size"]


def test_step_sizes_within_limits(play):
    """Mamba-2 may bound them: one more op a head, and the numbers that torch has."""
    limits = {"time_step_limit": [0.01, 0.02], "num_hidden_layers": 1}
    sides, done = play("mamba2", {"kind": "tokens", "tokens": 5, "logits": "all"}, limits)
    assert sides.program.graph.nodes["layers.0.mixer.clamp"]["elements"] == 8
    assert done.unequal() == []
    assert_is_torchs(sides, "mamba2")


def test_what_is_not_executed_is_refused_in_one_line(play):
    said = (
        r"^values: op 'layers.0.mlp.experts.0.gate_up_proj': activation Clipped\w+ is not executed$"
    )
    with pytest.raises(InputError, match=said):
        play("mixtral", {"kind": "tokens", "tokens": 5}, {"hidden_act": "gelu_10"})


@pytest.mark.parametrize(
    "changes",
    [
        {"pos_att_type": ["c2p"]},
        {"pos_att_type": ["p2c"]},
        {"share_att_key": False},
        {"position_buckets": -1, "max_relative_positions": 6, "norm_rel_ebd": "none"},
    ],
    ids=str,
)
def test_disentangled_attention_of_each_kind(play, changes):
    sides, done = play("deberta-v2", {"kind": "tokens", "tokens": 9}, {**changes, **ONE_LAYER})
    assert not done.stuck
    assert done.unequal() == []
    assert_is_torchs(sides, "deberta-v2")


@pytest.mark.parametrize(
    "changes",
    [
        {"use_absolute_embeddings": True, "depths": [1, 1]},
        # of the last stage four tokens and four heads, one window that fills the image
        {"window_size": 2, "depths": [1, 1, 1], "num_heads": [1, 2, 4]},
    ],
    ids=str,
)
def test_swins_of_other_shape(play, changes):
    sides, done = play("swin", {"kind": "tokens", "tokens": 64}, changes)
    assert not done.stuck
    assert done.unequal() == []
    assert_is_torchs(sides, "swin")


@pytest.mark.parametrize("name", ["deberta-v2", "xlnet", "swin"])
def test_both_engines_play_it_alike(play, name):
    sides, _ = play(name, {"kind": "tokens", "tokens": tokens_of(name)})
    requests = [Request(0, tokens_of(name)), Request(1000, tokens_of(name))]
    first, second = (each.play(sides.ready.plan, requests) for each in (engine, compiled))
    assert all(
        np.array_equal(ours, theirs)
        for ours, theirs in zip(first.trace.columns(), second.trace.columns(), strict=True)
    )
    assert (first.finished, first.peak_places) == (second.finished, second.peak_places)
    sums = dataclasses.asdict(first.tally), dataclasses.asdict(second.tally)
    assert all(np.array_equal(sums[0][key], sums[1][key]) for key in sums[0])


@pytest.mark.parametrize(
    ("name", "layer", "edge", "rule"),
    [
        ("deberta-v2", "encoder.layer.0.attention.self", ("distances#2", "add"), "all"),
        ("xlnet", "layer.0.rel_attn", ("r@table", "distances#2"), "all"),
        ("swin", "encoder.layers.0.blocks.0.attention", ("k_proj", "qk"), "square"),
        ("swin", "encoder.layers.0.blocks.1.attention", ("v_proj", "pv"), "all"),
        ("swin", "encoder.layers.0", ("blocks.1.add#2", "downsample.norm"), "square"),
    ],
)
def test_a_rule_too_weak_shows(play, name, layer, edge, rule):
    """Turned scores, windows and patch merging read what other tokens have made."""
    tokens = {"kind": "tokens", "tokens": tokens_of(name)}
    sides, _ = play(name, tokens)
    graph = sides.ready.graph.copy()
    source, target = (f"{layer}.{end}" for end in edge)
    assert graph.edges[source, target]["rule"] == rule
    graph.edges[source, target]["rule"] = "stream"
    done = sides.run(plan=plan_of(sides.scenario, graph, sides.ready.placement))
    assert target in {row.op for row in done.unequal()}


@pytest.mark.parametrize("name", BESIDE)
def test_keys_of_the_encoder_are_written_once(play, name):
    """So many writes of cross attention as the encoder has tokens, whatever is generated."""
    sides, _ = play(name, {"kind": "generate", "prefill": 2, "decode": 4}, source=6)
    graph, waits = sides.ready.graph, sides.ready.plan
    crossed = {
        u
        for v, op in graph.nodes(data=True)
        if op["kind"] == "matmul" and op["axis"] == "sequence" and op["context"] == "source"
        for u in graph.predecessors(v)
        if graph.nodes[u]["axis"] == "source"
    }
    assert len(crossed) == 4
    writes = [step for step in waits.steps if step.name.endswith(".write") and step.op in crossed]
    assert len(writes) == 4
    assert {(step.axis, step.extra) for step in writes} == {("source", 6)}
