"""Codes packed in 32-bit words, by arithmetic on whole numbers, apart from what reads them.

One packed matrix is a number in which each code is a digit of base 2^bits; words are its digits of
base 2^32.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor


def words(codes: list[int], bits: int) -> list[int]:
    """Words, as int32, of a row of codes that fills them."""
    number = sum(code << bits * place for place, code in enumerate(codes))
    count, rest = divmod(len(codes) * bits, 32)
    assert rest == 0
    return [_signed(number >> 32 * word & (2**32 - 1)) for word in range(count)]


def _signed(word: int) -> int:
    return word - 2**32 if word >= 2**31 else word


def rows_packed(codes: np.ndarray, bits: int) -> Tensor:
    """Each row in words, one after the other."""
    return torch.tensor([words(row.tolist(), bits) for row in codes], dtype=torch.int32)


def awq_packed(codes: np.ndarray) -> Tensor:
    """Rows of four-bit codes: from the lowest bits up, outputs 0, 2, 4, 6, 1, 3, 5, 7 of eight."""
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    shuffled = [[row[8 * (i // 8) + order[i % 8]] for i in range(len(row))] for row in codes]
    return rows_packed(np.array(shuffled), 4)


class Matrix:
    """A random packed matrix: `tensors` by leaf, and W (n, m) in exact double precision."""

    def __init__(
        self,
        rng: np.random.Generator,
        shape: tuple[int, int],
        layout: str = "gptq",
        *,
        bits: int = 4,
        group: int = -1,
        act_order: bool = False,
    ):
        n, m = shape
        size = m if group == -1 else group
        groups = -(-m // size)
        codes = rng.integers(0, 2**bits, (n, m))
        zeros = rng.integers(0, 2**bits, (groups, n))
        scales = rng.normal(0, 0.05, (groups, n)).astype(np.float16)
        index = np.arange(m) // size
        if act_order:
            rng.shuffle(index)
        self.weight = (codes - zeros[index].T) * scales.astype(np.float64)[index].T
        self.tensors = {"scales": torch.tensor(scales)}
        if layout == "awq":
            self.tensors |= {"qweight": awq_packed(codes.T), "qzeros": awq_packed(zeros)}
            return
        kept = zeros if layout == "gptq_v2" else (zeros - 1) % 2**bits
        self.tensors |= {
            "qweight": rows_packed(codes, bits).T.contiguous(),
            "qzeros": rows_packed(kept, bits),
            "g_idx": torch.tensor(index, dtype=torch.int32),
        }

    def again(self) -> Matrix:
        """The same in tensors of its own, as a file wants them."""
        other = copy.copy(self)
        other.tensors = {leaf: tensor.clone() for leaf, tensor in self.tensors.items()}
        return other


def write_packed(
    folder: Path, matrices: dict[str, Matrix], more: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """A folder of packed matrices by path of their layer, and other tensors."""
    folder.mkdir(exist_ok=True)
    tensors = {
        f"{path}.{leaf}": tensor
        for path, matrix in matrices.items()
        for leaf, tensor in matrix.tensors.items()
    }
    save_file(tensors | more, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
