"""JetClass features, with values worked out on paper."""

import math

import numpy as np
import pytest

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.inputs import FEATURES, jet_features, pad, track_errors


def particles(**change):
    """Two particles of pT 5 GeV: an electron at eta 1 and a photon at eta 0.3."""
    eta, phi = np.array([1.0, 0.3]), np.array([0.2, -0.1])
    return {
        "px": 5 * np.cos(phi),
        "py": 5 * np.sin(phi),
        "pz": 5 * np.sinh(eta),
        "energy": 5 * np.cosh(eta),
        "charge": [-1, 0],
        "pid": [3, 2],
        "d0": [0.5, 0.0],
        "dz": [-2.0, 0.0],
    } | change


def jet(pt=500.0, eta=0.5, phi=0.0, energy=600.0):
    return [pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta), energy]


def column(x, name, features="full"):
    return x[FEATURES[features].index(name)]


def test_every_feature_by_hand():
    x, v = jet_features(particles(), "full", jet())
    expected = {
        "log_pt": [(math.log(5) - 1.7) * 0.7] * 2,
        "log_e": [(math.log(5 * math.cosh(1)) - 2) * 0.7, (math.log(5 * math.cosh(0.3)) - 2) * 0.7],
        "log_pt_rel": [(math.log(0.01) + 4.7) * 0.7] * 2,
        "log_e_rel": [
            (math.log(5 * math.cosh(1) / 600) + 4.7) * 0.7,
            (math.log(5 * math.cosh(0.3) / 600) + 4.7) * 0.7,
        ],
        "delta_r": [(math.hypot(0.5, 0.2) - 0.2) * 4, (math.hypot(0.2, 0.1) - 0.2) * 4],
        "charge": [-1, 0],
        "is_charged_hadron": [0, 0],
        "is_neutral_hadron": [0, 0],
        "is_photon": [0, 1],
        "is_electron": [1, 0],
        "is_muon": [0, 0],
        "d0": [math.tanh(0.5), 0],
        "d0_err": [math.sqrt(0.015**2 + 0.015**2), 0],  # 0.075 / 5 = 0.015
        "dz": [math.tanh(-2), 0],
        "dz_err": [math.sqrt(0.03**2 + 0.02**2) * math.sqrt(math.cosh(1)), 0],
        "deta": [0.5, -0.2],
        "dphi": [0.2, -0.1],
    }
    assert tuple(expected) == FEATURES["full"]
    assert x.dtype == v.dtype == np.float32
    np.testing.assert_allclose(x, list(expected.values()), atol=1e-6)
    np.testing.assert_allclose(v[3], particles()["energy"], rtol=1e-6)


def test_smaller_sets_are_columns_of_full():
    full, _ = jet_features(particles(), "full", jet())
    kin, _ = jet_features(particles(), "kin", jet())
    kinpid, _ = jet_features(particles(), "kinpid", jet())
    assert [len(FEATURES[name]) for name in ("full", "kinpid", "kin")] == [17, 13, 7]
    np.testing.assert_array_equal(kin, full[[0, 1, 2, 3, 4, 15, 16]])
    np.testing.assert_array_equal(kinpid, full[[*range(11), 15, 16]])


def test_deta_is_signed():
    """A jet in the backward half mirrors deta: -(eta - eta_jet)."""
    x, _ = jet_features(particles(), "kin", jet(eta=-0.5))
    np.testing.assert_allclose(column(x, "deta", "kin"), [-1.5, -0.8], atol=1e-6)


def test_dphi_wraps():
    x, _ = jet_features(particles(), "kin", jet(phi=3.1))
    np.testing.assert_allclose(
        column(x, "dphi", "kin"), [0.2 - 3.1, -0.1 - 3.1 + 2 * math.pi], atol=1e-6
    )


def test_clips():
    """Only standardised features and track errors are clipped."""
    wild = particles(
        px=[1e-6, 5e4], py=[0, 0], pz=[0, 0], energy=[1e-6, 5e4], charge=[1, 1], d0_err=[-1, 7]
    )
    wild["dz_err"] = [0.25, 1.5]
    x, _ = jet_features(wild, "full", jet(pt=600.0, eta=2.0, phi=2.0))
    assert column(x, "log_pt").tolist() == [-5, 5]  # (ln 5e4 - 1.7) 0.7 = 6.4
    assert column(x, "delta_r").tolist() == [5, 5]  # (2.83 - 0.2) 4 = 10.5
    assert column(x, "deta").tolist() == [-2, -2]
    assert column(x, "d0_err").tolist() == [0, 1]
    assert column(x, "dz_err").tolist() == [0.25, 1]


def test_axis_defaults_to_the_sum():
    """Two equal particles at phi = 0.2 and -0.2: the axis is between them."""
    two = particles(
        px=[5 * math.cos(0.2)] * 2,
        py=[5 * math.sin(0.2), -5 * math.sin(0.2)],
        pz=[0, 0],
        energy=[5, 5],
    )
    x, _ = jet_features(two, "kin")
    np.testing.assert_allclose(column(x, "dphi", "kin"), [0.2, -0.2], atol=1e-6)
    np.testing.assert_allclose(
        column(x, "log_e_rel", "kin"), [(math.log(0.5) + 4.7) * 0.7] * 2, atol=1e-6
    )


def test_at_most_128_particles_in_their_order():
    px = np.linspace(10, 1, 130)
    zero = np.zeros(130)
    x, v = jet_features({"px": px, "py": zero, "pz": zero, "energy": px}, "kin")
    assert x.shape == (7, 128)
    assert v.shape == (4, 128)
    np.testing.assert_allclose(v[0], px[:128], rtol=1e-6)
    whole = (np.log(px[0] / px.sum()) + 4.7) * 0.7  # the axis knows all 130
    assert column(x, "log_pt_rel", "kin")[0] == pytest.approx(whole)


def test_track_errors_by_hand():
    d0, dz = track_errors([3.0], [4.0], [0.0])
    assert d0[0] == pytest.approx(0.015 * math.sqrt(2))
    assert dz[0] == pytest.approx(math.hypot(0.03, 0.02))


def test_pad():
    one = (np.ones((7, 2), np.float32), np.ones((4, 2), np.float32))
    two = (np.ones((7, 3), np.float32), np.ones((4, 3), np.float32))
    x, v, mask = pad([one, two], 5)
    assert (x.shape, v.shape, mask.shape) == ((2, 7, 5), (2, 4, 5), (2, 1, 5))
    assert mask[:, 0].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]
    assert x[0, 0].tolist() == [1, 1, 0, 0, 0]
    assert pad([one, two])[0].shape == (2, 7, 3)
    with pytest.raises(ModelError) as error:
        pad([one, two], 2)
    assert str(error.value) == (
        "pad needs at least one jet and length at least 3; got 2 jets, length 2"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"px": [1.0]}, "particles['py'] must have the shape of px, (N,) with N > 0; "
         "got (2,) and px (1,)"),
        ({"d0": [0.0, math.nan]}, "particles['d0'] must be finite; got nan at 1"),
        ({"energy": [1.0, -2.0]}, "energy of a particle must be positive; got -2.0 at 1"),
        ({"pid": [0, 5]}, "particles['pid'] must be 0 ... 4; got 5"),
    ],
)  # fmt: skip
def test_bad_particles_in_one_line(change, message):
    with pytest.raises(ModelError) as error:
        jet_features(particles(**change), "full", jet())
    assert str(error.value) == message


def test_bad_requests_in_one_line():
    with pytest.raises(ModelError) as error:
        jet_features(particles(), "half")
    assert str(error.value) == "features must be one of full, kinpid, kin; got 'half'"
    missing = particles()
    del missing["d0"]
    with pytest.raises(ModelError) as error:
        jet_features(missing, "full")
    assert str(error.value) == "features='full' needs particles['d0']; it is missing"
    assert jet_features(missing, "kinpid")[0].shape == (13, 2)
