"""The list of studies: commands that exist, folders, and tables of what is there."""

import json
import subprocess
import types

import pandas as pd
import pytest
import typer

from hyflexsim.workloads.cli import main as cli
from hyflexsim.workloads.compression import recipe
from hyflexsim.workloads.compression.machines import machine_from
from hyflexsim.workloads.reproduction import accuracy_studies


def test_every_recipe_has_its_studies():
    assert set(accuracy_studies.STUDIES) == set(recipe.shipped())
    assert all("accuracy" in studies for studies in accuracy_studies.STUDIES.values())


@pytest.mark.parametrize("name", accuracy_studies.STUDIES)
def test_every_step_is_a_command_with_known_options(name, tmp_path):
    commands = typer.main.get_command(cli.app).commands
    for command, target in accuracy_studies._steps(name, tmp_path):
        context = commands[command[0]].make_context(command[0], command[1:])  # parses, runs nothing
        assert str(context.params["out"]) == str(target)


@pytest.mark.parametrize("name", accuracy_studies.STUDIES)
def test_every_change_of_an_accuracy_sweep_is_a_parameter(name, tmp_path):
    commands = typer.main.get_command(cli.app).commands
    for command, _ in accuracy_studies._steps(name, tmp_path):
        if command[0] == "accuracy":
            given = commands["accuracy"].make_context("accuracy", command[1:]).params
            machine_from(given["preset"], given["changes"] or ()).chip()  # refuses unknown keys


def test_missing_steps_are_run_and_failures_counted(tmp_path, monkeypatch, capsys):
    seen = []

    def run(command, check):
        seen.append(command[3:5])
        return types.SimpleNamespace(returncode=int(command[3] == "accuracy"))

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "runs/minilm-rte").mkdir(parents=True)
    names, folders = ["minilm-rte", "minilm-sst2"], (tmp_path / "runs", tmp_path / "out")
    assert accuracy_studies.run(names, *folders) == 2
    rte, sst2 = (str(tmp_path / "runs" / name) for name in ("minilm-rte", "minilm-sst2"))
    assert seen == [["accuracy", rte], ["compress", "minilm-sst2"], ["accuracy", sst2]]
    assert "hyflexsim compress minilm-sst2 --out" in capsys.readouterr().out
    assert list((tmp_path / "out").iterdir()) == []


def test_tables_of_a_checkpoint(checkpoint, tmp_path, hyflexsim):
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "vit-digits").symlink_to(checkpoint)
    sweep = ("--slc-rate", "0,100", "--seeds", "2", "--set", "limit=20")
    code, *_ = hyflexsim("accuracy", checkpoint, *sweep, "--out", runs / "vit-digits-accuracy")
    assert code == 0
    out = tmp_path / "out"
    assert accuracy_studies.run(["vit-digits"], runs, out, tables_only=True) == 0
    found = {path.stem.removeprefix("vit-digits-") for path in out.iterdir()}
    assert found == {"states", "gradient-share", "accuracy", "slc-rate"}
    scores = json.loads((checkpoint / "ranks.json").read_text())["about"]["scores"]
    states = pd.read_csv(out / "vit-digits-states.csv").set_index("state")
    for state, figures in scores.items():
        assert states.loc[state, "accuracy"] == pytest.approx(figures["accuracy"], rel=1e-4)
