"""Checkpoints by name or path, and what is refused."""

import json

import pytest

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario import checkpoints
from hyflexsim.workloads.scenario.scenario import Scenario


def test_checkpoints_that_are_none(tmp_path, checkpoint):
    with pytest.raises(InputError, match=r"^checkpoint must be a folder made by hyflexsim compre"):
        checkpoints.find_checkpoint(tmp_path / "none")
    (tmp_path / "model.pt").touch()
    with pytest.raises(InputError, match=r"got '.*model\.pt'$"):
        checkpoints.find_checkpoint(tmp_path / "model.pt")
    with pytest.raises(ModelError, match="pickled checkpoints are not read"):
        checkpoints.read_about(checkpoints.find_checkpoint(tmp_path))
    assert checkpoints.find_checkpoint(checkpoint) == checkpoint
    entry = read_ranks(checkpoint)
    entry["about"].pop("config")
    (tmp_path / "ranks.json").write_text(json.dumps(entry))
    with pytest.raises(InputError, match=r"ranks\.json lacks about\.config; make it by"):
        checkpoints.read_about(tmp_path)


def test_shipped_checkpoints_are_found_by_name(monkeypatch, checkpoint):
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", checkpoint.parent)
    assert checkpoints.shipped() == ("tiny",)
    assert checkpoints.find_checkpoint("tiny") == checkpoint
    with pytest.raises(InputError, match="or one of tiny; got 'tinny'"):
        checkpoints.find_checkpoint("tinny")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("config", {"model_type": "vit", "num_labels": 10**30}, "about.config: num_labels must be"),
        ("config", 5, "about.config must be an object; got 5"),
        ("recipe", {}, "about.recipe.name must be a word; got None"),
        ("metric", {"name": "accuracy"}, "about.metric.higher_is_better must be true or false; g"),
        ("metric.floor", "x", "about.metric.floor must be a number or null; got 'x'"),
        ("metric.name", None, "about.metric.name must be a word; got None"),
        ("scores.dense", {}, "about.scores.dense.accuracy must be a number; got None"),
        ("scores.dense", 1, "about.scores.dense must be an object; got 1"),
        ("counts.total", True, "about.counts.total must be a number; got True"),
        ("importance", "x", "about.importance must be an object or null; got 'x'"),
        ("importance.layer", 1, "about.importance.layer must be a word; got 1"),
        ("importance.svd", [], "about.importance.svd must be a list of numbers; got []"),
        ("importance.shares", None, "about.importance.shares must be an object; got None"),
        ("seen", [], "about.seen must be an object or null; got []"),
        ("seen.ranges", None, "about.seen.ranges must be an object; got None"),
        (
            "seen.ranges.contrast",
            [0],
            "about.seen.ranges.contrast must be three numbers: low, high, s",
        ),
        ("seen.tokens", 1, "about.seen.tokens must be an object or null; got 1"),
        ("seen.tokens", {"known": "8"}, "about.seen.tokens.known must be hexadecimal digits, two"),
        ("seen.tokens", {"known": "80", "new": 2}, "about.seen.tokens.new must be a share from 0"),
        ("importance.shares.tuned", {"0.05": "x"}, "about.importance.shares.tuned must be numbers"),
    ],
)
def test_what_a_checkpoint_says_of_itself_is_checked(tmp_path, checkpoint, key, value, message):
    entry = read_ranks(checkpoint)
    table = entry["about"]
    *tables, last = key.split(".")
    for name in tables:
        table = table[name]
    table[last] = value
    (tmp_path / "ranks.json").write_text(json.dumps(entry))
    with pytest.raises(InputError) as caught:
        checkpoints.read_about(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'ranks.json'}: {message}")


def test_a_checkpoint_without_importance_is_one(tmp_path, checkpoint):
    entry = read_ranks(checkpoint)
    del entry["about"]["importance"]
    (tmp_path / "ranks.json").write_text(json.dumps(entry))
    assert checkpoints.read_about(tmp_path)["metric"]["name"] == "accuracy"


def test_a_checkpoint_by_override_takes_the_place_of_a_files_rank():
    assert Scenario.load("bert-base").model.rank == "hard-threshold"
    assert Scenario.load("bert-base", ["model.checkpoint=part-jets"]).model.rank == "dense"
    both = ["model.rank=0.5", "model.checkpoint=part-jets"]
    for given in (both, both[::-1]):
        with pytest.raises(InputError, match=r"model.rank goes with model.name or graph"):
            Scenario.load("bert-base", given)
