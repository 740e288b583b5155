"""ParT: names, counts, symmetries, and weights of both weaver-core lines.

Models are small (two particle blocks, one class block) unless the published size is the
point; parameters and batch-norm statistics are drawn at random, so no term is hidden behind
a zero or a one.
"""

import math
from importlib.metadata import version

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part import attention
from hyflexsim.models.part.pairs import pair_features
from hyflexsim.models.part.transformer import PART_CONFIGS, Block, ParticleTransformer
from hyflexsim.models.part.weights import convert_head_order, fold_head_scale, load_state_dict_any

SMALL = PART_CONFIGS["part-kin"] | {"num_layers": 2, "num_cls_layers": 1}


def randomise(model, seed=0):
    """All parameters and running statistics at random, in evaluation mode."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            spread, centre = (0.3, 0.5) if p.dim() == 1 else (0.08, 0.0)
            p.copy_(centre + spread * torch.randn(p.shape, generator=draw))
        for name, b in model.named_buffers():
            if "running" in name:
                b.copy_(0.3 + torch.rand(b.shape, generator=draw))
    return model.eval()


def jets(features=7, batch=3, n=12, seed=1):
    """Random features (B, F, N) and massive four-vectors (B, 4, N) in GeV."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, features, n, generator=draw)
    p = 5 * torch.randn(batch, 3, n, generator=draw)
    energy = (p.square().sum(1, keepdim=True) + 0.14**2).sqrt()
    return x, torch.cat([p, energy], dim=1)


@pytest.fixture
def small():
    return randomise(ParticleTransformer(**SMALL))


def close(a, b, tolerance=1e-5):
    return torch.testing.assert_close(a, b, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("name", "features", "parameters"),
    [("part-full", 17, 2_143_486), ("part-kinpid", 13, 2_142_958), ("part-kin", 7, 2_142_166)],
)
def test_parameter_counts(name, features, parameters):
    with torch.device("meta"):
        model = ParticleTransformer(**PART_CONFIGS[name])
    assert model.embed.input_bn.num_features == features
    assert sum(p.numel() for p in model.parameters()) == parameters


def expected_shapes(f=17):
    """Every entry of the published full model's state dict, written out by hand."""

    def linear(name, out, inner):
        return {f"{name}.weight": (out, inner), f"{name}.bias": (out,)}

    def norm(name, width):
        return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

    def batch_norm(name, width):
        return norm(name, width) | {
            f"{name}.running_mean": (width,),
            f"{name}.running_var": (width,),
            f"{name}.num_batches_tracked": (),
        }

    shapes = {"cls_token": (1, 1, 128)} | batch_norm("embed.input_bn", f)
    for i, (inner, out) in enumerate([(f, 128), (128, 512), (512, 128)]):
        shapes |= norm(f"embed.embed.{3 * i}", inner)
        shapes |= linear(f"embed.embed.{3 * i + 1}", out, inner)
    shapes |= batch_norm("pair_embed.embed.0", 4)
    for i, (inner, out) in enumerate([(4, 64), (64, 64), (64, 64), (64, 8)]):
        conv = f"pair_embed.embed.{3 * i + 1}"
        shapes |= {f"{conv}.weight": (out, inner, 1), f"{conv}.bias": (out,)}
        shapes |= batch_norm(f"pair_embed.embed.{3 * i + 2}", out)
    for block in [f"blocks.{i}" for i in range(8)] + ["cls_blocks.0", "cls_blocks.1"]:
        shapes |= {f"{block}.c_attn": (8,), f"{block}.w_resid": (128,)}
        for name, width in [("pre_attn", 128), ("post_attn", 128), ("pre_fc", 128)]:
            shapes |= norm(f"{block}.{name}_norm", width)
        shapes |= norm(f"{block}.post_fc_norm", 512)
        shapes |= linear(f"{block}.attn.in_proj", 384, 128)
        shapes |= linear(f"{block}.attn.out_proj", 128, 128)
        shapes |= linear(f"{block}.fc1", 512, 128) | linear(f"{block}.fc2", 128, 512)
    return shapes | norm("norm", 128) | linear("fc.0", 10, 128)


def test_names_and_shapes():
    with torch.device("meta"):
        model = ParticleTransformer(**PART_CONFIGS["part-full"])
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert shapes == expected_shapes()
    assert len(shapes) == 235


def test_order_of_particles_does_not_matter(small):
    x, v = jets()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    close(small(x[:, :, order], v[:, :, order]), small(x, v))
    _, before = small(x, v, None, return_attention=True)
    _, after = small(x[:, :, order], v[:, :, order], None, return_attention=True)
    close(after[0].weights, before[0].weights[:, :, order][..., order])
    close(after[0].bias, before[0].bias[:, :, order][..., order])


def test_padding_gets_no_attention_and_changes_nothing(small):
    x, v = jets()
    mask = torch.ones(3, 1, 12)
    mask[:, :, 9:] = 0
    logits, layers = small(x, v, mask, return_attention=True)
    for layer in layers:
        extra = layer.weights.shape[-1] - 12  # the class token comes first in class blocks
        assert (layer.weights[..., 9 + extra :] == 0).all()
        close(layer.weights.sum(-1), torch.ones(layer.weights.shape[:-1]))
    close(logits, small(x[:, :, :9], v[:, :, :9]))
    garbage_x, garbage_v = x.clone(), v.clone()
    garbage_x[:, :, 9:], garbage_v[:, :, 9:] = 100.0, 0.0
    close(small(garbage_x, garbage_v, mask), logits)


def test_attention_is_softmax_of_qk_plus_bias(small):
    x, v = jets()
    logits, layers = small(x, v, None, return_attention=True)
    assert [layer.name for layer in layers] == ["blocks.0", "blocks.1", "cls_blocks.0"]
    assert layers[0].qk.shape == (3, 8, 12, 12)
    assert layers[2].qk.shape == (3, 8, 1, 13)
    assert layers[2].bias is None
    close((layers[1].qk + layers[1].bias).softmax(-1), layers[1].weights)
    assert layers[0].bias is layers[1].bias  # one U for all particle blocks
    assert len(small(x, v, None, return_attention=True)[1]) == 3  # nothing piles up
    close(small(x, v), logits)


def test_pair_features_by_hand():
    """Two massless particles of pt 3 and 1 GeV at right angles, both at rapidity 0.

    kT = pi/2, z = 1/4, Delta = pi/2, m2 = 4^2 - (3^2 + 1^2) = 6.
    """
    a = torch.tensor([3.0, 0.0, 0.0, 3.0]).reshape(1, 4, 1)
    b = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(1, 4, 1)
    quarter = math.log(math.pi / 2)
    expected = torch.tensor([quarter, math.log(0.25), quarter, math.log(6)]).reshape(1, 4, 1)
    close(pair_features(a, b), expected)
    close(pair_features(b, a), expected)
    itself = pair_features(a, a).flatten()
    close(itself[2], torch.tensor(math.log(1e-8)))
    close(itself[1], torch.tensor(math.log(0.5)))


def test_rapidity_enters_delta():
    """pz = E tanh(1) is rapidity 1, so Delta to a particle at rapidity 0 is 1."""
    a = torch.tensor([1.0, 0.0, math.sinh(1.0), math.cosh(1.0)]).reshape(1, 4, 1)
    b = torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(1, 4, 1)
    close(pair_features(a, b)[0, 2, 0], torch.tensor(0.0))


@pytest.mark.parametrize("angle", [0.5, 2.0, -3.0])
def test_rotation_in_phi_leaves_pair_features(angle):
    _, v = (t.double() for t in jets())
    c, s = math.cos(angle), math.sin(angle)
    px, py, pz, energy = v.unbind(1)
    turned = torch.stack([c * px - s * py, s * px + c * py, pz, energy], dim=1)
    i, j = torch.tril_indices(12, 12, offset=-1)
    close(
        pair_features(turned[:, :, i], turned[:, :, j]),
        pair_features(v[:, :, i], v[:, :, j]),
        1e-9,
    )


def test_bias_is_symmetric_and_mirrors_all_pairs(small):
    _, v = jets()
    u = small.pair_embed(v)
    assert u.shape == (3, 8, 12, 12)
    assert torch.equal(u, u.transpose(-1, -2))
    i, j = (t.flatten() for t in torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij"))
    plain = small.pair_embed.embed(pair_features(v[:, :, i], v[:, :, j])).reshape(u.shape)
    close(u, plain)
    assert u.min() >= -0.17  # the last GELU


class OldBlock(Block):
    """Head order of weaver-core <= 0.4.17: heads are scaled, then (H, D) is transposed."""

    def forward(self, x, cls=None, bias=None, keep=None, record=None):
        u = self.pre_attn_norm(x if cls is None else torch.cat([cls, x], dim=1))
        query = u if cls is None else cls
        y = self.attn(query, u, bias if cls is None else None, keep)
        heads = y.reshape(*y.shape[:2], 8, 16)  # (B, N, H, D)
        y = torch.einsum("tbhd,h->tbdh", heads, self.c_attn).reshape(y.shape)
        x = (x if cls is None else cls) + self.post_attn_norm(y)
        y = self.post_fc_norm(self.act(self.fc1(self.pre_fc_norm(x))))
        return self.fc2(y) + self.w_resid * x


def old_line(model):
    """What weaver-core 0.4 would save for these weights: its names, its prefix."""
    return {
        "mod." + key.replace("attn.in_proj.", "attn.in_proj_"): value
        for key, value in model.state_dict().items()
    }


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_old_head_order(small, tmp_path, suffix):
    path = tmp_path / f"old{suffix}"
    (torch.save if suffix == ".pt" else save_file)(old_line(small), path)
    x, v = jets()
    new_order = small(x, v)
    for block in (*small.blocks, *small.cls_blocks):
        block.__class__ = OldBlock
    reference = small(x, v)
    loaded = load_state_dict_any(ParticleTransformer(**SMALL).eval(), path, head_order="0.4")
    close(loaded(x, v), reference)
    assert (loaded.blocks[0].c_attn == 1).all()
    as_new = load_state_dict_any(ParticleTransformer(**SMALL).eval(), path, head_order="0.5")
    close(as_new(x, v), new_order)
    assert (reference - new_order).abs().max() > 0.01  # the order is not a detail


def test_conversion_by_hand():
    """E = 4, H = 2, D = 2: rows 0 1 | 2 3, scaled 10 | 100, read as 0 2 1 3."""
    state = {
        "b.c_attn": torch.tensor([10.0, 100.0]),
        "b.attn.out_proj.weight": torch.arange(4.0)[:, None].repeat(1, 4),
        "b.attn.out_proj.bias": torch.arange(4.0),
    }
    new = convert_head_order(state)
    assert new["b.attn.out_proj.bias"].tolist() == [0, 200, 10, 300]
    assert new["b.attn.out_proj.weight"][:, 0].tolist() == [0, 200, 10, 300]
    assert new["b.c_attn"].tolist() == [1, 1]


def test_folded_head_scale(small):
    x, v = jets()
    before = small(x, v)
    close(fold_head_scale(small)(x, v), before)
    assert not any("c_attn" in key for key in small.state_dict())


def test_plain_load_takes_both_names(small):
    x, v = jets()
    state = {key.removeprefix("mod."): value for key, value in old_line(small).items()}
    other = ParticleTransformer(**SMALL).eval()
    other.load_state_dict(state)
    close(other(x, v), small(x, v), 0)


def drop(state):
    del state["mod.norm.bias"]


def add(state):
    state["mod.extra"] = torch.zeros(1)


def reshape(state):
    state["mod.norm.bias"] = torch.zeros(3)


def poison(state):
    state["mod.norm.bias"][5] = math.nan


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (drop, "lacks key norm.bias; it needs this model's names"),
        (add, "has unknown key extra; it needs this model's names"),
        (reshape, "norm.bias must have shape (128,); got (3,)"),
        (poison, "norm.bias must be finite; it holds NaN or infinity"),
    ],
)
def test_bad_weights_in_one_line(small, tmp_path, harm, message):
    state = {key: value.clone() for key, value in old_line(small).items()}
    harm(state)
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(ModelError) as error:
        load_state_dict_any(small, tmp_path / "bad.pt", head_order="0.4")
    assert str(error.value) == f"{tmp_path / 'bad.pt'}: {message}"


def test_old_names_need_the_order(small, tmp_path):
    torch.save(old_line(small), tmp_path / "old.pt")
    with pytest.raises(ModelError, match=r"head_order must be '0\.4' .* got None$"):
        load_state_dict_any(small, tmp_path / "old.pt")


def test_nothing_is_unpickled(small, tmp_path):
    torch.save(small, tmp_path / "model.pt")  # a whole module: needs its class to load
    with pytest.raises(ModelError, match=r"must be a \.safetensors file or a \.pt file of"):
        load_state_dict_any(small, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="no such file"):
        load_state_dict_any(small, tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"activation": "tanh"}, "activation must be one of gelu, relu; got 'tanh'"),
        ({"pair_input_dim": 3}, "pair_input_dim must be 4, or 0 for no U; got 3"),
        (
            {"num_heads": 7},
            "last of embed_dims must be a multiple of num_heads=7; got embed_dims=(128, 512, 128)",
        ),
        (
            {"block_params": {"depth": 3}},
            "block_params may set ffn_ratio, dropout, attn_dropout, activation_dropout, "
            "activation; got 'depth'",
        ),
    ],
)
def test_bad_arguments_in_one_line(argument, message):
    with pytest.raises(ModelError) as error:
        ParticleTransformer(**SMALL | argument)
    assert str(error.value) == message


def test_variants():
    """No U, no last activation, a wider head, probabilities: all run and have their shape."""
    x, v = jets()
    plain = ParticleTransformer(**SMALL | {"pair_input_dim": 0, "fc_params": [(32, 0.1)]}).eval()
    assert plain.pair_embed is None
    assert plain(x).shape == (3, 10)
    bare = ParticleTransformer(**SMALL | {"use_pre_activation_pair": True, "for_inference": True})
    assert isinstance(bare.pair_embed.embed[-1], nn.BatchNorm1d)
    close(bare.eval()(x, v).sum(-1), torch.ones(3))


def test_trains():
    model = ParticleTransformer(**SMALL)
    x, v = jets()
    model.train()(x, v, torch.ones(3, 1, 12)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_exports_with_any_number_of_particles(small):
    x, v = jets(batch=1)
    free = {2: torch.export.Dim.DYNAMIC}
    program = torch.export.export(small, (x, v), dynamic_shapes=(free, free), strict=False)
    paths = {
        path
        for node in program.graph.nodes
        for path, _ in node.meta.get("nn_module_stack", {}).values()
    }
    assert {"embed.embed.1", "pair_embed.embed.1", "blocks.1.attn", "cls_blocks.0.fc1"} <= paths
    for n in (5, 40):
        x, v = jets(batch=1, n=n)
        close(program.module()(x, v), small(x, v))


def test_attention_can_be_replaced(small, monkeypatch):
    seen = []

    def spy(q, k, v, bias=None, keep=None, *, dropout=0.0):
        seen.append((q.shape[2], k.shape[2], bias is not None))
        return q

    monkeypatch.setattr(attention, "attention", spy)
    small(*jets())
    assert seen == [(12, 12, True), (12, 12, True), (1, 13, False)]


def test_agrees_with_weaver_core(tmp_path):
    """The class of weaver-core, either line, same random weights, padded jets: to 1e-5.

    Both lines were checked so, 0.4.17 and 0.5.3; in an environment of its own, since one excludes
    the other: pip install --no-deps weaver-core==0.4.17.
    """
    weaver = pytest.importorskip(
        "weaver.nn.model.ParticleTransformer",
        reason="needs weaver-core: pip install --no-deps weaver-core==0.4.17, or 0.5.3",
    )
    line = version("weaver-core")[:3]
    config = PART_CONFIGS["part-full"]
    lists = {key: list(value) for key, value in config.items() if isinstance(value, tuple)}
    reference = randomise(weaver.ParticleTransformer(**config | lists, trim=False))
    state = {f"mod.{key}": value for key, value in reference.state_dict().items()}
    torch.save(state, tmp_path / "weaver.pt")
    model = ParticleTransformer(**config).eval()
    load_state_dict_any(model, tmp_path / "weaver.pt", "0.4" if line == "0.4" else "0.5")
    x, v = jets(features=17, batch=4, n=40)
    mask = torch.arange(40)[None, None] < torch.tensor([40, 31, 8, 2])[:, None, None]
    with torch.no_grad():
        close(model(x * mask, v * mask, mask), reference(x * mask, v=v * mask, mask=mask))
