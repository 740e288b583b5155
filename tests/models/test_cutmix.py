"""CutMix: pixels and targets by area, repeatable, and only of pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.models.cutmix import CutMix, mixed
from hyflexsim.models.errors import ModelError
from hyflexsim.workloads.tasks.base import Batches


@given(st.integers(0, 10_000))
def test_the_target_is_the_share_of_pixels(seed):
    """Pictures of one value each: what is left of it is what the target says."""
    values = torch.arange(6.0)
    pixels = values[:, None, None, None].expand(6, 2, 8, 8)
    out, target = mixed(pixels, torch.arange(6), 6, np.random.default_rng(seed))
    for row in range(6):
        counts = torch.bincount(out[row, 0].flatten().long(), minlength=6) / 64
        assert torch.equal(target[row], counts)
        assert torch.equal(out[row, 0], out[row, 1])


def batches(size=4):
    def make(rows):
        at = torch.from_numpy(rows)
        return {"pixel_values": at[:, None, None, None].expand(-1, 1, 4, 4).float(), "labels": at}

    return Batches(make, 8, size, 3)


def walked(share, epoch=1):
    data = CutMix(batches(), share, 8, 5)
    data.set_epoch(epoch)
    assert len(data) == 2
    return list(data)


def test_repeatable_and_different_in_every_epoch():
    one, again, other = walked(1.0), walked(1.0), walked(1.0, epoch=2)
    for a, b in zip(one, again, strict=True):
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(one[0]["labels"], other[0]["labels"])
    assert all(batch["labels"].shape == (4, 8) for batch in one)


def test_a_share_of_the_batches():
    plain = list(batches())
    for a, b in zip(walked(0.0, epoch=0), plain, strict=True):
        assert torch.equal(a["labels"], b["labels"])
    kinds = [batch["labels"].dim() for epoch in range(40) for batch in walked(0.5, epoch)]
    assert 20 < kinds.count(2) < 60  # of 80


def test_only_pictures():
    with pytest.raises(ModelError, match="cutmix goes with pictures; this data has none"):
        list(CutMix(Batches(lambda rows: {"input_ids": rows}, 4, 2, 0), 0.5, 2, 0))
