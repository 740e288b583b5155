"""Factors against the SVD; every model family before and after compress, fold, expand, files."""

import json

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.pytorch_utils import Conv1D

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank import (
    LowRankLinear,
    SplitLinear,
    compress,
    counts,
    expand,
    factorise,
    fold,
    load_compressed,
    low_rank_layers,
    ranks,
    read_ranks,
    save_compressed,
)
from hyflexsim.models.part import ParticleTransformer
from hyflexsim.models.soft_threshold import freeze, set_rank, soft_layers, soften, truncate
from hyflexsim.workloads.ranks import break_even as sim_break_even

torch.set_num_threads(1)
COMMON = {"num_hidden_layers": 2, "hidden_size": 32}
TOKENS = torch.tensor([[1, 5, 2, 7, 3]])


def bert():
    config = BertConfig(vocab_size=20, num_attention_heads=2, intermediate_size=64, **COMMON)
    return BertForSequenceClassification(config), lambda m: m(TOKENS).logits


def gpt2():
    special = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=20, n_positions=8, n_embd=32, n_layer=2, n_head=2, **special)
    return GPT2LMHeadModel(config), lambda m: m(TOKENS).logits


def llama():
    config = LlamaConfig(
        vocab_size=20,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        tie_word_embeddings=True,
        **COMMON,
    )
    return LlamaForCausalLM(config), lambda m: m(TOKENS).logits


def vit():
    config = ViTConfig(
        image_size=8, patch_size=4, num_attention_heads=2, intermediate_size=64, **COMMON
    )
    image = torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8)
    return ViTForImageClassification(config), lambda m: m(image).logits


def mamba():
    config = MambaConfig(vocab_size=20, state_size=4, **COMMON)
    return MambaForCausalLM(config), lambda m: m(TOKENS).logits


def part():
    model = ParticleTransformer(
        7,
        3,
        embed_dims=(16, 32),
        pair_embed_dims=(8,),
        num_heads=4,
        num_layers=2,
        num_cls_layers=1,
        fc_params=((16, 0.1),),
    )
    x, v = torch.randn(2, 7, 6), torch.randn(2, 4, 6)
    v[:, 3] = 1 + v[:, :3].norm(dim=1)
    return model, lambda m: m(x, v)


FAMILIES = {f.__name__: f for f in (bert, gpt2, llama, vit, mamba, part)}
MATRICES = {"bert": 12, "gpt2": 12, "llama": 14, "vit": 12, "mamba": 6, "part": 18}


@pytest.fixture(params=FAMILIES)
def family(request):
    torch.manual_seed(0)
    model, run = FAMILIES[request.param]()
    for p in model.parameters():  # transformers starts with weights too small to tell outputs apart
        if p.dim() == 2:
            nn.init.normal_(p, std=0.15)
    return request.param, model.eval(), torch.no_grad()(run)


def close(a, b):
    return torch.allclose(a, b, atol=1e-5, rtol=1e-5)


def test_every_family_through_every_form(family, tmp_path):
    name, model, run = family
    dense, keys, before = run(model), set(model.state_dict()), counts(model)
    compress(model, "hard-threshold")
    assert len(low_rank_layers(model)) == MATRICES[name]
    assert all(r.rank == sim_break_even(r.m, r.n) for r in ranks(model) if r.rank)
    assert counts(model).total_dense == before.total
    assert counts(model).linears_dense == before.linears
    compressed = run(model)
    assert not close(compressed, dense)
    save_compressed(model, tmp_path / "plain")
    fresh = FAMILIES[name]()[0].eval()
    assert close(run(load_compressed(fresh, tmp_path / "plain")), compressed)
    assert ranks(fresh) == ranks(model)
    fold(model)
    assert close(run(model), compressed)
    assert sum(p.numel() for p in model.parameters()) == counts(model).total  # counts what ships
    save_compressed(model, tmp_path / "folded")
    fresh = FAMILIES[name]()[0].eval()
    assert close(run(load_compressed(fresh, tmp_path / "folded")), compressed)
    expand(model)
    assert close(run(model), compressed)
    assert set(model.state_dict()) == keys
    assert counts(model) == before


def test_enough_energy_changes_nothing(family):
    _, model, run = family
    dense = run(model)
    for path, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear | Conv1D) and "dt_proj" not in path and "head" not in path:
            parent, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(parent), leaf, factorise(layer, 1.0, name=path))
    assert close(run(model), dense)


def test_thresholds_in_every_family(family, tmp_path):
    name, model, run = family
    dense = run(model)
    soften(model, "shrinkage")  # at threshold 0: nothing is cut
    assert close(run(model), dense)
    freeze(model)
    for layer in soft_layers(model).values():
        set_rank(layer, max(1, layer.full_rank // 3))
    cut, promised = run(model), counts(model)
    assert not close(cut, dense)
    truncate(model)
    assert close(run(model), cut)
    assert counts(model) == promised
    save_compressed(model, tmp_path / "c")
    assert close(run(load_compressed(FAMILIES[name]()[0].eval(), tmp_path / "c")), cut)


def test_trains_and_stays_in_step_with_the_mode(family):
    name, model, _ = family
    compress(model.train(), 4)
    layer = next(iter(low_rank_layers(model).values()))
    assert layer.training
    run = FAMILIES[name]()[1]
    run(model).square().sum().backward()
    for layer in low_rank_layers(model).values():
        assert all(p.grad is not None for p in (layer.u, layer.sigma, layer.v))


def test_part_and_gpt2_have_q_k_v_of_their_own():
    for made, path in ((part, "blocks.0.attn.in_proj"), (gpt2, "transformer.h.0.attn.c_attn")):
        model = compress(made()[0], {f"{path}.q": 5, f"{path}.v": 7})
        split = model.get_submodule(path)
        assert isinstance(split, SplitLinear)
        assert [getattr(p, "rank", None) for p in split.parts()] == [5, None, 7]
        assert isinstance(split.k, nn.Linear)


def test_truncation_is_the_best_of_its_rank():
    torch.manual_seed(1)
    layer = nn.Linear(24, 16)
    s = torch.linalg.svdvals(layer.weight)
    error = (factorise(layer, 5).weight - layer.weight).norm()
    assert torch.isclose(error, s[5:].norm(), rtol=1e-5)
    assert torch.allclose(factorise(layer, 5).sigma, s[:5], rtol=1e-5)


def test_conv1d_is_the_transposed_linear():
    torch.manual_seed(2)
    conv, linear = Conv1D(12, 20), nn.Linear(20, 12)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.T)
        linear.bias.copy_(conv.bias)
    a, b = factorise(conv, 6), factorise(linear, 6)
    assert torch.allclose(a.weight, b.weight, atol=1e-6)
    assert (a.in_features, a.out_features) == (20, 12)
    assert isinstance(a.dense(), Conv1D)
    assert isinstance(b.dense(), nn.Linear)


def test_energy_fraction_by_hand():
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([3.0, 2.0, 1.0, 1.0])))  # energy 9, 4, 1, 1
    assert [factorise(layer, f).rank for f in (0.1, 0.6, 0.61, 13 / 15, 0.9, 1.0)] == [
        1,
        1,
        2,
        2,
        3,
        4,
    ]


def test_row_weights_minimise_the_weighted_error():
    torch.manual_seed(3)
    layer, w = nn.Linear(10, 8), torch.rand(10) + 0.1

    def error(factors):
        return ((factors.weight - layer.weight) * w).norm()

    weighted = factorise(layer, 3, row_weights=w)
    assert error(weighted) < error(factorise(layer, 3))
    tail = torch.linalg.svdvals(layer.weight * w)[3:].norm()
    assert torch.isclose(error(weighted), tail, rtol=1e-4)


def test_dense_where_factors_cost_more():
    model = compress(bert()[0], 17)  # break-even: 16 for 32 x 32, 21 for 32 x 64
    assert {(r.m, r.n, r.rank) for r in ranks(model)} == {
        (32, 32, None),
        (32, 64, 17),
        (64, 32, 17),
    }


def test_include_and_exclude():
    model = compress(bert()[0], 4, include=["*.query", "bert.pooler*"], exclude=["*.1.*"])
    assert list(low_rank_layers(model)) == [
        "bert.encoder.layer.0.attention.self.query",
        "bert.pooler.dense",
    ]


def test_own_fused_layers():
    model = nn.Sequential()
    model.blocks = nn.ModuleList([nn.ModuleDict({"qkv": nn.Linear(8, 24)})])
    compress(model, 2, fused={"*.qkv": ("q", "k", "v")})
    assert list(low_rank_layers(model)) == [f"blocks.0.qkv.{n}" for n in "qkv"]


def test_tied_head_stays_tied_in_the_file(tmp_path):
    model = compress(llama()[0], 4)
    save_compressed(model, tmp_path / "c")
    assert read_ranks(tmp_path / "c")["tied"] == {"lm_head.weight": "model.embed_tokens.weight"}
    fresh = load_compressed(llama()[0], tmp_path / "c")
    assert fresh.lm_head.weight is fresh.model.embed_tokens.weight


def test_importance_travels_with_the_ranks(tmp_path):
    model = compress(bert()[0], 4)
    name = next(iter(low_rank_layers(model)))
    save_compressed(model, tmp_path / "c", importance={name: torch.tensor([4.0, 3.0, 2.0, 1.0])})
    save_compressed(model, tmp_path / "c", importance={name: torch.arange(4.0)})  # replaces
    assert read_ranks(tmp_path / "c")["layers"][name]["importance"] == [0, 1, 2, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def nan_layer():
    layer = nn.Linear(4, 4)
    nn.init.constant_(layer.weight, float("nan"))
    return layer


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: factorise(nn.Linear(4, 6), 0), "rank of layer must be from 1 to 4; got 0"),
        (lambda: factorise(nn.Linear(4, 6), 5), "rank of layer must be from 1 to 4; got 5"),
        (
            lambda: factorise(nn.Linear(4, 6), 1.5),
            "rank of layer must be an integer from 1 to 4, 'hard-threshold' or an energy fraction "
            "(float) above 0 and at most 1; got 1.5",
        ),
        (lambda: factorise(nan_layer(), 2), "layer must be finite; it holds NaN or infinity"),
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
            lambda: compress(bert()[0], {"bert.pooler.densee": 3}, include=["*pooler*"]),
            "rank: no matrix 'bert.pooler.densee' to compress; nearest: bert.pooler.dense",
        ),
        (
            lambda: compress(llama()[0], 4, include=["lm_head"]),
            "lm_head: its weight is shared with another module; exclude it",
        ),
        (
            lambda: compress(bert()[0], 4, include=["*.querry"]),
            "include: no linear layer matches '*.querry'; nearest: none",
        ),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ModelError) as caught:
        act()
    assert str(caught.value) == message


def test_a_refusal_leaves_the_model_alone():
    model, _ = bert()
    nn.init.constant_(model.bert.encoder.layer[1].output.dense.weight, float("inf"))
    with pytest.raises(ModelError, match=r"layer\.1\.output\.dense must be finite"):
        compress(model, 4)
    assert not low_rank_layers(model)


def test_broken_checkpoints(tmp_path):
    folder = tmp_path / "c"
    with pytest.raises(ModelError, match="compress it first"):
        save_compressed(bert()[0], folder)
    torch.save({}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="pickled checkpoints are not read"):
        load_compressed(bert()[0], tmp_path / "model.pt")
    with pytest.raises(ModelError, match="new folder or a checkpoint to replace"):
        save_compressed(compress(bert()[0], 4), tmp_path)
    save_compressed(compress(bert()[0], 4), folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no such file \\(pickled checkpoints are not read"):
        load_compressed(bert()[0], folder)
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    with pytest.raises(ModelError, match="no dense linear layer"):
        load_compressed(vit()[0], folder)
    entry = read_ranks(folder)
    for value, message in ((0, "from 1 to 32; got 0"), (5, "must have shape"), (None, "broken")):
        entry["layers"]["bert.encoder.layer.0.output.dense"]["rank"] = value
        (folder / "ranks.json").write_text(json.dumps(entry))
        model, _ = bert()
        with pytest.raises(ModelError, match=message):
            load_compressed(model, folder)
        assert not low_rank_layers(model)
    (folder / "ranks.json").write_text(json.dumps({"format": entry["format"], "layers": {}}))
    with pytest.raises(ModelError, match="key 'split' must be an object"):
        load_compressed(bert()[0], folder)
    (folder / "ranks.json").write_text("{}")
    with pytest.raises(ModelError, match="format must be"):
        read_ranks(folder)


def test_shapes_that_do_not_fit():
    with pytest.raises(ModelError, match="of one rank r"):
        LowRankLinear(torch.ones(3, 2), None, torch.ones(4, 1))
