"""Peers: the products they are given, and what happens where they are not installed."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from typer.testing import CliRunner

from hyflexsim.workloads.benchmarks import peer_run, peers

COUNTS = {"projection": 48, "up": 12, "down": 12, "scores": 144, "values": 144}


@pytest.mark.parametrize("tokens", peers.TOKENS)
def test_products_are_all_of_bert_base_but_for_the_pooler(tokens):
    macs = sum(COUNTS[name] * m * k * n for name, m, k, n in peers.products(tokens))
    weights = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    assert macs == tokens * (weights + 12 * 2 * 768 * tokens)
    if tokens == 128:  # what extract() counts in the model
        assert macs + 768 * 768 == 11_174_215_680


def test_every_peer_is_described_and_can_be_run():
    assert set(peers.MODELS) == {"hyflexsim", *peer_run.PEERS}


@pytest.mark.parametrize("name", list(peer_run.PEERS))
def test_a_peer_that_is_missing_says_which_package(name):
    if find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    done = subprocess.run(
        [sys.executable, peer_run.__file__, name, "[]"], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == {"missing": peer_run.PEERS[name][0]}


def test_missing_and_failing_peers_are_told_and_passed_over(monkeypatch):
    answers = iter([{"failed": "no room"}] * 2 + [{"missing": "zigzag-dse"}] * 3)
    monkeypatch.setattr(peers, "measure", lambda command: next(answers))
    import typer  # noqa: PLC0415

    app = typer.Typer()
    app.command()(peers.main)
    told = CliRunner().invoke(app, [], catch_exceptions=False).output
    assert "zigzag: skipped, zigzag-dse is not installed here" in told
    assert told.count("no room") == 2


def test_a_failing_process_gives_its_last_line():
    code = "import sys; print('first', file=sys.stderr); sys.exit('the reason')"
    assert peers.measure([sys.executable, "-c", code]) == {"failed": "the reason"}
