"""Bookkeeping of a file of jets (chunks, resuming, order, bytes), with a stand-in for Pythia."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets import generator, make_jets
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.jets.sample import LABELS


@pytest.fixture
def stand_in(monkeypatch):
    """Instead of Pythia: jets whose pT tells seed and place. Returns the list of calls."""
    calls = []

    def generate(label, count, seed, settings=(), progress=lambda found: None):
        calls.append((label, count))
        progress(count)
        row = {field.name: [] for field in generator.SCHEMA}
        return pa.Table.from_pylist(
            [
                row
                | {f"jet_{n}": 0.0 for n in ("eta", "phi", "mass")}
                | {"label": label, "jet_pt": pt, "jet_energy": pt, "jet_nparticles": 1}
                | {"part_px": [pt], **{f"part_{n}": [0.0] for n in ("py", "pz", "mass")}}
                | {name: [0] for name in ("part_charge", "part_pid", "part_d0", "part_dz")}
                for pt in (1 + seed % 1000 + i / 1000 for i in range(count))
            ],
            schema=generator.SCHEMA,
        )

    monkeypatch.setattr(make_jets, "generate", generate)
    return calls


def test_same_seed_same_bytes(stand_in, tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    make_jets.make_jets(a, ["QCD", "Hbb"], 300, seed=7)
    make_jets.make_jets(b, ["QCD", "Hbb"], 300, seed=7)
    make_jets.make_jets(c, ["QCD", "Hbb"], 300, seed=8)
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()
    assert stand_in[:4] == [("QCD", 250), ("QCD", 50), ("Hbb", 250), ("Hbb", 50)]


def test_rows_are_a_fair_mix(stand_in, tmp_path):
    classes = ["QCD", "Hbb", "Tbl"]
    make_jets.make_jets(tmp_path / "a", classes, 40, seed=1)
    found = load_jets(tmp_path / "a")
    blocks = found.labels.reshape(40, 3)
    assert (np.sort(blocks, axis=1) == sorted(classes)).all()
    assert len({tuple(block) for block in blocks}) > 1
    for name in classes:  # within a class the order is the generator's
        assert (np.diff(found.jet["jet_pt"][found.labels == name]) > 0).all()


def test_stopped_run_goes_on(stand_in, tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"

    def stop(label, found):
        if label == "Hbb":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_jets.make_jets(out, ["QCD", "Hbb"], 20, seed=1, report=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["out.chunks"]
    stand_in.clear()
    make_jets.make_jets(out, ["QCD", "Hbb"], 20, seed=1)
    assert stand_in == [("Hbb", 20)]
    make_jets.make_jets(whole, ["QCD", "Hbb"], 20, seed=1)
    assert out.read_bytes() == whole.read_bytes()


def test_chunks_of_another_recipe_or_harmed_ones_are_not_used(stand_in, tmp_path):
    out = tmp_path / "out"
    make_jets.make_jets(out, ["QCD"], 20, seed=1)
    make_jets.make_jets(out, ["QCD"], 20, seed=2)
    make_jets.make_jets(out, ["QCD"], 20, seed=1, settings=["PartonLevel:MPI=off"])
    assert len(stand_in) == 3
    for chunk in (tmp_path / "out.chunks").iterdir():
        chunk.write_bytes(b"half a file")
    make_jets.make_jets(out, ["QCD"], 20, seed=1)
    assert len(stand_in) == 4
    make_jets.make_jets(out, ["QCD"], 20, seed=1)
    assert len(stand_in) == 4


def test_bad_orders_in_one_line(tmp_path):
    out = tmp_path / "out"
    labels = ", ".join(LABELS)
    for arguments, message in [
        ((["top"],), f"classes must be of {labels}, each at most once; got 'top'"),
        ((["QCD", "QCD"],), f"classes must be of {labels}, each at most once; got 'QCD'"),
        (([],), f"classes must name at least one of {labels}; got none"),
        ((["QCD"], 0), "jets must be at least 1; got 0"),
        ((["QCD"], 1, -1), "seed must be 0 ... 4294967295; got -1"),
    ]:
        with pytest.raises(InputError) as error:
            make_jets.make_jets(out, *arguments)
        assert str(error.value) == message
    with pytest.raises(InputError, match=r"no such folder as "):
        make_jets.make_jets(tmp_path / "no" / "out", ["QCD"])
    assert list(tmp_path.iterdir()) == []


def test_missing_generator_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    command = ["make_jets", "--classes", "QCD", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        make_jets.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: making jets needs the package pythia8mc: pip install 'hyflexsim[hep]'"
    )


@pytest.mark.parametrize("kept", [True, False])
def test_interrupt_tells_how_to_go_on(monkeypatch, capsys, tmp_path, kept):
    if kept:
        (tmp_path / "out.chunks").mkdir()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(make_jets, "generate", stop)
    monkeypatch.setattr(sys, "argv", ["make_jets", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        make_jets.main()
    assert end.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "stopped; what is done is kept: run the same command to go on"
        if kept
        else "interrupted; nothing was written"
    )


def test_command(stand_in, monkeypatch, tmp_path):
    out = tmp_path / "out"
    command = ["make_jets", "--classes", "QCD, Hbb", "--jets", "3", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        make_jets.main()
    assert not end.value.code
    assert sorted(load_jets(out).labels) == ["Hbb"] * 3 + ["QCD"] * 3
