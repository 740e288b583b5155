"""Jet classification with the Particle Transformer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.part import inputs
from hyflexsim.models.part.training import JetTensors, scores_of
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.jets.jets import Jets
from hyflexsim.workloads.jets.sample import LABELS
from hyflexsim.workloads.jets.tensors import jet_tensors
from hyflexsim.workloads.tasks.base import Batches, Metric, Scores, Split
from hyflexsim.workloads.tasks.seen import Items

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
        self._train, self._test = self._tensors(train), self._tensors(test)
        counts = torch.bincount(self._test.target)
        self.metric = Metric("accuracy", True, float(counts.max() / counts.sum()))

    def batches(self, size: int, seed: int) -> Batches:
        """(x (B, F, N), v (B, 4, N), mask (B, 1, N), labels (B,)), jets drawn at random."""
        return Batches(self._batch, len(self._train), size, seed)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross entropy of the logits."""
        x, v, mask, labels = batch
        return functional.cross_entropy(model(x, v, mask), labels)

    def score(self, model: nn.Module, limit: int | None = None) -> Scores:
        """Accuracy on the held-out jets."""
        jets = self._test
        if limit is not None and limit < len(jets):
            jets = jets.take(torch.arange(limit))
        right = scores_of(model, jets, batch=64).argmax(1) == jets.target.numpy()
        return {"accuracy": float(right.mean())}

    def items(self, split: Split) -> Items:
        """Standardised features of all particles."""
        jets = self._train if split == "train" else self._test
        columns = zip(inputs.FEATURES[self.features], jets.x.numpy().T, strict=True)
        return Items("particles", dict(columns))

    def _batch(self, rows: np.ndarray) -> Batch:
        at = torch.from_numpy(rows)
        return (*self._train.batch(at), self._train.target[at])

    def _tensors(self, jets: Jets) -> JetTensors:
        target = np.array([self.labels.index(str(label)) for label in jets.labels])
        return jet_tensors(jets, target, self.features, self.particles)
