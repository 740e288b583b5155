"""Graphs of the zoo against closed forms worked out by hand, and against torch's own counts.

The closed forms name d width, f hidden width of the feed-forward part, L blocks, V words, N tokens.
A causal model looks at N (N + 1) / 2 pairs of tokens, any other at N squared.
"""

from __future__ import annotations

import json

import pytest

from hyflexsim.sim import graph as vocabulary
from hyflexsim.workloads.extraction.extract import ZOO, extract


@pytest.fixture(scope="module")
def zoo():
    graphs = {}

    def get(name):
        if name not in graphs:
            graphs[name] = extract(name)
        return graphs[name]

    return get


def bert(L, d, f, N):
    pooler = d * d
    return L * (N * (4 * d * d + 2 * d * f) + 2 * d * N * N) + pooler


def gpt2(N, L=12, d=768, V=50257):
    return L * (N * (4 * d * d + 8 * d * d) + d * N * (N + 1)) + N * d * V


def llama(L, f, groups, V, N, d=2048, head=64):
    projections = 2 * d * d + 2 * d * groups * head
    return L * (N * (projections + 3 * d * f) + d * N * (N + 1)) + N * d * V


def vit(N, d=768, f=3072):
    return (N - 1) * 3 * 16 * 16 * d + bert(12, d, f, N) - d * d + d * 1000


def mamba(N, L=24, d=768, inner=1536, state=16, dt=48, V=50280):
    matrices = d * 2 * inner + inner * (dt + 2 * state) + dt * inner + inner * d
    return L * N * (matrices + 3 * inner * state) + N * d * V


def part(F, N, d=128, f=512):
    embed = N * (F * d + d * f + f * d)
    pairs = N * (N + 1) // 2 * (4 * 64 + 64 * 64 + 64 * 64 + 64 * 8)
    blocks = 8 * (N * (4 * d * d + 2 * d * f) + 2 * d * N * N)
    keys_values = 2 * d * d * (N + 1)
    cls_blocks = 2 * (keys_values + 2 * d * d + 2 * d * f + 2 * d * (N + 1))
    return embed + pairs + blocks + cls_blocks + d * 10


KNOWN = {  # parameters (sum of numel of the torch models), MACs as a function of N
    "bert-base": (109_482_240, lambda N: bert(12, 768, 3072, N)),
    "bert-large": (335_141_888, lambda N: bert(24, 1024, 4096, N)),
    "gpt2": (124_439_808, gpt2),
    "distilgpt2": (81_912_576, lambda N: gpt2(N, L=6)),
    "tinyllama-1.1b": (1_100_048_384, lambda N: llama(22, 5632, 4, 32000, N)),
    "llama-3.2-1b": (1_235_814_400, lambda N: llama(16, 8192, 8, 128256, N)),
    "vit-base": (86_567_656, vit),
    "mamba-130m": (129_135_360, mamba),
    "part-full": (2_143_486, lambda N: part(17, N)),
    "part-kin": (2_142_166, lambda N: part(7, N)),
    "part-kinpid": (2_142_958, lambda N: part(13, N)),
}


def test_the_zoo_is_covered():
    assert set(KNOWN) == set(ZOO)


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_are_the_models(zoo, name):
    graph = zoo(name)
    assert vocabulary.parameters(graph) == KNOWN[name][0]
    assert graph.graph["unused_parameters"] == 0
    assert graph.graph["notes"] == []


@pytest.mark.parametrize("name", KNOWN)
def test_macs_are_the_closed_form(zoo, name):
    graph = zoo(name)
    lengths = [197] if name == "vit-base" else [1, 2, 50, 128, 1000]
    for N in lengths:
        assert sum(vocabulary.macs(graph, N).values()) == KNOWN[name][1](N), N


@pytest.mark.parametrize("name", KNOWN)
def test_every_graph_is_valid_and_survives_json(zoo, name, tmp_path):
    graph = zoo(name)
    vocabulary.save(graph, tmp_path / "g.json")
    again = vocabulary.load(tmp_path / "g.json")
    assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True))
    assert list(again.edges(data=True)) == list(graph.edges(data=True))
    assert again.graph == graph.graph
    causal = name in ("gpt2", "distilgpt2", "tinyllama-1.1b", "llama-3.2-1b", "mamba-130m")
    assert graph.graph["causal"] is causal
    assert graph.graph.get("tokens") == (197 if name == "vit-base" else None)
    heads = [n for n, op in graph.nodes(data=True) if op["head"]]
    assert heads == (["lm_head", "output"] if causal else [])


@pytest.mark.parametrize(("name", "blocks"), [("bert-base", 12), ("gpt2", 12), ("mamba-130m", 24)])
def test_blocks_are_alike(zoo, name, blocks):
    graph = zoo(name)
    counts = {}
    for _, op in graph.nodes(data=True):
        counts[op["layer"]] = counts.get(op["layer"], 0) + 1
    sizes = [n for layer, n in counts.items() if layer.rsplit(".", 1)[-1].isdigit()]
    assert len(sizes) == blocks
    assert len(set(sizes)) == 1


def inputs_of(graph, op):
    return {u: rule for u, _, rule in graph.in_edges(op, data="rule")}


def test_a_bert_block_op_by_op(zoo):
    graph = zoo("bert-base")
    names = [n for n, op in graph.nodes(data=True) if op["layer"] == "encoder.layer.3"]
    here = "encoder.layer.3."
    assert [n.removeprefix(here) for n in names] == [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.self.qk",
        "attention.self.softmax",
        "attention.self.pv",
        "attention.output.dense",
        "attention.output.add",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "intermediate.intermediate_act_fn",
        "output.dense",
        "output.add",
        "output.LayerNorm",
    ]
    attention = here + "attention.self."
    assert inputs_of(graph, attention + "qk") == {
        attention + "query": "stream",
        attention + "key": "all",
    }
    assert inputs_of(graph, attention + "pv") == {
        attention + "softmax": "stream",
        attention + "value": "all",
    }
    qk, pv = graph.nodes[attention + "qk"], graph.nodes[attention + "pv"]
    assert (qk["heads"], qk["inner"], qk["width"], qk["multiplies"]) == (
        *(12, 64, 12),
        ["values", "values"],
    )
    assert (pv["heads"], pv["inner"], pv["width"], pv["multiplies"]) == (
        *(12, 64, 768),
        ["probabilities", "values"],
    )
    assert graph.nodes[here + "intermediate.intermediate_act_fn"]["function"] == "gelu"
    assert inputs_of(graph, "pooler.dense") == {"encoder.layer.11.output.LayerNorm": "first"}


def test_fused_projections_are_split_and_ties_counted_once(zoo):
    graph = zoo("gpt2")
    weights = {r: graph.nodes[f"h.0.attn.c_attn.{r}"]["weight"] for r in "qkv"}
    assert weights == {
        "q": "h.0.attn.c_attn.weight[0:768]",
        "k": "h.0.attn.c_attn.weight[768:1536]",
        "v": "h.0.attn.c_attn.weight[1536:2304]",
    }
    assert inputs_of(graph, "h.0.attn.qk") == {
        "h.0.attn.c_attn.q": "stream",
        "h.0.attn.c_attn.k": "prefix",
    }
    assert graph.nodes["wte"]["parameters"] == 0
    assert graph.nodes["wpe"]["parameters"] == 1024 * 768
    assert graph.graph["prefix"] == "transformer."
    assert zoo("tinyllama-1.1b").nodes["embed_tokens"]["parameters"] == 32000 * 2048


def test_grouped_heads_and_rotary(zoo):
    graph = zoo("llama-3.2-1b")
    attention = "layers.0.self_attn."
    assert graph.nodes[attention + "k_proj"]["cols"] == 8 * 64
    assert graph.nodes[attention + "qk"]["heads"] == 32
    assert graph.nodes[attention + "rotary.q"]["elements"] == 2048
    assert graph.nodes[attention + "rotary.k"]["elements"] == 512
    assert inputs_of(graph, attention + "qk") == {
        attention + "rotary.q": "stream",
        attention + "rotary.k": "prefix",
    }
    norms = [op for _, op in graph.nodes(data=True) if op["kind"] == "norm"]
    assert len(norms) == 2 * 16 + 1
    assert {op["parameters"] for op in norms} == {2048}


def test_a_mamba_block_has_a_recurrent_scan(zoo):
    graph = zoo("mamba-130m")
    mixer = "layers.0.mixer."
    scan = graph.nodes[mixer + "scan"]
    assert (scan["channels"], scan["state"]) == (1536, 16)
    assert inputs_of(graph, mixer + "scan") == {
        mixer + "silu": "stream",
        mixer + "softplus": "stream",
        mixer + "x_proj": "stream",
        mixer + "scan": "recurrent",
    }
    conv = graph.nodes[mixer + "conv1d"]
    assert (conv["function"], conv["elements"], conv["parameters"]) == (
        "conv1d",
        1536 * 4,
        1536 * 4 + 1536,
    )


def test_vit_reads_patches_and_a_class_token(zoo):
    graph = zoo("vit-base")
    patches = graph.nodes["embeddings.patch_embeddings.projection"]
    assert (patches["rows"], patches["cols"], patches["extra"]) == (768, 768, -1)
    assert vocabulary.token_count(patches, 197) == 196
    assert inputs_of(graph, "classifier") == {"layernorm": "first"}
    assert inputs_of(graph, "embeddings.add") == {
        "embeddings.patch_embeddings.projection": "prefix",
        "embeddings.cls_token": "stream",
    }


def test_part_by_part(zoo):
    """The table of the ParT paper's 340 M (triangular pairs), N = 128, in millions of MACs."""
    graph = zoo("part-full")
    macs = vocabulary.macs(graph, 128)
    sums = {}
    for name, op in graph.nodes(data=True):
        key = op["layer"].split(".")[0] + ("" if op["kind"] == "gemv" else " dynamic")
        sums[key] = sums.get(key, 0) + macs[name]
    assert sums["embed"] == pytest.approx(17.06e6, abs=5e3)
    assert sums["pair_embed"] == pytest.approx(73.97e6, abs=5e3)
    assert sums["blocks"] == pytest.approx(201.3e6, abs=5e4)
    assert sums["blocks dynamic"] == pytest.approx(33.55e6, abs=5e3)
    assert sums["cls_blocks"] + sums["cls_blocks dynamic"] == pytest.approx(8.85e6, abs=5e3)
    assert sum(macs.values()) == pytest.approx(334.8e6, abs=5e4)
    for N, millions in ((50, 105.5), (40, 81.9)):
        assert sum(vocabulary.macs(graph, N).values()) == pytest.approx(millions * 1e6, abs=5e4)


def test_part_pairs_fold_their_batch_norms_and_reach_every_block(zoo):
    graph = zoo("part-kin")
    pairs = {n: op for n, op in graph.nodes(data=True) if op["axis"] == "pair"}
    shapes = [(op["rows"], op["cols"]) for op in pairs.values() if op["kind"] == "gemv"]
    assert shapes == [(4, 64), (64, 64), (64, 64), (64, 8)]
    assert [op["function"] for op in pairs.values() if op["kind"] == "pointwise"] == [
        "pair_features",
        *["gelu"] * 4,
    ]
    assert not [n for n, op in pairs.items() if op["kind"] == "norm"]
    assert inputs_of(graph, "pair_embed.pair_features") == {"v": "pair"}
    assert pairs["pair_embed.pair_features"]["elements"] == 8
    adds = {v for _, v in graph.out_edges("pair_embed.embed.12")}
    assert adds == {f"blocks.{i}.attn.add" for i in range(8)}
    assert inputs_of(graph, "blocks.5.attn.add") == {
        "blocks.5.attn.qk": "stream",
        "pair_embed.embed.12": "pair",
    }
    add = graph.nodes["blocks.5.attn.add"]
    assert (add["width"], add["elements"], add["context"]) == (8, 8, "all")


def test_part_class_blocks_use_their_weights_twice(zoo):
    graph = zoo("part-kin")
    here = "cls_blocks.1.attn."
    assert inputs_of(graph, here + "qk") == {
        here + "in_proj.q": "stream",
        here + "in_proj.k": "all",
        here + "in_proj.k@cls": "stream",
    }
    particle, token = graph.nodes[here + "in_proj.k"], graph.nodes[here + "in_proj.k@cls"]
    assert particle["weight"] == token["weight"] == here + "in_proj.weight[128:256]"
    assert (particle["axis"], token["axis"]) == ("sequence", "single")
    qk = graph.nodes[here + "qk"]
    assert (qk["axis"], qk["context"], qk["context_extra"]) == ("single", "all", 1)
    assert inputs_of(graph, here + "in_proj.q") == {"cls_blocks.0.add#2": "stream"}
    assert graph.nodes["blocks.0.attn.out_proj"]["parameters"] == 8  # c_attn, folded in
    assert graph.nodes["blocks.0.mul"]["parameters"] == 128  # w_resid


# -- against torch --------------------------------------------------------------------------------

SMALL = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100}
SMALL |= {"intermediate_size": 96, "max_position_embeddings": 64, "pad_token_id": 0}
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": False}
OTHERS = {
    "bert": SMALL | {"architectures": ["BertForSequenceClassification"]},
    "roberta": SMALL,
    "qwen2": GROUPED | {"architectures": ["Qwen2ForCausalLM"]},
    "qwen3": GROUPED | {"architectures": ["Qwen3ForCausalLM"]},
    "phi3": GROUPED | {"architectures": ["Phi3ForCausalLM"]},
    "gpt_neox": SMALL | {"architectures": ["GPTNeoXForCausalLM"]},
    "part": {"input_dim": 5, "embed_dims": [16, 32], "pair_embed_dims": [8], "num_heads": 4}
    | {"num_layers": 3, "num_cls_layers": 1, "num_classes": 2, "use_pre_activation_pair": True}
    | {"fc_params": [[12, 0.1]]},
}


@pytest.fixture
def config_file(tmp_path):
    def write(model_type, **values):
        path = tmp_path / f"{model_type}.json"
        path.write_text(json.dumps({"model_type": model_type} | values))
        return path

    return write


@pytest.mark.parametrize("model_type", OTHERS)
def test_other_configurations_against_torch(model_type, config_file):
    """Each weight of the graph is a matrix of the model; parameters and MACs are torch's."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    from hyflexsim.workloads.extraction import model_zoo  # noqa: PLC0415

    path = config_file(model_type, **OTHERS[model_type])
    graph = extract(path, cache=False)
    model = model_zoo.build(*model_zoo.config_of(path))
    assert vocabulary.parameters(graph) == sum(p.numel() for p in model.parameters())

    named = {k.removeprefix(graph.graph["prefix"]): p for k, p in model.named_parameters()}
    for op in (op for _, op in graph.nodes(data=True) if op["kind"] == "gemv"):
        weight, _, columns = op["weight"].partition("[")
        cols, rows = named[weight].shape[:2]
        if columns:
            first, last = map(int, columns.split("]")[0].split(":"))
            each = columns.partition("of each ")[2]
            cols = (last - first) * (cols // int(each) if each else 1)
        assert (op["rows"], op["cols"]) == (rows, cols), op["weight"]

    N = 12
    if model_type == "part":
        inputs = {"x": torch.zeros(1, 5, N), "v": torch.ones(1, 4, N)}
    else:
        inputs = {"input_ids": torch.zeros(1, N, dtype=torch.int64)}
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    model.requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**{k: v.to("meta") for k, v in inputs.items()})
    macs = vocabulary.macs(graph, N)
    if graph.graph["causal"]:  # torch computes masked scores too; both round up to all N squared
        causal = [n for n, op in graph.nodes(data=True) if op["kind"] == "matmul"]
        macs |= {n: macs[n] * 2 * N // (N + 1) for n in causal}
    assert counter.get_total_flops() // 2 == sum(macs.values())


def test_one_export_serves_every_token_count(config_file, monkeypatch):
    from hyflexsim.workloads.extraction import attention_capture  # noqa: PLC0415

    path = config_file("part", **OTHERS["part"])
    graph = extract(path, cache=False)
    monkeypatch.setattr(attention_capture, "EXAMPLE_TOKENS", 9)
    again = extract(path, cache=False)
    assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True))
    assert list(again.edges(data=True)) == list(graph.edges(data=True))
