"""The real data beside the checkout, where they are: published counts, known contents."""

import hashlib
import sys

import numpy as np
import pytest

from hyflexsim.workloads import datasets
from hyflexsim.workloads.datasets.places import DEFAULT
from hyflexsim.workloads.jets.sample import LABELS

pytestmark = pytest.mark.skipif(not DEFAULT.is_dir(), reason=f"no {DEFAULT}")


@pytest.fixture(autouse=True)
def shared(monkeypatch):
    monkeypatch.delenv("HYFLEXSIM_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)


def test_all_are_local():
    assert {line.source for line in datasets.names()} == {"local", "built-in"}


# rows and mean label of ../shared/data/glue/README.md
GLUE = {
    ("mrpc", "train"): (3668, 0.6745),
    ("mrpc", "dev"): (408, 0.6838),
    ("mrpc", "test"): (1725, 0.6649),
    ("sst2", "train"): (67349, 0.5578),
    ("sst2", "dev"): (872, 0.5092),
    ("cola", "train"): (8551, 0.7044),
    ("cola", "dev"): (1043, 0.6913),
    ("rte", "train"): (2490, 0.4984),
    ("rte", "dev"): (277, 0.4729),
    ("stsb", "train"): (5749, 2.701),
    ("stsb", "dev"): (1500, 2.3639),
}


@pytest.mark.parametrize(("task", "split"), GLUE)
def test_glue(task, split):
    rows, mean = GLUE[task, split]
    data = datasets.load(f"glue/{task}", split)
    listed = next(line for line in datasets.names() if line.name == f"glue/{task}")
    assert len(data) == len(data.labels) == rows == listed.rows[split]
    assert data.labels.mean() == pytest.approx(mean, abs=6e-5)
    assert (data.pairs is not None) == (task in ("mrpc", "rte", "stsb"))
    if data.pairs:
        assert len(data.pairs) == rows
    few = datasets.load(f"glue/{task}", split, limit=200)
    assert len(few) == 200
    assert few.labels.mean() == pytest.approx(mean, abs=0.11 if data.classes == 2 else 0.35)


def test_mrpc_floor():
    """F1 of always answering yes on dev: 0.812."""
    yes = datasets.load("glue/mrpc", "dev").labels.mean()
    assert 2 * yes / (1 + yes) == pytest.approx(0.812, abs=5e-4)


@pytest.mark.parametrize(
    ("split", "tokens"), [("train", 2_088_628), ("valid", 217_646), ("test", 245_569)]
)
def test_wikitext(split, tokens):
    """Published counts, with one <eos> a line."""
    text = datasets.load("wikitext-2", split).text
    assert len(text.split()) + text.count("\n") == tokens
    assert "<unk>" in text


def test_shakespeare():
    parts = [datasets.load("tinyshakespeare", split).text for split in ("train", "valid", "test")]
    whole = "".join(parts)
    assert (len(whole), len(set(whole))) == (1_115_394, 65)
    assert hashlib.sha256(whole.encode()).hexdigest().startswith("86c4e6aa9db7c042ec79f339")
    assert [round(100 * len(part) / len(whole)) for part in parts] == [90, 5, 5]


@pytest.mark.parametrize(("split", "rows"), [("train", 20_000), ("test", 4_000)])
def test_cifar(split, rows):
    data = datasets.load("cifar10", split)
    assert data.pixels.shape == (rows, 32, 32, 3)
    assert np.bincount(data.labels).tolist() == [rows // 10] * 10
    means = data.pixels.reshape(-1, 3).mean(0) / 255  # CIFAR-10's: 0.491, 0.482, 0.447
    np.testing.assert_allclose(means, [0.491, 0.482, 0.447], atol=0.01)


def test_jets_20k():
    train, test = (datasets.load("jets-20k", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (15_990, 4_000)
    assert train.labels[:20].tolist() == list(LABELS) * 2
    assert np.bincount(test.targets).tolist() == [400] * 10
    few = datasets.load("jets-20k", "test", limit=200)
    assert np.ptp(np.bincount(few.targets)) <= 4
    counts = np.concatenate([train.counts, test.counts])
    labels = np.concatenate([train.labels, test.labels])
    assert counts[labels == "Hgg"].mean() == pytest.approx(69.5, abs=0.3)
    assert counts[labels == "Hqql"].mean() == pytest.approx(34.9, abs=0.3)
