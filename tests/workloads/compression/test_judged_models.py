"""Models with their tasks: what is opened, and what does not fit together."""

import pytest
import torch

from hyflexsim.models.errors import ModelError
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.judged_models import (
    open_checkpoint,
    open_recipe,
    score,
    unlike_training,
)
from hyflexsim.workloads.scenario.checkpoints import read_about


def test_scores_are_taken_in_evaluation_mode_without_gradients(tiny_recipe):
    model = open_recipe(tiny_recipe()).model
    model.train()
    seen = []

    class Task:
        def score(self, model, limit):
            seen.append((model.training, torch.is_grad_enabled(), limit))
            return {"x": 1.0}

    assert score(model, Task(), 3) == {"x": 1.0}
    assert seen == [(False, False, 3)]
    assert model.training


def test_a_head_of_another_size(tiny_recipe, vit_config):
    recipe = tiny_recipe(model={"config": vit_config | {"num_labels": 7}})
    with pytest.raises(InputError) as caught:
        open_recipe(recipe)
    assert str(caught.value) == "model.config.num_labels must be 10, the data's classes; got 7"


def test_an_embedding_without_all_bytes_is_refused(tiny_recipe):
    config = {"model_type": "gpt2", "vocab_size": 100, "n_embd": 32, "n_layer": 1, "n_head": 2}
    recipe = tiny_recipe(model={"config": config})
    data = {"name": "pydoc", "window": 16, "test_windows": 2}
    recipe = recipe.model_copy(update={"data": data})
    with pytest.raises(InputError) as caught:
        open_recipe(recipe)
    expected = "model.config.vocab_size must be at least 256, the data's tokens; got 100"
    assert str(caught.value) == expected


def test_mimetic_attention_is_drawn_from_the_seed_and_nothing_else_moves(tiny_recipe, vit_config):
    def weights(initial, seed=0):
        recipe = tiny_recipe(model={"config": vit_config, "initial": initial})
        opened = open_recipe(recipe.model_copy(update={"seed": seed}))
        return opened.model.state_dict()

    plain, one, two = weights("random"), weights("mimetic"), weights("mimetic")
    moved = {name for name in plain if not torch.equal(plain[name], one[name])}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in moved} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        "embeddings",
    }
    assert all(torch.equal(one[name], two[name]) for name in one)
    at = next(name for name in moved if name.endswith("v_proj.weight"))
    assert not torch.equal(one[at], weights("mimetic", seed=1)[at])


def test_mimetic_attention_of_a_model_that_has_none_of_it(tiny_recipe):
    config = {"model_type": "mamba", "vocab_size": 256, "hidden_size": 16, "num_hidden_layers": 1}
    recipe = tiny_recipe(model={"config": config, "initial": "mimetic"})
    recipe = recipe.model_copy(update={"data": {"name": "pydoc", "window": 16, "test_windows": 2}})
    with pytest.raises(ModelError, match="has no attention with q_proj"):
        open_recipe(recipe)


def test_items_unlike_those_that_were_trained_on_are_named(checkpoint):
    """Negatives of digits: the ground is white, so each of them is brighter than any was."""
    opened, about = open_checkpoint(checkpoint), read_about(checkpoint)
    assert unlike_training(opened, about) == []
    opened.task._test *= -1
    (line,) = unlike_training(opened, about)
    assert line.startswith("scores are a guess: brightness of 100.0% of the pictures is outside of")
    del about["seen"]  # a checkpoint of before 2026-11-28
    assert unlike_training(opened, about) == []
