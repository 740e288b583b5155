"""Jet classification with the Particle Transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.part_inputs import jet_features, pad
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.jets import LABELS, Jets
from hyflexsim.workloads.tasks.base import Batches, Metric, Scores, in_order

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
FEATURES = ("kin", "kinpid", "full")


class JetClasses:
    """Classes of jets from `features` ("kin", "kinpid" or "full"), at most `particles` a jet.

    Classes are those in the file, in JetClass's order. Accuracy; the floor is the largest class.
    """

    wants_tokenizer = False

    def __init__(
        self,
        name: str,
        *,
        features: str = "full",
        particles: int = 128,
        train_limit: int | None = None,
        test_limit: int | None = None,
    ):
        if features not in FEATURES:
            raise InputError(f"data.features must be kin, kinpid or full; got {features!r}")
        self.name, self.features, self.particles = name, features, particles
        train = datasets.load(name, "train", limit=train_limit)
        test = datasets.load(name, "test", limit=test_limit)
        self.about = datasets.describe(name)
        self.labels = tuple(sorted(set(train.labels.tolist()), key=LABELS.index))
        self.classes = len(self.labels)
        self._train, self._test = self._inputs(train), self._inputs(test)
        counts = np.bincount(self._test[1])
        self.metric = Metric("accuracy", True, float(counts.max() / counts.sum()))

    def batches(self, size: int, seed: int) -> Batches:
        """(x (B, F, N), v (B, 4, N), mask (B, 1, N), labels (B,))."""
        rows, labels = self._train
        lengths = [x.shape[1] for x, _ in rows]
        return Batches(lambda at: _batch(rows, labels, at), len(rows), size, seed, lengths)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross entropy of the logits."""
        x, v, mask, labels = batch
        return functional.cross_entropy(model(x, v, mask), labels)

    def score(self, model: nn.Module, limit: int | None = None) -> Scores:
        """Accuracy on the held-out jets."""
        rows, labels = self._test[0][:limit], self._test[1][:limit]
        right = 0
        for at in in_order(len(rows), 64, np.array([x.shape[1] for x, _ in rows])):
            x, v, mask, wanted = _batch(rows, labels, at)
            right += int((model(x, v, mask).argmax(-1) == wanted).sum())
        return {"accuracy": right / len(rows)}

    def _inputs(self, jets: Jets) -> tuple[list[Any], np.ndarray]:
        rows = []
        for j in range(len(jets)):
            x, v = jet_features(jets.inputs(j), self.features, jets.axis(j))
            rows.append((x[:, : self.particles], v[:, : self.particles]))
        return rows, np.array([self.labels.index(str(label)) for label in jets.labels])


def _batch(rows: list[Any], labels: np.ndarray, at: np.ndarray) -> Batch:
    x, v, mask = (torch.from_numpy(a) for a in pad([rows[i] for i in at]))
    return x, v, mask, torch.from_numpy(labels[at])
