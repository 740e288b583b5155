"""Commands on jets and ParT, as a user types them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim.workloads.cli.main import main
from hyflexsim.workloads.jets import make_jets
from hyflexsim.workloads.jets.generator import SCHEMA
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.jets.sample import SAMPLE

TINY = ["--set", 'classes=["QCD","Tbqq"]', "--set", "particles=8", "--set", "steps=3"]
TINY += ["--set", "batch=8", "--set", "watch_every=1"]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Forty jets of two classes."""
    table = pq.read_table(SAMPLE)
    names = np.array(table["label"].to_pylist())
    rows = [np.flatnonzero(names == name)[:40] for name in ("QCD", "Tbqq")]
    path = tmp_path_factory.mktemp("jets") / "few.parquet"
    pq.write_table(table.take(np.concatenate(rows)), path)
    return path


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code, capsys.readouterr()


def test_train_part_prints_scores_and_draws(few, tmp_path, capsys):
    out = tmp_path / "part"
    code, printed = command(
        capsys, "train-part", "part-small", few, "--out", out, "--no-baseline", *TINY
    )
    assert code == 0, printed.err
    assert "on 8 jets that training never saw" in printed.out
    assert "rej. 50 %" in printed.out
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_learning_curve(few, tmp_path, capsys):
    out = tmp_path / "curve"
    sizes = ["--sizes", "20,10", "--no-baseline"]
    code, printed = command(capsys, "train-part", "part-small", few, "--out", out, *sizes, *TINY)
    assert code == 0, printed.err
    table = pd.read_parquet(out / "learning_curve.parquet")
    assert table["train_jets"].tolist() == [10, 20]
    assert table["trees"].isna().all()
    assert (out / "learning_curve.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train-part", "part-small", "--set", "steps"], "--set must be key=value; got 'steps'"),
        (["train-part", "part-small", "--sizes", "a"], "--sizes must be positive integers"),
        (["train-part", "part-small", "--sizes", "1", "--start", "x"], "leave out --start"),
        (["train-part", "part-small", "none.parquet"], "no such file or folder of jets"),
        (
            ["train-part", "part"],
            "part: no such recipe; name one of part-small, part-small-best",
        ),
        (["attention-cost", "no.pt"], "no.pt: no such file; a .safetensors, .pt or .pth file is"),
        (["jets", "--classes", "top", "--out", "x"], "classes must be of QCD"),
        (["jets", "--workers", "0", "--out", "x"], "workers must be at least 1; got 0"),
    ],
)
def test_bad_input_is_one_line_and_code_2(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, printed = command(capsys, *arguments)
    assert code == 2
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def row(label):
    lists = {field.name: [] for field in SCHEMA}
    row = lists | {f"jet_{n}": 0.0 for n in ("eta", "phi", "mass")}
    row |= {"label": label, "jet_pt": 600.0, "jet_energy": 600.0, "jet_nparticles": 1}
    row |= {"part_px": [600.0], "part_py": [0.0], "part_pz": [0.0], "part_mass": [0.0]}
    return row | {name: [0] for name in ("part_charge", "part_pid", "part_d0", "part_dz")}


def test_jets(tmp_path, capsys, monkeypatch):
    def generate(label, count, seed, settings=(), progress=lambda found: None):
        return pa.Table.from_pylist([row(label)] * count, schema=SCHEMA)

    monkeypatch.setattr(make_jets, "generate", generate)
    out = tmp_path / "jets.parquet"
    code, printed = command(capsys, "jets", "--classes", "QCD,Zqq", "--jets", 3, "--out", out)
    assert code == 0, printed.err
    assert sorted(load_jets(out).labels) == ["QCD"] * 3 + ["Zqq"] * 3


def test_stopped_jets_say_how_to_go_on(tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(make_jets, "generate", stop)
    (tmp_path / "jets.parquet.chunks").mkdir()
    code, printed = command(capsys, "jets", "--out", tmp_path / "jets.parquet")
    assert code == 130
    assert printed.err.splitlines()[-1] == (
        "stopped; what is done is kept: run the same command to go on"
    )


def test_processes_make_the_same_bytes(tmp_path):
    """Two processes that run Pythia: the file of one. Skipped without hyflexsim[hep]."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    files = [tmp_path / "one", tmp_path / "two"]
    for workers, file in enumerate(files, start=1):
        make_jets.make_jets(
            file, ["QCD", "Wqq"], 3, seed=4, settings=["PartonLevel:MPI=off"], workers=workers
        )
    assert files[0].read_bytes() == files[1].read_bytes()
