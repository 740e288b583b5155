"""Perplexity, with models whose perplexity is known on paper."""

import math
import types

import pytest
import torch
from torch import nn

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.tasks.catalogue import load_task

here = datasets.folder("stories260k")
needs_stories = pytest.mark.skipif(here is None, reason="stories260k is not on this machine")


class Predicts(nn.Module):
    """Logits by a function of the token ids (B, T)."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, input_ids):
        return types.SimpleNamespace(logits=self.answer(input_ids))


@pytest.fixture(scope="module")
def task():
    return load_task("pydoc", options={"window": 32, "train_windows": 50, "test_windows": 40})


def test_an_even_guess_has_the_perplexity_of_the_vocabulary(task):
    even = Predicts(lambda ids: torch.zeros(*ids.shape, 256))
    scores = task.score(even)
    assert scores["perplexity"] == pytest.approx(256, rel=1e-5)
    assert task.metric.floor == 256
    assert scores["loss"] == pytest.approx(math.log(256))
    assert float(task.loss(even, task.test_rows[:3])) == pytest.approx(math.log(256))
    assert not task.metric.higher_is_better


def test_a_model_that_knows_the_next_token_has_perplexity_one(task):
    def knows(ids):
        following = torch.cat([ids[:, 1:], ids[:, :1]], dim=1)
        return 1e3 * nn.functional.one_hot(following, 256).float()

    assert task.score(Predicts(knows))["perplexity"] == pytest.approx(1.0)


def test_a_model_of_frequencies_has_the_entropy_of_the_text(task):
    rows = task.test_rows[:, 1:]
    counts = torch.bincount(rows.flatten(), minlength=256).double()
    share = counts / counts.sum()
    entropy = -float((share[share > 0] * share[share > 0].log()).sum())
    logits = share.clamp(min=1e-12).log().float()
    got = task.score(Predicts(lambda ids: logits.expand(*ids.shape, 256)))
    assert got["loss"] == pytest.approx(entropy, rel=1e-5)


def test_windows_are_cut_without_overlap_from_the_text(task):
    text = datasets.load("pydoc", "test").text.encode()
    assert task.test_rows.shape == (40, 32)
    assert bytes(task.test_rows.flatten().tolist()) == text[: 40 * 32]
    train = datasets.load("pydoc", "train").text.encode()
    rows = [bytes(row) for row in task.train_rows.tolist()]
    assert len(rows) == 50
    chunks = [train[at : at + 32] for at in range(0, len(train) - 31, 32)]
    for i, row in enumerate(rows):  # spread evenly, from the first to the last
        at = i * (len(chunks) - 1) / 49
        assert row in (chunks[math.floor(at + 1e-3)], chunks[math.ceil(at - 1e-3)])
    assert sum(len(batch) for batch in task.batches(16, 0)) == 50


def test_a_limit_takes_the_first_windows(task):
    seen = []

    def notes(ids):
        seen.append(ids)
        return torch.zeros(*ids.shape, 256)

    task.score(Predicts(notes), 5)
    assert torch.equal(torch.cat(seen), task.test_rows[:5])


def test_a_text_shorter_than_a_window_is_refused():
    task = load_task("pydoc", options={"window": 10_000_000})
    with pytest.raises(InputError, match=r"^data: held-out text is shorter than one window$"):
        task.score(Predicts(lambda ids: ids))


def test_words_of_a_tokenizer():
    class Halves:
        """Two letters a token."""

        vocab_size = 7

        def __len__(self):
            return 7

        def __call__(self, text, **_):
            return {"input_ids": [hash(text[i : i + 2]) % 7 for i in range(0, len(text), 2)]}

    task = load_task("pydoc", tokenizer=Halves(), options={"window": 8, "test_windows": 9})
    assert task.metric.floor == 7
    assert task.test_rows.shape == (9, 8)
    even = Predicts(lambda ids: torch.zeros(*ids.shape, 7))
    assert task.score(even)["perplexity"] == pytest.approx(7)


@needs_stories
def test_stories_that_the_model_writes_itself():
    options = {"window": 12, "texts": 3, "seed": 1}
    state = torch.get_rng_state()
    one, two = (load_task("stories", options=options) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.test_rows.shape == (3, 12)
    assert one.train_rows.shape == (12, 12)
    assert torch.equal(one.train_rows, two.train_rows)
    other = load_task("stories", options=options | {"seed": 2})
    assert not torch.equal(one.test_rows, other.test_rows)
    assert one.metric.floor == 512
