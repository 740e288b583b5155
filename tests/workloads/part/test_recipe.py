"""Recipes: shipped ones, files, changes, refusals."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.sample import LABELS
from hyflexsim.workloads.part.recipe import SHIPPED, PartRecipe


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped(name):
    recipe = PartRecipe.load(name)
    assert recipe.model == name.removesuffix("-long").removesuffix("-best")
    assert recipe.classes == LABELS


def test_file_and_changes(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('classes = ["QCD", "Tbl"]\nsteps = 7\n')
    recipe = PartRecipe.load(file, {"steps": 9})
    assert (recipe.classes, recipe.steps, recipe.top_k) == (("QCD", "Tbl"), 9, None)
    recipe = PartRecipe.load(file, ["steps=9", "shape.num_layers=2", "snapshots=[3]"])
    assert (recipe.steps, recipe.shape, recipe.snapshots) == (9, {"num_layers": 2}, (3,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("steps = 0", "steps must be an integer from 1; got 0"),
        ('steps = "7"', "steps must be an integer from 1; got '7'"),
        ("particles = 129", "particles must be an integer from 1 to 128; got 129"),
        ("learning_rate = inf", "learning_rate must be a number above 0; got inf"),
        (
            'schedule = "step"',
            "schedule must be linear, constant, cosine, restarts or flat-decay; got 'step'",
        ),
        (
            'schedule = "restarts"',
            "cycle must be an integer from 1, the steps of the schedule restarts; got None",
        ),
        ("learning_rat = 3", "unknown key 'learning_rat'; nearest: learning_rate"),
        (
            'classes = ["QCD", "top"]',
            f"classes must be at least two of {', '.join(LABELS)}, each once; got ['QCD', 'top']",
        ),
    ],
)
def test_bad_keys_in_one_line(tmp_path, content, message):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(InputError) as error:
        PartRecipe.load(file)
    assert str(error.value) == f"{file}: {message}"
    with pytest.raises(InputError) as error:
        PartRecipe.load("part-small", [content])
    source = "part-small" if message.startswith("cycle") else "--set"  # which --set did not give
    assert str(error.value) == f"{source}: {message}"


@pytest.mark.parametrize("change", ["steps", "=3", "steps=", "steps=" + 5000 * "["])
def test_a_change_that_is_none(change):
    with pytest.raises(
        InputError, match=r"^--set(: steps)? must be (key=value|an integer from 1); "
    ):
        PartRecipe.load("part-small", [change])


def test_no_such_recipe(tmp_path):
    with pytest.raises(InputError) as error:
        PartRecipe.load("part-huge")
    assert str(error.value) == (
        "part-huge: no such recipe; "
        "name one of part-small, part-small-best, part-small-long, part-full or a .toml file"
    )
    file = tmp_path / "bad.toml"
    file.write_text("steps = ")
    with pytest.raises(InputError, match=r"bad\.toml: cannot be read as TOML: "):
        PartRecipe.load(file)
