"""A small ParT with random weights, on jets of the sample; with one particle a jet, too."""

import pytest
import torch

from hyflexsim.models.part.checkpoint import PartSpec, save_part
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.compression.stages import compress_recipe
from hyflexsim.workloads.sparsity.scored_jets import ScoredJets

TINY = {
    "input_dim": 7,
    "num_classes": 2,
    "embed_dims": (16,),
    "pair_embed_dims": (8,),
    "num_heads": 2,
    "num_layers": 2,
    "num_cls_layers": 1,
}


@pytest.fixture(scope="session")
def subject_of(tmp_path_factory):
    """A function: the model and the last jets of two classes, so many particles read."""
    kept = {}

    def made(particles):
        if particles not in kept:
            torch.manual_seed(3)
            spec = PartSpec(TINY, "kin", particles, ("QCD", "Tbqq"))
            model = spec.build()
            for block in model.blocks:  # scores far enough apart that few keys are not all alike
                torch.nn.init.normal_(block.attn.in_proj.weight, std=0.4)
            file = tmp_path_factory.mktemp("tiny") / "model.safetensors"
            save_part(file, model, spec)
            kept[particles] = ScoredJets(file, None, 1, load_chip("hyflexpim-topk"))
        return kept[particles]

    return made


@pytest.fixture(scope="session")
def checkpoint_of_text(tmp_path_factory):
    """A tiny GPT-2 that has read a few lines, compressed."""
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": 256,
        "n_positions": 16,
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    recipe = Recipe.of(
        "text",
        {
            "model": {"config": config},
            "data": {"name": "pydoc", "window": 12, "train_windows": 64, "test_windows": 4},
            "train": {"epochs": 1, "batch": 16, "lr": 1e-2},
            "recover": {"epochs": 1, "batch": 16, "lr": 1e-2},
            "workload": {"kind": "tokens", "tokens": 12, "requests": 1},
        },
        "text.toml",
    )
    folder = tmp_path_factory.mktemp("text") / "text"
    compress_recipe(recipe, folder)
    return folder
