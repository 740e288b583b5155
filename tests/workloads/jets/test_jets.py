"""Jets: the reader, the sample, and the generator's bookkeeping and physics.

The bookkeeping (chunks, resuming, order, bytes) is tested with a stand-in for the generator;
the physics needs hyflexsim[hep] and is skipped without it.
"""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim.models.part.inputs import FEATURES, jet_features
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets import generator, jets, make_jets, sample
from hyflexsim.workloads.jets.jets import load_jets, particle_counts
from hyflexsim.workloads.jets.sample import LABELS, SAMPLE

CLASSES = ["QCD", "Tbqq", "Tbl", "Wqq", "Hbb"]


def table(counts=(2, 3, 1), labels=("QCD", "Tbqq", "QCD"), **change):
    """A table of jets with the given numbers of particles, px = 10, 11, 12 ..."""
    n = int(sum(counts))
    ends = np.cumsum([0, *counts])
    ragged = {
        "part_px": np.arange(10.0, 10.0 + n),
        "part_py": np.zeros(n),
        "part_pz": np.zeros(n),
        "part_mass": np.full(n, 0.5),
        "part_charge": np.ones(n, np.int8),
        "part_pid": np.zeros(n, np.int8),
        "part_d0": np.zeros(n),
        "part_dz": np.zeros(n),
    }
    columns = {"label": list(labels)} | {name: [500.0] * len(counts) for name in jets.JET_COLUMNS}
    for name, values in ragged.items():
        columns[name] = [list(values[a:b]) for a, b in pairwise(ends)]
    for name, value in change.items():
        if value is None:
            del columns[name]
        else:
            columns[name] = value
    return pa.table(columns)


@pytest.fixture
def write(tmp_path):
    def write(contents, name="jets.parquet"):
        pq.write_table(contents, tmp_path / name)
        return tmp_path / name

    return write


def test_reads_ragged_lists(write):
    found = load_jets(write(table()))
    assert len(found) == 3
    assert found.labels.tolist() == ["QCD", "Tbqq", "QCD"]
    assert found.offsets.tolist() == [0, 2, 5, 6]
    assert found.counts.tolist() == [2, 3, 1]
    assert found.targets.tolist() == [0, 8, 0]
    assert found.inputs(1)["px"].tolist() == [12, 13, 14]
    assert found.inputs(2)["energy"][0] == pytest.approx(np.hypot(15, 0.5))


def test_classes_and_limit(write):
    path = write(table())
    assert load_jets(path, classes=["QCD"]).inputs(1)["px"].tolist() == [15]
    assert load_jets(path, limit=2).counts.tolist() == [2, 3]
    assert particle_counts(path, ["QCD"], 1).tolist() == [2]
    assert particle_counts(path, limit=100).tolist() == [2, 3, 1]


def test_file_named_after_its_class_needs_no_label(write):
    found = load_jets(write(table(label=None), "Tbqq.parquet"))
    assert set(found.labels) == {"Tbqq"}


def test_particles_beyond_128_are_left(write):
    found = load_jets(write(table((130, 2), ("QCD", "QCD"))))
    assert found.counts.tolist() == [128, 2]
    assert found.inputs(0)["px"][-1] == 10 + 127
    assert found.inputs(1)["px"].tolist() == [140, 141]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (table(part_px=None), "column part_px is missing; jets need it"),
        (table(label=None), "column label is missing; jets need it"),
        (
            table(labels=("QCD", "top", "QCD")),
            f"label must be one of {', '.join(LABELS)}; got 'top' in row 1",
        ),
        (
            table(part_pz=[[0, 0], [0, np.nan, 0], [0]]),
            "part_pz must be finite; got nan in row 1",
        ),
        (
            table(part_px=[[0, 0], [0, 0, 0], [None]]),
            "part_px must be finite; got nan in row 2",
        ),
        (table((2, 3, 0)), "part_px must hold at least one particle; none in row 2"),
        (
            table(part_mass=[[0, 0], [0, 0], [0]]),
            "column part_mass must have one value a particle (3); got 2 in row 1",
        ),
        (
            table(part_d0=[1.0, 2.0, 3.0]),
            "column part_d0 must be lists of numbers; got double",
        ),
        (
            table(part_d0=[["a", "b"], ["a", "b", "c"], ["a"]]),
            "column part_d0 must hold numbers; got object",
        ),
        (table(jet_pt=[1.0, 2.0, np.inf]), "jet_pt must be finite; got inf in row 2"),
    ],
)
def test_bad_files_in_one_line(write, contents, message):
    path = write(contents)
    with pytest.raises(InputError) as error:
        load_jets(path)
    assert str(error.value) == f"{path}: {message}"


def test_the_row_is_the_files_row(write):
    """Choosing a class does not renumber the rows in a message."""
    path = write(table(part_dz=[[0, 0], [0, 0, 0], [np.inf]]))
    with pytest.raises(InputError, match=r"part_dz must be finite; got inf in row 2$"):
        load_jets(path, classes=["QCD"])
    assert len(load_jets(path, classes=["Tbqq"])) == 1


def test_bad_requests_in_one_line(write, tmp_path):
    path = write(table())
    for arguments, message in [
        ((path, ["top"]), f"classes must be of {', '.join(LABELS)}; got 'top'"),
        ((path, ["Hbb"]), f"{path}: no jet of Hbb; it has QCD, Tbqq"),
        ((path, None, 0), "limit must be at least 1; got 0"),
        ((tmp_path / "no",), f"{tmp_path / 'no'}: no such file; a Parquet file of jets is needed"),
    ]:
        with pytest.raises(InputError) as error:
            load_jets(*arguments)
        assert str(error.value) == message
    (tmp_path / "text").write_text("px, py")
    with pytest.raises(InputError, match="text: must be a readable Parquet file; "):
        load_jets(tmp_path / "text")


def test_sample():
    """The committed file: five classes, fairly mixed, with the masses of W, H and top."""
    found = load_jets()
    assert SAMPLE.stat().st_size < 2.5e6
    assert {name: int((found.labels == name).sum()) for name in CLASSES} == dict.fromkeys(
        CLASSES, 600
    )
    assert sorted(found.labels[:5]) == sorted(CLASSES)
    assert 1 <= found.counts.min() <= found.counts.max() == 128
    pt = found.jet["jet_pt"]
    assert 500 < pt.min() <= pt.max() < 1000
    assert abs(found.jet["jet_eta"]).max() < 2
    mass = {c: np.median(found.jet["jet_mass"][found.labels == c]) for c in CLASSES}
    assert mass["Wqq"] == pytest.approx(86.5, abs=2)  # 80.4 and the underlying event
    assert mass["Hbb"] == pytest.approx(124.8, abs=2)
    assert mass["Tbqq"] == pytest.approx(175.7, abs=2)


def test_sample_particles_add_up_to_their_jet():
    found = load_jets(limit=200)
    whole = [j for j in range(200) if found.counts[j] < 128]
    for j in whole:
        own = found.inputs(j)
        total = [float(np.sum(own[k].astype(np.float64))) for k in ("px", "py", "pz", "energy")]
        np.testing.assert_allclose(total, found.axis(j), atol=0.03)
        assert (np.diff(np.hypot(own["px"], own["py"])) <= 0.01).all()  # descending pT


def test_sample_feeds_part():
    found = load_jets(limit=5)
    for j in range(5):
        x, v = jet_features(found.inputs(j), "full", found.axis(j))
        assert x.shape == (17, found.counts[j])
        assert v.shape == (4, found.counts[j])
        assert np.isfinite(x).all()
        assert abs(x[15]).max() < 1.5  # deta, within the jet


def test_reader_needs_no_torch():
    code = "import sys, hyflexsim.workloads.jets.jets; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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
                | {f"jet_{n}": 0.0 for n in ("eta", "phi", "energy", "mass")}
                | {"label": label, "jet_pt": seed % 1000 + i / 1000, "jet_nparticles": 1}
                | {name: [1.0] for name in ("part_px", "part_py", "part_pz", "part_mass")}
                | {name: [0] for name in ("part_charge", "part_pid", "part_d0", "part_dz")}
                for i in range(count)
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
    with pytest.raises(InputError, match=r"its folder does not exist; make it first$"):
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


def test_interrupt_tells_how_to_go_on(monkeypatch, capsys, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(make_jets, "generate", stop)
    monkeypatch.setattr(sys, "argv", ["make_jets", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        make_jets.main()
    assert end.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "stopped; what is done is kept: run the same command to go on"
    )


def test_command(stand_in, monkeypatch, tmp_path):
    out = tmp_path / "out"
    command = ["make_jets", "--classes", "QCD, Hbb", "--jets", "3", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        make_jets.main()
    assert not end.value.code
    assert sorted(load_jets(out).labels) == ["Hbb"] * 3 + ["QCD"] * 3


def test_mantissa_rounding():
    values = np.array([1.0, np.pi, -1234.567, 0.0])
    short = generator._short(values)
    np.testing.assert_allclose(short, values, rtol=1.6e-5)
    assert (short.view(np.uint32) & 0xFF == 0).all()


QUICK = ("PartonLevel:MPI=off",)


@pytest.fixture
def hep():
    for name in ("pythia8mc", "fastjet", "awkward", "vector"):
        pytest.importorskip(name)


def test_pythia_same_seed_same_jets(hep):
    a = generator.generate("Tbqq", 8, 5, QUICK)
    assert a.equals(generator.generate("Tbqq", 8, 5, QUICK))
    assert generator.generate("Tbqq", 5, 5, QUICK).equals(a.slice(0, 5))


@pytest.mark.parametrize("label", LABELS)
def test_pythia_jets_hold_their_decay(hep, label, tmp_path):
    """Truth: the right particles, inside the jet, with the mass of their parent."""
    made = generator.generate(label, 6, 3, QUICK)
    pq.write_table(made, tmp_path / "jets.parquet")
    found = load_jets(tmp_path / "jets.parquet")
    assert set(found.labels) == {label}
    assert jet_features(found.inputs(0))[0].shape[0] == len(FEATURES["full"])
    leptons = {"Tbl": 1, "Hqql": 1}.get(label, 0)
    products = {"QCD": 0, "H4q": 4, "Hqql": 3, "Tbqq": 3}.get(label, 2)
    mass = {"Z": 91.2, "W": 80.4, "T": 172.5, "H": 125.0}.get(label[0])
    for row in made.to_pylist():
        pdg = np.abs(row["truth_pdg"])
        assert len(pdg) == products
        assert np.isin(pdg, (11, 13)).sum() == leptons
        if products and not leptons:
            total = [sum(row[f"truth_{k}"]) for k in ("energy", "px", "py", "pz")]
            truth = np.sqrt(total[0] ** 2 - sum(p**2 for p in total[1:]))
            assert truth == pytest.approx(mass, abs=25)


def test_pythia_refuses_a_setting(hep):
    with pytest.raises(InputError, match=r"^Pythia refuses the setting 'No:such=1'"):
        generator.generate("QCD", 1, 1, ["No:such=1"])


@pytest.mark.parametrize("classes", [None, ["Hbb", "QCD"], ["Hcc"]])
def test_lengths_of_the_sample_are_those_of_its_particles(classes):
    """Two columns say what all particles say; a class that the sample lacks gives nothing."""
    counts, labels = sample.sample_lengths(classes, 300)
    if classes == ["Hcc"]:
        assert (counts, labels) == ([], [])
        return
    loaded = jets.load_jets(None, classes, 300)
    assert (counts, labels) == (loaded.counts.tolist(), loaded.labels.tolist())
