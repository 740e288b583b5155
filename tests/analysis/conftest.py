"""Synthetic runs, made once per session."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location(
    "analysis_synthetic", Path(__file__).with_name("synthetic.py")
)
synthetic = importlib.util.module_from_spec(_spec)
sys.modules["analysis_synthetic"] = synthetic
_spec.loader.exec_module(synthetic)


@pytest.fixture(scope="session")
def bank_dir(tmp_path_factory):
    """One matrix at fidelity bit, six tokens."""
    path = tmp_path_factory.mktemp("runs") / "bank"
    return synthetic.write_run(path, synthetic.one_bank(), [(0, 6)])


@pytest.fixture(scope="session")
def bert_dir(tmp_path_factory):
    """Four layers, three requests of 24 tokens."""
    path = tmp_path_factory.mktemp("runs") / "bert"
    requests = [(i * 10_000_000, 24) for i in range(3)]
    return synthetic.write_run(path, synthetic.encoder(4, 2), requests)


@pytest.fixture(scope="session")
def jets_dir(tmp_path_factory):
    """Two layers, sixty requests of mixed sizes and two labels, arriving at random."""
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(9e6, 60)).astype(int)
    tokens = rng.integers(3, 20, 60)
    labels = ["QCD" if t < 11 else "top" for t in tokens]
    path = tmp_path_factory.mktemp("runs") / "jets"
    requests = [(int(a), int(t)) for a, t in zip(arrivals, tokens, strict=True)]
    return synthetic.write_run(path, synthetic.encoder(2, 2), requests, labels)


@pytest.fixture(scope="session")
def attention_dir(tmp_path_factory):
    """Eight jets, two layers of three heads, scores drawn at random; see attention/synthetic.py."""
    spec = importlib.util.spec_from_file_location(
        "attention_synthetic", Path(__file__).with_name("attention") / "synthetic.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_attention(tmp_path_factory.mktemp("runs") / "attention")
