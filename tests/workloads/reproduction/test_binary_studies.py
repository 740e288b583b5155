"""The arms of the study of binary attention: commands that exist, tables of what is there."""

import json

import pandas as pd
import pytest
from typer.main import get_command

from hyflexsim.workloads.cli.main import app
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.reproduction.binary_studies import ARMS, SEEN, command, tables


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_an_arm_is_a_command_and_a_recipe(arm, tmp_path):
    words = command(arm, tmp_path, "cuda")
    context = get_command(app).commands[words[0]].make_context(words[0], list(words[1:]))
    recipe = PartRecipe.load("part-small-long", context.params["changes"])
    assert recipe.steps == arm.steps
    assert context.params["device"] == "cuda"


def test_arms_differ():
    assert len({arm.changes for arm in ARMS}) == len({arm.name for arm in ARMS}) == len(ARMS)


def test_tables_of_the_arms_that_are_done(tmp_path):
    assert tables(tmp_path) == {}
    folder = tmp_path / "wide"
    folder.mkdir()
    rows = [
        {"step": step, "loss": 1 / step, "accuracy": 0.6, "validation_accuracy": 0.5}
        | dict.fromkeys(SEEN, value)
        for step, value in ((250, 0.1), (7000, 0.5), (7000, 0.4))  # looked at twice at the end
    ]
    pd.DataFrame(rows).to_parquet(folder / "curve.parquet")
    scores = {"jets": 9, "accuracy": 0.8, "accuracy_error": 0.01, "auc_mean": 0.9}
    (folder / "scores.json").write_text(json.dumps(scores))
    found = tables(tmp_path)
    (end,) = found["part-small-arms"].to_dict("records")
    assert (end["arm"], end["accuracy"], end["share_50"]) == ("wide", 0.8, 0.4)
    assert found["part-small-arms-curve"]["step"].tolist() == [250, 7000]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "gpu"), "device must be cpu, cuda or cuda:N; got 'gpu'"),
        (("--tables-only", "--runs", "none"), "--runs must be a folder of runs; got none"),
        (("--runs", "file"), "--runs must be a folder of runs; got file"),
    ],
)
def test_what_no_training_can_do_is_one_line_before_any(
    hyflexsim, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert hyflexsim("reproduce", "binary", *arguments) == (2, "", f"hyflexsim: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
