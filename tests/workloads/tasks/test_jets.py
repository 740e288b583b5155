"""Jets as tensors, and their floor."""

import numpy as np
import pytest
import torch
from torch import nn

from hyflexsim.workloads import datasets
from hyflexsim.workloads.jets.sample import LABELS
from hyflexsim.workloads.tasks.catalogue import load_task

OPTIONS = {"train_limit": 40, "test_limit": 30, "particles": 16}


class Always(nn.Module):
    """One answer, whatever the jet."""

    def __init__(self, answer, classes):
        super().__init__()
        self.logits = torch.zeros(classes)
        self.logits[answer] = 1

    def forward(self, x, v, mask):
        return self.logits.expand(len(x), -1)


@pytest.fixture(scope="module")
def task():
    return load_task("jets", options=OPTIONS)


@pytest.mark.parametrize(("features", "width"), [("kin", 7), ("kinpid", 13), ("full", 17)])
def test_batches_are_padded_and_masked(features, width):
    task = load_task("jets", options=OPTIONS | {"features": features})
    seen = 0
    for x, v, mask, labels in task.batches(8, 0):
        count = x.shape[2]
        assert x.shape[1:] == (width, count)
        assert v.shape == (len(x), 4, count)
        assert mask.shape == (len(x), 1, count)
        assert count <= 16
        absent = ~mask.bool()
        assert not (x * absent).any()
        assert not (v * absent).any()
        assert labels.dtype == torch.int64
        assert int(labels.max()) < task.classes
        seen += len(x)
    assert seen == 40


def test_classes_are_in_the_order_of_jetclass(task):
    assert list(task.labels) == sorted(task.labels, key=LABELS.index)
    assert set(task.labels) == set(datasets.load("jets", "train", limit=40).labels)


def test_the_floor_is_the_largest_class(task):
    wanted = [task.labels.index(str(y)) for y in datasets.load("jets", "test", limit=30).labels]
    counts = np.bincount(wanted, minlength=task.classes)
    scores = [task.score(Always(c, task.classes))["accuracy"] for c in range(task.classes)]
    assert scores == pytest.approx((counts / 30).tolist())
    assert task.metric.floor == pytest.approx(max(scores))
    first = task.score(Always(wanted[0], task.classes), 1)
    assert first == {"accuracy": 1.0}


def test_even_logits_cost_the_logarithm_of_the_classes(task):
    model = Always(0, task.classes)
    model.logits.zero_()
    loss = task.loss(model, next(iter(task.batches(8, 0))))
    assert float(loss) == pytest.approx(np.log(task.classes))
