"""Ranks of a model in its graph: names agree for every family, and what they cost."""

import pytest
import torch

from hyflexsim.models.cells.on_chip import matrices
from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.models.lowrank.compress import compress, fold, low_rank_layers
from hyflexsim.sim.graph import GraphError
from hyflexsim.workloads.compression.cost_on_chip import cost, ranked
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.extract import extract_config
from hyflexsim.workloads.extraction.ranks import exact_ops
from hyflexsim.workloads.run.prepare import checkpoint_graph

COMMON = {"vocab_size": 20, "num_hidden_layers": 2, "hidden_size": 32}
FAMILIES = {
    "bert": COMMON
    | {"architectures": ["BertForSequenceClassification"], "num_attention_heads": 2}
    | {"intermediate_size": 64},
    "gpt2": {"architectures": ["GPT2LMHeadModel"], "vocab_size": 20, "n_positions": 16}
    | {"n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0},
    "llama": COMMON
    | {"architectures": ["LlamaForCausalLM"], "num_attention_heads": 4}
    | {"num_key_value_heads": 2, "intermediate_size": 64},
    "vit": {"architectures": ["ViTForImageClassification"], "image_size": 8, "patch_size": 4}
    | {"num_channels": 1, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    | {"intermediate_size": 64},
    "mamba": COMMON | {"architectures": ["MambaForCausalLM"], "state_size": 4, "time_step_rank": 4},
    "part": {"input_dim": 17, "embed_dims": [16, 32], "pair_embed_dims": [8], "num_heads": 4}
    | {"num_layers": 2, "num_cls_layers": 1, "num_classes": 5},
}


@pytest.fixture(params=FAMILIES)
def family(request):
    """(name, configuration) of a small model of each family."""
    return request.param, {"model_type": request.param, **FAMILIES[request.param]}


def plain(op):
    """The name of an op without the mark of the class token, which shares its weight."""
    return op.split("@")[0]


def test_what_is_on_noisy_cells_is_what_the_graph_puts_there(family):
    name, config = family
    graph = extract_config(name, config)
    torch.manual_seed(0)
    model = compress(model_zoo.build(name, config, empty=False), 4)
    prefix = graph.graph["prefix"]
    gemv = {plain(op) for op, kind in graph.nodes(data="kind") if kind == "gemv"}
    exact = {plain(op) for op in exact_ops(graph)}
    assert {path.removeprefix(prefix) for path in matrices(model)} == gemv - exact
    ranks = {path: layer.rank for path, layer in low_rank_layers(model).items()}
    assert ranks
    with_ranks = ranked(name, config, ranks)
    got = {plain(op): rank for op, rank in with_ranks.nodes(data="rank") if rank is not None}
    assert got == {path.removeprefix(prefix): rank for path, rank in ranks.items()}


def test_a_rank_that_the_graph_does_not_know(vit_config):
    with pytest.raises(GraphError, match=r"tiny: the graph has no op 'encoder\.layer\.7"):
        ranked("tiny", vit_config, {"vit.encoder.layer.7.attention.q": 3})


def test_the_graph_of_a_checkpoint_has_its_ranks(checkpoint):
    graph = checkpoint_graph(str(checkpoint))
    prefix = graph.graph["prefix"]
    layers = read_ranks(checkpoint)["layers"]
    found = {
        f"{prefix}{op}": data["rank"]
        for op, data in graph.nodes(data=True)
        if data.get("rank") is not None
    }
    assert found == {path: layer["rank"] for path, layer in layers.items()}
    for op, data in graph.nodes(data=True):
        path = f"{prefix}{op}"
        if path in layers:
            assert (data["rows"], data["cols"]) == (layers[path]["m"], layers[path]["n"])


def test_fewer_ranks_and_multi_level_cells_need_fewer_arrays(tiny_recipe, vit_config):
    recipe = tiny_recipe()
    config = vit_config | {"num_labels": 10}
    model = fold(compress(model_zoo.build("x", config, empty=False), 8))
    ranks = {path: layer.rank for path, layer in low_rank_layers(model).items()}
    dense, low, mlc = (
        cost(recipe, ranked("x", config, chosen), rate)[0]
        for chosen, rate in (({}, 1.0), (ranks, 1.0), (ranks, 0.0))
    )
    # a token's MACs: m n of a dense matrix, r (m + n) of factors; two requests of five tokens
    saved = 2 * sum(32 * n - 8 * (32 + n) for n in (32, 32, 32, 32, 64, 64))
    assert dense.macs - low.macs == 2 * 5 * saved
    assert low.macs == mlc.macs
    assert mlc.arrays < low.arrays
    assert mlc.energy_pj < low.energy_pj
    assert dense.makespan_ps >= dense.latency_ps > 0
    assert low.throughput_per_s == pytest.approx(2 / (low.makespan_ps * 1e-12))
