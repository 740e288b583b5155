"""The physics of generated jets; needs hyflexsim[hep] and is skipped without it."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from hyflexsim.models.part.inputs import FEATURES, jet_features
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets import generator
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.jets.sample import LABELS


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
