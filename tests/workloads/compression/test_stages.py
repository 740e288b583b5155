"""From a recipe to a checkpoint, on digits: what it says, and budgets that are met."""

import json

import pytest
import torch
from safetensors.torch import load_file

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.models.lowrank.layers import break_even
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import stages
from hyflexsim.workloads.compression.judged_models import open_checkpoint, open_recipe, score
from hyflexsim.workloads.compression.recipe import BASELINES, LEARNED
from hyflexsim.workloads.compression.stages import compress_recipe
from hyflexsim.workloads.scenario.checkpoints import read_about


def tensors(folder):
    return load_file(folder / "model.safetensors")


# -- what comes out ------------------------------------------------------------------------------


def test_a_checkpoint_says_everything_about_itself(checkpoint, checkpoint_recipe, vit_config):
    about = read_about(checkpoint)
    assert about["recipe"] == checkpoint_recipe.resolved()
    assert about["config"] == vit_config | {"num_labels": 10}
    assert about["origin"] == "random weights, to be trained"
    assert about["data"].startswith("digits from scikit-learn")
    assert about["metric"]["name"] == "accuracy"
    assert list(about["scores"]) == ["dense", "dense INT8", "truncated", "fine-tuned"]
    assert all(0 <= figures["accuracy"] <= 1 for figures in about["scores"].values())
    counts = about["counts"]
    # six matrices a block of 32 x 32 or 32 x 64, at floor(m n / (m + n))
    assert counts["linears_dense"] == 2 * (4 * 32 * 32 + 2 * 32 * 64)
    assert counts["linears"] == 2 * (4 * 16 * 64 + 2 * 21 * 96)
    picture = about["importance"]
    assert picture["layer"] == "vit.layers.0.attention.q_proj"
    assert (len(picture["before"]), len(picture["svd"]), len(picture["tuned"])) == (32, 16, 16)
    for state in ("before", "svd", "tuned"):
        assert 0 < picture["shares"][state]["0.2"] < 1
    assert set(about) == {
        *("recipe", "config", "origin", "data", "metric", "scores", "counts"),
        *("importance", "seen"),
    }
    assert set(about["seen"]["ranges"]) == {"brightness", "contrast"}
    json.dumps(about, allow_nan=False)


def test_ranks_and_scores_of_every_matrix(checkpoint):
    layers = read_ranks(checkpoint)["layers"]
    assert len(layers) == 12
    for layer in layers.values():
        assert layer["rank"] == break_even(layer["m"], layer["n"])
        assert layer["folded"]
        assert set(layer["scores"]) == {"gradient", "gradient-last"}
        assert all(len(values) == layer["rank"] for values in layer["scores"].values())
        assert all(value >= 0 for values in layer["scores"].values() for value in values)


def test_the_model_of_a_checkpoint_answers_as_the_one_that_was_saved(tiny_recipe, tmp_path):
    recipe, kept = tiny_recipe(compress={"method": "tanh", "budget": 0.4}), {}
    save = stages.save_compressed

    def spy(model, path, **more):
        kept["model"] = model
        save(model, path, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "save_compressed", spy)
        about = compress_recipe(recipe, tmp_path / "c")
    opened = open_checkpoint(tmp_path / "c")
    batch = next(iter(opened.task.batches(50, 0)))["pixel_values"]
    with torch.no_grad():
        saved = kept["model"].eval()(pixel_values=batch).logits
        torch.testing.assert_close(
            opened.model(pixel_values=batch).logits, saved, atol=1e-5, rtol=0
        )
    assert score(opened.model, opened.task) == about["scores"]["fine-tuned"]
    assert not opened.model.training


def test_training_helps_and_without_recovery_nothing_changes(tiny_recipe, checkpoint, tmp_path):
    scores = read_about(checkpoint)["scores"]
    floor = read_about(checkpoint)["metric"]["floor"]
    assert scores["fine-tuned"]["accuracy"] > 0.7 > 2 * floor
    assert scores["dense INT8"]["accuracy"] == pytest.approx(scores["dense"]["accuracy"], abs=0.1)
    quick = tiny_recipe(recover={"epochs": 0}, compress={"method": "uniform", "budget": 0.2})
    scores = compress_recipe(quick, tmp_path / "quick")["scores"]
    assert scores["truncated"] == scores["fine-tuned"]
    layers = read_ranks(tmp_path / "quick")["layers"].values()
    assert all(max(layer["scores"]["gradient"]) > 0 for layer in layers)  # measured all the same


# -- budgets -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def factorised(tiny_recipe):
    """The counts of a method at a budget, by one reading or the other."""

    def run(**how):
        recipe = tiny_recipe(compress=how, train={"epochs": 0})
        opened = open_recipe(recipe)
        stages.factorise(recipe, opened.model, opened.task, lambda *_: None)
        return low_rank.counts(opened.model), low_rank.ranks(opened.model)

    return run


WIDE = {"hidden_size": 128, "intermediate_size": 256}


@pytest.mark.parametrize("method", [*LEARNED, *BASELINES])
def test_budgets_are_met_by_both_readings(tiny_recipe, vit_config, method):
    for reading, budget in (("linears", 0.3), ("total", 0.6)):
        recipe = tiny_recipe(
            model={"config": vit_config | WIDE},
            train={"epochs": 0},
            compress={"method": method, "budget": budget, "reading": reading, "steps": 3},
            data={"train_limit": 32},
        )
        opened = open_recipe(recipe)
        parameters = sum(p.numel() for p in opened.model.parameters())
        stages.factorise(recipe, opened.model, opened.task, lambda *_: None)
        counts = low_rank.counts(opened.model)
        assert counts.total_dense == parameters
        low_rank.fold(opened.model)
        assert counts.total == sum(p.numel() for p in opened.model.parameters())
        part = {
            "linears": (counts.linears, counts.linears_dense),
            "total": (counts.total, counts.total_dense),
        }[reading]
        assert part[0] / part[1] == pytest.approx(budget, rel=0.01)
        assert part[0] <= budget * part[1] + 1


@pytest.mark.parametrize("method", ["tanh", "uniform", "global"])
def test_ranks_are_rounded_to_tiles(factorised, method):
    _, ranks = factorised(method=method, budget=0.5, round=8)
    assert any(row.rank is not None for row in ranks)
    assert all(row.rank is None or row.rank % 8 == 0 for row in ranks)
    _, plain = factorised(method=method, budget=0.5)
    for rounded, row in zip(ranks, plain, strict=True):
        if rounded.rank is not None and row.rank is not None:
            assert abs(rounded.rank - max(row.rank, 8)) <= 4


def test_rounding_never_ships_more_than_the_dense_matrix():
    model = torch.nn.Module()
    model.blocks = torch.nn.ModuleList([torch.nn.Linear(64, 64), torch.nn.Linear(16, 16)])
    found = stages.rounded(model, {"blocks.0": 31, "blocks.1": 5}, 16, low_rank.SKIP)
    assert found == {"blocks.0": 32}  # 16 of 16 would hold twice the values: dense


def test_excluded_matrices_stay_dense(factorised):
    counts, ranks = factorised(method="uniform", budget=0.75, exclude=["*.0.*"])
    dense = {row.name for row in ranks if row.rank is None}
    assert dense == {row.name for row in ranks if ".0." in row.name}
    # the other block, half of all, is at half of its own; the tiny ranks allow 1 % of the whole
    assert counts.linears / counts.linears_dense == pytest.approx(0.75, rel=0.01)


# -- what is trained -----------------------------------------------------------------------------


def test_frozen_parameters_are_the_same_to_the_end(tiny_recipe, tmp_path):
    recipe = tiny_recipe(model={"frozen": ["*embeddings*"]}, compress={"method": "sigmoid"})
    start = open_recipe(recipe).model.state_dict()
    compress_recipe(recipe, tmp_path / "c")
    end = tensors(tmp_path / "c")
    frozen = [name for name in start if "embeddings" in name]
    assert len(frozen) == 4
    assert all(torch.equal(start[name], end[name]) for name in frozen)
    assert not torch.equal(start["classifier.weight"], end["classifier.weight"])


def test_fine_tuning_leaves_the_generator_alone(tiny_recipe):
    recipe = tiny_recipe()
    opened = open_recipe(recipe)
    state = torch.get_rng_state()
    stages.fine_tune(recipe, recipe.train, opened.model, opened.task, lambda *_: None)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_last_epochs_see_all_patches(tiny_recipe):
    recipe = tiny_recipe(train={"epochs": 5, "patches": 3, "whole": 0.4})
    opened = open_recipe(recipe)
    seen = []
    layer = opened.model.base_model.layers[0]
    layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[1]))
    stages.fine_tune(recipe, recipe.train, opened.model, opened.task, lambda *_: None)
    assert seen == [4] * 9 + [5] * 6  # three batches an epoch; the class token is always there


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"name": "digit"}}, "data.name: no data set 'digit'"),
        ({"data": {"colour": 1}}, "data.colour: not an option of digits"),
        (
            {"model": {"config": {"model_type": "vitt"}}},
            "tiny: model_type 'vitt' is not known to transformers",
        ),
        (
            {"compress": {"method": "uniform", "budget": 0.01, "reading": "total"}},
            "fraction 0.01 of total cannot be reached",
        ),
        (
            {"compress": {"method": "sigmoid", "floor": 99}},
            r"compress.floor = 99 keeps at least [\d,]+ weight values, more than compress.bud",
        ),
        ({"train": {"patches": 5}}, "train.patches must be 1 to 4; got 5"),
        ({"compress": {"exclude": ["*"]}}, "no linear layers to compress within the blocks"),
        ({"model": {"frozen": ["*embed_tokens*"]}}, "no parameter matches '\\*embed_tokens\\*'"),
        ({"model": {"frozen": ["*q_proj*"]}}, "holds .*q_proj.weight, which is factorised"),
    ],
)
def test_bad_recipes_leave_nothing_behind(tiny_recipe, tmp_path, changes, message):
    changes = {"train": {"epochs": 0}, **changes}
    with pytest.raises(ValueError, match=message) as caught:
        compress_recipe(tiny_recipe(**changes), tmp_path / "c")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()
    if "budget" not in str(changes):
        assert list(tmp_path.iterdir()) == []


def test_a_model_without_linear_layers_is_refused_before_training(tiny_recipe, tmp_path):
    config = {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "num_channels": 1,
        "embedding_size": 8,
        "hidden_sizes": [8, 8],
        "depths": [1, 1],
    }
    recipe = tiny_recipe(model={"config": config})
    with pytest.raises(ModelError, match="no linear layers to compress within the blocks"):
        compress_recipe(recipe, tmp_path / "c", say=no_training)
    assert list(tmp_path.iterdir()) == []


def no_training(what, done, total):
    assert "training" not in what


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "lr", 1e30),
        ("compress", "lr", 1e30),
        ("recover", "lr", 1e30),
        ("recover", "weight_decay", 1e60),
    ],
)
def test_a_loss_that_is_not_finite_names_the_key(tiny_recipe, tmp_path, section, key, value):
    learned = {"method": "tanh"} if section == "compress" else {}
    recipe = tiny_recipe(**{section: {key: value} | learned})
    message = rf"^{section}\.{key}: the loss is not finite with 1e\+[36]0; take a lower one$"
    with pytest.raises(InputError, match=message):
        compress_recipe(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
