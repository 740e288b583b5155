"""Every command that writes: one process at a time, and nothing where the disk is full."""

import os
import resource
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import torch

from hyflexsim.workloads.cli import studies
from hyflexsim.workloads.jets.sample import SAMPLE

RECIPE = """
title = "tiny"
[model]
config = { model_type = "vit", architectures = ["ViTForImageClassification"], image_size = 8, \
patch_size = 4, num_channels = 1, hidden_size = 32, num_hidden_layers = 1, \
num_attention_heads = 2, intermediate_size = 64 }
[data]
name = "digits"
train_limit = 32
test_limit = 10
[train]
epochs = 0
[compress]
method = "uniform"
[recover]
epochs = 0
batch = 16
[workload]
kind = "tokens"
tokens = 5
"""
SWEEP = """
scenario = "part-jets"
vary = { "workload.count" = [1, 2] }
"""
TRAINING = ["train-part", "part-small", "jets.parquet", "--no-baseline", "--set", "steps=1"]
TRAINING += ["--set", 'classes=["QCD","Tbqq"]', "--set", "batch=4", "--set", "particles=8"]
COMMANDS = {
    "run": ["run", "part-jets", "--set", "workload.count=2", "--no-plots"],
    "compress": ["compress", "tiny.toml"],
    "accuracy": ["accuracy", "vit-digits", "--slc-rate", "100", "--sigma", "0", "--limit", "4"],
    "ranks": ["ranks", "tiny.toml", "--method", "uniform", "--budget", "0.5", "--seeds", "1"],
    "pareto": ["pareto", "vit-digits", "--compressed", "--slc-rate", "100", "--limit", "4"],
    "train-part": TRAINING,
    "learning curve": [*TRAINING, "--sizes", "4"],
    "jets": ["jets", "--classes", "QCD", "--jets", "1"],
    "attention": ["attention", "part-small", "--per-class", "1"],
    "attention-cost": ["attention-cost", "part-small", "--per-class", "1"],
    "speedup": ["speedup", "--models", "bert-base", "--requests", "1", "--tokens", "8"],
    "graph": ["graph", "part-kin"],
    "map": ["map", "part-jets", "--cells", "blocks.0.fc1"],
    "sweep": ["sweep", "sweep.toml", "--workers", "0", "--no-plots"],
}
QUICK = ("run", "compress", "accuracy", "train-part", "attention", "graph", "map", "sweep")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with a recipe, jets and a sweep."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    table = pq.read_table(SAMPLE)
    rows = [r for r, name in enumerate(table["label"].to_pylist()) if name in ("QCD", "Tbqq")]
    pq.write_table(table.take(rows[:60]), tmp_path / "jets.parquet")
    return tmp_path


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_process_is_refused(hyflexsim, folder, command):
    code = "import sys; from hyflexsim.workloads.outputs import owned\n"
    code += "with owned('out'): print('held', flush=True); sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    ) as other:
        assert other.stdout.readline() == b"held\n"
        before = names(folder)
        result, _, err = hyflexsim(*COMMANDS[command], "--out", "out")
        assert (result, err.count("\n")) == (2, 1)
        assert f"out: another process is writing it (process {other.pid} on " in err
        assert names(folder) == before
        other.stdin.close()


@pytest.mark.parametrize("command", QUICK)
def test_a_full_disk_is_one_line_and_leaves_nothing(hyflexsim, folder, command):
    """No file may be longer than this, as on a disk that is full then."""
    before = names(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        code, _, err = hyflexsim(*COMMANDS[command], "--out", "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = [line for line in err.splitlines() if not line.startswith("note: ")]
    reason = "not all was taken; is the disk full?" if command == "attention" else "File too large"
    assert (code, said) == (2, [f"hyflexsim: out: cannot be written: {reason}"])
    kept = [name for name in names(folder) if not name.startswith("out.work")]
    assert kept == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_no_file_may_have(hyflexsim, folder, command):
    before = names(folder)
    code, _, err = hyflexsim(*COMMANDS[command], "--out", "x" * 300)
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be written: File name too long" in err or "name too long" in err
    assert names(folder) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_without_a_name(hyflexsim, folder, command):
    before = names(folder)
    code, _, err = hyflexsim(*COMMANDS[command], "--out", "")
    assert (code, err.count("\n")) == (2, 1)
    assert "must name a f" in err or "must have a" in err
    assert names(folder) == before


def test_graph_replaces_graphs_only(hyflexsim, folder):
    for model in ("part-full", "part-kin"):
        assert hyflexsim("graph", model, "--out", "g.json")[0] == 0
    (folder / "g.json").write_text('{"years": "of work"}')
    code, _, err = hyflexsim("graph", "part-kin", "--out", "g.json")
    assert (code, err) == (2, "hyflexsim: g.json: holds something else; name a new file\n")
    assert (folder / "g.json").read_text() == '{"years": "of work"}'


def test_pictures_that_do_not_fit_leave_no_study(hyflexsim, folder, monkeypatch):
    def full(where):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hyflexsim.analysis.draw_study", full)
    code, _, err = hyflexsim(*COMMANDS["accuracy"], "--out", "out")
    assert (code, err) == (2, "hyflexsim: out: cannot be written: No space left on device\n")
    assert not (folder / "out").exists()
    assert studies.working_folder(folder / "out").is_dir()  # scores are kept
