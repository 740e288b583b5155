"""Jets read from files: ragged lists, choices of classes, and refusals in one line."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets import jets
from hyflexsim.workloads.jets.jets import load_jets, particle_counts
from hyflexsim.workloads.jets.sample import LABELS, SAMPLE


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
    columns = {"label": list(labels)} | {name: [0.0] * len(counts) for name in jets.JET_COLUMNS}
    for name, values in ragged.items():
        columns[name] = [list(values[a:b]) for a, b in pairwise(ends)]
    columns["jet_pt"] = [sum(px) or 1.0 for px in columns["part_px"]]
    columns["jet_energy"] = [pt + 1 for pt in columns["jet_pt"]]
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
    px = [[1 + i / 100 for i in range(130)], [140, 141]]
    total = [float(sum(p)) for p in px]
    own = {"part_px": px, "jet_pt": total, "jet_energy": total}
    found = load_jets(write(table((130, 2), ("QCD", "QCD"), **own)))
    assert found.counts.tolist() == [128, 2]
    assert found.inputs(0)["px"][-1] == 1 + 127 / 100
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
    with pytest.raises(InputError, match=r"in row 2$"):  # all of a file is checked
        load_jets(path, classes=["Tbqq"], limit=1)


def test_bad_requests_in_one_line(write, tmp_path):
    path = write(table())
    for arguments, message in [
        ((path, ["top"]), f"classes must be of {', '.join(LABELS)}; got 'top'"),
        ((path, ["Hbb"]), f"{path}: no jet of Hbb; it has QCD, Tbqq"),
        ((path, None, 0), "limit must be at least 1; got 0"),
        (
            (tmp_path / "no",),
            f"{tmp_path / 'no'}: no such file; a Parquet or ROOT file of jets is needed",
        ),
    ]:
        with pytest.raises(InputError) as error:
            load_jets(*arguments)
        assert str(error.value) == message
    (tmp_path / "text").write_text("px, py")
    with pytest.raises(InputError, match="text: must be a readable Parquet file; "):
        load_jets(tmp_path / "text")


def test_reader_needs_no_torch():
    code = "import sys, hyflexsim.workloads.jets.jets; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_padding_is_no_particle(write):
    """Zeros behind, as arrays of one length have them, and between."""
    padded = {
        name: [column + [0] * (5 - len(column)) for column in table()[name].to_pylist()]
        for name in jets.PARTICLE_COLUMNS
    }
    found = load_jets(write(table(**padded)))
    alone = load_jets(write(table(), "alone.parquet"))
    assert found.offsets.tolist() == alone.offsets.tolist()
    for name, column in found.particles.items():
        assert column.tolist() == alone.particles[name].tolist()


def test_a_jet_of_padding_has_no_particle(write):
    path = write(table(part_px=[[10, 11], [0, 0, 0], [15]]))
    with pytest.raises(InputError, match=r"must hold at least one particle; none in row 1$"):
        load_jets(path)


def test_a_column_that_is_there_twice(write):
    whole = table()
    path = write(whole.append_column("part_px", whole["part_px"]))
    with pytest.raises(InputError, match=r"column part_px must be there once; it is there twice$"):
        load_jets(path)


def test_a_damaged_dictionary_is_one_line(write):
    """Found by ``make fuzz``: labels that are all "the 0th of 0 words"."""
    path = write(pq.read_table(SAMPLE).slice(0, 12))
    content = bytearray(path.read_bytes())
    content[content.index(b"L\x15") + 2] = 0  # the words of the first dictionary, by its header
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"must be a readable Parquet file; ") as caught:
        load_jets(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_name_of_a_column_is_one_line(write):
    path = write(table())
    path.write_bytes(path.read_bytes().replace(b"part_px", b"part\xc9px"))
    with pytest.raises(InputError, match=r"must be a readable Parquet file; |is missing"):
        load_jets(path)
