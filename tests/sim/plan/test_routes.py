"""Transfers over links, worked out by hand."""

import dataclasses

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.service import Action
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.chosen import kept_share
from hyflexsim.sim.plan.plan import Group, Threshold
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.routes import HOST, hops, link_service, result_bytes
from hyflexsim.sim.units.catalogue import load_chip


@pytest.mark.parametrize(
    ("name", "time"),
    [("pu_bus", 3072), ("global_bus", 24_000), ("chip_link", 24_000), ("host_port", 24_000)],
)
def test_buses(hw, name, time):
    """3 KB at 1000 GB/s and at 128 GB/s: the paper's 24 cycles (HyFlexPIM §3.1)."""
    assert link_service(hw.links[name], 3072).rate.ps(1) == time


def test_latency_adds_to_size_over_bandwidth():
    link = load_chip("hyflexpim", {"pu_bus.latency": "5 ns"}).links["pu_bus"]
    assert link_service(link, 100).rate.ps(1) == 5100
    assert link_service(link, 100, width=2).rate.ps(1) == 5050


def test_a_mesh_pays_by_the_hop():
    """168 tiles in rows of 13: from 0 to 15 it is one row down and two to the right."""
    chip = load_chip("isaac")
    assert hops(chip, (0,), (15,)) == 3
    assert hops(chip, HOST, (15,)) == 3
    assert hops(chip, (4,), (4,)) == 1
    service = link_service(chip.links["mesh"], 64, 3)
    assert service.rate.ps(1) == 3 * 1000 + 2000  # three routers, then 64 B at 32 GB/s
    assert service.actions == (Action("mesh_bit", 0, 64 * 8 * 3),)


def transfers(plan):
    """Steps that carry results between PUs, chips and host, each with its component."""
    links = ("global_bus", "chip_link", "host_port")
    return [
        f"{step.name} on {plan.components[step.lanes[0]].name}"
        for step in plan.steps
        if step.unit in links
    ]


def planned(graph, chip, **options):
    return build_plan(graph, place(graph, chip, Options(copies="none", **options)))


def test_results_walk_from_chip_to_chip(chain_of, chip_of):
    """A block a chip; the output walks back to the first chip, which has the port."""
    plan = planned(chain_of({"b.0": [9], "b.1": [9], "b.2": [9]}), chip_of(pus=1), chips=3)
    assert transfers(plan) == [
        "in on host.in",
        "in.global_bus0 on chip0.global_bus",
        "b.0.fc0.chip_link0-1 on chip0-1.chip_link",
        "b.1.fc0.chip_link1-2 on chip1-2.chip_link",
        "b.2.fc0.chip_link2-1 on chip2-1.chip_link",
        "b.2.fc0.chip_link1-0 on chip1-0.chip_link",
        "out on host.out",
    ]


def test_with_a_port_each_a_chip_hands_its_results_out(chain_of, chip_of):
    """Inputs enter where they are needed: the second chip has no input, but the output."""
    base = chip_of(pus=1)
    ports = dataclasses.replace(base.links["host_port"], ports="each")
    chip = dataclasses.replace(base, links=base.links | {"host_port": ports})
    plan = planned(chain_of({"b.0": [9], "b.1": [9]}), chip, chips=2)
    assert transfers(plan) == [
        "in on host.in",
        "in.global_bus0 on chip0.global_bus",
        "b.0.fc0.chip_link0-1 on chip0-1.chip_link",
        "b.1.fc0.global_bus1 on chip1.global_bus",
        "out on chip1.host.out",
    ]
    assert {c.name: c.chip for c in plan.components if "host" in c.name} == {
        "host.in": 0,
        "chip1.host.out": 1,
    }


def test_without_a_link_between_pus_the_port_is_where_data_lie(chain_of, chip_of):
    base = chip_of(pus=1)
    links = {name: link for name, link in base.links.items() if name != "global_bus"}
    plan = planned(chain_of({"b.0": [9]}), dataclasses.replace(base, links=links))
    assert transfers(plan) == ["in on host.in", "out on host.out"]


def test_between_pus_of_a_chip_a_link_is_needed(chain_of, chip_of):
    base = chip_of(pus=2)
    links = {name: link for name, link in base.links.items() if name != "global_bus"}
    with pytest.raises(
        InputError, match=r"links must join pu and pu for this model; none does: add"
    ):
        planned(chain_of({"b.0": [9], "b.1": [9]}), dataclasses.replace(base, links=links))


def fork(readers, kind="pointwise"):
    """x on b.0, read by an op of each layer named."""
    graph = g.new_graph("fork")
    size = {"width": 64, "elements": 64, "function": "gelu"}
    g.add_op(graph, "x", kind, layer="b.0", **size)
    for i, layer in enumerate(readers):
        g.add_op(graph, f"r{i}", "pointwise", layer=layer, **size)
        g.connect(graph, "x", f"r{i}")
    return graph


def on(pus, graph, chip, **options):
    """A plan with layers on given PUs."""
    return build_plan(graph, dataclasses.replace(place(graph, chip, Options(**options)), pus=pus))


def test_all_pus_of_a_chip_listen_to_one_transfer(hw):
    plan = on({"b.0": (0,), "b.1": (1,), "b.2": (2,)}, fork(["b.1", "b.2", "b.0"]), hw)
    assert transfers(plan) == ["x.global_bus0 on chip0.global_bus"]
    assert [each.source for step in plan.steps if step.op != "x" for each in step.inputs] == [
        1,
        1,
        0,
    ]


def test_in_a_mesh_each_reader_has_a_transfer_of_its_own():
    """From PU 0 of 168 in rows of 13: one hop to PU 1, and two to PU 14."""
    chip = load_chip("isaac")
    plan = on({"b.0": (0,), "b.1": (1,), "b.2": (14,)}, fork(["b.1", "b.2", "b.1"]), chip)
    moves = [step for step in plan.steps if step.unit == "mesh"]
    bits = 64 * chip.vector_bits
    assert [step.actions for step in moves] == [
        (Action("mesh_bit", 0, bits),),
        (Action("mesh_bit", 0, 2 * bits),),
    ]
    assert [plan.components[step.lanes[0]].name for step in moves] == ["pu00.mesh"] * 2


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ((0,), (12,), 12),
        ((12,), (13,), 13),
        ((167,), (0,), 23),
        ((13,), (0,), 1),
        ((170,), (2,), 1),
    ],
)
def test_hops_of_a_square_mesh(one, other, count):
    """13 columns: PU 12 ends the first row, 13 begins the second, 167 the last; 170 is PU 2."""
    assert hops(load_chip("isaac"), one, other) == count


def test_a_square_number_of_pus_fills_its_square():
    """16 PUs: rows of 4, so PU 4 is below PU 0."""
    chip = load_chip("isaac", {"chip.pus": 16})
    assert [hops(chip, (0,), (pu,)) for pu in (3, 4, 15)] == [3, 1, 6]


@pytest.mark.parametrize(
    ("op", "size"),
    [({"width": 10}, 10), ({"width": 10, "bits": 1}, 2), ({"width": 3, "bits": 12}, 5)],
)
def test_results_are_whole_bytes(hw, op, size):
    assert result_bytes(op, hw) == size


@pytest.mark.parametrize(
    ("here", "there"), [("single", "sequence"), ("pair", "sequence"), ("sequence", "pair")]
)
def test_streams_join_tokens_that_exist_on_both_sides(here, there):
    graph = g.new_graph("mixed")
    size = {"layer": "b.0", "width": 8, "elements": 8, "function": "gelu"}
    g.add_op(graph, "x", "pointwise", axis=there, **size)
    g.add_op(graph, "y", "pointwise", axis=here, **size)
    with pytest.raises(InputError) as error:
        g.connect(graph, "x", "y")
    assert str(error.value) == (
        f"edge 'x' -> 'y': rule stream cannot join a {there} op to a {here} op; use all, first, "
        "last or pair"
    )


@pytest.mark.parametrize(
    ("here", "there", "rule", "edge"),
    [
        ("sequence", "sequence", "stream", Group(0)),
        ("sequence", "single", "stream", Group(0)),
        ("pair", "single", "stream", Group(0)),
        ("pair", "pair", "pair", Group(0)),
        ("pair", "sequence", "pair", Threshold(0, "pair")),
        ("sequence", "pair", "pair", Threshold(0, "row")),
        ("sequence", "sequence", "recurrent", Group(0, lag=1)),
        ("single", "sequence", "all", Threshold(0, "all")),
        ("single", "sequence", "first", Threshold(0, "first")),
        ("sequence", "sequence", "prefix", Threshold(0, "prefix")),
    ],
)
def test_rules_become_edges(hw, here, there, rule, edge):
    graph = g.new_graph("mixed")
    size = {"layer": "b.0", "width": 8, "elements": 8, "function": "gelu"}
    g.add_op(graph, "x", "pointwise", axis=there, **size)
    g.add_op(graph, "y", "pointwise", axis=here, **size)
    g.connect(graph, "x", "y", rule)
    assert planned(graph, hw).steps[1].inputs == (edge,)


@pytest.mark.parametrize(
    ("kept", "fraction"), [(0.25, (1, 4)), (1.0, (1, 1)), (0.04, (1, 25)), (1e-6, (1, 10**6))]
)
def test_the_share_of_keys_is_a_fraction(kept, fraction):
    chip = load_chip("sprint")
    chooser = chip.served_by("matmul", "values").keys
    chip = load_chip("sprint", {f"{chooser}.kept": kept})
    assert kept_share(chip.units[chooser]) == fraction


def test_what_an_earlier_op_gave_for_the_token_before_is_brought_like_any_other(hw):
    """Only what comes later is wired at the end, where it lies."""
    graph = g.new_graph("before")
    size = {"width": 8, "elements": 8, "function": "gelu"}
    g.add_op(graph, "x", "pointwise", layer="b.0", **size)
    g.add_op(graph, "y", "pointwise", layer="b.1", **size)
    g.connect(graph, "x", "y", "recurrent")
    plan = on({"b.0": (0,), "b.1": (1,)}, graph, hw)
    assert transfers(plan) == ["x.global_bus0 on chip0.global_bus"]
    assert plan.steps[-1].inputs == (Group(1, lag=1),)


def test_a_sum_over_keys_travels_once_a_token(hw):
    """Scores grow with the context, what they weigh does not: 64 B a token over the global bus."""
    graph, layer = g.new_graph("attention"), {"layer": "b.0"}
    g.add_op(graph, "x", "input", width=64, **layer)
    each = {"heads": 4, "inner": 16, "context": "all"} | layer
    g.add_op(graph, "qk", "matmul", width=4, multiplies=["values", "values"], **each)
    g.add_op(graph, "pv", "matmul", width=64, multiplies=["probabilities", "values"], **each)
    g.add_op(graph, "out", "output", width=64, **layer)
    for source, target in (("x", "qk"), ("qk", "pv"), ("pv", "out")):
        g.connect(graph, source, target)
    plan = build_plan(graph, place(graph, hw, Options()))
    steps = {step.name: step for step in plan.steps}
    assert (steps["pv"].size, steps["pv.global_bus0"].size) == ("all", "one")
    assert steps["pv.global_bus0"].actions == (Action("global_bus_bit", 0, 64 * 8),)
