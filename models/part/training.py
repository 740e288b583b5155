"""What training a ParT needs beside a loop: jets as batches, a sparsity penalty, scores.

Jets are ragged and stay flat, so memory is proportional to the particles there are::

    x (P, F), v (P, 4)     offsets (J + 1,)     batch(rows) -> x (B, F, N), v (B, 4, N), mask

N is the longest jet of the batch. Training must draw its batches at random, not by length:
padded columns take part in ParT's batch statistics, and batches of one length would give
statistics that evaluation never sees. Scores take no statistics, so they may go by length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.attention import AttentionRecord
from hyflexsim.models.part.inputs import FEATURES, Singles
from hyflexsim.models.training import evaluating


@dataclass(frozen=True)
class JetTensors:
    """J jets with P particles in all, as ParT reads them."""

    x: Tensor  # (P, F) standardised features
    v: Tensor  # (P, 4) px, py, pz, E in GeV
    offsets: Tensor  # (J + 1,) int64
    target: Tensor  # (J,) int64, index of the class

    @classmethod
    def of(
        cls, jets: Sequence[tuple[Singles, Singles]], target: NDArray[np.int64], particles: int
    ) -> JetTensors:
        """From results of jet_features, cut to the leading `particles`, and classes (J,)."""
        if not jets or len(jets) != len(target):
            raise ModelError(
                f"jets and target must have one length, at least 1; got {len(jets)}, {len(target)}"
            )
        cut = [(x[:, :particles], v[:, :particles]) for x, v in jets]
        offsets = np.concatenate([[0], np.cumsum([x.shape[1] for x, _ in cut])])
        return cls(
            torch.from_numpy(np.concatenate([x.T for x, _ in cut])),
            torch.from_numpy(np.concatenate([v.T for _, v in cut])),
            torch.from_numpy(offsets.astype(np.int64)),
            torch.from_numpy(np.asarray(target, dtype=np.int64)),
        )

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> JetTensors:
        """The same jets on another device."""
        return JetTensors(*(part.to(device) for part in vars(self).values()))

    def take(self, rows: Tensor) -> JetTensors:
        """Some of the jets, in the order of `rows`."""
        ends = self.offsets.tolist()
        own = torch.cat([torch.arange(ends[r], ends[r + 1]) for r in rows.tolist()])
        counts = self.offsets.diff()[rows]
        offsets = functional.pad(counts.cumsum(0), (1, 0))
        return JetTensors(self.x[own], self.v[own], offsets, self.target[rows])

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, F, N), v (B, 4, N), mask (B, 1, N) of some jets, zero where padded.

        On the jets' device, wherever `rows` (B,) lie.
        """
        rows = rows.to(self.offsets.device)
        first, counts = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        place = torch.arange(int(counts.max()), device=rows.device)  # (N,)
        mask = place < counts[:, None]  # (B, N)
        at = (first[:, None] + place) * mask  # (B, N); padding points at particle 0
        x = self.x[at] * mask[:, :, None]
        v = self.v[at] * mask[:, :, None]
        return x.transpose(1, 2), v.transpose(1, 2), mask[:, None]


def mirrored(x: Tensor, features: str, flip: Tensor) -> Tensor:
    """Features (B, F, N) with jets of `flip` (B,) reflected in the plane of beam and jet axis.

    Dphi and d0 change sign, everything else (pair features too) stays: a jet that nature makes
    as often, so twice the sample. Reflection along the beam is already folded into Deta.
    """
    odd = torch.tensor([name in ("dphi", "d0") for name in FEATURES[features]])
    sign = (1.0 - 2.0 * (flip[:, None] & odd)).to(x)  # (B, F)
    return x * sign[:, :, None]


def entropy_of(records: Sequence[AttentionRecord], mask: Tensor) -> Tensor:
    """Mean entropy (nats) of the attention rows of real queries in the particle blocks.

    `mask` (B, 1, N). Zero for one-hot rows, ln N for uniform ones: added to a loss it asks
    for sparse attention.
    """
    total, rows = torch.zeros((), device=mask.device), mask.sum()
    own = [record for record in records if not record.name.startswith("cls")]
    for record in own:
        h = -(record.weights * record.weights.clamp(min=1e-12).log()).sum(-1)  # (B, H, Q)
        total = total + (h * mask).sum() / (rows * h.shape[1])
    return total / len(own)


def scores_of(
    model: nn.Module,
    jets: JetTensors,
    batch: int = 256,
    report: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float64]:
    """Probability of each class, (J, C), in evaluation mode. `report` is told jets done.

    Jets of like length go together: no statistics are taken, so the result is the same.
    """
    order = torch.argsort(jets.offsets.diff(), stable=True)
    parts = []
    for first in range(0, len(jets), batch):
        rows = order[first : first + batch]
        with evaluating(model):
            parts.append(model(*jets.batch(rows)).double().softmax(-1).cpu().numpy())
        report(min(first + batch, len(jets)))
    out: NDArray[np.float64] = np.concatenate(parts)[np.argsort(order.cpu().numpy())]
    return out
