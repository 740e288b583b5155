"""``hyflexsim sweep``: from a file to a table, a folder and pictures."""

import os
import subprocess
import sys

import pandas as pd
import pytest

JETS = """
title = "Converters"
scenario = "part-jets"
answers = ["latency_ps.p99", "power_w.mean", "bound.kind"]

[set]
workload.count = 2

[vary]
adc.per_array = [1, 2]
mapping.slc_rate = [0.1, 1.0]
"""
PICTURES = ("front.png", "multiples.png", "effects.png", "parallel.png")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with a sweep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "jets.toml").write_text(JETS)
    return tmp_path


def test_a_table_a_folder_and_pictures(hyflexsim, folder):
    code, out, err = hyflexsim("sweep", "jets.toml")
    assert (code, err) == (0, "")
    for word in ("Converters", "per_array", "slc_rate", "µs", "on the front of min latency_ps.p99"):
        assert word in out
    assert out.splitlines()[-1] == "written to runs/jets"
    assert len(pd.read_parquet("runs/jets/points.parquet")) == 4
    for name in PICTURES:
        assert (folder / "runs" / "jets" / name).stat().st_size > 5000


def test_the_same_command_again_only_shows(hyflexsim, folder):
    first = hyflexsim("sweep", "jets.toml", "--no-plots")
    (folder / "runs" / "jets" / "points.parquet").chmod(0o444)
    before = (folder / "runs" / "jets" / "points.parquet").read_bytes()
    assert hyflexsim("sweep", "jets.toml", "--no-plots") == first
    assert (folder / "runs" / "jets" / "points.parquet").read_bytes() == before


def test_a_dry_run_writes_nothing(hyflexsim, folder):
    code, out, err = hyflexsim("sweep", "jets.toml", "--dry-run", "--workers", "3")
    assert (code, err) == (0, "")
    assert out.startswith("4 points, at ")
    assert "on 3 workers" in out
    assert "MiB" in out
    assert [path.name for path in folder.iterdir()] == ["jets.toml"]


def test_plot_draws_a_sweep_anew(hyflexsim, folder):
    hyflexsim("sweep", "jets.toml", "--no-plots", "--workers", "0")
    code, out, _ = hyflexsim("plot", "runs/jets")
    assert code == 0
    assert out.splitlines() == [f"written to runs/jets/{name}" for name in PICTURES]
    code, _, err = hyflexsim("plot", "runs/jets", "--layer", "h.0")
    assert (code, err.count("\n")) == (2, 1)


BAD = {
    "unknown key": ("[vary]\nadc.per_arrya = [1]", [], "unknown key 'adc.per_arrya'"),
    "empty list": ("[vary]\nadc.per_array = []", [], "must have a value at least"),
    "too many": (
        "[vary]\n" + "\n".join(f"k{i} = {{ from = 1, to = 1000 }}" for i in range(3)),
        [],
        "at most 100,000 points; got 1,000,000,000",
    ),
    "nobody there": ("", ["--dask", "tcp://127.0.0.1:1"], "nobody answers at"),
    "both": ("", ["--dask", "tcp://127.0.0.1:1", "--workers", "2"], "--workers goes without"),
    "workers": ("", ["--workers", "-1"], "--workers must be an integer from 0"),
    "folder": ("", ["--out", "."], "--out must name a folder"),
    "file": ("", ["--out", "jets.toml"], "jets.toml is a file"),
}


@pytest.mark.parametrize(("vary", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    hyflexsim, folder, monkeypatch, vary, options, message
):
    monkeypatch.setattr("hyflexsim.workloads.points.cluster.PATIENCE", "1s")
    if vary:
        (folder / "jets.toml").write_text(f'scenario = "part-jets"\n{vary}\n')
    before = sorted(folder.iterdir())
    code, out, err = hyflexsim("sweep", "jets.toml", *options)
    assert (code, out) == (2, "")
    assert err.startswith("hyflexsim: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_two_sweeps_with_one_folder_at_once(hyflexsim, folder):
    """The second is refused by name while the first, a process of its own, goes on."""
    code = (
        "import sys\n"
        "from hyflexsim.workloads.outputs import owned\n"
        "with owned('out'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    ) as other:
        assert other.stdout.readline() == b"held\n"
        result, _, err = hyflexsim("sweep", "jets.toml", "--out", "out", "--workers", "0")
        assert result == 2
        assert f"another process is writing it (process {other.pid} on " in err
        other.stdin.close()
    assert hyflexsim("sweep", "jets.toml", "--out", "out", "--workers", "0")[0] == 0


def test_ctrl_c_keeps_what_is_done(folder):
    """An interrupt in the middle ends with 130; the same command goes on."""
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # jobs of a shell ignore it
        "from hyflexsim.workloads.cli import main\n"
        "from hyflexsim.workloads.sweeping import results\n"
        "real = results.Results.add\n"
        "def add(*a):\n"
        "    real(*a)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    signal.pause()\n"
        "results.Results.add = add\n"
        "main.main(['sweep', 'jets.toml', '--workers', '1'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        130,
        "stopped; what is done is kept: run the same command to go on\n",
    )
    assert len(list((folder / "runs" / "jets" / "parts").glob("*.parquet"))) == 1
