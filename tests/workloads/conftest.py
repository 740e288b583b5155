"""Fixtures: tiny recipes on data that ship, and a checkpoint made by one of them."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from hyflexsim.workloads.cli import main as cli
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.compression.stages import compress_recipe

VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "image_size": 8,
    "patch_size": 4,  # four patches and the class token
    "num_channels": 1,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "hidden_dropout_prob": 0.1,
}
DIGITS = {
    "title": "tiny",
    "model": {"config": VIT},
    "data": {"name": "digits", "train_limit": 96, "test_limit": 60},
    "train": {"epochs": 1, "batch": 32, "lr": 2e-3},
    "compress": {"steps": 6},
    "recover": {"epochs": 1, "batch": 32, "lr": 1e-3},
    "workload": {"kind": "tokens", "tokens": 5, "requests": 2},
}


def make_recipe(name="tiny", **changes):
    """The recipe above; `changes` by section and key, as ``compress={"method": "uniform"}``."""
    torch.set_num_threads(1)
    content = copy.deepcopy(DIGITS)
    for section, values in changes.items():
        content[section] = content.get(section, {}) | values if isinstance(values, dict) else values
    return Recipe.of(name, content, "tiny.toml")


@pytest.fixture(scope="session")
def tiny_recipe():
    """The function that makes a tiny recipe."""
    return make_recipe


@pytest.fixture(scope="session")
def vit_config():
    """The configuration of its model."""
    return dict(VIT)


@pytest.fixture(scope="session")
def checkpoint_recipe():
    """The recipe of the checkpoint: a second of training, so that noise has something to spoil."""
    return make_recipe(
        data={"train_limit": 600}, train={"epochs": 8, "lr": 3e-3}, recover={"lr": 5e-4}
    )


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, checkpoint_recipe):
    """The folder of a compressed checkpoint on digits. Do not change it."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    compress_recipe(checkpoint_recipe, folder)
    return folder


@pytest.fixture(scope="session")
def dark_checkpoint(tmp_path_factory, checkpoint):
    """The same, as if it had been trained on black pictures: all that are scored are brighter."""
    folder = tmp_path_factory.mktemp("checkpoints") / "dark"
    shutil.copytree(checkpoint, folder)
    entry = json.loads((folder / "ranks.json").read_text())
    entry["about"]["seen"]["ranges"]["brightness"] = [-9, -8, 0]
    (folder / "ranks.json").write_text(json.dumps(entry))
    return folder


@pytest.fixture
def hyflexsim(capsys):
    """Run a command; returns (exit code, output, errors)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


POINTS = '''
"""Points that tests compute."""

import os
import signal
import time
from pathlib import Path


def twice(settings):
    log = settings.get("log")
    if log:
        with Path(log).open("a") as file:
            file.write(f"{settings['n']}\\n")
    if "processes" in settings:
        with Path(settings["processes"]).open("a") as file:
            file.write(f"{os.getpid()}\\n")
    time.sleep(settings.get("seconds", 0))
    if settings["n"] == settings.get("fails"):
        raise ValueError("no such number\\nin two lines")
    if settings["n"] == settings.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"twice": 2 * settings["n"], "process": os.getpid()}
'''


@pytest.fixture
def points(tmp_path, monkeypatch):
    """The module; in a folder of its own on the path."""
    folder = tmp_path / "points"
    folder.mkdir()
    (folder / "tried_points.py").write_text(POINTS)
    monkeypatch.syspath_prepend(folder)
    import tried_points  # noqa: PLC0415

    yield tried_points
    del sys.modules["tried_points"]


SERVER = Path(__file__).with_name("command_server.py")
PAGES = Path(__file__).parents[2] / "docs"
PASSED = ("HOME", "HYFLEXSIM_CACHE", "OMP_NUM_THREADS")


@pytest.fixture(scope="module")
def served_commands():
    """The environment of a shell whose ``hyflexsim`` and ``python`` are answered by a server."""
    env = {key: os.environ[key] for key in PASSED if key in os.environ}
    # what one process does, others do equally: tests/workloads/points and sweeping
    env["HYFLEXSIM_WORKERS"] = "0"
    with tempfile.TemporaryDirectory() as folder:  # the name of a socket must be short
        env["PATH"] = f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin"
        server = subprocess.Popen([sys.executable, SERVER, folder], env=env, stdout=subprocess.PIPE)
        assert server.stdout.readline() == b"ready\n"
        yield env
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.fixture
def run_page(tmp_path, served_commands):
    """Run every ``bash`` and ``python`` block of a page, in order, in one folder; returns both."""

    def run(name):
        page = (PAGES / name).read_text(encoding="utf-8")
        blocks = re.findall(r"^```(bash|python)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        for language, code in blocks:
            command = ["bash", "-euc", code] if language == "bash" else ["python", "-c", code]
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env=served_commands,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, ""), code
        return blocks, tmp_path

    return run
