"""Reads beside each other: what is printed, and that CrossSim may be missing."""

from importlib.util import find_spec

import pytest

from hyflexsim.workloads.benchmarks import peer_cells


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A matrix of one array, read once."""
    for name, value in {"SIDE": 64, "INPUTS": 4, "TURNS": 1}.items():
        monkeypatch.setattr(peer_cells, name, value)


def test_ours_is_timed(capsys, monkeypatch):
    monkeypatch.setattr(peer_cells, "_median", lambda work: work().shape[1] * 1e-3)
    peer_cells.main()
    name, read, over, each = capsys.readouterr().out.splitlines()[1].split()
    assert (name, read, over) == ("hyflexsim", "64.0", "1.0")
    assert float(each) == pytest.approx(0.064 / (4 * 8 * 4 * 1 * 2) * 1e9, rel=1e-6)


@pytest.mark.skipif(find_spec("simulator") is not None, reason="CrossSim is installed")
def test_a_missing_peer_is_said(capsys):
    peer_cells.main()
    assert "CrossSim: skipped" in capsys.readouterr().out
