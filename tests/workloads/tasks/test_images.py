"""Digits as tensors, their floor, and augmentation that can be repeated."""

import types

import numpy as np
import pytest
import torch
from torch import nn

from hyflexsim.workloads import datasets
from hyflexsim.workloads.tasks.catalogue import load_task


class Says(nn.Module):
    """Logits by a function of the pixels (B, C, H, W)."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, pixel_values, labels=None):
        logits = self.answer(pixel_values)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return types.SimpleNamespace(logits=logits, loss=loss)


def one_hot(labels):
    return nn.functional.one_hot(torch.as_tensor(labels).long(), 10).float()


@pytest.fixture(scope="module")
def task():
    return load_task("digits")


def test_pixels_run_from_minus_one_to_one(task):
    (batch,) = task.batches(10_000, 0)
    assert batch["pixel_values"].shape == (1442, 1, 8, 8)
    assert (float(batch["pixel_values"].min()), float(batch["pixel_values"].max())) == (-1.0, 1.0)
    raw = datasets.load("digits", "train")
    rows = task.batches(10_000, 0).rows()[0]
    expected = torch.from_numpy(raw.pixels[rows][..., 0].astype(np.float32)) / 8 - 1
    torch.testing.assert_close(batch["pixel_values"][:, 0], expected)
    assert batch["labels"].tolist() == raw.labels[rows].tolist()
    assert (task.classes, task.about) == (10, datasets.describe("digits"))


def test_the_floor_is_the_largest_class_and_truth_scores_one(task):
    test = datasets.load("digits", "test")
    counts = np.bincount(test.labels)
    majority = int(counts.argmax())
    answer = Says(lambda x: one_hot([majority] * len(x)))
    assert task.score(answer) == {"accuracy": task.metric.floor}
    assert task.metric.floor == counts.max() / counts.sum()
    known = {p.tobytes(): int(y) for p, y in zip(test.pixels[..., 0], test.labels, strict=True)}

    def look_up(x):
        raw = ((x[:, 0] + 1) * 8).round().numpy().astype(test.pixels.dtype)
        return one_hot([known[p.tobytes()] for p in raw])

    assert task.score(Says(look_up))["accuracy"] == 1.0


def test_a_limit_takes_the_first_items(task):
    labels = datasets.load("digits", "test").labels[:7]
    answer = Says(lambda x: one_hot([int(labels[0])] * len(x)))
    assert task.score(answer, 7)["accuracy"] == pytest.approx((labels == labels[0]).mean())
    small = load_task("digits", options={"test_limit": 20, "train_limit": 30})
    assert len(small.batches(8, 0)) == 4


def test_even_logits_cost_the_logarithm_of_the_classes(task):
    batch = next(iter(task.batches(16, 0)))
    loss = task.loss(Says(lambda x: torch.zeros(len(x), 10)), batch)
    assert float(loss) == pytest.approx(np.log(10))


def test_augmentation_moves_images_and_can_be_repeated():
    plain, moved = (
        load_task("digits", options={"augment": a, "train_limit": 64}) for a in (False, True)
    )

    def epoch(task, number):
        data = task.batches(32, 5)
        data.set_epoch(number)
        return [batch["pixel_values"] for batch in data]

    assert all(map(torch.equal, epoch(moved, 1), epoch(moved, 1)))
    assert not any(map(torch.equal, epoch(moved, 0), epoch(moved, 1)))
    # every image is a cut of the mirrored or plain one, within a frame of grey
    for image, source in zip(epoch(moved, 0)[0], epoch(plain, 0)[0], strict=True):
        frame = nn.functional.pad(source, (4, 4, 4, 4))
        cuts = [frame[:, dy : dy + 8, dx : dx + 8] for dy in range(9) for dx in range(9)]
        assert any(torch.equal(image, c) or torch.equal(image, c.flip(-1)) for c in cuts)
