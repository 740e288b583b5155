"""A compression that was interrupted, at whichever stage, ends as another."""

import pytest
import torch
from safetensors.torch import load_file

from hyflexsim.models.errors import ModelError
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import stages
from hyflexsim.workloads.compression.stages import compress_recipe


def tensors(folder):
    return load_file(folder / "model.safetensors")


def assert_same(one, two):
    a, b = tensors(one), tensors(two)
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name
    assert (one / "ranks.json").read_bytes() == (two / "ranks.json").read_bytes()


class StoppedError(Exception):
    """The interruption."""


def stop_in(monkeypatch, name, module=stages):
    """Make a function of the module raise at its call."""

    def stop(*_, **__):
        raise StoppedError

    monkeypatch.setattr(module, name, stop)


def test_the_same_recipe_gives_the_same_checkpoint(tiny_recipe, tmp_path):
    for name, around in (("one", 99), ("two", 100)):
        torch.manual_seed(around)  # nothing depends on the state around, or changes it
        state = torch.get_rng_state()
        compress_recipe(tiny_recipe(), tmp_path / name)
        assert torch.equal(torch.get_rng_state(), state)
    assert_same(tmp_path / "one", tmp_path / "two")
    compress_recipe(tiny_recipe(seed=1), tmp_path / "other")
    one, other = tensors(tmp_path / "one"), tensors(tmp_path / "other")
    assert not any(torch.equal(one[name], other[name]) for name in one if name.endswith(".u"))


STAGES = [
    ("say", "training", 3),
    ("call", "_score_int8"),
    ("call", "_importance"),  # before the SVD
    ("say", "factorising", 1),
    ("say", "learning ranks", 2),
    ("call", "_importance"),  # after it
    ("say", "fine-tuning", 2),
    ("call", "score"),
    ("call", "save_compressed"),
]


@pytest.mark.parametrize("method", ["hard-threshold", "tanh"])
def test_a_compression_resumes_at_every_stage(tiny_recipe, tmp_path, monkeypatch, method):
    recipe = tiny_recipe(compress={"method": method})
    whole, out = tmp_path / "whole", tmp_path / "resumed"
    compress_recipe(recipe, whole)
    said = []

    def say(what, done, total):
        said.append(what.split(" (")[0])
        if stage[0] == "say" and said.count(stage[1]) == stage[2]:
            raise StoppedError

    monkeypatch.setattr(stages.Saver, "__init__", eager)
    for stage in STAGES:
        if stage[1] == "learning ranks" and method == "hard-threshold":
            continue
        said.clear()
        with monkeypatch.context() as patch, pytest.raises(StoppedError):
            if stage[0] == "call":
                stop_in(patch, stage[1])
            compress_recipe(recipe, out, say=say)
        assert stage[1] == "training" or STAGES.index(stage) == 1 or "training" not in said
    stage = ("none",)
    said.clear()
    compress_recipe(recipe, out, say=say)
    assert set(said) <= {"loading", "factorising"}  # all else was done
    assert_same(whole, out)
    assert not (tmp_path / "resumed.work").exists()


def eager(self, path, every_s=60.0):
    """A saver that writes after every step."""
    self.path, self.every_s, self.also, self._saved = path, 0.0, {}, 0.0


def test_another_recipe_beside_an_unfinished_one(tiny_recipe, tmp_path, monkeypatch):
    out = tmp_path / "c"
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        stop_in(patch, "_factorised")
        compress_recipe(tiny_recipe(), out)
    other = tiny_recipe(train={"lr": 3e-3})
    with pytest.raises(InputError, match=r"of an unfinished job with another train\.lr; finish"):
        compress_recipe(other, out)
    compress_recipe(other, out, fresh=True)
    compress_recipe(other, tmp_path / "d")
    assert_same(out, tmp_path / "d")


def test_a_finished_checkpoint_is_replaced_and_nothing_else(tiny_recipe, tmp_path, checkpoint):
    quick = tiny_recipe(train={"epochs": 0}, recover={"epochs": 0})
    compress_recipe(quick, tmp_path / "c")
    compress_recipe(quick, tmp_path / "c")
    (tmp_path / "c" / "thesis.tex").touch()
    for out, message in (
        (tmp_path / "c", "must be a new folder or a checkpoint to replace"),
        (tmp_path / "c" / "thesis.tex", "must be a folder; got a file"),
        (".", "must have a folder's name"),
    ):
        with pytest.raises(ModelError, match=message):
            compress_recipe(quick, out)  # before any work is done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]
