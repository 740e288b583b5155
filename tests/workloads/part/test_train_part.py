"""Training: learns, resumes to the bit, refuses another training's folder; the baseline."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from hyflexsim.models.part.checkpoint import load_part
from hyflexsim.models.part.feature_ranges import ranges_of
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.sample import SAMPLE
from hyflexsim.workloads.part import train_part as training
from hyflexsim.workloads.part.baseline import boosted_trees
from hyflexsim.workloads.part.learning_curve import learning_curve
from hyflexsim.workloads.part.parts import jets_of, tensors
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.part.targets import soft_targets
from hyflexsim.workloads.part.train_part import train_part

TINY = {
    "classes": ["QCD", "Tbqq"],
    "particles": 12,
    "steps": 12,
    "batch": 16,
    "learning_rate": 3e-3,
    "watch_every": 4,
    "train_jets": 60,
}


def recipe(**changes):
    return PartRecipe.load(None, TINY | changes)


class StopError(Exception):
    """What interrupts a training in a test."""


@pytest.fixture(scope="module")
def jets(tmp_path_factory):
    """A hundred jets of two classes."""
    table = pq.read_table(SAMPLE)
    names = np.array(table["label"].to_pylist())
    rows = [np.flatnonzero(names == name)[:100] for name in ("QCD", "Tbqq")]
    path = tmp_path_factory.mktemp("jets") / "few.parquet"
    pq.write_table(table.take(np.concatenate(rows)), path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, jets):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("part") / "whole"
    return out, train_part(out, recipe(snapshots=[8]), jets)


def test_what_a_training_leaves(trained, jets):
    out, scores = trained
    assert sorted(p.name for p in out.iterdir()) == [
        "curve.parquet",
        "model-00008.safetensors",
        "model.safetensors",
        "recipe.json",
        "scores.json",
    ]
    assert json.loads((out / "scores.json").read_text()) == scores
    assert scores["jets"] == 20  # a tenth of 100 a class
    curve = pd.read_parquet(out / "curve.parquet")
    assert curve["step"].tolist() == [4, 8, 12]
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0]
    model, spec = load_part(out)
    assert (spec.classes, spec.particles) == (("QCD", "Tbqq"), 12)
    own = tensors(jets_of(jets, recipe())[0], spec)
    assert spec.ranges == ranges_of(own, "full")
    assert not model.training


def test_stopped_training_ends_in_the_same_weights(trained, jets, tmp_path, monkeypatch):
    out = tmp_path / "stopped"
    monkeypatch.setattr(training, "SAVE_EVERY_S", 0)

    def stop(what, done, total):
        if done == 10 and total == 12:
            raise StopError

    with pytest.raises(StopError):
        train_part(out, recipe(snapshots=[8]), jets, report=stop)
    assert not (out / "model.safetensors").exists()
    steps = []
    train_part(
        out, recipe(snapshots=[8]), jets, report=lambda what, done, n: steps.append((done, n))
    )
    assert (10, 12) in steps  # goes on after the state of step 9 ...
    assert (9, 12) not in steps
    whole, again = load_file(trained[0] / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(torch.equal(whole[key], again[key]) for key in whole)  # ... to the same bits
    curves = [pd.read_parquet(folder / "curve.parquet") for folder in (trained[0], out)]
    pd.testing.assert_frame_equal(*curves)
    assert not list(out.glob("state*"))


OTHER = {
    "schedule": "restarts",
    "cycle": 5,
    "optimiser": "lookahead-radam",
    "shape": {"num_layers": 1, "pair_input_dim": 0},
}


def test_another_schedule_optimiser_and_shape_resume_too(jets, tmp_path, monkeypatch):
    def stop(what, done, total):
        if done == 10 and total == 12:
            raise StopError

    whole = tmp_path / "whole"
    train_part(whole, recipe(**OTHER), jets)
    monkeypatch.setattr(training, "SAVE_EVERY_S", 0)
    with pytest.raises(StopError):
        train_part(tmp_path / "stopped", recipe(**OTHER), jets, report=stop)
    train_part(tmp_path / "stopped", recipe(**OTHER), jets)
    ends = [load_file(tmp_path / n / "model.safetensors") for n in ("whole", "stopped")]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    model, spec = load_part(whole)
    assert (len(model.blocks), model.pair_embed) == (1, None)
    assert spec.model["pair_input_dim"] == 0


def test_done_training_is_not_done_again(trained, jets):
    out, scores = trained
    assert (
        train_part(out, recipe(snapshots=[8]), jets, report=lambda *_: pytest.fail("trains"))
        == scores
    )


def test_another_training_in_the_folder(trained, jets, tmp_path):
    with pytest.raises(InputError, match="holds a training with another recipe; name a new folder"):
        train_part(trained[0], recipe(steps=13), jets)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="must be a new folder or one of this training"):
        train_part(tmp_path, recipe(), jets)


def test_fine_tuning_with_top_k_starts_from_the_weights(trained, jets, tmp_path):
    out = tmp_path / "tuned"
    train_part(out, recipe(top_k=2, steps=1, learning_rate=1e-9), jets, start=trained[0])
    before = load_file(trained[0] / "model.safetensors")
    after = load_file(out / "model.safetensors")
    moved = {k for k in before if not torch.allclose(before[k], after[k], atol=1e-6)}
    assert all("running" in k or "num_batches" in k for k in moved)  # statistics only
    with pytest.raises(InputError, match="its classes must be the recipe's; got QCD, Tbqq"):
        train_part(tmp_path / "x", recipe(classes=["Tbqq", "QCD"]), jets, start=trained[0])


def test_an_entropy_penalty_sharpens_attention(jets, tmp_path):
    entropy = {}
    for penalty in (0.0, 3.0):
        out = tmp_path / str(penalty)
        train_part(out, recipe(entropy_penalty=penalty, steps=20), jets)
        entropy[penalty] = pd.read_parquet(out / "curve.parquet")["entropy"].iloc[-1]
    assert entropy[3.0] < entropy[0.0] - 0.1


def test_jets_unlike_those_of_the_training_are_named_by_feature(jets, tmp_path):
    """Scored: the same jets, and such with d0 20 times as large."""
    table = pq.read_table(jets)
    d0 = [[20 * d for d in jet] for jet in table["part_d0"].to_pylist()]
    place = table.schema.get_field_index("part_d0")
    pq.write_table(table.set_column(place, "part_d0", pa.array(d0)), tmp_path / "far.parquet")
    notes = [
        train_part(tmp_path / str(i), recipe(steps=1, train_jets=None), jets, test=test)["notes"]
        for i, test in enumerate((jets, tmp_path / "far.parquet"))
    ]
    assert notes[0] == []
    assert [note.split(" of ")[0] for note in notes[1]] == ["d0"]
    again = train_part(
        tmp_path / "1", recipe(steps=1, train_jets=None), jets, test=tmp_path / "far.parquet"
    )
    assert again["notes"] == notes[1]


def test_a_loss_that_is_not_finite_names_the_key(jets, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="learning_rate: the loss is not finite with 1e\\+30"):
        train_part(out, recipe(learning_rate=1e30, snapshots=[1]), jets)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="weight_decay: the loss is not finite with 1e\\+60"):
        train_part(out, recipe(weight_decay=1e60), jets)
    out.mkdir()
    (out / "recipe.json").write_text("{}")  # of a training that was killed before it saved a step
    assert train_part(out, recipe(steps=1), jets)["jets"] == 20


def test_a_damaged_recipe_of_a_training_is_named(jets, tmp_path):
    (tmp_path / "recipe.json").write_text("{")
    (tmp_path / "scores.json").write_text("{}")
    with pytest.raises(InputError, match=r"recipe\.json: is damaged, .*; name a new folder or del"):
        train_part(tmp_path, recipe(), jets)


def test_other_jets_may_be_scored(trained, jets, tmp_path):
    out = tmp_path / "other"
    scores = train_part(out, recipe(steps=1), jets, test=jets)
    assert scores["jets"] == 200  # all of them, and not the tenth held out
    assert boosted_trees(out, recipe(), jets, test=jets)["jets"] == 200
    with pytest.raises(InputError, match="holds a training with another test; name a new folder"):
        train_part(out, recipe(steps=1), jets)


def test_more_jets_than_there_are(jets, tmp_path):
    with pytest.raises(InputError, match="train_jets must be at most the jets there are; QCD has"):
        train_part(tmp_path / "out", recipe(train_jets=81), jets)


def test_boosted_trees_beat_chance_and_are_kept(trained, jets):
    out, _ = trained
    found = boosted_trees(out, recipe(), jets)
    assert found["accuracy"] > 0.7  # mass alone tells top from QCD
    assert found["train_jets"] == 120
    again = boosted_trees(out, recipe(), jets, report=lambda *_: pytest.fail("fits"))
    assert again == found


def test_a_learning_curve_has_a_row_a_size_with_trees_of_its_own(jets, tmp_path):
    rows = learning_curve(tmp_path, recipe(steps=2), (40, 20), jets)
    assert [row["train_jets"] for row in rows] == [20, 40]
    for row in rows:
        alone = tmp_path / f"alone-{row['train_jets']}"
        alone.mkdir()
        found = boosted_trees(alone, recipe(train_jets=row["train_jets"]), jets)
        assert found["train_jets"] == 2 * row["train_jets"]
        assert row["trees"] == found["accuracy"]


def test_a_teacher_whose_answers_are_the_truth_changes_nothing(jets, trained, tmp_path):
    """Targets that are one-hot train as the classes do, to rounding."""
    spec = load_part(trained[0])[1]
    own = tensors(jets_of(jets, recipe())[0], spec)
    sure = soft_targets(Oracle(own), own, own.target, 1.0)
    assert torch.equal(sure, torch.nn.functional.one_hot(own.target).float())
    assert torch.equal(sure.argmax(1), own.target)


class Oracle(torch.nn.Module):
    """Knows each of its jets by the sum of its features."""

    def __init__(self, jets):
        super().__init__()
        everything = torch.arange(len(jets))
        self.known = jets.batch(everything)[0].sum((1, 2)), jets.target

    def forward(self, x, v, mask):
        sums, target = self.known
        at = (x.sum((1, 2))[:, None] - sums).abs().argmin(1)
        return torch.nn.functional.one_hot(target[at]) * 1e9


def test_a_teacher_moves_the_targets_by_its_share(jets, trained):
    model, spec = load_part(trained[0])
    own = tensors(jets_of(jets, recipe())[0], spec)
    soft = soft_targets(model, own, own.target, 0.25)
    assert torch.allclose(soft.sum(1), torch.ones(len(own)))
    truth = soft[torch.arange(len(own)), own.target]
    assert bool(((truth >= 0.75) & (truth < 1)).all())


def test_a_student_learns_from_a_teacher(jets, trained, tmp_path):
    out = tmp_path / "student"
    scores = train_part(out, recipe(steps=4, shape={"num_layers": 1}), jets, teacher=trained[0])
    assert 0 <= scores["accuracy"] <= 1
    assert json.loads((out / "recipe.json").read_text())["teacher"]
    with pytest.raises(InputError, match="holds a training with another teacher"):
        train_part(out, recipe(steps=4, shape={"num_layers": 1}), jets)


@pytest.mark.parametrize("key", ["start", "teacher"])
def test_a_checkpoint_that_is_not_there(jets, tmp_path, key):
    with pytest.raises(InputError, match=f"--{key}: nowhere: no such checkpoint"):
        train_part(tmp_path / "no", recipe(), jets, **{key: "nowhere"})


def test_a_teacher_of_other_classes_is_refused(jets, trained, tmp_path):
    with pytest.raises(InputError, match=r"teacher: .*classes must be the recipe's; got QCD, Tbqq"):
        train_part(tmp_path / "no", recipe(classes=["Tbqq", "QCD"]), jets, teacher=trained[0])


def test_without_a_gpu_it_says_what_the_processor_would_take(jets, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=r"sees no GPU; with device cpu its 12 steps take about 0"):
        train_part(tmp_path / "out", recipe(), jets, device="cuda")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_training_stopped_on_a_gpu_goes_on_without_and_ends_alike(
    trained, jets, tmp_path, monkeypatch
):
    def stop(what, done, total):
        if done == 10 and total == 12:
            raise StopError

    out = tmp_path / "moved"
    monkeypatch.setattr(training, "SAVE_EVERY_S", 0)
    with pytest.raises(StopError):
        train_part(out, recipe(snapshots=[8]), jets, device="cuda", report=stop)
    train_part(out, recipe(snapshots=[8]), jets)
    whole = load_file(trained[0] / "model.safetensors")
    for name, value in load_file(out / "model.safetensors").items():
        torch.testing.assert_close(value, whole[name], atol=0.02, rtol=0.02)
