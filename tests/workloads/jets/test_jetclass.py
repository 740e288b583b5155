"""JetClass's own columns, padded arrays and ROOT files give the jets that ours give."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim.models.part.inputs import jet_features, track_errors
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets import jetclass
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.jets.sample import LABELS
from hyflexsim.workloads.jets.sets import concatenate

KINDS = jetclass.FLAGS


@pytest.fixture(scope="module")
def ours():
    return load_jets(limit=12)


def jetclass_columns(jets, length=None):
    """The same jets as JetClass has them; lists filled up with zeros to ``length``."""
    columns = {name: jets.jet[name] for name in jetclass.JET}
    columns["jet_sdmass"] = np.zeros(len(jets), np.float32)  # not read
    p = {name: jets.particles[f"part_{name}"].astype(np.float64) for name in ("px", "py", "pz")}
    mass = jets.particles["part_mass"].astype(np.float64)
    d0_err, dz_err = track_errors(p["px"], p["py"], p["pz"])
    flat = {f"part_{name}": values for name, values in p.items()}
    flat["part_energy"] = np.sqrt(sum(v**2 for v in p.values()) + mass**2)
    flat["part_charge"] = jets.particles["part_charge"].astype(np.float32)
    flat |= {
        name: (jets.particles["part_pid"] == code).astype(np.float32)
        for code, name in enumerate(KINDS)
    }
    flat |= {"part_d0val": jets.particles["part_d0"], "part_dzval": jets.particles["part_dz"]}
    charged = jets.particles["part_charge"] != 0
    flat |= {"part_d0err": 2 * d0_err * charged, "part_dzerr": dz_err * charged}
    for name, values in flat.items():
        rows = [values[a:b] for a, b in zip(jets.offsets, jets.offsets[1:], strict=False)]
        if length is not None:
            rows = [np.pad(row, (0, length - len(row))) for row in rows]
        columns[name] = [row.tolist() for row in rows]
    for name in LABELS:
        columns[f"label_{name}"] = (jets.labels == name).astype(np.int32)
    return columns


def same(found, ours):
    assert found.labels.tolist() == ours.labels.tolist()
    assert found.offsets.tolist() == ours.offsets.tolist()
    for name in ("part_px", "part_py", "part_pz", "part_charge", "part_pid", "part_d0"):
        assert found.particles[name].tolist() == ours.particles[name].tolist(), name
    for j in range(len(ours)):
        energy = found.inputs(j)["energy"]
        assert energy == pytest.approx(ours.inputs(j)["energy"], rel=1e-9)
        x, v = jet_features(found.inputs(j), "full", found.axis(j))
        own, _ = jet_features(ours.inputs(j), "full", ours.axis(j))
        errors = [11 + 1]  # d0_err: twice ours, so the file's own are read
        rest = [i for i in range(17) if i not in errors]
        assert np.allclose(x[rest], own[rest], atol=1e-6)
        assert np.allclose(x[errors], np.minimum(2 * own[errors], 1), atol=1e-6)
        assert v.shape[1] == ours.counts[j]


def test_ragged_lists(ours, tmp_path):
    file = tmp_path / "jets.parquet"
    pq.write_table(pa.table(jetclass_columns(ours)), file)
    same(load_jets(file), ours)


@pytest.mark.parametrize("fixed", [False, True])
def test_arrays_filled_up_with_zeros(ours, tmp_path, fixed):
    columns = jetclass_columns(ours, 128)
    if fixed:
        kind = pa.list_(pa.float32(), 128)
        columns |= {
            name: pa.array(values, kind if name != "part_energy" else pa.list_(pa.float64(), 128))
            for name, values in columns.items()
            if name.startswith("part_") and name not in ("part_px", "part_py", "part_pz")
        }
    file = tmp_path / "padded.parquet"
    pq.write_table(pa.table(columns), file)
    same(load_jets(file), ours)


def test_a_jet_mass_is_that_of_the_jet(ours, tmp_path):
    file = tmp_path / "jets.parquet"
    pq.write_table(pa.table(jetclass_columns(ours)), file)
    found = load_jets(file).jet["jet_mass"]
    assert found == pytest.approx(ours.jet["jet_mass"], rel=0.02)  # float32 energies: 1e-4 of E


def test_sets_with_and_without_errors_of_tracks(ours, tmp_path):
    file = tmp_path / "jets.parquet"
    pq.write_table(pa.table(jetclass_columns(ours)), file)
    both = concatenate([load_jets(file), ours])
    assert "part_d0_err" not in both.particles
    assert len(both) == 2 * len(ours)


def broken(ours, **change):
    return pa.table(jetclass_columns(ours) | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"label_QCD": [1] * 12}, "one of label_QCD … label_Tbl must be set; got 2 of t"),
        (
            lambda c: {"part_isPhoton": [[1.0] * len(row) for row in c["part_px"]]},
            "a particle must be one of part_isChargedHadron, part_isNeutralHadron, part_isPhoton, "
            "part_isElectron, part_isMuon; got 2 of them in row 0",
        ),
        (
            lambda c: {"part_energy": [row[:-1] for row in c["part_energy"]]},
            "column part_energy must have one value a particle",
        ),
    ],
)
def test_refusals(ours, tmp_path, change, message):
    file = tmp_path / "jets.parquet"
    columns = jetclass_columns(ours)
    pq.write_table(pa.table(columns | change(columns)), file)
    with pytest.raises(InputError) as error:
        load_jets(file)
    assert str(error.value).startswith(f"{file}: {message}")


def test_a_column_that_is_missing(ours, tmp_path):
    file, columns = tmp_path / "jets.parquet", jetclass_columns(ours)
    del columns["part_dzval"]
    pq.write_table(pa.table(columns), file)
    with pytest.raises(InputError, match=r"jets\.parquet: column part_dzval is missing; jets nee"):
        load_jets(file)


def test_errors_of_tracks_may_be_missing_as_in_our_own_files(ours, tmp_path):
    """Then they are those of the tracker assumed here, so the same jets are the same."""
    file, columns = tmp_path / "jets.parquet", jetclass_columns(ours)
    del columns["part_d0err"], columns["part_dzerr"]
    pq.write_table(pa.table(columns), file)
    found = load_jets(file)
    assert not {"part_d0_err", "part_dz_err"} & set(found.particles)
    for j in range(len(ours)):
        x, _ = jet_features(found.inputs(j), "full", found.axis(j))
        own, _ = jet_features(ours.inputs(j), "full", ours.axis(j))
        assert np.allclose(x, own, atol=1e-6)


def test_root_files_need_uproot(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uproot", None)
    file = tmp_path / "jets.root"
    file.write_bytes(b"root")
    with pytest.raises(InputError, match=r"needs the package uproot: pip install 'hyflexsim\[hep"):
        load_jets(file)


def test_root_file(ours, tmp_path):
    uproot = pytest.importorskip("uproot")
    awkward = pytest.importorskip("awkward")
    file, columns = tmp_path / "jets.root", jetclass_columns(ours)
    arrays = {
        name: awkward.Array(values) if name.startswith("part_") else np.asarray(values)
        for name, values in columns.items()
    }
    with uproot.recreate(file) as out:
        out["tree"] = arrays  # in uproot's newest form
    same(load_jets(file), ours)
    with uproot.recreate(file) as out:
        out.mktree("tree", {name: awkward.type(a).content for name, a in arrays.items()}).extend(
            arrays
        )
    same(load_jets(file), ours)
    with uproot.recreate(file) as out:
        out["tree"], out["other"] = arrays, arrays
    with pytest.raises(InputError, match=r"must hold one tree of jets; it has other, tree$"):
        load_jets(file)
    file.write_bytes(b"rooot" * 100)
    with pytest.raises(InputError, match=r"jets\.root: must be a readable ROOT file; "):
        load_jets(file)
