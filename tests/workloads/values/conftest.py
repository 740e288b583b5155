"""Small models of every family, from configurations with random weights, opened once."""

import json

import pytest
import torch

from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.values.executed import Sides

_LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 50,
    "hidden_size": 72,  # two row tiles, the second begun
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "initializer_range": 0.2,
}
CONFIGS = {
    "llama": _LLAMA,
    "gpt2": {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": 50,
        "n_positions": 32,
        "n_embd": 80,
        "n_layer": 2,
        "n_head": 2,
        "initializer_range": 0.2,
    },
    "bert": {
        "model_type": "bert",
        "vocab_size": 50,
        "hidden_size": 72,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 32,
        "initializer_range": 0.2,
    },
    "vit": {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "image_size": 8,
        "patch_size": 4,
        "num_channels": 1,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "num_labels": 3,
    },
    "mamba": {
        "model_type": "mamba",
        "architectures": ["MambaForCausalLM"],
        "vocab_size": 50,
        "hidden_size": 40,
        "num_hidden_layers": 2,
        "state_size": 4,
        "conv_kernel": 4,
        "expand": 2,
        "time_step_rank": 3,
        "tie_word_embeddings": True,
    },
    "part": {
        "model_type": "part",
        "input_dim": 7,
        "num_classes": 3,
        "pair_input_dim": 4,
        "embed_dims": [32, 72, 32],
        "pair_embed_dims": [8, 8],
        "num_heads": 4,
        "num_layers": 2,
        "num_cls_layers": 1,
        "fc_params": [],
    },
}
WORKLOADS = {
    "llama": {"kind": "generate", "prefill": 4, "decode": 4},
    "gpt2": {"kind": "tokens", "tokens": 9, "logits": "all"},
    "bert": {"kind": "tokens", "tokens": 7},
    "vit": {"kind": "tokens", "tokens": 5},
    "mamba": {"kind": "tokens", "tokens": 9, "logits": "last"},
    "part": {"kind": "jets", "count": 1, "classes": ["QCD"]},
}


@pytest.fixture(scope="session")
def make_scenario(tmp_path_factory):
    """A function: a scenario of a small model; ``changes`` by section."""
    folder = tmp_path_factory.mktemp("configs")

    def scenario(name, **changes):
        file = folder / f"{name}.json"
        file.write_text(json.dumps(CONFIGS[name]))
        content = {
            "title": name,
            "model": {"name": str(file), "rank": "hard-threshold"},
            "mapping": {"slc_rate": 0.3},
            "workload": WORKLOADS[name],
        }
        for section, values in changes.items():
            content[section] = content.get(section, {}) | values
        return Scenario.model_validate({"name": name, **content})

    return scenario


@pytest.fixture(scope="session")
def opened(make_scenario):
    """A function: both sides of a small model, opened once a session for the same changes."""
    torch.set_num_threads(1)
    kept = {}

    def sides(name, cells="ideal", **changes):
        key = json.dumps([name, cells, changes], sort_keys=True)
        if key not in kept:
            with torch.no_grad():
                kept[key] = Sides(make_scenario(name, **changes), cells)
        return kept[key]

    return sides


@pytest.fixture
def run():
    """A function: play with changes, without gradients."""

    def play(sides, **changes):
        with torch.no_grad():
            return sides.run(**changes)

    return play
