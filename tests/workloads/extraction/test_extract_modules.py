"""Torch modules of the user's own, refusals, and the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hyflexsim.sim import cache
from hyflexsim.sim import graph as vocabulary
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction.extract import extract

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

SMALL = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "vocab_size": 50}
SMALL |= {"intermediate_size": 48, "max_position_embeddings": 32}


class Mini(nn.Module):
    """One block with torch's own attention function, pooled over tokens."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(
            [nn.ModuleDict({"qkv": nn.Linear(16, 48), "out": nn.Linear(16, 16)})]
        )
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        for block in self.blocks:
            q, k, v = (
                t.unflatten(-1, (2, 8)).transpose(1, 2) for t in block["qkv"](x).chunk(3, -1)
            )
            y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + torch.relu(block["out"](y))
        return self.head(self.norm(x).mean(1))


def test_a_module_of_ones_own():
    model = Mini()
    graph = extract(model, inputs={"x": (1, "N", 16)}, name="mini")
    assert model.training
    assert graph.graph["name"] == "mini"
    assert vocabulary.parameters(graph) == sum(p.numel() for p in model.parameters())
    assert {n: op["kind"] for n, op in graph.nodes(data=True)} == {
        "x": "input",
        "blocks.0.qkv.q": "gemv",
        "blocks.0.qkv.k": "gemv",
        "blocks.0.qkv.v": "gemv",
        "qk": "matmul",
        "softmax": "softmax",
        "pv": "matmul",
        "blocks.0.out": "gemv",
        "relu": "pointwise",
        "add": "pointwise",
        "norm": "norm",
        "mean": "pointwise",
        "head": "gemv",
        "output": "output",
    }
    assert graph.nodes["qk"]["layer"] == "blocks.0"  # by what it reads; it is in no submodule
    assert graph.edges["norm", "mean"]["rule"] == "all"
    assert graph.nodes["head"]["axis"] == "single"
    N = 7
    expected = N * (16 * 48 + 16 * 16) + 2 * 16 * N * N + 16 * 3
    assert sum(vocabulary.macs(graph, N).values()) == expected


def test_a_transformers_module_is_left_as_it_was():
    transformers = pytest.importorskip("transformers")
    from transformers.models.mamba import modeling_mamba  # noqa: PLC0415

    config = transformers.BertConfig(**SMALL)
    with torch.device("meta"):
        model = transformers.BertModel(config, add_pooling_layer=False)
    before = model.config._attn_implementation, modeling_mamba.mamba_selective_scan
    graph = extract(model)
    assert (model.config._attn_implementation, modeling_mamba.mamba_selective_scan) == before
    assert model.training
    assert graph.graph["name"] == "BertModel"
    assert graph.nodes["output"]["axis"] == "sequence"


class Odd(nn.Module):
    """An operator that no unit of the chip has."""

    def __init__(self):
        super().__init__()
        self.sorter = nn.Module()
        self.sorter.forward = lambda x: x.sort(dim=-1).values

    def forward(self, x):
        return self.sorter(x)


def message(call, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_an_unknown_operator_is_refused_by_name_and_module():
    assert message(extract, Odd(), inputs={"x": (1, "N", 4)}, name="odd") == (
        "odd: module 'sorter': operator aten.sort.default is outside the vocabulary "
        "(sim/vocabulary.py)"
    )


def test_an_unknown_name_lists_the_nearest():
    assert message(extract, "bert-bas") == (
        "model: no model 'bert-bas'; nearest names: bert-base, bert-large, vit-base "
        "(or give the path of a config.json)"
    )


def test_a_table_as_long_as_the_input_is_refused(tmp_path):
    """DeBERTa v1 reads of its table the rows of the distances that there are."""
    path = tmp_path / "deberta.json"
    deberta = SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
    path.write_text(json.dumps({"model_type": "deberta"} | deberta))
    assert message(extract, path, cache=False) == (
        "deberta: module 'encoder.layer.0.attention.self.pos_proj': operator aten.linear.default "
        "reads so many rows of a table as there are tokens"
    )


class Distances(nn.Module):
    """Products of tokens with a table, and what is made of them (``how``)."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.table = nn.Parameter(torch.zeros(6, 8))
        self.rows = nn.Linear(8, 8)

    def forward(self, x):
        rows = self.rows(self.table)[None]
        scores = torch.bmm(x, rows.transpose(1, 2))
        if self.how == "chosen":  # by values, not by position
            index = x[..., :1].long().clamp(0, 5).expand(1, x.shape[1], x.shape[1])
            return torch.gather(scores, -1, index)
        if self.how == "mixed":
            return torch.bmm(scores, rows)
        return scores.sigmoid() if self.how == "rows" else torch.bmm(x, x.transpose(1, 2))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("squared", "operator aten.bmm.default multiplies two activations outside a known"),
        ("mixed", "operator aten.bmm.default multiplies two activations outside a known"),
        ("chosen", "operator aten.gather.default gathers by what is no position"),
        ("rows", "operator aten.sigmoid.default works on scores of positions that are not gath"),
    ],
)
def test_products_of_positions_that_are_none(how, reason):
    assert message(extract, Distances(how), inputs={"x": (1, "N", 8)}, cache=False).startswith(
        f"Distances: module '(top)': {reason}"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a JSON file"),
        ("[]", "must hold an object; got list"),
        ("{}", "key 'model_type' must be a model type such as 'bert'; got None"),
        ('{"model_type": "brt"}', "model_type 'brt' is not known to transformers; nearest: "),
        ('{"model_type": "bert", "architectures": ["Foo"]}', "architecture 'Foo' is not known"),
        (
            '{"model_type": "part", "input_dim": 7, "heads": 3}',
            "unknown key 'heads'; known: activation, ",
        ),
        ('{"model_type": "bert", "hidden_size": 10}', "transformers cannot build it: "),
    ],
)
def test_a_broken_configuration_is_refused(text, reason, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(text)
    assert reason in message(extract, path, cache=False)


def test_other_refusals(tmp_path):
    assert "inputs must give the shape" in message(extract, Mini())
    assert message(extract, 3) == (
        "model must be a name, the path of a config.json or a torch module; got int"
    )
    assert message(extract, "gpt2", inputs={"x": (1, "N")}) == (
        "gpt2: inputs may be given for a torch module only"
    )
    assert "No such file" in message(extract, tmp_path / "none.json")


# -- cache ----------------------------------------------------------------------------------------


@pytest.fixture
def small_config(tmp_path, monkeypatch):
    monkeypatch.setenv("HYFLEXSIM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "bert"} | SMALL))
    return path


def test_the_second_call_needs_no_torch(small_config):
    first = extract(small_config)
    code = (
        "import sys; from hyflexsim.workloads.extraction.extract import extract;"
        f"g = extract({str(small_config)!r});"
        "print(len(g), 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(first)), "False", "False"]


def kept(small_config):
    return sorted((small_config.parent / "cache" / f"user-{os.getuid()}").iterdir())


def test_the_cache_goes_by_content_and_mends_itself(small_config):
    first = extract(small_config)
    (file,) = kept(small_config)
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    assert len(extract(small_config)) == len(first)
    assert file.read_bytes() == whole
    small_config.write_text(json.dumps({"model_type": "bert"} | SMALL | {"hidden_size": 64}))
    assert vocabulary.parameters(extract(small_config)) > vocabulary.parameters(first)
    assert len(kept(small_config)) == 2  # no scratch file stays


def test_a_kept_graph_that_was_edited_is_extracted_anew(small_config):
    first = extract(small_config)
    (file,) = kept(small_config)
    whole = file.read_bytes()
    edited = whole.replace(b'"width": 32', b'"width": 16')
    assert edited != whole
    file.write_bytes(edited)
    assert dict(extract(small_config).nodes) == dict(first.nodes)
    assert file.read_bytes() == whole


def test_a_kept_graph_that_is_none_is_extracted_anew(small_config):
    first = extract(small_config)
    (file,) = kept(small_config)
    cache.keep(file.name, b"{}")  # with its right digest
    assert len(extract(small_config)) == len(first)


def test_an_unwritable_cache_is_one_plain_note(small_config, monkeypatch, capsys, recwarn):
    monkeypatch.setenv("HYFLEXSIM_CACHE", str(small_config / "below-a-file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_config))
    cache.note.cache_clear()
    for _ in range(2):
        assert len(extract(small_config)) > 10
    assert capsys.readouterr().err.splitlines() == [
        f"note: no cache in {small_config / name}: Not a directory"
        for name in ("below-a-file", "hyflexsim")
    ]
    assert not recwarn
