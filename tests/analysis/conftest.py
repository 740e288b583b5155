"""Synthetic runs, made once per session."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

_spec = importlib.util.spec_from_file_location(
    "analysis_synthetic", Path(__file__).with_name("synthetic.py")
)
synthetic = importlib.util.module_from_spec(_spec)
sys.modules["analysis_synthetic"] = synthetic
_spec.loader.exec_module(synthetic)


@pytest.fixture
def texts_of(monkeypatch):
    """Each text that a figure draws, with its box in pixels."""

    def texts_of(figure):
        found = []
        draw = Text.draw

        def spy(self, renderer, *args, **kwargs):
            if self.get_visible() and self.get_text():
                found.append((self.get_text(), Text.get_window_extent(self, renderer)))
            return draw(self, renderer, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Text, "draw", spy)
            figure.canvas.draw()
        return found

    return texts_of


@pytest.fixture
def legible(texts_of):
    """Fails for a figure in which texts meet or are cut off, or a panel is empty or too narrow."""

    def legible(figure, name=""):
        texts = texts_of(figure)
        boxes = np.array([box.extents for _, box in texts])
        cut = (boxes[:, :2] < -1).any(1) | (boxes[:, 2:] > np.array(figure.bbox.size) + 1).any(1)
        assert not cut.any(), (name, texts[cut.argmax()])
        low, high = boxes[:, :2] + 1, boxes[:, 2:] - 1
        meet = (low[:, None] < high[None]) & (low[None] < high[:, None])
        i, j = np.nonzero(np.triu(meet.all(-1), 1))
        assert not len(i), (name, texts[i[0]], texts[j[0]])
        for panel in figure.axes:
            assert panel.lines or panel.collections or panel.patches, name
            assert panel.bbox.width > 40 or panel.get_label() == "<colorbar>", name

    return legible


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
