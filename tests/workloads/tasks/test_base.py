"""Metrics that know their direction, and batches whose order depends on seed and epoch alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hyflexsim.models.saver import Saver
from hyflexsim.models.training import fine_tune
from hyflexsim.workloads.tasks.base import Batches, Metric, in_order

sizes = st.tuples(st.integers(1, 300), st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))


def batches(items, size, seed, lengths=None):
    return Batches(lambda rows: rows.tolist(), items, size, seed, lengths)


@given(sizes, st.booleans())
def test_every_row_once_an_epoch(case, with_lengths):
    items, size, seed, epoch = case
    lengths = np.arange(items) % 7 if with_lengths else None
    data = batches(items, size, seed, lengths)
    data.set_epoch(epoch)
    walk = list(data)
    assert len(walk) == len(data) == -(-items // size)
    assert sorted(row for batch in walk for row in batch) == list(range(items))
    assert sorted(map(len, walk))[1:] == [size] * (len(walk) - 1)  # one may be smaller


@given(sizes)
def test_the_order_depends_on_seed_and_epoch_alone(case):
    items, size, seed, epoch = case
    one, two = batches(items, size, seed), batches(items, size, seed)
    one.set_epoch(epoch + 1)
    list(one)
    one.set_epoch(epoch)
    two.set_epoch(epoch)
    np.random.default_rng(0).random()
    torch.manual_seed(items)
    assert list(one) == list(two) == list(two)


def test_seeds_and_epochs_differ():
    data = batches(50, 50, 0)
    first = list(data)
    data.set_epoch(1)
    assert list(data) != first
    assert list(batches(50, 50, 1)) != first


def test_rows_of_like_length_share_a_batch():
    lengths = np.random.default_rng(0).integers(1, 100, 400)
    spread = [np.ptp(lengths[rows]) for rows in batches(400, 8, 0, lengths).rows()]
    # 400 rows are one chunk: sorted, so all spans together fit in the whole span
    assert sum(spread) <= np.ptp(lengths)


@given(st.integers(1, 60), st.integers(1, 20))
def test_evaluation_takes_every_row_once(items, size):
    lengths = (np.arange(items) * 7) % 5
    for rows in (in_order(items, size), in_order(items, size, lengths)):
        assert sorted(np.concatenate(rows).tolist()) == list(range(items))
    assert np.concatenate(in_order(items, size)).tolist() == list(range(items))


def test_a_training_on_batches_can_be_interrupted(tmp_path):
    x = torch.linspace(-1, 1, 24)[:, None] * torch.ones(4)

    def train(saver=None, stop=0):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        data = Batches(lambda rows: x[torch.from_numpy(rows)], 24, 5, seed=1)

        def after_step(done, of, value):
            if done == stop:
                raise KeyboardInterrupt

        losses = fine_tune(
            *(model, data, lambda m, b: (m(b) - b[:, :1]).square().mean()),
            epochs=3,
            lr=1e-2,
            saver=saver,
            after_step=after_step,
        )
        return losses, model.state_dict()

    losses, weights = train()
    for stop in (2, 7, 11):
        with pytest.raises(KeyboardInterrupt):
            train(Saver(tmp_path / "s.pt", every_s=0), stop)
    resumed, got = train(Saver(tmp_path / "s.pt", every_s=0))
    assert resumed == losses
    assert all(torch.equal(value, weights[name]) for name, value in got.items())


def test_better_knows_the_direction():
    assert Metric("accuracy").better(0.9, 0.8)
    assert Metric("perplexity", False).better(2.0, 3.0)
    assert not Metric("perplexity", False).better(3.0, 3.0)
