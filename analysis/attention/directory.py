"""A directory of attention maps: who attends to whom, in every layer, head and jet.

Written by `hyflexsim attention`, format in docs/architecture.md. Arrays are memory-mapped, so
a jet costs only its own pages. All of it is about real particles: padding was never stored.

>>> from hyflexsim.analysis.attention.directory import load_attention
>>> run = load_attention("runs/attention")                              # doctest: +SKIP
>>> maps = run.maps(7)                                                  # doctest: +SKIP
>>> maps.weights.shape                                                  # doctest: +SKIP
(4, 4, 38, 38)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyflexsim.analysis.run.run import read_json
from hyflexsim.sim.errors import InputError

FORMAT = "hyflexsim-attention-1"
KEYS = ("format", "layers", "class_layers", "heads", "bias", "jets", "batch", "models", "classes")
JET_COLUMNS = ("jet", "label", "particles", "prongs", "tau21", "tau32", "lepton_isolation")
PARTICLE_COLUMNS = ("jet", "index", "pt", "deta", "dphi", "charge", "pid", "subjet", "b_subjet")

Singles = NDArray[np.float32]


class JetMaps(NamedTuple):
    """Attention of one jet of n particles, L layers, H heads. Rows are queries."""

    qk: Singles  # (L, H, n, n): QK^T / sqrt(D)
    u: Singles  # (H, n, n): the pair bias, zeros for a model without
    weights: Singles  # (L, H, n, n): softmax(qk + u) over the n keys
    cls: Singles  # (class layers, H, n + 1): of the class token, itself first


@dataclass(frozen=True, eq=False)
class AttentionRun:
    """One directory. `jets` and `particles` are frames with a row each."""

    path: Path
    manifest: dict[str, Any]
    jets: pd.DataFrame
    particles: pd.DataFrame
    _open: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def models(self) -> list[str]:
        """Names of the models in it: trained, untrained."""
        return list(self.manifest["models"])

    def of_jet(self, jet: int) -> pd.DataFrame:
        """Particles of a jet, in the order of rows and columns of its maps."""
        first, last = self._ends[jet : jet + 2]
        return self.particles.iloc[first:last]

    def maps(self, jet: int, model: str = "trained") -> JetMaps:
        """Attention of one jet under one of the models, as float32."""
        self._check(jet, model)
        counts = self.jets["particles"].to_numpy(dtype=np.int64)
        batch, place = divmod(jet, int(self.manifest["batch"]))
        before = counts[jet - place : jet]
        n, layers, heads = int(counts[jet]), self.manifest["layers"], self.manifest["heads"]
        square = slice(int((before**2).sum()), int((before**2).sum()) + n * n)
        row = slice(int((before + 1).sum()), int((before + 1).sum()) + n + 1)

        def part(name: str, own: slice) -> Singles:
            return np.asarray(self._array(model, name, batch)[..., own], dtype=np.float32)

        u = part("u", square) if self.manifest["bias"] else np.zeros((heads, n * n), np.float32)
        return JetMaps(
            part("qk", square).reshape(layers, heads, n, n),
            u.reshape(heads, n, n),
            part("weights", square).reshape(layers, heads, n, n),
            part("cls", row)
            if self.manifest["class_layers"]
            else np.zeros((0, heads, n + 1), np.float32),
        )

    def all_maps(self, model: str = "trained") -> Iterator[tuple[int, JetMaps]]:
        """(jet, maps) of every jet, one at a time."""
        for jet in range(len(self.jets)):
            yield jet, self.maps(jet, model)

    @property
    def _ends(self) -> NDArray[np.int64]:
        counts = self.jets["particles"].to_numpy(dtype=np.int64)
        return np.concatenate([[0], np.cumsum(counts)])

    def _check(self, jet: int, model: str) -> None:
        if model not in self.models:
            raise InputError(f"model must be one of {', '.join(self.models)}; got {model!r}")
        if not 0 <= jet < len(self.jets):
            raise InputError(f"jet must be 0 ... {len(self.jets) - 1}; got {jet}")

    def _array(self, model: str, name: str, batch: int) -> Any:
        file = self.path / model / f"{name}-{batch:05d}.npy"
        if str(file) not in self._open:
            try:
                self._open[str(file)] = np.load(file, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
                raise InputError(f"{file}: cannot be read: {reason}") from None
        return self._open[str(file)]


def load_attention(path: str | Path) -> AttentionRun:
    """Open a directory; arrays are read when asked for.

    Raises InputError, in one line, for no such directory, another format, missing columns, a
    particle table that does not fit the jets.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such directory of attention maps")
    manifest = read_json(path / "manifest.json", KEYS)
    if manifest["format"] != FORMAT:
        raise InputError(
            f"{path / 'manifest.json'}: format must be {FORMAT}; got {manifest['format']!r}"
        )
    jets = _frame(path / "jets.parquet", JET_COLUMNS)
    particles = _frame(path / "particles.parquet", PARTICLE_COLUMNS)
    if len(jets) != manifest["jets"] or int(jets["particles"].sum()) != len(particles):
        raise InputError(
            f"{path}: {manifest['jets']} jets and {int(jets['particles'].sum())} particles are "
            f"announced; {len(jets)} and {len(particles)} are there"
        )
    return AttentionRun(path, manifest, jets, particles)


def _frame(file: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"{file}: cannot be read: {reason}") from None
    for name in needed:
        if name not in frame.columns:
            raise InputError(f"{file}: column {name!r} is missing")
    return frame
