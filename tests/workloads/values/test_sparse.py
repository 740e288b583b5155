"""Attention over the keys that stay, visit by visit: bit for bit that of the quantised model."""

import numpy as np
import pytest
import torch

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.sparsity.scored import work_of
from hyflexsim.workloads.values.executed import Sides
from hyflexsim.workloads.values.keeping import Choice
from hyflexsim.workloads.values.reference import Reference


def keys(sides, k):
    """k keys for each head of the blocks whose queries are many."""
    return {
        op["layer"]: [k] * op["heads"]
        for _, op in sides.program.graph.nodes(data=True)
        if op["kind"] == "matmul" and op["axis"] == "sequence"
    }


def sides_of(opened, family, by):
    return opened(family, chip={"preset": "hyflexpim-topk", "set": {"selector.by": by}})


def played(sides, run, choice):
    sides.choice = choice
    try:
        return run(sides)
    finally:
        sides.choice = None


def reference(sides, choice):
    """The quantised model of the first input, with keys left out."""
    with torch.no_grad():
        sides.program.start(sides.subject.inputs[0])
        matrices = sides._matrices()
        plain = Reference(sides.program, matrices, None)
        plain.run()
        scales = sides._value_scales(plain, None)
        sides.program.start(sides.subject.inputs[0])
        made = Reference(sides.program, matrices, sides.widths, scales, choice=choice)
        made.run()
    return made


@pytest.mark.parametrize("by", ["scores", "bits", "bias"])
@pytest.mark.parametrize("k", [1, 3])
def test_a_particle_transformer(opened, run, by, k):
    sides = sides_of(opened, "part", by)
    full = run(sides)
    done = played(sides, run, Choice(by, keys(sides, k)))
    assert (done.unequal(), full.unequal(), done.stuck) == ([], [], "")
    assert done.elements < full.elements  # keys left out are no numbers


@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "vit"])
def test_other_families(opened, run, family):
    """Causal ones too: what a query may not see is never kept, so more keys than tokens are all."""
    sides = sides_of(opened, family, "scores")
    assert played(sides, run, Choice("scores", keys(sides, 2))).unequal() == []
    full, many = run(sides), played(sides, run, Choice("scores", keys(sides, 99)))
    assert many.rows == full.rows


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_early_stop_of_a_causal_model_looks_at_no_later_key(opened, run, family):
    sides = sides_of(opened, family, "bits")
    exact = reference(sides, Choice("scores", keys(sides, 2)))
    early = reference(sides, Choice("bits", keys(sides, 2)))
    assert all(torch.equal(exact.results[key], early.results[key]) for key in exact.results)
    for name, bits in early.chooser.bits.items():
        later = torch.ones(bits.shape[:2]).triu(1).bool()[:, :, None].expand_as(bits)
        assert (bits[later] == 0).all()
        assert (bits[~later] >= 1).all()
        kept, seen = early.chooser.kept[name], early.chooser.seen[name]
        assert (bits[kept] == 8).all()
        assert torch.equal(seen, ~later)
        first = torch.arange(len(kept)).clamp(max=1) + 1  # the first token has no second key
        assert torch.equal(kept.sum(1), first[:, None].expand(-1, kept.shape[2]))
    assert played(sides, run, Choice("bits", keys(sides, 2))).unequal() == []


@pytest.mark.parametrize("by", ["mask", "upper bits"])
def test_what_is_chosen_before_is_among_what_may_be_seen(opened, by):
    sides = sides_of(opened, "gpt2", "scores")
    made = reference(sides, Choice(by, keys(sides, 2)))
    for name, kept in made.chooser.kept.items():
        assert not (kept & ~made.chooser.seen[name]).any()
        assert (kept.sum(1)[1:] == 2).all()
        if by == "mask":  # the token itself and the one before it
            assert kept.diagonal().all()
            assert kept.diagonal(-1).all()


@pytest.mark.parametrize("by", ["scores", "bits", "bias"])
def test_all_keys_kept_is_full_attention(opened, by):
    sides = sides_of(opened, "part", by)
    full = reference(sides, None)
    made = reference(sides, Choice(by, keys(sides, 200)))
    assert full.results.keys() == made.results.keys()
    assert all(torch.equal(full.results[key], made.results[key]) for key in full.results)
    tokens = sides.ready.requests[0].tokens
    sizes = work_of(made).sizes
    assert {n: set(s) for n, s in sizes.items() if n.endswith(("softmax", "pv"))} == {
        n: {4 * tokens} for n in sizes if n.endswith(("softmax", "pv"))
    }
    if by == "bits":
        assert {tuple(set(s)) for n, s in sizes.items() if n.endswith("qk")} == {(8 * 4 * tokens,)}


def test_early_stop_gives_the_values_of_the_exact_choice(opened):
    sides = sides_of(opened, "part", "bits")
    exact = reference(sides, Choice("scores", keys(sides, 2)))
    early = reference(sides, Choice("bits", keys(sides, 2)))
    assert all(torch.equal(exact.results[key], early.results[key]) for key in exact.results)
    tokens = sides.ready.requests[0].tokens
    for name, bits in early.chooser.bits.items():
        assert (bits[early.chooser.kept[name]] == 8).all()
        assert bits.sum() < 8 * bits.numel()
    work = work_of(early).sizes
    assert all((work[n] == 2 * 4).all() for n in work if n.endswith("pv"))
    assert all(len(sizes) == tokens and sizes.dtype == np.int64 for sizes in work.values())


def test_what_no_unit_computes_is_not_executed(opened, run):
    sides = sides_of(opened, "part", "bias")
    with pytest.raises(InputError, match=r"^values: keys chosen by mask are not executed$"):
        played(sides, run, Choice("mask", keys(sides, 3)))
    made = reference(sides, Choice("mask", keys(sides, 3)))
    assert all((kept.sum(1) == 3).all() for kept in made.chooser.kept.values())
    rough = reference(sides, Choice("upper bits", keys(sides, 3)))
    assert all((kept.sum(1) == 3).all() for kept in rough.chooser.kept.values())


def test_a_share_for_all_queries_is_still_refused(make_scenario):
    with pytest.raises(InputError, match=r"^values: attention that leaves a share of keys out"):
        Sides(make_scenario("bert", chip={"preset": "hyflexpim-slc"}))
