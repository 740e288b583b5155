"""Observables: closed forms of two and three particles, symmetries, known physics."""

import numpy as np
import pytest

from hyflexsim.workloads.jets.observables import (
    NAMES,
    delta_r,
    lepton_isolation,
    n_subjettiness,
    observables,
)
from hyflexsim.workloads.jets.sets import load_set
from hyflexsim.workloads.jets.subjets import kt_subjets


def massless(pt, eta, phi):
    pt, eta, phi = (np.asarray(x, dtype=float) for x in (pt, eta, phi))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], 1)


def test_tau_of_two_equal_particles():
    """Both at 0.2 from their sum: tau1 = 0.2 / 0.8; two axes: tau2 = 0."""
    p = massless([50, 50], [0, 0], [0.2, -0.2])
    assert n_subjettiness(p, kt_subjets(p, (1,))[1]) == pytest.approx(0.25)
    assert n_subjettiness(p, kt_subjets(p, (2,))[2]) == pytest.approx(0)


def test_tau_weighs_by_pt():
    """Axis of the sum at phi with tan phi = 1 sin 0.4 / (3 + cos 0.4)."""
    p = massless([30, 10], [0, 0], [0, 0.4])
    axis = np.arctan2(np.sin(0.4), 3 + np.cos(0.4))
    expected = (30 * axis + 10 * (0.4 - axis)) / (0.8 * 40)
    assert n_subjettiness(p, np.array([0, 0])) == pytest.approx(expected)


def test_lepton_isolation_by_hand():
    p = massless([40, 10, 5, 100], [0, 0.1, 0, 0], [0, 0, 0.5, 1.0])
    pid = np.array([3, 0, 0, 0])
    assert lepton_isolation(p, pid) == pytest.approx(10 / 40)  # only one lies within 0.3
    assert lepton_isolation(p, np.array([0, 0, 4, 0])) == pytest.approx(0)
    assert np.isnan(lepton_isolation(p, np.zeros(4)))


def test_distance_goes_round_phi():
    a, b = massless([1], [0], [3.1]), massless([1], [0], [-3.1])
    assert delta_r(a, b)[0, 0] == pytest.approx(2 * np.pi - 6.2)


@pytest.fixture(scope="module")
def found():
    jets = load_set(per_class=40)
    return jets, *observables(jets)


def test_columns_and_subjets(found):
    jets, columns, subjet = found
    assert tuple(columns) == NAMES
    assert all(len(column) == len(jets) for column in columns.values())
    assert len(subjet) == jets.offsets[-1]
    assert (columns["multiplicity"] == jets.counts).all()
    whole = jets.counts < 128
    np.testing.assert_allclose(columns["mass"][whole], jets.jet["jet_mass"][whole], atol=0.02)
    assert (columns["tau1"] >= columns["tau2"]).mean() > 0.95


def test_prongs_show(found):
    """tau21 is small for two prongs, tau32 for three; leptons of t -> b l nu stand alone."""
    jets, columns, _ = found

    def median(name, label):
        return np.nanmedian(columns[name][jets.labels == label])

    assert median("tau21", "Wqq") < 0.75 * median("tau21", "QCD")
    assert median("tau32", "Tbqq") < 0.85 * median("tau32", "QCD")
    assert median("lepton_isolation", "Tbl") < 0.5 * median("lepton_isolation", "Hbb")
    assert np.isfinite(columns["lepton_isolation"][jets.labels == "Tbl"]).mean() > 0.9
