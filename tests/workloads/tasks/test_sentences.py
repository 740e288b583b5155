"""GLUE tasks on sentences of a few words, and the floors of the real ones."""

import types

import numpy as np
import pytest
import torch
from torch import nn

from hyflexsim.workloads import datasets
from hyflexsim.workloads.tasks.catalogue import load_task
from hyflexsim.workloads.tasks.sentences import _figures

TEXTS = ["a b", "a b c d", "b", "c c c", "d a", "a"]
LABELS = np.array([1, 1, 0, 1, 0, 1])
ORIGIN = {"source": "local", "about": "made up"}


class Words:
    """A tokenizer whose tokens are the letters; 0 pads."""

    def __call__(self, texts, pairs=None, *, truncation, max_length, padding=False, **_):
        joined = texts if pairs is None else [f"{a} {b}" for a, b in zip(texts, pairs, strict=True)]
        ids = [[ord(w) - 96 for w in text.split()][:max_length] for text in joined]
        rows = {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}
        if not padding:
            return rows
        return self.pad(
            [dict(zip(rows, pair, strict=True)) for pair in zip(*rows.values(), strict=True)]
        )

    def pad(self, rows, **_):
        longest = max(len(row["input_ids"]) for row in rows)
        return {
            key: torch.tensor([row[key] + [0] * (longest - len(row[key])) for row in rows])
            for key in rows[0]
        }


@pytest.fixture
def sentences(monkeypatch):
    """Make tasks of the six sentences above; returns (task, what was loaded)."""

    def make(name, **options):
        rows = datasets.Sentences(texts=TEXTS, pairs=None, labels=LABELS, classes=2, **ORIGIN)
        asked = []

        def load(name, split, *, limit=None):
            asked.append((name, split, limit))
            return rows

        monkeypatch.setattr(datasets, "load", load)
        task = load_task(name, tokenizer=Words(), options=options)
        return task, asked

    return make


class Answers(nn.Module):
    """Class 1 where a function of the ids (B, T) is true."""

    def __init__(self, yes):
        super().__init__()
        self.yes = yes

    def forward(self, input_ids, attention_mask, labels=None):
        logits = nn.functional.one_hot(self.yes(input_ids).long(), 2).float()
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return types.SimpleNamespace(logits=logits, loss=loss)


def always(ids):
    return torch.ones(len(ids))


@pytest.mark.parametrize(
    ("name", "metric", "floor"),
    # "yes" always: 4 of 6 right; precision 4/6, recall 1; nothing learned has no correlation
    [("glue/mrpc", "f1", 0.8), ("glue/cola", "matthews", 0.0), ("glue/sst2", "accuracy", 4 / 6)],
)
def test_metrics_and_their_floors(sentences, name, metric, floor):
    task, _ = sentences(name)
    assert (task.metric.name, task.metric.floor) == (metric, pytest.approx(floor))
    assert task.score(Answers(always))[metric] == pytest.approx(floor)
    # yes to those with an "a": 3 of 4 right, and one of the two that should be no
    got = task.score(Answers(lambda ids: (ids == 1).any(1)))
    expected = {"f1": 0.75, "matthews": (3 * 1 - 1 * 1) / 8, "accuracy": 4 / 6}
    assert got == pytest.approx({name: expected[name] for name in (metric, "accuracy")})


def test_guesses_go_back_to_the_rows_they_are_of(sentences):
    task, _ = sentences("glue/sst2")
    by_length = Answers(lambda ids: (ids > 0).sum(1) == 1)  # rows 2 and 5
    assert task.score(by_length)["accuracy"] == pytest.approx(2 / 6)  # right: rows 4 and 5
    assert task.score(by_length, 3)["accuracy"] == 0.0


def test_batches_are_padded_and_limits_asked_for(sentences):
    task, asked = sentences("glue/sst2", max_length=2, train_limit=5, dev_limit=4)
    walk = list(task.batches(2, 0))
    assert asked == [("glue/sst2", "dev", 4), ("glue/sst2", "train", 5)]
    for batch in walk:
        assert batch["input_ids"].shape == batch["attention_mask"].shape
        assert batch["input_ids"].shape[1] <= 2
        assert (batch["input_ids"] > 0).equal(batch["attention_mask"] > 0)
    assert sorted(label for b in walk for label in b["labels"].tolist()) == sorted(LABELS.tolist())
    # logits 0 and 1: a yes costs log(1 + e) - 1, a no log(1 + e)
    expected = np.log1p(np.e) - float(walk[0]["labels"].float().mean())
    assert float(task.loss(Answers(always), walk[0])) == pytest.approx(expected)


class Angle(nn.Module):
    """Embeds a token by an angle; `step` between neighbouring letters."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, input_ids, attention_mask):
        angle = input_ids * self.step
        hidden = torch.stack([angle.cos(), angle.sin()], dim=-1)
        hidden = torch.where(attention_mask[..., None] > 0, hidden, torch.tensor(99.0))
        return types.SimpleNamespace(last_hidden_state=hidden)


def test_similarity_is_the_cosine_of_means_without_padding(sentences, monkeypatch):
    texts = ["a", "a a a", "b", "b b", "a", "c c c c"]
    pairs = ["a", "b", "d", "e e", "e", "c"]
    # letters apart: 0, 1, 2, 3, 4, 0
    data = datasets.Sentences(
        texts=texts,
        pairs=pairs,
        labels=np.array([5.0, 4.0, 3.0, 2.0, 1.0, 5.0]),
        classes=1,
        **ORIGIN,
    )
    monkeypatch.setattr(datasets, "load", lambda *_, **__: data)
    task = load_task("glue/stsb", tokenizer=Words())
    scores = task.score(Angle(0.5))
    assert scores["spearman"] == pytest.approx(1.0)
    assert task.score(Angle(0.0)) == {"spearman": 0.0, "pearson": 0.0}
    batch = next(iter(task.batches(6, 0)))
    wanted = batch[2]
    assert sorted(wanted.tolist()) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    cosine = torch.cos(torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 0.0]))
    target = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2, 1.0])
    expected = float((cosine - target).square().mean())
    assert float(task.loss(Angle(0.5), batch)) == pytest.approx(expected, rel=1e-4)


def test_figures_by_hand():
    got = _figures(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))
    assert got == pytest.approx({"accuracy": 0.75, "f1": 2 / 3, "matthews": 2 / 12**0.5})
    assert "f1" not in _figures(np.array([0, 1, 2]), np.array([0, 1, 2]))


@pytest.mark.skipif(datasets.folder("glue") is None, reason="GLUE is not on this machine")
@pytest.mark.parametrize(
    ("name", "floor"),
    # dev: 279 of 408 pairs paraphrase, F1 = 2 · 279 / (279 + 408); RTE 146 of 277 are entailed
    [("glue/mrpc", 2 * 279 / 687), ("glue/cola", 0.0), ("glue/rte", 146 / 277)],
)
def test_floors_of_the_real_data(name, floor):
    class Lengths(Words):
        def __call__(self, texts, pairs=None, **_):
            return {"input_ids": [[1]] * len(texts), "attention_mask": [[1]] * len(texts)}

    task = load_task(name, tokenizer=Lengths())
    assert task.metric.floor == pytest.approx(floor)
    if name == "glue/mrpc":
        assert task.metric.floor == pytest.approx(0.812, abs=5e-4)
        assert task.score(Answers(always))["f1"] == task.metric.floor
