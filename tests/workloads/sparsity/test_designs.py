"""Trained designs: one tiny training, its row, and what is refused."""

import math

import pytest

from hyflexsim.models.part.checkpoint import named_spec
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.sparsity.designs import (
    DESIGNS,
    chosen,
    recipe_of,
    scores_in,
    train_designs,
)

SHORT = {
    "classes": ["QCD", "Hbb", "Tbqq"],
    "steps": 2,
    "batch": 8,
    "train_jets": 10,
    "watch_every": 2,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("designs")
    return folder, list(train_designs(folder, chosen("least-16"), changes=SHORT))


def test_every_design_is_a_model_of_its_own():
    shapes = {(d.published, d.particles, repr(recipe_of(d).shape)) for d in DESIGNS}
    assert len(shapes) == len(DESIGNS) == len({d.key for d in DESIGNS})


def test_a_row(trained):
    folder, (row,) = trained
    assert (row["key"], row["particles"], row["steps"]) == ("least-16", 16, 2)
    assert (folder / "least-16" / "model.safetensors").is_file()
    e, heads, classes = 64, 4, 3
    block = 12 * e**2 + 24 * e + heads  # matrices; biases, norms and shares of heads and residual
    embedding = 2 * 17 + 2 * 17 + 17 * e + e
    assert row["parameters"] == 2 * block + embedding + e + 2 * e + classes * e + classes
    assert 0 <= row["accuracy"] <= 1
    assert row["rejection_Hbb_low"] > 0
    assert scores_in(folder) == [row]


def test_parameters_of_the_published_size():
    assert (
        sum(p.numel() for p in named_spec("part-full", PartRecipe().classes).build().parameters())
        == 2_143_486
    )


def test_what_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match=r"--designs must be of full, small, .*; got 'x'"):
        chosen("x")
    with pytest.raises(InputError, match="holds no trained design"):
        scores_in(tmp_path)
    (tmp_path / "one").symlink_to(trained[0] / "least-16")
    with pytest.raises(InputError, match="holds another model than design one"):
        scores_in(tmp_path, chosen("one"))
    assert not math.isnan(trained[1][0]["accuracy"])
