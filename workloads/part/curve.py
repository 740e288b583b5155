"""What is looked at while a ParT trains: a row every few steps, see :class:`Curve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hyflexsim.models.part.sharpness import sharpness_of
from hyflexsim.models.part.training import JetTensors, scores_of
from hyflexsim.models.part.transformer import ParticleTransformer

JETS, SHARP_JETS = 1000, 200
"""Most held-out jets a look takes, and of these for how binary attention is."""


class Curve:
    """Rows of curve.parquet; its state is kept with a training's.

    step, jets (seen), loss and accuracy (of training, since the last row),
    validation_accuracy, and how binary attention is on validation jets and what drives it:
    share_50, share_90, share_95, entropy, keys, norm_q, norm_k, spread, size_u
    (models/part/sharpness.py, sharpness_of).
    """

    def __init__(self, validation: JetTensors, batch: int):
        self.few = evenly(validation, JETS)
        self.batch = batch
        self.rows: list[dict[str, float]] = []
        self._loss, self._right, self._seen = 0.0, 0, 0

    def trained(self, loss: float, right: int, jets: int) -> None:
        """Take a batch into account: its mean loss, the right answers of so many jets."""
        self._loss += loss * jets
        self._right += right
        self._seen += jets

    def look(self, model: ParticleTransformer, step: int) -> None:
        """Add a row."""
        target = self.few.target.cpu().numpy()
        right = scores_of(model, self.few).argmax(1) == target
        self.rows.append(
            {
                "step": step,
                "jets": step * self.batch,
                "loss": self._loss / self._seen,
                "accuracy": self._right / self._seen,
                "validation_accuracy": float(right.mean()),
                **sharpness_of(model, evenly(self.few, SHARP_JETS)),
            }
        )
        self._loss, self._right, self._seen = 0.0, 0, 0

    def write(self, path: Path) -> None:
        """The rows as Parquet."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        pq.write_table(pa.Table.from_pylist(self.rows), path)

    def state_dict(self) -> dict[str, Any]:
        """Rows, and what was gathered since the last one."""
        return {"rows": self.rows, "since": [self._loss, self._right, self._seen]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take that over."""
        self.rows = state["rows"]
        self._loss, self._right, self._seen = state["since"]


def evenly(jets: JetTensors, most: int) -> JetTensors:
    """At most so many of the jets, evenly taken."""
    if len(jets) <= most:
        return jets
    return jets.take(torch.from_numpy(np.linspace(0, len(jets) - 1, most).astype(np.int64)))
