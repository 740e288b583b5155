"""LoRA adapters as PEFT writes them: merged into the weights they are trained beside, or kept.

A folder with adapter_config.json and adapter_model.safetensors; of a matrix W (n, m) it holds A
(r, m) and B (n, r), and the model computes with W + s B A, s = lora_alpha / r (Hu et al., arXiv
2106.09685, section 4.1), or lora_alpha / sqrt(r) where ``use_rslora`` says so (arXiv 2312.03732).
Merging is exact but for the rounding of the sum to the precision of W, and costs the chip nothing.
Kept, A and s B stay two small matrices beside W (models/lowrank/adapted.py).

Left out, and refused by name: adapters of other kinds, DoRA, trained biases and whole modules.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hyflexsim.models.lowrank.layers import check_weight
from hyflexsim.models.tensor_files import TensorFiles
from hyflexsim.sim.errors import InputError, shortened
from hyflexsim.workloads.extraction.config_limits import read_object
from hyflexsim.workloads.extraction.weight_formats import ADAPTER

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Before each path of the model, in names of tensors."""
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "use_dora": (None, False),
    "bias": (None, "none"),
    "modules_to_save": (None, []),
    "lora_bias": (None, False),
    "trainable_token_indices": (None, []),
}
"""What a configuration may say of these keys: a matrix gets B A, and nothing else changes."""


class Change(NamedTuple):
    """s B A of one matrix: names of A and B, and s."""

    a: str
    b: str
    scale: float


class Adapter:
    """The changes of an adapter by path of a matrix's layer in the model; `kept`: not merged.

    Raises InputError for another kind of adapter, naming the key, and ModelError for damaged files.
    """

    def __init__(self, folder: Path, *, kept: bool = False):
        self.folder, self.kept = folder, kept
        self._config = _read(folder / ADAPTER)
        self._files = TensorFiles(folder, WEIGHTS)
        self.changes = dict(self._change(name) for name in self._files.names if _is_a(name))
        known = {name for change in self.changes.values() for name in change[:2]}
        other = next((name for name in self._files.names if name not in known), None)
        if other is not None or not self.changes:
            raise InputError(
                f"{folder / WEIGHTS}: must hold lora_A.weight and lora_B.weight of matrices; got "
                f"{other or 'nothing'}"
            )

    def describe(self) -> dict[str, Any]:
        """What tells it from others when a job is resumed."""
        stat = (self.folder / WEIGHTS).stat()
        file = [stat.st_size, stat.st_mtime_ns]
        return {"folder": str(self.folder), "file": file, "kept": self.kept} | {
            "config": self._config
        }

    def check(self, path: str, shape: tuple[int, int]) -> None:
        """Raise InputError unless a change is of a matrix (n, m)."""
        n, m = shape
        change = self.changes[path]
        a, b = self._files.shape(change.a), self._files.shape(change.b)
        if a != (b[-1], m) or b != (n, a[0]):
            raise InputError(
                f"{self.folder / WEIGHTS}: lora_A and lora_B of {path} must be (r, {m}) and "
                f"({n}, r); got {a} and {b}"
            )

    def change(self, path: str) -> torch.Tensor:
        """s B A (n, m) of a matrix, in double precision."""
        a, b, scale = self.changes[path]
        product = self._files.read(b).double() @ self._files.read(a).double()
        check_weight(product, f"{self.folder / WEIGHTS}: lora_B lora_A of {path}")
        return scale * product

    def rank(self, path: str) -> int:
        """Rank r of the change of a matrix."""
        return self._files.shape(self.changes[path].a)[0]

    def factors(self, path: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A (r, m) and s B (n, r) of a matrix; the latter in single precision at least."""
        a, b, scale = self.changes[path]
        down, up = self._files.read(a), self._files.read(b)
        for name, tensor in ((a, down), (b, up)):
            check_weight(tensor, f"{self.folder / WEIGHTS}: {name}")
        return down, (scale * up.double()).to(torch.promote_types(up.dtype, torch.float32))

    def _change(self, a: str) -> tuple[str, Change]:
        b, path = a.replace(".lora_A.", ".lora_B."), a.removesuffix(".lora_A.weight")
        path = path.removeprefix(PREFIX)
        if b not in self._files:
            raise InputError(f"{self.folder / WEIGHTS}: lacks {b}, though it has {a}")
        shapes = self._files.shape(a), self._files.shape(b)
        if any(len(shape) != 2 for shape in shapes) or shapes[0][0] < 1:
            raise InputError(f"{self.folder / WEIGHTS}: {a} and {b} must be matrices; got {shapes}")
        rank = shapes[0][0]
        said = self._of("r", "rank_pattern", path)
        if said not in (None, rank):
            raise InputError(
                f"{self.folder / ADAPTER}: r of {path} must be {rank}, as {a} has it; got "
                f"{shortened(said)}"
            )
        root = math.sqrt(rank) if self._config.get("use_rslora") else rank
        return path, Change(a, b, self._alpha(path) / root)

    def _alpha(self, path: str) -> float:
        alpha = self._of("lora_alpha", "alpha_pattern", path)
        if (
            not isinstance(alpha, int | float)
            or isinstance(alpha, bool)
            or not math.isfinite(alpha)
        ):
            raise InputError(
                f"{self.folder / ADAPTER}: lora_alpha must be a finite number; got "
                f"{shortened(alpha)}"
            )
        return float(alpha)

    def _of(self, key: str, patterns: str, path: str) -> Any:
        """A key, or what the first pattern says that a path ends with, as PEFT reads them."""
        try:
            own = (
                value
                for pattern, value in (self._config.get(patterns) or {}).items()
                if re.match(rf"(.*\.)?({pattern})$", path)
            )
            return next(own, self._config.get(key))
        except (re.error, AttributeError) as error:
            raise InputError(
                f"{self.folder / ADAPTER}: {patterns} must be an object of numbers by pattern "
                f"of path; {error}"
            ) from None


def _is_a(name: str) -> bool:
    return name.endswith(".lora_A.weight")


def _read(file: Path) -> dict[str, Any]:
    config = read_object(file)
    for key, allowed in PLAIN.items():
        if config.get(key) not in allowed:
            raise InputError(
                f"{file}: {key} must be {' or '.join(json.dumps(v) for v in allowed)}; got "
                f"{shortened(config.get(key))}: other adapters are not merged"
            )
    return config
