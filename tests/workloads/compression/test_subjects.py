"""What a Pareto study judges: recipes at budgets, checkpoints as they are."""

import json
import shutil

import pytest
import torch

from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.subjects import OfCheckpoint, OfRecipe, subject_of
from hyflexsim.workloads.outputs import Output
from hyflexsim.workloads.resumable import Work


def quiet(what, done, total):
    pass


def test_a_recipe_has_a_model_a_budget_and_keeps_them(tiny_recipe, tmp_path):
    subject = OfRecipe(tiny_recipe(data={"train_limit": 64}), "uniform", (0.5, 1.0))
    work = Work(tmp_path, Output(tmp_path / "out"))
    opened = subject.opened(work, quiet)
    subject.compress(opened, work, quiet)
    models = [subject.compressed(budget, tmp_path) for budget in subject.budgets]
    assert [one.budget for one in models] == [0.5, 1.0]
    shares = [low_rank.counts(one.opened.model) for one in models]
    assert shares[0].linears < shares[1].linears <= shares[1].linears_dense
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    subject.compress(opened, work, quiet)  # is there already
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    other = subject_of(json.loads(json.dumps(subject.job)))  # as another process is told of it
    for one in models:
        again = other.compressed(one.budget, tmp_path)
        for a, b in zip(
            one.opened.model.parameters(), again.opened.model.parameters(), strict=True
        ):
            assert torch.equal(a, b)


def test_a_checkpoint_is_taken_as_it_is(checkpoint, checkpoint_recipe, tmp_path):
    subject = OfCheckpoint(checkpoint)
    assert subject.recipe == checkpoint_recipe
    work = Work(tmp_path, Output(tmp_path / "out"))
    opened = subject.opened(work, quiet)
    subject.compress(opened, work, quiet)
    one = subject_of(json.loads(json.dumps(subject.job))).compressed(subject.budgets[0], tmp_path)
    assert one.folder == checkpoint
    counts = low_rank.counts(opened.model)
    assert one.budget == pytest.approx(counts.linears / counts.linears_dense, abs=1e-3)
    assert list(tmp_path.iterdir()) == []  # nothing is trained


@pytest.mark.parametrize("key", ["counts", "recipe"])
def test_a_checkpoint_that_says_too_little_is_refused(checkpoint, tmp_path, key):
    folder = tmp_path / "mine"
    shutil.copytree(checkpoint, folder)
    entry = json.loads((folder / "ranks.json").read_text())
    del entry["about"][key]
    (folder / "ranks.json").write_text(json.dumps(entry))
    with pytest.raises(InputError) as caught:
        OfCheckpoint(folder)
    wanted = f"{folder}: ranks.json lacks about.{key}; make it by hyflexsim compress"
    assert str(caught.value) == wanted


@pytest.mark.parametrize(
    ("method", "budgets", "message"),
    [
        ("../x", (1.0,), "--method must be of tanh, "),  # though a budget of 1 uses none
        ("tanh", (0.5, 1.5), "--budget must be shares above 0 and up to 1; got 1.5"),
        ("tanh", (), "--budget must have a value; got none"),
    ],
)
def test_a_study_of_a_recipe_that_is_none(tiny_recipe, method, budgets, message):
    with pytest.raises(InputError, match=f"^{message}"):
        OfRecipe(tiny_recipe(), method, budgets)
