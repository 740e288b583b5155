"""Every model family before and after compress, fold, expand; which layers, and what ships."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import (
    compress,
    counts,
    expand,
    fold,
    linear_targets,
    low_rank_layers,
    ranks,
)
from hyflexsim.models.lowrank.layers import Energy, SplitLinear, factorise, linear_weight
from hyflexsim.workloads.extraction.ranks import break_even as sim_break_even

MATRICES = {"bert": 12, "gpt2": 12, "llama": 14, "vit": 12, "mamba": 6, "part": 18}


def close(a, b):
    return torch.allclose(a, b, atol=1e-5, rtol=1e-5)


def test_every_family_through_every_form(family):
    name, model, run = family
    dense, keys, before = run(model), set(model.state_dict()), counts(model)
    compress(model, "hard-threshold")
    assert len(low_rank_layers(model)) == MATRICES[name]
    assert all(r.rank == sim_break_even(r.m, r.n) for r in ranks(model) if r.rank)
    assert counts(model).total_dense == before.total
    assert counts(model).linears_dense == before.linears
    compressed = run(model)
    assert not close(compressed, dense)
    fold(model)
    assert close(run(model), compressed)
    assert sum(p.numel() for p in model.parameters()) == counts(model).total  # counts what ships
    expand(model)
    assert close(run(model), compressed)
    assert set(model.state_dict()) == keys
    assert counts(model) == before


def test_enough_energy_changes_nothing(family):
    _, model, run = family
    dense = run(model.double())  # in float32 the rounding of 14 factorised layers adds up to 1e-5
    for path, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear | Conv1D) and "dt_proj" not in path and "head" not in path:
            parent, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(parent), leaf, factorise(layer, Energy(1.0), name=path))
    assert torch.allclose(run(model), dense, atol=1e-12, rtol=1e-12)


def test_trains_and_stays_in_step_with_the_mode(family, families):
    name, model, _ = family
    compress(model.train(), 4)
    layer = next(iter(low_rank_layers(model).values()))
    assert layer.training
    run = families[name]()[1]
    run(model).square().sum().backward()
    for layer in low_rank_layers(model).values():
        assert all(p.grad is not None for p in (layer.u, layer.sigma, layer.v))


def test_part_and_gpt2_have_q_k_v_of_their_own(families):
    for made, path in (
        (families["part"], "blocks.0.attn.in_proj"),
        (families["gpt2"], "transformer.h.0.attn.c_attn"),
    ):
        model = compress(made()[0], {f"{path}.q": 5, f"{path}.v": 7})
        split = model.get_submodule(path)
        assert isinstance(split, SplitLinear)
        assert [getattr(p, "rank", None) for p in split.parts()] == [5, None, 7]
        assert isinstance(split.k, nn.Linear)


def test_dense_where_factors_cost_more(families):
    model = compress(families["bert"]()[0], 17)  # break-even: 16 for 32 x 32, 21 for 32 x 64
    assert {(r.m, r.n, r.rank) for r in ranks(model)} == {
        (32, 32, None),
        (32, 64, 17),
        (64, 32, 17),
    }


def test_include_and_exclude(families):
    model = compress(
        families["bert"]()[0], 4, include=["*.query", "bert.pooler*"], exclude=["*.1.*"]
    )
    assert list(low_rank_layers(model)) == [
        "bert.encoder.layer.0.attention.self.query",
        "bert.pooler.dense",
    ]


def test_own_fused_layers():
    model = nn.Sequential()
    model.blocks = nn.ModuleList([nn.ModuleDict({"qkv": nn.Linear(8, 24)})])
    compress(model, 2, fused={"*.qkv": ("q", "k", "v")})
    assert list(low_rank_layers(model)) == [f"blocks.0.qkv.{n}" for n in "qkv"]


def test_shapes_are_those_of_the_split_layers(family):
    _, model, _ = family
    targets = linear_targets(model)
    found = {k: s for t in targets for k, s in zip(t.matrices(), t.shapes(), strict=True)}
    compress(model, "hard-threshold")
    assert found == {
        path: tuple(linear_weight(layer).shape[::-1])
        for path, layer in low_rank_layers(model).items()
    }


def test_refusals(families):
    bert = families["bert"]
    for act, message in (
        (lambda: compress(nn.Conv2d(1, 1, 1), 2), "Conv2d has no linear layers to compress"),
        (
            lambda: compress(bert()[0], 33),
            "rank of bert.encoder.layer.0.attention.self.query must be from 1 to 32; got 33",
        ),
        (
            lambda: compress(bert()[0], 0),
            "rank of bert.encoder.layer.0.attention.self.query must be from 1 to 32; got 0",
        ),
        (
            lambda: compress(
                families["bert"]()[0], {"bert.pooler.densee": 3}, include=["*pooler*"]
            ),
            "rank: no matrix 'bert.pooler.densee' to compress; nearest: bert.pooler.dense",
        ),
        (
            lambda: compress(families["llama"]()[0], 4, include=["lm_head"]),
            "lm_head: its weight is shared with another module; exclude it",
        ),
        (
            lambda: compress(bert()[0], 4, include=["*.querry"]),
            "include: no linear layer matches '*.querry'; nearest: none",
        ),
        (
            lambda: compress(bert()[0], 4, fused={"*.query": ("a", "b", "c")}),
            "bert.encoder.layer.0.attention.self.query: its 32 outputs must divide into at least "
            "two distinct parts of one size; got a, b, c",
        ),
    ):
        with pytest.raises(ModelError) as caught:
            act()
        assert str(caught.value) == message


def test_a_refusal_leaves_the_model_alone(families):
    model, _ = families["bert"]()
    nn.init.constant_(model.bert.encoder.layer[1].output.dense.weight, float("inf"))
    with pytest.raises(ModelError, match=r"layer\.1\.output\.dense must be finite"):
        compress(model, 4)
    assert not low_rank_layers(model)
