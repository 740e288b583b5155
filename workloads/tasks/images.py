"""Image classification with a ViT of transformers: CIFAR-10 and scikit-learn's digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hyflexsim.workloads import datasets
from hyflexsim.workloads.tasks.base import Batches, Metric, Scores, Split, in_order
from hyflexsim.workloads.tasks.seen import Items


class Images:
    """Pixels scaled to -1 ... 1 from the range of the training images; accuracy.

    `augment`: mirror and shift by up to 4 pixels in training (repeatable: drawn from the batch's
    row numbers and epoch). `train_limit`, `test_limit`: fewer rows.
    """

    wants_tokenizer = False

    def __init__(
        self,
        name: str,
        *,
        augment: bool = False,
        train_limit: int | None = None,
        test_limit: int | None = None,
    ):
        self.name, self.augment = name, augment
        train = datasets.load(name, "train", limit=train_limit)
        test = datasets.load(name, "test", limit=test_limit)
        self.about, self.classes = test.about, test.classes
        top = float(train.pixels.max())
        self._train, self._test = (_tensor(d.pixels, top) for d in (train, test))
        self._train_labels, self._test_labels = (
            torch.from_numpy(d.labels.astype(np.int64)) for d in (train, test)
        )
        majority = np.bincount(test.labels).max() / len(test.labels)
        self.metric = Metric("accuracy", True, float(majority))

    def batches(self, size: int, seed: int) -> Batches:
        """Mappings of pixel_values (B, C, H, W) and labels (B,)."""
        batches = Batches(lambda at: {}, len(self._train), size, seed)

        def make(rows: np.ndarray) -> dict[str, Tensor]:
            at = torch.from_numpy(rows)
            pixels = self._train[at]
            if self.augment:
                pixels = _augmented(pixels, np.random.default_rng([seed, batches.epoch, *rows[:4]]))
            return {"pixel_values": pixels, "labels": self._train_labels[at]}

        batches.make = make
        return batches

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Cross entropy; labels are classes (B,) or probabilities of them (B, C)."""
        logits = model(pixel_values=batch["pixel_values"]).logits
        return nn.functional.cross_entropy(logits, batch["labels"])

    def score(self, model: nn.Module, limit: int | None = None) -> Scores:
        """Accuracy on the test images."""
        pixels, labels = self._test[:limit], self._test_labels[:limit]
        right = 0
        for rows in in_order(len(pixels), 256):
            at = torch.from_numpy(rows)
            guess = model(pixel_values=pixels[at]).logits.argmax(-1)
            right += int((guess == labels[at]).sum())
        return {"accuracy": right / len(pixels)}

    def items(self, split: Split) -> Items:
        """Brightness (mean of the scaled pixels) and contrast (their deviation) of pictures."""
        pixels = (self._train if split == "train" else self._test).flatten(1).numpy()
        return Items("pictures", {"brightness": pixels.mean(1), "contrast": pixels.std(1)})


def _tensor(pixels: np.ndarray, top: float) -> Tensor:
    values = torch.from_numpy(pixels).float().permute(0, 3, 1, 2)  # (n, c, h, w)
    return values / top * 2 - 1


def _augmented(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Each image mirrored or not, and moved by -4 ... 4 pixels; grey moves in."""
    size = pixels.shape[-1]
    padded = nn.functional.pad(pixels, (4, 4, 4, 4), value=0.0)
    images = []
    for image, (dy, dx), mirrored in zip(
        padded, rng.integers(0, 9, (len(pixels), 2)), rng.random(len(pixels)) < 0.5, strict=True
    ):
        cut = image[:, dy : dy + size, dx : dx + size]
        images.append(cut.flip(-1) if mirrored else cut)
    return torch.stack(images)
