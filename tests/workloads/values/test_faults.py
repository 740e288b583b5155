"""Faults seeded into plan, arrays and cells: each must be seen in the table."""

from dataclasses import replace

import numpy as np
import pytest

from hyflexsim.sim.chip.service import Action
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Group, Plan, Threshold
from hyflexsim.workloads.values.arrays import arrays_of


def edited(plan, name, change):
    """The plan with one step changed; ``change`` takes and returns a step."""
    assert [s.name for s in plan.steps].count(name) == 1, name
    steps = tuple(change(s) if s.name == name else s for s in plan.steps)
    return Plan(steps, plan.components, plan.outputs)


def recount(action, factor, less=0):
    """A change of how often a step does something."""

    def change(step):
        actions = tuple(
            Action(
                a.name,
                int(a.per_visit * factor) - less * (a.per_visit > 0),
                int(a.per_size * factor) - less * (a.per_size > 0),
            )
            if a.name == action
            else a
            for a in step.actions
        )
        assert actions != step.actions
        return replace(step, actions=actions)

    return change


def without(plan, name):
    """The plan without a step; who waited for it waits for what it waited for."""
    at = next(i for i, s in enumerate(plan.steps) if s.name == name)
    (before,) = plan.steps[at].inputs

    def rewired(step):
        inputs = tuple(
            replace(e, source=before.source if e.source == at else e.source) for e in step.inputs
        )
        inputs = tuple(replace(e, source=e.source - (e.source > at)) for e in inputs)
        return replace(step, inputs=inputs, reserves=())

    steps = tuple(rewired(s) for i, s in enumerate(plan.steps) if i != at)
    return Plan(steps, plan.components, frozenset(i - (i > at) for i in plan.outputs))


def first_wrong(done):
    return done.unequal()[0].op


def test_a_lost_partial_sum_is_seen(opened, run):
    sides = opened("gpt2", model={"rank": "dense"})
    name = "h.0.mlp.c_fc.W.sum"
    lost = edited(sides.ready.plan, name, recount("partial_sum_add", 0.5))
    assert first_wrong(run(sides, plan=lost)) == "h.0.mlp.c_fc"


def test_a_step_that_adds_no_partial_sums_is_seen(opened, run):
    sides = opened("gpt2", model={"rank": "dense"})
    lost = without(sides.ready.plan, "h.0.mlp.c_fc.W.sum")
    assert first_wrong(run(sides, plan=lost)) == "h.0.mlp.c_fc"


def test_partial_sums_that_do_not_fit_the_transfer_are_seen(opened, run):
    sides = opened("gpt2", model={"rank": "dense"})
    lost = edited(sides.ready.plan, "h.0.mlp.c_fc.W.out", recount("pu_bus_bit", 0.5))
    assert first_wrong(run(sides, plan=lost)) == "h.0.mlp.c_fc"


def test_a_lost_row_tile_is_seen(opened, run):
    sides = opened("gpt2", model={"rank": "dense"})
    kept = [a for a in arrays_of(sides.ready.placement, "h.1.mlp.c_fc") if a.row_tile != 1]
    assert first_wrong(run(sides, arrays={"h.1.mlp.c_fc": kept})) == "h.1.mlp.c_fc"


def test_a_shifted_column_band_is_seen(opened, run):
    sides = opened("gpt2", model={"rank": "dense"})
    held = arrays_of(sides.ready.placement, "h.0.mlp.c_fc")
    (piece,) = held[0].pieces
    right = tuple(output + 1 for output in piece.outputs)
    moved = replace(held[0], pieces=(replace(piece, outputs=right),))
    done = run(sides, arrays={"h.0.mlp.c_fc": [moved, *held[1:]]})
    assert first_wrong(done) == "h.0.mlp.c_fc"


def test_a_row_tile_in_the_place_of_another_is_seen(opened, run):
    sides = opened("gpt2", model={"rank": "dense"})
    held = arrays_of(sides.ready.placement, "h.0.mlp.c_proj")
    inputs = {a.row_tile: a.pieces[0].inputs for a in held}
    assert len(inputs) > 2

    def moved(array):
        if array.row_tile > 1:
            return array
        taken = inputs[1 - array.row_tile]
        return replace(array, pieces=tuple(replace(p, inputs=taken) for p in array.pieces))

    swapped = [moved(a) for a in held]
    # which inputs lie in which tile is free; that both tiles hold the same is not
    assert run(sides, arrays={"h.0.mlp.c_proj": swapped}).unequal() == []
    doubled = [
        replace(a, pieces=tuple(replace(p, inputs=inputs[0]) for p in a.pieces))
        if a.row_tile == 1
        else a
        for a in held
    ]
    assert first_wrong(run(sides, arrays={"h.0.mlp.c_proj": doubled})) == "h.0.mlp.c_proj"


def test_two_swapped_ranks_are_seen(opened, run):
    sides = opened("gpt2")

    def swap(layouts):
        factor = layouts["h.0.attn.c_proj"]["V"]

        def swapped(band):
            outputs = band.outputs.copy()
            outputs[band.outputs == 0], outputs[band.outputs == 1] = 1, 0
            return replace(band, outputs=outputs)

        changed = replace(factor, bands=tuple(map(swapped, factor.bands)))
        return layouts | {"h.0.attn.c_proj": layouts["h.0.attn.c_proj"] | {"V": changed}}

    assert first_wrong(run(sides, change=swap)) == "h.0.attn.c_proj"


def test_cells_in_the_wrong_mode_are_refused(opened, run):
    sides = opened("gpt2")
    name = "h.0.attn.c_proj"
    held = arrays_of(sides.ready.placement, name)
    at = next(i for i, a in enumerate(held) if {p.mode for p in a.pieces} == {"slc"})
    pieces = tuple(replace(p, mode="mlc") for p in held[at].pieces)
    wrong = [*held[:at], replace(held[at], pieces=pieces), *held[at + 1 :]]
    with pytest.raises(InputError, match="no region of the matrix is where an array holds"):
        run(sides, arrays={name: wrong})


def test_columns_converted_in_the_wrong_mode_are_seen(opened, run):
    sides = opened("gpt2", mapping={"slc_rate": 1.0})
    as_mlc = {"adc_conversion_slc": "adc_conversion_mlc"}
    wrong = edited(
        sides.ready.plan,
        "h.0.attn.c_proj.V.adc",
        lambda step: replace(
            step, actions=tuple(replace(a, name=as_mlc.get(a.name, a.name)) for a in step.actions)
        ),
    )
    assert first_wrong(run(sides, plan=wrong)) == "h.0.attn.c_proj"


@pytest.mark.parametrize("action", ["array_read", "adc_conversion_mlc", "shift_add"])
def test_a_bit_plane_left_out_is_seen(opened, run, action):
    sides = opened("gpt2", model={"rank": "dense"}, mapping={"slc_rate": 0.0})
    step = "h.0.mlp.c_fc.W.bank" if action == "array_read" else "h.0.mlp.c_fc.W.adc"
    lost = edited(sides.ready.plan, step, recount(action, 7 / 8))
    assert first_wrong(run(sides, plan=lost)) == "h.0.mlp.c_fc"


def test_a_plane_visit_left_out_is_seen(opened, run):
    """At fidelity bit: seven of the eight visits of a token's planes leave the array."""
    sides = opened("bert", run={"fidelity": "bit"})

    def seven(step):
        (edge,) = (e for e in step.inputs)
        assert edge.every == 8
        return replace(step, inputs=(replace(edge, every=7),))

    name = "encoder.layer.0.output.dense.V.out"
    done = run(sides, plan=edited(sides.ready.plan, name, seven))
    assert first_wrong(done) == "encoder.layer.0.output.dense"


def test_too_narrow_probabilities_are_seen(opened, run):
    sides = opened("llama")
    name = "layers.0.self_attn.pv"
    narrow = edited(sides.ready.plan, name, recount("nor", 64 / 96))
    done = run(sides, plan=narrow)
    assert first_wrong(done) == name


def test_too_narrow_queries_are_seen(opened, run):
    sides = opened("bert")
    name = "encoder.layer.0.attention.self.qk"
    narrow = edited(sides.ready.plan, name, recount("nor", 0.5))
    assert first_wrong(run(sides, plan=narrow)) == name


def test_too_narrow_keys_are_seen(opened, run):
    sides = opened("bert")
    name = "encoder.layer.0.attention.self.key"
    narrow = edited(sides.ready.plan, f"{name}.write", recount("cell_write", 0.5))
    assert first_wrong(run(sides, plan=narrow)) == "encoder.layer.0.attention.self.qk"


def test_a_head_without_multiplications_is_seen(opened, run):
    sides = opened("bert")
    name = "encoder.layer.1.attention.self.qk"
    fewer = edited(sides.ready.plan, name, lambda s: replace(s, macs=(0, s.macs[1] // 2)))
    assert first_wrong(run(sides, plan=fewer)) == name


def reads(plan, step, source):
    """Number of the input of a step that comes (through a write) from an op."""
    return next(i for i, edge in enumerate(step.inputs) if plan.steps[edge.source].op == source)


def drop(plan, source):
    """Let a step no longer wait for an op's result."""

    def change(step):
        at = reads(plan, step, source)
        return replace(step, inputs=step.inputs[:at] + step.inputs[at + 1 :])

    return change


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_keys_that_nobody_waited_for_are_seen(opened, run, family):
    sides = opened(family)
    name, source = {
        "gpt2": ("h.0.attn.qk", "h.0.attn.c_attn.k"),
        "bert": ("encoder.layer.0.attention.self.qk", "encoder.layer.0.attention.self.key"),
    }[family]
    plan = sides.ready.plan
    assert first_wrong(run(sides, plan=edited(plan, name, drop(plan, source)))) == name


@pytest.mark.parametrize("rule", ["prefix", "first"])
def test_a_threshold_that_lets_too_early_is_seen(opened, run, rule):
    sides = opened("bert")
    name, source = "encoder.layer.0.attention.self.pv", "encoder.layer.0.attention.self.value"

    def early(step):
        at = reads(sides.ready.plan, step, source)
        edge = step.inputs[at]
        assert isinstance(edge, Threshold)
        return replace(
            step,
            inputs=(*step.inputs[:at], replace(edge, rule=rule), *step.inputs[at + 1 :]),
        )

    assert first_wrong(run(sides, plan=edited(sides.ready.plan, name, early))) == name


def test_a_causal_context_that_is_too_long_is_seen(opened, run):
    sides = opened("gpt2")
    wide = edited(sides.ready.plan, "h.0.attn.qk", lambda s: replace(s, size="all"))
    assert first_wrong(run(sides, plan=wide)) == "h.0.attn.qk"


def test_a_context_without_the_class_token_is_seen(opened, run):
    sides = opened("part")
    name = "cls_blocks.0.attn.pv"
    short = edited(sides.ready.plan, name, lambda s: replace(s, context_extra=0))
    assert first_wrong(run(sides, plan=short)) == name


def test_a_state_that_was_not_waited_for_is_seen(opened, run):
    sides = opened("mamba")
    name = "layers.0.mixer.scan"
    plan = edited(
        sides.ready.plan,
        name,
        lambda s: replace(
            s, inputs=tuple(e for e in s.inputs if not (isinstance(e, Group) and e.lag))
        ),
    )
    assert first_wrong(run(sides, plan=plan)) == name


def test_a_convolution_that_waits_for_its_own_token_only_is_seen(opened, run):
    """How the extraction had it before values were executed."""
    sides = opened("mamba")
    name = "layers.0.mixer.conv1d"
    plan = edited(
        sides.ready.plan,
        name,
        lambda s: replace(s, inputs=tuple(Group(e.source) for e in s.inputs)),
    )
    assert first_wrong(run(sides, plan=plan)) == name


def test_a_residual_that_was_not_waited_for_is_seen(opened, run):
    sides = opened("bert")
    name, source = "encoder.layer.1.output.add", "encoder.layer.1.attention.output.LayerNorm"
    plan = sides.ready.plan
    assert first_wrong(run(sides, plan=edited(plan, name, drop(plan, source)))) == name


def test_a_residual_of_another_layer_is_seen(opened, run):
    sides = opened("bert")
    plan = sides.ready.plan
    name, source = "encoder.layer.1.output.add", "encoder.layer.1.attention.output.LayerNorm"
    other = next(
        i for i, s in enumerate(plan.steps) if s.name == "encoder.layer.0.output.LayerNorm"
    )

    def elsewhere(step):
        at = reads(plan, step, source)
        return replace(step, inputs=(*step.inputs[:at], Group(other), *step.inputs[at + 1 :]))

    assert first_wrong(run(sides, plan=edited(plan, name, elsewhere))) == name


def test_an_op_that_is_played_twice_is_refused(opened, run):
    sides = opened("bert")
    plan = sides.ready.plan
    again = next(s for s in plan.steps if s.name == "encoder.layer.0.output.add")
    twice = Plan((*plan.steps, again), plan.components, plan.outputs)
    with pytest.raises(InputError, match=r"encoder\.layer\.0\.output\.add is planned twice"):
        run(sides, plan=twice)


def test_an_op_that_is_not_played_is_seen(opened, run):
    sides = opened("bert")
    lost = without(sides.ready.plan, "encoder.layer.0.intermediate.intermediate_act_fn")
    done = run(sides, plan=lost)
    assert first_wrong(done) == "encoder.layer.0.intermediate.intermediate_act_fn"


def test_a_step_that_has_no_meaning_is_refused_by_name(opened, run):
    sides = opened("bert")
    odd = edited(
        sides.ready.plan,
        "encoder.layer.0.output.add",
        lambda s: replace(s, name=s.name + ".polish"),
    )
    with pytest.raises(InputError, match=r"step encoder\.layer\.0\.output\.add\.polish on sfu"):
        run(sides, plan=odd)


def test_elements_that_no_unit_serves_are_seen(opened, run):
    sides = opened("bert")
    name = "encoder.layer.0.output.LayerNorm"
    fewer = edited(sides.ready.plan, name, recount("sfu_element", 1, less=1))
    done = run(sides, plan=fewer)
    assert first_wrong(done) == name
    assert done.unequal()[0].equal == 7 * 71


def test_a_wave_with_too_many_pairs_is_seen(opened, run):
    sides = opened("part", mapping={"copies": 3})
    name = "pair_embed.embed.3"
    wide = edited(sides.ready.plan, name, lambda s: replace(s, wave=s.wave + 1))
    done = run(sides, plan=wide)
    assert not np.isclose(done.equal, done.elements)


def test_pairs_that_nobody_waited_for_are_seen(opened, run):
    sides = opened("part", mapping={"copies": 3})
    name = "blocks.0.attn.add"
    plan = edited(
        sides.ready.plan,
        name,
        lambda s: replace(
            s,
            inputs=tuple(
                replace(e, rule="first") if isinstance(e, Threshold) else e for e in s.inputs
            ),
        ),
    )
    assert first_wrong(run(sides, plan=plan)) == name


def test_particles_that_nobody_waited_for_are_seen(opened, run):
    sides = opened("part", mapping={"copies": 3})
    name = "pair_embed.pair_features"
    plan = edited(
        sides.ready.plan,
        name,
        lambda s: replace(s, inputs=tuple(replace(e, rule="first") for e in s.inputs)),
    )
    assert first_wrong(run(sides, plan=plan)) == name


def test_generated_tokens_that_come_too_late_are_seen(opened, run):
    sides = opened("llama")
    plan = edited(
        sides.ready.plan,
        "input_ids",
        lambda s: replace(s, inputs=tuple(replace(e, lag=2) for e in s.inputs)),
    )
    assert first_wrong(run(sides, plan=plan)) == "input_ids"


def test_tokens_that_wait_for_each_other_are_told(opened, run):
    sides = opened("bert")
    plan = sides.ready.plan
    last = len(plan.steps) - 1
    stuck = edited(
        plan, "encoder.layer.0.output.add", lambda s: replace(s, inputs=(*s.inputs, Group(last)))
    )
    done = run(sides, plan=stuck)
    assert done.stuck == "encoder.layer.0.output.add"
    assert "tokens are stuck before encoder.layer.0.output.add" in done.summary()
    assert done.equal < done.elements
