"""The sample of jets that comes with hyflexsim: what is in it, and its lengths read alone."""

import os

import numpy as np
import pytest

from hyflexsim.models.part.inputs import jet_features
from hyflexsim.sim import cache
from hyflexsim.workloads.jets import jets, sample
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.jets.sample import SAMPLE

CLASSES = ["QCD", "Tbqq", "Tbl", "Wqq", "Hbb"]


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


@pytest.mark.parametrize("classes", [None, ["Hbb", "QCD"], ["Hcc"]])
def test_lengths_of_the_sample_are_those_of_its_particles(classes):
    """Two columns say what all particles say; a class that the sample lacks gives nothing."""
    counts, labels = sample.sample_lengths(classes, 300)
    if classes == ["Hcc"]:
        assert (counts, labels) == ([], [])
        return
    loaded = jets.load_jets(None, classes, 300)
    assert (counts, labels) == (loaded.counts.tolist(), loaded.labels.tolist())


@pytest.mark.parametrize("content", [b"", b"{", b"3", b"[[1]]", b'[["x", "QCD"]]'])
def test_kept_lengths_that_are_none_are_read_anew(monkeypatch, tmp_path, content):
    monkeypatch.setenv("HYFLEXSIM_CACHE", str(tmp_path))
    expected = sample.sample_lengths()
    (file,) = (tmp_path / f"user-{os.getuid()}").iterdir()
    cache.keep(file.name, content)
    assert sample.sample_lengths() == expected
