"""Every family: the plan's numbers are the quantised model's, bit for bit."""

import math

import pytest
import torch

from hyflexsim.workloads.values.reference import Reference

from .conftest import CONFIGS

FAMILIES = tuple(CONFIGS)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_ops_are_equal(opened, run, family):
    sides = opened(family)
    done = run(sides)
    assert not done.stuck
    assert done.unequal() == []
    assert {row.op for row in done.rows} >= set(sides.program.ops)
    assert done.elements > 5_000


@pytest.mark.parametrize("family", FAMILIES)
def test_at_fidelity_bit(opened, run, family):
    assert run(opened(family, run={"fidelity": "bit"})).unequal() == []


@pytest.mark.parametrize("family", FAMILIES)
def test_dense(opened, run, family):
    assert run(opened(family, model={"rank": "dense"})).unequal() == []


@pytest.mark.parametrize("family", FAMILIES)
def test_converters_of_the_chip_are_those_of_models_cells(opened, run, family):
    done = run(opened(family, "converters"))
    assert done.unequal() == []


def test_cells_with_errors_are_those_of_models_cells(opened, run):
    mlc = {"set": {"analog.cells.mlc_sigma": 0.1}}
    done = run(opened("gpt2", "noise", chip=mlc, mapping={"slc_rate": 0.0}))
    assert done.unequal() == []
    without = run(opened("gpt2", "converters", chip=mlc, mapping={"slc_rate": 0.0}))
    assert done.output_error > without.output_error > 0


@pytest.mark.parametrize("sign", ["twos-complement", "biased", "differential", "differential-rows"])
def test_signs(opened, run, sign):
    assert run(opened("bert", chip={"set": {"analog.sign": sign}})).unequal() == []


@pytest.mark.parametrize("changes", [{"copies": "none"}, {"copies": 3}])
def test_pairs_in_waves_of_any_size(opened, run, changes):
    assert run(opened("part", mapping=changes)).unequal() == []


def test_pairs_one_by_one(opened, run):
    split = {"split_pairs": True, "fidelity": "bit", "overlap": "layer-serial"}
    assert run(opened("part", mapping={"copies": 4}, run=split)).unequal() == []


@pytest.mark.parametrize("preset", ["isaac", "neurram"])
def test_other_chips(opened, run, preset):
    assert run(opened("vit", chip={"preset": preset, "chips": 4})).unequal() == []


def test_tokens_are_sampled_from_what_was_computed(opened, run):
    """The prompt comes from the host; each later token is the likeliest after the one before."""
    sides = opened("llama")
    done = run(sides)
    rows = {(row.op, row.what): row for row in done.rows}
    assert rows["input_ids", "values"] == ("input_ids", "values", 7, 7, 0.0)
    assert rows["output", "values"].elements == 4 * 50  # the last of the prompt, and three more


@pytest.mark.parametrize("family", FAMILIES)
def test_the_program_is_the_model(opened, family):
    """Interpreted in floating point, dense, the program computes what torch computes."""
    sides = opened(family, model={"rank": "dense"})
    with torch.no_grad():
        inputs = sides.subject.inputs[0]
        sides.program.start(inputs)
        ours = Reference(sides.program, sides._matrices(), None).run()["output", "values"]
        single = {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()}
        theirs = sides.subject.model(**single)
    theirs = theirs if isinstance(theirs, torch.Tensor) else theirs[-1 if family == "bert" else 0]
    largest = float(theirs.abs().max())
    assert float((ours - theirs.double().reshape(ours.shape)).abs().max()) < 1e-4 * largest


def test_outputs_are_near_those_in_floating_point(opened, run):
    done = run(opened("vit", model={"rank": "dense"}))
    assert 0 < done.output_error < 0.2
    assert not math.isinf(done.output_error)


def test_attention_in_floating_point(opened, run, tmp_path):
    """A chip that multiplies activations as FP32: no integers there, the rest as ever."""
    file = tmp_path / "floating.toml"
    file.write_text(
        'extends = "hyflexpim"\n[serves]\n"matmul" = { unit = "digital", format = "fp32" }\n'
    )
    done = run(opened("gpt2", chip={"preset": str(file)}))
    assert done.unequal() == []
    assert not any(row.what == "product" for row in done.rows)


@pytest.mark.parametrize("pus", [2, 1.5])
def test_layers_on_several_pus_and_on_parts_of_them(opened, run, pus):
    """Two blocks; of a PU and a half each, they share one by its modules."""
    sides = opened("bert", "converters", mapping={"pus_per_layer": pus, "copies": 3})
    assert run(sides).unequal() == []
