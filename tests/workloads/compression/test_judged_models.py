"""Models with their tasks: what is opened, and what does not fit together."""

import pytest
import torch

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.judged_models import open_recipe, score


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
