"""CutMix: S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
Localizable Features", ICCV 2019 (arXiv:1905.04899).

A square of another picture of the batch is laid over each, and the target is mixed by area::

    pixels inside the square: those of a partner      target = share * own + (1 - share) * partner's

The share is uniform in 0 ... 1 (their alpha = 1), the square inside the picture; it and the
partners are drawn once a batch. Costs nothing beside a training step, and few pictures last longer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyflexsim.models.errors import ModelError


class CutMix:
    """Batches of pictures, `share` of them mixed; repeatable from seed, epoch and place.

    `batches` give mappings with ``pixel_values`` (B, C, H, H) and ``labels`` (B,) int64, and have
    an epoch; mixed ones have ``labels`` (B, classes) of probabilities instead.

    Raises ModelError while walking for batches that are no pictures.
    """

    def __init__(self, batches: Any, share: float, classes: int, seed: int):
        self.batches, self.share, self.classes, self.seed = batches, share, classes, seed

    def __len__(self) -> int:
        return len(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """The order of this epoch from now on."""
        self.batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        return self._mixed(self.batches)

    def _mixed(self, batches: Iterable[Any]) -> Iterator[Any]:
        for place, batch in enumerate(batches):
            if not isinstance(batch, Mapping) or "pixel_values" not in batch:
                raise ModelError("cutmix goes with pictures; this data has none")
            rng = np.random.default_rng([self.seed, self.batches.epoch, place])
            if rng.random() >= self.share:
                yield batch
                continue
            pixels, labels = mixed(batch["pixel_values"], batch["labels"], self.classes, rng)
            yield {**batch, "pixel_values": pixels, "labels": labels}


def mixed(
    pixels: Tensor, labels: Tensor, classes: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures (B, C, H, H) with a square of others, and their targets (B, classes)."""
    size = pixels.shape[-1]
    side = int(size * math.sqrt(1 - rng.random()))
    top, left = rng.integers(0, size - side + 1, 2)
    partner = torch.from_numpy(rng.permutation(len(pixels)))
    square = (..., slice(top, top + side), slice(left, left + side))
    out = pixels.clone()
    out[square] = pixels[partner][square]
    share = 1 - side**2 / size**2
    truth = functional.one_hot(labels, classes).to(pixels.dtype)
    return out, share * truth + (1 - share) * truth[partner]
