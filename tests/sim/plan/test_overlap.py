"""Layer-serial timing: the sum of a layer's steps, and the paper's token-time formula."""

from hyflexsim.sim import graph as g
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.plan.overlap import layer_serial
from hyflexsim.sim.plan.planner import build_plan


def ffn_graph(width=64):
    graph = g.new_graph("ffn")
    g.add_op(graph, "in", "input", layer="blocks.0", width=width)
    g.add_op(graph, "a", "gemv", layer="blocks.0", rows=width, cols=width, width=width, weight="a")
    g.add_op(
        graph, "act", "pointwise", layer="blocks.0", width=width, elements=width, function="gelu"
    )
    g.add_op(graph, "b", "gemv", layer="blocks.0", rows=width, cols=width, width=width, weight="b")
    g.add_op(graph, "out", "output", layer="blocks.0", width=width)
    for source, target in (("in", "a"), ("a", "act"), ("act", "b"), ("b", "out")):
        g.connect(graph, source, target)
    return graph


def plan_for(hw, copies="none", graph=None):
    graph = graph or ffn_graph()
    placement = place(graph, hw, Options(copies=copies))
    return build_plan(graph, apply_copies(graph, placement, 8))


def last_inside(plan, played):
    """When the sequencer ends its last visit."""
    inside = [i for i, step in enumerate(plan.steps) if step.shown]
    trace = played.trace
    return max(int(trace.end[trace.step == i].max()) for i in inside)


def test_every_token_takes_the_sum_of_its_steps(hw):
    """n tokens through one layer: n times the sum of all steps inside the PU, after the way in.

    Two GEMVs of 900 ns, buses of 64 ps in and 176 ps out each, one SFU cycle of 1 ns; 64 B over
    host port and global bus take 500 ps each.
    """
    plan = layer_serial(plan_for(hw))
    inside = 2 * (900_000 + 64 + 176) + 1000
    assert last_inside(plan, play(plan, [Request(0, 5)])) == 1000 + 5 * inside


def test_pipelined_is_never_slower(hw):
    serial = play(layer_serial(plan_for(hw)), [Request(0, 5)]).finished[0]
    assert play(plan_for(hw), [Request(0, 5)]).finished[0] < serial


def test_copies_share_a_serial_layer(hw):
    """With 2 copies each GEMV takes half its 900 ns per token."""
    plan = layer_serial(plan_for(hw, copies=2))
    inside = 900_000 + 2 * (64 + 176) + 1000
    assert last_inside(plan, play(plan, [Request(0, 4)])) == 1000 + 4 * inside


def test_components_stay_visible(hw):
    """The trace still says bank, ADC and bus, not sequencer."""
    plan = layer_serial(plan_for(hw))
    shown = {plan.components[step.shown[0]].kind for step in plan.steps if step.shown}
    assert shown == {"pu_bus", "bank", "adc", "sfu"}
    assert {step.kind for step in plan.steps} >= {"bank", "adc"}
