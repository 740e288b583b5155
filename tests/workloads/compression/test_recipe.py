"""Recipes: those that ship, defaults, overrides, and every refusal in one line."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.compression.recipe import Recipe, shipped

MINIMAL = """
[model]
weights = "minilm"
[data]
name = "glue/mrpc"
"""


@pytest.fixture
def minimal(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    return path


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_load_and_say_what_they_are(name):
    recipe = Recipe.load(name)
    assert recipe.name == name
    assert recipe.title
    known = {entry.name for entry in datasets.names()} | {"stories"}
    assert recipe.data["name"] in known
    content = recipe.resolved()
    content.pop("name")
    assert Recipe.of(name, content, "again") == recipe  # as a checkpoint carries it


def test_defaults_are_those_of_the_docstring(minimal):
    resolved = Recipe.load(minimal).resolved()
    assert resolved["name"] == "mine"
    assert resolved["seed"] == 0
    assert resolved["model"] == {
        "weights": "minilm",
        "frozen": [],
        "config": None,
        "initial": "random",
    }
    assert resolved["train"] == {
        "epochs": 0,
        "batch": 16,
        "lr": 1e-4,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "optimiser": "adamw",
        "patches": 0,
        "whole": 0.2,
        "cutmix": 0.0,
    }
    assert resolved["recover"] == resolved["train"] | {"epochs": 1, "lr": 2e-5}
    assert resolved["compress"] == {
        "method": "hard-threshold",
        "budget": 0.5,
        "reading": "linears",
        "round": 0,
        "exclude": [],
        "steps": 200,
        "lr": 2e-5,
        "alpha_lr": 1e-2,
        "strength": 1.0,
        "regulariser": "log",
        "floor": 1,
    }


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("seed=7", lambda r: r.seed == 7),
        ("train.epochs=3", lambda r: r.train.epochs == 3),
        ("compress.method=fwsvd", lambda r: r.compress.method == "fwsvd"),
        ("compress.budget=1", lambda r: r.compress.budget == 1.0),
        ("data.max_length=64", lambda r: r.data["max_length"] == 64),
        ('workload={kind="generate", decode=3}', lambda r: r.workload.decode == 3),
    ],
)
def test_an_override_reaches_its_place(minimal, override, read):
    assert read(Recipe.load(minimal, [override]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compress.ranks=3", "unknown key 'compress.ranks'; "),
        ("train.epoch=3", "unknown key 'train.epoch'; nearest: epochs"),
        ("compress.method=svd", "compress.method must be hard-threshold, tanh, shrinkage, sigmoid"),
        ("compress.budget=0", "compress.budget must be a number above 0 and up to 1; got 0"),
        ("compress.budget=1.5", "compress.budget must be a number above 0 and up to 1; got 1.5"),
        ("compress.reading=all", "compress.reading must be linears or total; got 'all'"),
        ("compress.round=-1", "compress.round must be an integer from 0; got -1"),
        ("compress.floor=0", "compress.floor must be an integer from 1; got 0"),
        ("compress.exclude=all", "compress.exclude must be a list of patterns; got 'all'"),
        ("train.lr=0", "train.lr must be a number above 0; got 0"),
        ("train.lr=nan", "train.lr must be a number above 0; got nan"),
        ("train.warmup=2", "train.warmup must be a number from 0 to 1; got 2"),
        ("train.optimiser=sgd", "train.optimiser must be adamw or muon; got 'sgd'"),
        ("model.initial=zero", "model.initial must be random or mimetic; got 'zero'"),
        ("recover.batch=0", "recover.batch must be an integer from 1; got 0"),
        ("seed=-1", "seed must be an integer from 0; got -1"),
        ("model.weights=3", "model.weights must be a text; got 3"),
        ("model.frozen=3", "model.frozen must be a list of patterns; got 3"),
        ("workload.kind=foo", "workload.kind must be one of jets, tokens, generate; got 'foo'"),
        ("recover=3", "recover must be a table; got 3"),
    ],
)
def test_a_bad_override_is_refused_in_one_line(minimal, override, message):
    with pytest.raises(InputError) as caught:
        Recipe.load(minimal, [override])
    assert str(caught.value).startswith(f"--set: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.toml: data.name must be the name of a data set; got nothing"),
        ('data = "digits"\n', "mine.toml: data.name must be the name of a data set; got nothing"),
        ('[data]\nname = "digits"\n', "mine.toml: model must be a table; got nothing"),
        (
            '[model]\n[data]\nname = "digits"\n',
            "mine.toml: model must have either weights or config",
        ),
        (
            '[model]\nweights = "a"\nconfig = { model_type = "vit" }\n[data]\nname = "digits"\n',
            "mine.toml: model must have either weights or config",
        ),
        (
            '[model]\nweights = "a"\ninitial = "mimetic"\n[data]\nname = "digits"\n',
            "mine.toml: model.initial is for a model.config; model.weights are trained",
        ),
        (f'name = "x"\n{MINIMAL}', "mine.toml: unknown key 'name'; the file name is the recipe's"),
        ("[model", "cannot be read as TOML"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Recipe.load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name(minimal):
    with pytest.raises(InputError) as caught:
        Recipe.load("vit-digit")
    assert str(caught.value).startswith(
        "recipe must be a name or a .toml file; got 'vit-digit'; nearest names: vit-digits"
    )
    with pytest.raises(InputError, match=r"^nowhere.toml: no such file$"):
        Recipe.load("nowhere.toml")


def test_c8_keys_that_a_method_does_not_read_are_named(tiny_recipe):
    settings = {"floor": 99_999, "exclude": ["x"], "budget": 0.3}
    hard = tiny_recipe(compress=settings).compress
    assert hard.unused() == ["compress.budget", "compress.floor", "compress.steps"]
    baseline = tiny_recipe(compress={**settings, "method": "uniform"}).compress
    assert baseline.unused() == ["compress.floor", "compress.steps"]
    assert tiny_recipe(compress={**settings, "method": "tanh"}).compress.unused() == []
