"""Which steps an op becomes on each kind of machine, and what each waits for and reserves.

Written as a reader of the chip's file would draw it: ``step <- what it waits for``.
"""

import dataclasses

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.service import Task
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.plan import Group
from hyflexsim.sim.plan.planner import build_plan, wave_size
from hyflexsim.sim.units.catalogue import load_chip


def attention(rule="all", head=False):
    """x -> q, k; scores, softmax; 8 wide, one layer."""
    graph = g.new_graph("attention", causal=rule == "prefix")
    g.add_op(graph, "x", "input", layer="b.0", width=8)
    for name in "qk":
        g.add_op(graph, name, "gemv", layer="b.0", rows=8, cols=8, width=8, weight=name)
        g.connect(graph, "x", name)
    common = {"layer": "b.0", "context": rule}
    product = {"width": 1, "heads": 1, "inner": 8, "multiplies": ["values", "values"]}
    g.add_op(graph, "qk", "matmul", **product, **common)
    g.connect(graph, "q", "qk")
    g.connect(graph, "k", "qk", rule)
    g.add_op(graph, "soft", "softmax", width=1, elements=1, **common)
    g.connect(graph, "qk", "soft")
    g.add_op(graph, "y", "output", layer="b.0", width=1, head=head)
    g.connect(graph, "soft", "y")
    return graph


def drawn(plan):
    """A line a step."""
    names = [step.name for step in plan.steps]

    def edge(each):
        rule = getattr(each, "rule", "")
        return names[each.source] + (f" ({rule})" if rule else "")

    waits = [", ".join(map(edge, step.inputs)) for step in plan.steps]
    return [f"{name} <- {wait}" if wait else name for name, wait in zip(names, waits, strict=True)]


def planned(graph, chip, *, copies=1, options=None, **build):
    placement = place(graph, chip, options or Options())
    return build_plan(
        graph, placement.with_copies(dict.fromkeys(placement.weights, copies)), **build
    )


def test_in_memory(hw):
    """One transfer feeds both matrices; queries and keys are written before they multiply."""
    assert drawn(planned(attention(), hw)) == [
        "x",
        "x.global_bus0 <- x",
        "q.in <- x.global_bus0",
        "q.W.bank <- q.in",
        "q.W.adc <- q.W.bank",
        "q.W.out <- q.W.adc",
        "k.W.bank <- q.in",
        "k.W.adc <- k.W.bank",
        "k.W.out <- k.W.adc",
        "q.write <- q.W.out",
        "k.write <- k.W.out",
        "qk <- q.write, k.write (all)",
        "soft <- qk",
        "soft.global_bus0 <- soft",
        "y <- soft.global_bus0",
    ]


def test_out_of_memory():
    """Weights are fetched once a request and read for every token, as keys are."""
    assert drawn(planned(attention(), load_chip("non-pim"))) == [
        "x",
        "q.fetch",
        "q.store <- q.fetch",
        "q.W.read <- x, q.store (first)",
        "q.W.mac <- q.W.read",
        "k.fetch",
        "k.store <- k.fetch",
        "k.W.read <- x, k.store (first)",
        "k.W.mac <- k.W.read",
        "q.write <- q.W.mac",
        "k.write <- k.W.mac",
        "qk.read <- q.write, k.write (all)",
        "qk <- qk.read",
        "soft <- qk",
        "y <- soft",
    ]


def test_keys_are_chosen_before_the_product():
    lines = drawn(planned(attention(), load_chip("sprint")))
    start = lines.index("qk.threshold <- q.write, k.write (all)")
    assert lines[start + 1 : start + 3] == ["qk.read <- qk.threshold", "qk <- qk.read"]


def test_the_chooser_sees_every_key_and_the_product_those_that_pass():
    steps = {step.name: step for step in planned(attention(), load_chip("sprint")).steps}
    assert steps["qk.threshold"].kept == (1, 1)
    assert steps["qk"].kept == (127, 500)
    assert steps["soft"].kept == (127, 500)


def test_a_mask_has_no_step():
    names = [step.name for step in planned(attention(), load_chip("hyflexpim-slc")).steps]
    assert not [name for name in names if "mask" in name]


def test_lines_of_places(hw):
    """The transfer reserves at both banks, banks in the output buffer behind their converter."""
    plan = planned(attention(), hw)
    names = [step.name for step in plan.steps]
    reserved = {s.name: [names[i] for i in s.reserves] for s in plan.steps if s.reserves}
    assert reserved == {
        "q.in": ["q.W.bank", "k.W.bank"],
        "q.W.bank": ["q.W.out"],
        "k.W.bank": ["k.W.out"],
    }
    assert {s.name for s in plan.steps if s.places is not None} == {
        *("q.W.bank", "k.W.bank", "q.W.out", "k.W.out")
    }


@pytest.mark.parametrize("copies", [1, 3])
def test_copies_bring_lanes_and_places_of_their_own(hw, copies):
    """8 modules of 1 KiB hold 1024 tokens of 8 B in, and as many out, a copy."""
    plan = planned(attention(), hw, copies=copies)
    bank = next(step for step in plan.steps if step.name == "q.W.bank")
    names = [plan.components[i].name for i in bank.lanes]
    one = ["pu00.q.W.bank"]
    assert names == (one if copies == 1 else [f"{one[0]}[{i}]" for i in range(copies)])
    assert bank.places == copies * 1024
    assert bank.macs == (64, 0)


def test_planes_are_handed_over_one_by_one_and_gathered_at_the_end(hw):
    steps = {step.name: step for step in planned(attention(), hw, fidelity="bit").steps}
    assert steps["q.W.bank"].inputs == (Group(2, spread=8),)
    assert steps["q.W.adc"].inputs == (Group(3),)
    assert steps["q.W.out"].inputs == (Group(5, every=8),)
    planes = {name: step.planes for name, step in steps.items() if step.planes > 1}
    assert planes == {f"{x}.W.{part}": 8 for x in "qk" for part in ("bank", "adc", "shift_add")}
    assert (steps["q.W.bank"].macs, steps["q.W.bank"].macs_in) == ((64, 0), 8)


def test_text_is_fed_back_from_the_head(hw):
    plan = planned(attention("prefix", head=True), hw, generate=True)
    last = len(plan.steps) - 1
    assert plan.steps[0].inputs == (Group(last, lag=1),)
    assert [step.name for step in plan.steps if step.head] == ["y"]


@pytest.mark.parametrize(("option", "head"), [({}, []), ({"last_logits": True}, ["y"])])
def test_the_last_logits_alone(hw, option, head):
    plan = planned(attention("prefix", head=True), hw, **option)
    assert [step.name for step in plan.steps if step.head] == head
    assert plan.steps[0].inputs == ()


def test_what_follows_a_head_is_a_head_too(hw):
    graph = attention("prefix")
    graph.nodes["soft"]["head"] = True
    plan = planned(graph, hw, last_logits=True)
    heads = [step.name for step in plan.steps if step.head]
    assert heads == ["soft", "soft.global_bus0", "y"]


def test_the_answers_are_outputs_or_what_nobody_reads(hw):
    plan = planned(attention(), hw)
    assert plan.outputs == {len(plan.steps) - 1}
    graph = attention()
    graph.remove_node("y")
    plan = planned(graph, hw)
    assert [plan.steps[i].name for i in plan.outputs] == ["soft"]


def test_a_loop_waits_for_its_own_last_token(hw):
    """x -> y -> x with the second edge one token late."""
    graph = g.new_graph("loop")
    size = {"layer": "b.0", "width": 8, "elements": 8, "function": "gelu"}
    for name in "xy":
        g.add_op(graph, name, "pointwise", **size)
    g.connect(graph, "x", "y")
    g.connect(graph, "y", "x", "recurrent")
    plan = planned(graph, hw)
    assert plan.steps[0].inputs == (Group(1, lag=1),)
    assert plan.steps[1].inputs == (Group(0),)


def pairs():
    graph = g.new_graph("pairs")
    g.add_op(graph, "x", "input", layer="p", width=64)
    g.add_op(graph, "u", "gemv", axis="pair", layer="p", rows=64, cols=16, width=16, weight="u")
    g.connect(graph, "x", "u", "pair")
    return graph


@pytest.mark.parametrize("split", [False, True])
def test_a_wave_is_as_wide_as_the_copies_of_the_pair_network(hw, split):
    """Three arrays as one that works in step, or three lanes; it waits in memory."""
    plan = planned(pairs(), hw, copies=3, split_pairs=split)
    bank = next(step for step in plan.steps if step.name == "u.W.bank")
    names = [plan.components[i].name for i in bank.lanes]
    assert names == ([f"pu00.u.W.bank[{i}]" for i in range(3)] if split else ["pu00.u.W.bankx3"])
    assert (bank.wave, bank.split, bank.parts) == (3, split, 3 if split else 1)
    assert bank.places is None
    power = plan.components[bank.lanes[-1]].power_mw
    one = planned(pairs(), hw)
    alone = next(c for c in one.components if c.kind == "bank").power_mw
    assert power == pytest.approx(alone if split else 3 * alone)
    assert bank.macs == (0, 1024)
    adc = next(c for c in plan.components if c.kind == "adc")
    assert adc.shadow[0][2] == pytest.approx(
        (1 if split else 3) * next(c for c in one.components if c.kind == "adc").shadow[0][2]
    )


def test_without_a_pair_network_a_wave_is_one_pair(hw, chain_of):
    graph = chain_of({"b.0": [1]})
    placement = place(graph, hw, Options()).with_copies({"b.0.fc0": 4})
    assert wave_size(graph, placement) == 1
    placement = place(pairs(), hw, Options()).with_copies({"u": 4})
    assert wave_size(pairs(), placement) == 4


def test_the_smallest_number_of_copies_makes_the_wave(hw):
    graph = pairs()
    g.add_op(graph, "v", "gemv", axis="pair", layer="p", rows=16, cols=16, width=16, weight="v")
    g.connect(graph, "u", "v", "pair")
    placement = place(graph, hw, Options()).with_copies({"u": 4, "v": 3})
    assert wave_size(graph, placement) == 3


def test_a_unit_behind_a_link_gets_its_operands_over_it():
    """nmp's SFU lies behind the stack's bus: its elements in, its result out."""
    plan = planned(attention(), load_chip("nmp"))
    steps = {step.name: step for step in plan.steps}
    chip = load_chip("nmp")
    assert [n for n in steps if n.startswith("soft")] == ["soft.in", "soft", "soft.out"]
    bits = 8 * -(-chip.vector_bits // 8)
    assert steps["soft.in"].actions[0].per_size == steps["soft.out"].actions[0].per_size == bits
    assert plan.components[steps["soft.in"].lanes[0]].name == "pu00.stack_bus"


def test_a_group_of_pus_works_as_one(hw):
    """Two PUs: half the time for products, twice as wide a bus."""
    graph = attention()
    one, two = (
        {s.name: s for s in planned(graph, hw, options=Options(pus_per_layer=n)).steps}
        for n in (1, 2)
    )
    assert two["soft"].rate.speed == 2 * one["soft"].rate.speed
    assert two["qk"].rate.speed == 2 * one["qk"].rate.speed
    assert two["q.in"].rate.speed == 2 * one["q.in"].rate.speed
    assert two["q.W.bank"].places == 2 * one["q.W.bank"].places


def test_a_result_in_shards_is_gathered_or_its_partial_sums_are_added(hw, chain_of):
    """16 -> 200 -> 8: 22 B of partial sums; 16 -> 8 -> 200: 8 B of vector."""
    options = Options(pus_per_layer=2, copies="none")
    names = [
        [s.name for s in planned(chain_of({"b.0": shapes}), hw, options=options).steps]
        for shapes in ([(16, 200), (200, 8)], [(16, 8), (8, 200)])
    ]
    assert [n for n in names[0] if "gather" in n or "reduce" in n] == ["b.0.fc1.W.reduce"]
    assert [n for n in names[1] if "gather" in n or "reduce" in n] == ["b.0.fc1.gather"]


def test_on_one_pu_nothing_is_in_shards(hw, chain_of):
    steps = planned(chain_of({"b.0": [(16, 200), (200, 8)]}), hw).steps
    assert not [s.name for s in steps if "gather" in s.name or "reduce" in s.name]


def test_three_pus_move_two_shares_of_partial_sums(hw, chain_of):
    """8 sums of 22 bit are 22 B from each of the other two."""
    options = Options(pus_per_layer=3, copies="none")
    plan = planned(chain_of({"b.0": [(16, 200), (200, 8)]}), hw, options=options)
    (step,) = [s for s in plan.steps if s.name.endswith("reduce")]
    assert step.actions[0].per_size == 8 * 2 * 22


def test_an_adder_adds_row_tiles_of_all_pus(hw, chain_of):
    """128 inputs are two row tiles: one addition an output, by adders of both PUs."""
    steps = {
        n: {
            s.name: s
            for s in planned(
                chain_of({"b.0": [(128, 16)]}), hw, options=Options(pus_per_layer=n)
            ).steps
        }["b.0.fc0.W.sum"]
        for n in (1, 2)
    }
    assert steps[1].actions[0].per_size == 16
    assert steps[2].rate.speed == 2 * steps[1].rate.speed
    assert steps[1].unit == "accumulator"


def test_two_layers_that_share_a_weight_fetch_it_once():
    graph = g.new_graph("shared")
    size = {"layer": "b.0", "rows": 8, "cols": 8, "width": 8, "weight": "w"}
    for name in ("one", "two"):
        g.add_op(graph, name, "gemv", **size)
    g.connect(graph, "one", "two")
    names = [step.name for step in planned(graph, load_chip("non-pim")).steps]
    assert [n for n in names if "fetch" in n] == ["one.fetch"]


def test_weights_that_lie_with_results_are_not_fetched(chain_of):
    base = load_chip("non-pim")
    gemv = dataclasses.replace(base.serves["gemv"], weights="cache")
    chip = dataclasses.replace(base, serves=base.serves | {"gemv": gemv})
    names = [step.name for step in planned(chain_of({"b.0": [1]}), chip).steps]
    assert "b.0.fc0.W.read" in names
    assert "b.0.fc0.fetch" not in names


@pytest.mark.parametrize(
    ("preset", "layer", "name"),
    [
        ("hyflexpim", (24, 25), "chip1.global_bus"),
        ("hyflexpim", (23, 24), "chip0.global_bus"),
        ("isaac", (170, 171), "pu170-171.mesh"),
    ],
)
def test_pus_of_a_group_exchange_over_the_bus_of_their_chip_or_their_own_routers(
    chain_of, preset, layer, name
):
    chip, graph = load_chip(preset), chain_of({"b.0": [(16, 200), (200, 8)]})
    placement = place(graph, chip, Options(pus_per_layer=2, chips=2))
    plan = build_plan(graph, dataclasses.replace(placement, pus={"b.0": layer}))
    (step,) = [s for s in plan.steps if "reduce" in s.name or "gather" in s.name]
    assert plan.components[step.lanes[0]].name == name


def test_a_memory_beside_the_chips_is_no_wider_for_two_pus():
    graph = g.new_graph("table")
    g.add_op(graph, "t", "lookup", layer="b.0", width=64, stored=640)
    chip = load_chip("isaac")
    assert chip.unit("lookup").where == "system"
    placement = place(graph, chip, Options())
    one, two = (
        build_plan(graph, dataclasses.replace(placement, pus={"b.0": pus})).steps[0]
        for pus in ((0,), (0, 1))
    )
    (visit,) = chip.unit("lookup").kind.serve(chip.unit("lookup"), Task("lookup", width=64))
    assert one.rate == two.rate == visit.service.rate
