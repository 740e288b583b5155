"""Jets in other units, with other codes, or that do not add up are refused; the sample is not."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.jets.sample import SAMPLE

MOMENTA = ("jet_pt", "jet_energy", "jet_mass", "part_px", "part_py", "part_pz", "part_mass")


@pytest.fixture
def changed(tmp_path):
    """Writes jets of the sample, columns changed by a function of their values, of some rows."""
    jets = pq.read_table(SAMPLE).slice(0, 20)

    def write(functions, row=None):
        table = jets
        for name, function in functions.items():
            rows = [
                value if row not in (None, r) else _mapped(function, value)
                for r, value in enumerate(table[name].to_pylist())
            ]
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, pa.array(rows))
        pq.write_table(table, tmp_path / "jets.parquet")
        return tmp_path / "jets.parquet"

    return write


def _mapped(function, value):
    return [function(v) for v in value] if isinstance(value, list) else function(value)


def test_the_sample_adds_up(changed):
    assert len(load_jets(changed({}))) == 20


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (dict.fromkeys(MOMENTA, lambda v: 1000 * v), "jet_pt must be from 1 to 7000 GeV; got "),
        (dict.fromkeys(MOMENTA, lambda v: v / 1000), "jet_pt must be from 1 to 7000 GeV; got 0."),
        (
            dict.fromkeys(MOMENTA[3:], lambda v: 1000 * v),
            "part_px must be from -7000 to 7000 GeV; got ",
        ),
        ({"jet_pt": lambda v: -v}, "jet_pt must be from 1 to 7000 GeV; got -"),
        ({"jet_energy": lambda v: -v}, "jet_energy must be from 1 to 7000 GeV; got -"),
        ({"jet_mass": lambda v: -v}, "jet_mass must be from 0 to 7000 GeV; got -"),
        ({"jet_phi": lambda v: 180}, "jet_phi must be an angle in rad, from -2π to 2π; got 180"),
        ({"jet_phi": lambda v: v + np.pi}, "part_px and part_py must add up to jet_pt and jet_phi"),
        ({"jet_pt": lambda v: 1.5 * v}, "must add up to jet_pt and jet_phi within 20%; got "),
        ({"part_px": lambda v: -v}, "part_px and part_py must add up to jet_pt and jet_phi"),
        ({"part_mass": lambda v: v - 1}, "part_mass must be from 0 to 7000 GeV; got -"),
        ({"part_mass": lambda v: 1000 * v}, "part_mass must add up to jet_energy within 20%; got "),
        ({"jet_energy": lambda v: min(7000, 1.5 * v)}, "must add up to jet_energy within 20%; got"),
        ({"jet_eta": lambda v: v + 1}, "part_pz must add up to jet_pt sinh(jet_eta) within 20%"),
        ({"part_pz": lambda v: v / 2}, "part_pz must add up to jet_pt sinh(jet_eta) within 20%"),
        ({"part_charge": lambda v: v / 3}, "part_charge must be -1, 0 or 1; got "),
        ({"part_charge": lambda v: 3 * v}, "part_charge must be -1, 0 or 1; got "),
        ({"part_pid": lambda v: 211}, "part_pid must be 0 to 4 (0 charged hadron, 1 neutral "),
        ({"part_pid": lambda v: -1}, "part_pid must be 0 to 4 (0 charged hadron"),
        ({"part_pid": lambda v: 2**62}, "part_pid must be 0 to 4 (0 charged hadron"),
    ],
)
@pytest.mark.parametrize("row", [None, 13])
def test_other_units_and_codes_are_refused(changed, functions, message, row):
    path = changed(functions, row)
    with pytest.raises(InputError) as caught:
        load_jets(path, limit=2)  # whatever is taken of the file
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert " in row " in text
    if row is not None:
        assert text.endswith(" in row 13")


@pytest.mark.parametrize(
    ("name", "factor", "message"),
    [
        (
            "part_d0",
            0.1,
            "part_d0 must be in mm, its median over charged particles from 0.005 to 2;",
        ),
        (
            "part_d0",
            1000,
            "part_d0 must be in mm, its median over charged particles from 0.005 to 2;",
        ),
        (
            "part_dz",
            0.1,
            "part_dz must be in mm, its median over charged particles from 0.015 to 20",
        ),
        (
            "part_dz",
            1000,
            "part_dz must be in mm, its median over charged particles from 0.015 to 20",
        ),
    ],
)
def test_distances_of_tracks_in_cm_or_um_are_refused(changed, name, factor, message):
    path = changed({name: lambda v: factor * v})
    with pytest.raises(InputError) as caught:
        load_jets(path, limit=2)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_distances_that_are_not_there_or_of_few_tracks_are_not_judged(changed):
    assert len(load_jets(changed({"part_d0": lambda v: 0.0, "part_dz": lambda v: 1e-9}))) == 20
    path = changed({"part_d0": lambda v: v / 10})
    few = pq.read_table(path).slice(0, 2)  # 46 and 19 charged ones
    pq.write_table(few, path)
    assert len(load_jets(path)) == 2


def test_a_calibration_and_a_cut_are_allowed(changed):
    scaled = {name: lambda v: 1.1 * v for name in ("jet_pt", "jet_energy", "jet_mass")}
    assert len(load_jets(changed(scaled))) == 20
