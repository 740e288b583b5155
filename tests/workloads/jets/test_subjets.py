"""Exclusive kT: by hand, its symmetries, and against FastJet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.jets.sample import LABELS
from hyflexsim.workloads.jets.subjets import PRONGS, kt_subjets


def massless(pt, eta, phi):
    pt, eta, phi = (np.asarray(x, dtype=float) for x in (pt, eta, phi))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], 1)


def test_by_hand():
    """Soft ones at 0.1 from a hard one (d = 0.01) merge before two hard ones at 0.5 do."""
    p = massless([100, 80, 1, 1, 1], [0, 0.5, 0.1, 0.45, 0], [0, 0, 0, 0, 0.1])
    found = kt_subjets(p, (1, 2, 5))
    assert found[2].tolist() == [0, 1, 0, 1, 0]
    assert found[1].tolist() == [0] * 5
    assert sorted(found[5].tolist()) == list(range(5))
    assert found[5][0] == 0  # the hardest


def test_fewer_particles_than_subjets():
    assert kt_subjets(massless([2, 3], [0, 1], [0, 1]), (4,))[4].tolist() == [1, 0]
    assert kt_subjets(massless([2], [0], [0]), (1, 2, 3))[3].tolist() == [0]
    with pytest.raises(InputError, match=r"^a jet has at least 1 subjet; got \(0,\)$"):
        kt_subjets(massless([2], [0], [0]), (0,))


@given(st.integers(2, 14), st.integers(1, 4), st.integers(0, 10_000))
def test_rotation_and_order_change_nothing(n, wanted, seed):
    draw = np.random.default_rng(seed)
    pt, eta, phi = draw.exponential(20, n) + 0.5, draw.normal(0, 0.3, n), draw.normal(0, 0.3, n)
    plain = kt_subjets(massless(pt, eta, phi), (wanted,))[wanted]
    turned = kt_subjets(massless(pt, eta, phi + 2.5), (wanted,))[wanted]
    assert (plain == turned).all()
    order = draw.permutation(n)
    mixed = kt_subjets(massless(pt, eta, phi)[order], (wanted,))[wanted]
    assert (mixed == plain[order]).all()
    assert len(set(plain.tolist())) == min(wanted, n)
    sums = [massless(pt, eta, phi)[plain == k].sum(0) for k in range(min(wanted, n))]
    assert (np.diff([np.hypot(s[0], s[1]) for s in sums]) <= 1e-9).all()


def test_every_class_has_its_prongs():
    assert set(PRONGS) == set(LABELS)


def test_equal_to_fastjet():
    fastjet = pytest.importorskip("fastjet")
    jets = load_jets(limit=60)
    definition = fastjet.JetDefinition(fastjet.kt_algorithm, 10.0)
    for j in range(len(jets)):
        own = jets.inputs(j)
        p = np.stack([own[k].astype(float) for k in ("px", "py", "pz", "energy")], 1)
        pseudo = []
        for i, row in enumerate(p):
            pseudo.append(fastjet.PseudoJet(*row))
            pseudo[-1].set_user_index(i)
        sequence = fastjet.ClusterSequence(pseudo, definition)
        found = kt_subjets(p, (1, 2, 3, 4))
        for n in (2, 3, 4):
            expected = np.zeros(len(p), dtype=int)
            for k, jet in enumerate(fastjet.sorted_by_pt(sequence.exclusive_jets_up_to(n))):
                for member in jet.constituents():
                    expected[member.user_index()] = k
            assert (found[n] == expected).all()
