"""Sets of jets: files and folders, the data folder, splits by blocks, decay products."""

import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.jets.sample import LABELS, SAMPLE
from hyflexsim.workloads.jets.sets import fingerprint, load_set, split


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The sample's first forty jets, one file a class, without the label column."""
    path = tmp_path_factory.mktemp("jets")
    table = pq.read_table(SAMPLE).slice(0, 40)
    names = np.array(table["label"].to_pylist())
    for name in set(names):
        own = table.take(np.flatnonzero(names == name)).drop_columns("label")
        pq.write_table(own, path / f"{name}.parquet")
    return path


def test_a_folder_is_its_files_class_after_class(folder):
    found = load_set(folder, truth=True)
    order = [name for name in LABELS if (found.labels == name).any()]
    assert found.labels.tolist() == [name for name in order for _ in range(8)]
    plain = load_jets(SAMPLE, ["Tbl"], truth=True)
    j = int(np.flatnonzero(found.labels == "Tbl")[3])
    for name, column in found.inputs(j).items():
        np.testing.assert_array_equal(column, plain.inputs(3)[name])
    assert found.axis(j) == plain.axis(3)
    own = slice(found.truth_offsets[j], found.truth_offsets[j + 1])
    other = slice(plain.truth_offsets[3], plain.truth_offsets[4])
    assert found.truth["truth_pdg"][own].tolist() == plain.truth["truth_pdg"][other].tolist()
    assert sorted(abs(found.truth["truth_pdg"][own]))[0] == 5  # b first of b, lepton


def test_first_jets_of_each_class(folder):
    found = load_set(folder, ["Tbl", "QCD"], 2)
    assert found.labels.tolist() == ["Tbl", "Tbl", "QCD", "QCD"]
    same = load_set(SAMPLE, ["Tbl", "QCD"], 2)
    np.testing.assert_array_equal(found.particles["part_px"], same.particles["part_px"])
    assert found.truth is None


def test_data_folder(folder, monkeypatch):
    monkeypatch.setenv("HYFLEXSIM_DATA", str(folder.parent))
    assert len(load_set(folder.name)) == 40
    with pytest.raises(InputError) as error:
        load_set("none")
    assert str(error.value) == (
        f"{folder.parent / 'none'}: no such file or folder of jets nor in "
        f"HYFLEXSIM_DATA={folder.parent}"
    )
    monkeypatch.delenv("HYFLEXSIM_DATA")
    with pytest.raises(InputError, match=r"^none: no such file or folder of jets \(and"):
        load_set("none")


def test_bad_sets_in_one_line(folder, tmp_path):
    for arguments, message in [
        ((folder, ["top"]), f"classes must be of {', '.join(LABELS)}; got 'top'"),
        ((folder, ["Zqq"]), f"{folder}: no jet of Zqq; it has QCD, Hbb, Wqq, Tbqq, Tbl"),
        ((folder, None, 0), "jets of each class must be at least 1; got 0"),
        ((tmp_path,), f"{tmp_path}: must hold a file such as QCD.parquet; it has none"),
    ]:
        with pytest.raises(InputError) as error:
            load_set(*arguments)
        assert str(error.value) == message


@given(st.lists(st.integers(10, 60), min_size=1, max_size=4), st.integers(0, 99))
def test_a_split_is_a_partition_into_blocks(sizes, seed):
    labels = np.repeat(LABELS[: len(sizes)], sizes)
    labels = np.random.default_rng(seed).permutation(labels)
    parts = split(labels, 0.1, 0.2)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for name in set(labels.tolist()):
        own = [part[labels[part] == name] for part in parts]
        assert max(own[0]) < min(own[1])
        assert max(own[1]) < min(own[2])
        assert len(own[2]) == round(0.2 * (labels == name).sum())


def test_too_few_jets_to_split():
    with pytest.raises(InputError, match=r"and test \(0\.1\); QCD has 3 jets$"):
        split(np.array(["QCD"] * 3))


def test_fingerprint_follows_the_bytes(folder, tmp_path):
    assert fingerprint(folder) == fingerprint(folder)
    for file in folder.glob("Tb*.parquet"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert len({fingerprint(folder), fingerprint(tmp_path), fingerprint(None)}) == 3
    (tmp_path / "jets").write_bytes(b"abc")
    assert fingerprint(tmp_path / "jets") == "ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1


def test_what_has_no_end_is_no_set(tmp_path):
    os.mkfifo(tmp_path / "QCD.parquet")
    for path in ("/dev/zero", tmp_path / "QCD.parquet", tmp_path):
        with pytest.raises(InputError, match="must be a file; a device, a pipe or"):
            fingerprint(path)
        with pytest.raises(InputError):
            load_set(path)
