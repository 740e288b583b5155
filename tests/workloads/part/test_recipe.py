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
    recipe = PartRecipe.load(file, {"steps": 9, "top_k": None})
    assert (recipe.classes, recipe.steps, recipe.top_k) == (("QCD", "Tbl"), 9, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("steps = 0", "steps: Input should be greater than or equal to 1; got 0"),
        ("particles = 129", "particles: Input should be less than or equal to 128; got 129"),
        (
            'schedule = "step"',
            "schedule: Input should be 'linear', 'constant', 'cosine', 'restarts' or 'flat-decay'; "
            "got 'step'",
        ),
        (
            'schedule = "restarts"',
            "cycle: schedule restarts needs one; got None",
        ),
        ("epochs = 3", "epochs: Extra inputs are not permitted; got 3"),
        (
            'classes = ["QCD", "top"]',
            f"classes: must be at least two of {', '.join(LABELS)}, each once; got 'top'; "
            "got ['QCD', 'top']",
        ),
    ],
)
def test_bad_keys_in_one_line(tmp_path, content, message):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(InputError) as error:
        PartRecipe.load(file)
    assert str(error.value) == f"{file}: {message}"


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
