"""A training that survives an interruption: its whole state in one file, now and then.

Weights, optimiser, schedule, random state, and what a meter has gathered; so a training that goes
on from the file takes the very steps that an uninterrupted one would have taken. The file holds
tensors and plain values only and is read with ``weights_only``.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch

from hyflexsim.models.errors import ModelError
from hyflexsim.models.whole_file import whole


class Stateful(Protocol):
    """Anything with a state of tensors and plain values."""

    def state_dict(self) -> Mapping[str, Any]:
        """The state."""
        ...

    def load_state_dict(self, state: Any) -> Any:
        """Take it over."""
        ...


@dataclass
class Progress:
    """Where a training stands: the next batch is `step` of `epoch`, both from 0."""

    epoch: int = 0
    step: int = 0
    total: float = 0.0  # sum of this epoch's losses
    means: list[float] = field(default_factory=list)  # of finished epochs
    began: torch.Tensor | None = None  # state of torch's generator when the epoch began

    def walk(self, data: Iterable[Any]) -> Iterator[Any]:
        """The batches of an epoch from `step` on.

        Data that draw their order from torch's generator (a DataLoader) draw it from the state in
        which the epoch began, so it is the same after an interruption.
        """
        if not self.step or self.began is None:
            self.began = torch.get_rng_state()
            yield from islice(data, self.step, None)
            return
        now = torch.get_rng_state()
        torch.set_rng_state(self.began)
        batches = iter(data)
        for _ in islice(batches, self.step):
            pass
        torch.set_rng_state(now)
        yield from batches


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors and plain values to a file, in one step. Raises OSError where it cannot.

    Through memory: torch tells a full disk from nothing else.
    """
    content = io.BytesIO()
    torch.save(state, content)
    with whole(path) as scratch:
        scratch.write_bytes(content.getbuffer())


class Saver:
    """Keeps a training in file `path`, at most every `every_s` seconds.

    `also`: what the caller wants kept beside the training's own parts, by names of its own.
    """

    def __init__(
        self,
        path: str | Path,
        every_s: float = 60.0,
        also: Mapping[str, Stateful] | None = None,
    ):
        self.path, self.every_s, self.also = Path(path), every_s, dict(also or {})
        self._saved = time.monotonic()

    def restore(self, parts: Mapping[str, Stateful]) -> Progress:
        """Fill the parts from the file and say where it stopped; the beginning if there is none.

        Raises ModelError for a file that does not fit.
        """
        if not self.path.is_file():
            return Progress()
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            for name, part in {**parts, **self.also}.items():
                part.load_state_dict(state["parts"][name])
            torch.set_rng_state(state["random"])
            if torch.cuda.is_available() and state["cuda random"]:
                torch.cuda.set_rng_state_all(state["cuda random"])
            return Progress(**state["progress"])
        except Exception as error:  # whatever torch makes of a file that is not ours
            reason = (str(error) or repr(error)).splitlines()[0]
            raise ModelError(f"{self.path}: not the state of this training; {reason}") from None

    def save_if_due(self, progress: Progress, parts: Mapping[str, Stateful]) -> None:
        """Write the file if the last time is long enough ago."""
        if time.monotonic() - self._saved < self.every_s:
            return
        state = {
            "parts": {name: part.state_dict() for name, part in {**parts, **self.also}.items()},
            "random": torch.get_rng_state(),
            "cuda random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "progress": asdict(progress),
        }
        save_state(state, self.path)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """The training is done: the file goes."""
        self.path.unlink(missing_ok=True)
