"""Experts take the tokens that their router chose, and no others, whatever a run's draw says."""

import dataclasses
import json
import math
from types import SimpleNamespace

import pytest
import torch

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.routing import with_routes
from hyflexsim.workloads.extraction.families import FAMILIES
from hyflexsim.workloads.run.prepare import plan_of
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.values.executed import Sides
from hyflexsim.workloads.values.experts import Experts
from hyflexsim.workloads.values.reference import Reference
from hyflexsim.workloads.values.spans import Waits

TOKENS = 7
CHOSEN = 2


def scenario_of(folder, **run):
    file = folder / "config.json"
    file.write_text(json.dumps(FAMILIES["mixtral"].configs[0]))
    content = {
        "title": "experts",
        "model": {"name": str(file)},
        "mapping": {"slc_rate": 0.3},
        "workload": {"kind": "tokens", "tokens": TOKENS, "logits": "all", "requests": 2},
    }
    return Scenario.model_validate({"name": "experts", **content, "run": run})


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    torch.set_num_threads(1)
    with torch.no_grad():
        return Sides(scenario_of(tmp_path_factory.mktemp("experts")))


@pytest.fixture(scope="module")
def done(sides):
    with torch.no_grad():
        return sides.run()


def planned(sides, routes):
    return plan_of(
        sides.scenario, with_routes(sides.ready.graph, tables=routes), sides.ready.placement
    )


def test_the_sum_of_weighted_results():
    """Two tokens of three experts: 2 * 1 + 3 * 10 and 5 * 100 + 7 * 1; an unknown choice is NaN."""
    chosen = torch.tensor([[0, 1], [2, 0], [torch.nan, torch.nan]]).double()
    weights = torch.tensor([[2, 3], [5, 7], [1, 1]]).double()
    results = {e: torch.full((3, 1), 10.0**e).double() for e in range(3)}
    results[2][0] = torch.nan  # the first token was never sent there, and does not look
    mixed = Experts.mixed(None, chosen, weights, results)
    assert mixed[:2].tolist() == [[32], [507]]
    assert mixed[2].isnan().all()


def test_clamped_gates():
    """GPT-OSS: the gate up to 7, the rest within 7; x sigmoid(2 x) times one more than the rest."""
    node = SimpleNamespace(args=[None] * 8 + [[2.0, 7.0]])
    block = Experts(node, "", "", {}, torch.nn.functional.silu)
    hidden = block.clamped(torch.tensor([[9.0, 9.0, -9.0, -9.0, 0.0, 3.0]]))
    assert hidden.tolist() == [[7, 7, -9, -7, 0, 3]]
    first, second = 7 / (1 + math.exp(-14)), -9 / (1 + math.exp(18))
    active = block.active(hidden)
    assert active[0].tolist() == pytest.approx([first, second, 0])
    gated = block.gated(hidden, active)
    assert gated[0].tolist() == pytest.approx([8 * first, -6 * second, 0])


def test_all_requests_are_equal_each_by_its_own_routes(done):
    assert (done.unequal(), done.stuck, done.requests) == ([], "", 2)
    assert done.routes[0] != done.routes[1]
    assert any("router chose" in note for note in done.notes)


def test_tokens_in_are_tokens_out_and_loads_are_the_routers(sides, done):
    """By request and expert: visits of the first and of the last step, and rows that agree."""
    total = {}
    for routes in done.routes:
        plan = planned(sides, routes)
        waits = Waits(plan, TOKENS, None)
        for layer, chosen in routes.items():
            loads = [sum(expert in row for row in chosen) for expert in range(4)]
            assert sum(loads) == TOKENS * CHOSEN
            for expert, load in enumerate(loads):
                for part in ("gate_up_proj", "silu", "mul", "down_proj"):
                    name = f"{layer}.mlp.experts.{expert}.{part}"
                    total[name] = total.get(name, 0) + load
                    at = [i for i, step in enumerate(plan.steps) if step.op == name]
                    assert {waits.counts[i] // plan.steps[i].planes for i in at} == {load}
                    sent = [n for n, row in enumerate(chosen) if expert in row]
                    assert all(sorted(set(waits.positions[i].first)) == sent for i in at)
    rows = {row.op: row for row in done.rows if row.what == "values"}
    for name, load in total.items():
        assert rows[name].elements == load * sides.program.graph.nodes[name]["width"]


def test_the_choice_is_torchs(sides):
    """In floating point, each router chooses what the torch model's chooses."""
    found = {}
    blocks = sides.subject.model.model.layers
    hooks = [
        block.mlp.gate.register_forward_hook(
            lambda module, _, out, n=n: found.update({f"layers.{n}": out[-1].tolist()})
        )
        for n, block in enumerate(blocks)
    ]
    with torch.no_grad():
        inputs = sides.subject.inputs[0]
        sides.subject.model(**inputs)
        sides.program.start(inputs)
        plain = Reference(sides.program, sides._matrices(), None)
        plain.run()
    for hook in hooks:
        hook.remove()
    assert plain.routes() == found


def test_tokens_sent_elsewhere_show(sides, done):
    """The run's own plan sends them by a draw: the same tokens in all, other numbers."""
    with torch.no_grad():
        drawn = sides.run(plan=sides.ready.plan)
    wrong = {row.op for row in drawn.unequal()}
    assert {"layers.0.mlp.experts.mix", "output"} <= wrong
    assert "layers.0.mlp.gate.topk" not in wrong


@pytest.mark.parametrize("op", ["gate_up_proj", "mix"])
def test_an_expert_that_does_not_wait_for_the_choice_shows(sides, done, op):
    """The rule that lets a token's matrix or sum wait for its router, taken out of the plan."""
    sides.subject.inputs, kept = sides.subject.inputs[:1], sides.subject.inputs
    plan = planned(sides, done.routes[0])
    chooses = {i for i, step in enumerate(plan.steps) if step.op == "layers.0.mlp.gate.topk"}
    first = {
        i: dataclasses.replace(
            step, inputs=tuple(each for each in step.inputs if each.source not in chooses)
        )
        for i, step in enumerate(plan.steps)
        if step.op.startswith("layers.0.mlp.experts.") and step.op.endswith(op)
    }
    steps = tuple(first.get(i, step) for i, step in enumerate(plan.steps))
    try:
        with torch.no_grad():
            assert sides.run(plan=plan).unequal() == []
            broken = sides.run(plan=dataclasses.replace(plan, steps=steps))
    finally:
        sides.subject.inputs = kept
    wrong = {row.op for row in broken.unequal() if row.op.startswith("layers.0.mlp.experts")}
    assert any(name.endswith(op) for name in wrong)


def test_at_fidelity_bit_on_converters(tmp_path):
    with torch.no_grad():
        opened = Sides(scenario_of(tmp_path, fidelity="bit"), "converters", requests=1)
        assert opened.run().unequal() == []


def test_routes_are_of_layers_that_there_are(sides):
    with pytest.raises(InputError, match=r"no experts in layer 'layers.7'"):
        planned(sides, {"layers.7": [[0, 1]] * TOKENS})
