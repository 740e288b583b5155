"""Weights in codes of few bits, packed in 32-bit words, as GPTQ and AWQ write them: unpacked.

A matrix W (n, m) of n outputs and m inputs lies in ``qweight``, ``qzeros``, ``scales`` and, from
GPTQ, ``g_idx``; an input belongs to a group, and a group has a scale and a zero for each output::

    W[o, i] = (code[o, i] - zero[g, o]) * scale[g, o],    g = g_idx[i], or i // group_size

A scale of 16 bits times such a difference has at most 20 significant bits, so W is exact in single
precision. How codes lie in words, each from its lowest bits up:

GPTQ (Frantar et al., arXiv 2210.17323; AutoGPTQ, GPTQModel)
    ``qweight`` (m b / 32, n): inputs one after the other, in b bits each; three-bit codes run
    across words. ``qzeros`` (g, n b / 32): outputs one after the other. Format "gptq" holds zero
    - 1, "gptq_v2" the zero itself. All bits set in the former is taken for zero 0: no zero is 2^b.
AWQ (Lin et al., arXiv 2306.00978; AutoAWQ's "gemm")
    ``qweight`` (m, n / 8) and ``qzeros`` (g, n / 8): eight outputs a word, in the order 0, 2, 4, 6,
    1, 3, 5, 7.

Left out: layouts made for one kernel (marlin, gemv), and codes that are not packed in 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from hyflexsim.models.errors import ModelError
from hyflexsim.models.tensor_files import TensorFiles

WORD = 32
"""Bits of a word."""
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight outputs lies in the lowest four bits, which in the next."""
INTEGERS = ("I32", "I64")
AT_ONCE = 2**22
"""Weights that are multiplied by their scales at once."""


class Packing(NamedTuple):
    """How codes are packed: ``group`` inputs share a scale (0: all), ``offset`` goes on zeros."""

    layout: Literal["gptq", "awq"]
    bits: int
    group: int
    offset: int = 0

    def groups(self, inputs: int) -> int:
        """Groups of a matrix with so many inputs.

        >>> Packing("awq", 4, 128).groups(300), Packing("gptq", 4, 0).groups(300)
        (3, 1)
        """
        return -(-inputs // self.group) if self.group else 1


class PackedFiles(TensorFiles):
    """Tensors of a folder, in which packed matrices appear as their ``weight`` (n, m), unpacked.

    Raises ModelError, as :class:`TensorFiles` does, and for a packed matrix that lacks one of its
    tensors, or whose tensors do not fit each other and the packing.
    """

    def __init__(self, folder: str | Path, packing: Packing):
        super().__init__(folder)
        self._packing = packing
        names = set(super().names)
        bases = [n.removesuffix(".qweight") for n in super().names if n.endswith(".qweight")]
        if not bases:
            raise ModelError(
                f"{self.folder}: must hold packed tensors (qweight), since config.json says that "
                "its weights are quantised; it has none"
            )
        self._parts = {f"{base}.weight": self._checked(base, names) for base in bases}
        held = {part for parts in self._parts.values() for part in parts}
        self._plain = tuple(name for name in super().names if name not in held)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, those of packed matrices last."""
        return (*self._plain, *self._parts)

    def __contains__(self, name: object) -> bool:
        return name in self._parts or name in self._plain

    def is_packed(self, name: str) -> bool:
        """Whether the tensor is unpacked where it is read."""
        return name in self._parts

    def is_empty_bias(self, name: str) -> bool:
        """Whether it is a bias of zeros beside a packed matrix: AutoGPTQ writes one to layers that
        have none."""
        base = name.removesuffix(".bias")
        return f"{base}.weight" in self._parts and base != name and not bool(self.read(name).any())

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape; of a packed matrix (outputs, inputs)."""
        if name not in self._parts:
            return super().shape(name)
        rows, columns = super().shape(self._parts[name].qweight)
        codes = WORD // self._packing.bits
        if self._packing.layout == "awq":
            return columns * codes, rows
        return columns, rows * WORD // self._packing.bits

    def is_real(self, name: str) -> bool:
        """Whether its values are floating-point numbers of 16 bits or more; unpacked they are."""
        return name in self._parts or super().is_real(name)

    def read(self, name: str) -> Tensor:
        """A copy of the tensor, in the precision of the file; a packed matrix in float32."""
        if name not in self._parts:
            return super().read(name)
        parts = self._parts[name]
        words, zeros, scales = (super(PackedFiles, self).read(part) for part in parts[:3])
        packing = self._packing
        if packing.layout == "awq":
            codes, zeros = _in_order(words).T, _in_order(zeros)
        else:
            codes, zeros = unpacked(words.T, packing.bits), unpacked(zeros, packing.bits)
            zeros = (zeros + packing.offset) & (2**packing.bits - 1)
        return _weights(codes, zeros, scales.float(), self._group_of(parts, codes.shape[1]))

    # -- what belongs together --------------------------------------------------------------------

    def _checked(self, base: str, names: set[str]) -> _Parts:
        """The tensors of a packed matrix, which fit each other."""
        parts = _Parts(*(f"{base}.{leaf}" for leaf in _Parts._fields))
        for name in parts[:3]:
            if name not in names:
                raise ModelError(f"{self.folder}: lacks {name}, though it has {parts.qweight}")
        if f"{base}.weight" in names:
            raise ModelError(f"{self.folder}: has both {base}.weight and {parts.qweight}")
        if parts.g_idx not in names or self._packing.layout == "awq":
            parts = parts._replace(g_idx="")
        self._fits(parts.qweight, 2, ("I32",))
        rows, columns = super().shape(parts.qweight)
        bits = self._packing.bits
        if self._packing.layout == "awq":
            inputs, outputs = rows, columns * WORD // bits
        else:
            inputs, outputs = rows * WORD // bits, columns
            if rows * WORD % bits or outputs * bits % WORD:
                raise ModelError(
                    f"{self.folder}: {parts.qweight} must have rows and columns that fill words "
                    f"with codes of {bits} bits; got {(rows, columns)}"
                )
        groups = self._packing.groups(inputs)
        self._fits(parts.scales, (groups, outputs), ("F16", "BF16", "F32"))
        self._fits(parts.qzeros, (groups, outputs * bits // WORD), ("I32",))
        if parts.g_idx:
            self._fits(parts.g_idx, (inputs,), INTEGERS)
        return parts

    def _fits(self, name: str, shape: tuple[int, ...] | int, kinds: tuple[str, ...]) -> None:
        got, kind = super().shape(name), self.kind(name)
        wanted = len(got) == shape if isinstance(shape, int) else got == shape
        if not wanted or kind not in kinds or 0 in got:
            packing = self._packing
            raise ModelError(
                f"{self.folder}: {name} must be {'a matrix' if isinstance(shape, int) else shape} "
                f"of {' or '.join(kinds)}, by codes of {packing.bits} bits in groups of "
                f"{packing.group or 'all inputs'}; got {got} of {kind}"
            )

    def _group_of(self, parts: _Parts, inputs: int) -> Tensor:
        """The group of each input."""
        if not parts.g_idx:
            return torch.arange(inputs) // (self._packing.group or inputs)
        groups = self._packing.groups(inputs)
        index = super().read(parts.g_idx).long()
        if int(index.min()) < 0 or int(index.max()) >= groups:
            wrong = index[(index < 0) | (index >= groups)][0]
            raise ModelError(
                f"{self.folder}: {parts.g_idx} must hold groups from 0 to {groups - 1}; got "
                f"{int(wrong)}"
            )
        return index


class _Parts(NamedTuple):
    """Names of the tensors of a packed matrix; ``g_idx`` is empty where there is none."""

    qweight: str
    qzeros: str
    scales: str
    g_idx: str


def unpacked(words: Tensor, bits: int) -> Tensor:
    """Codes (..., 32 k / bits) from words (..., k) of int32, lowest bits first, as int16.

    >>> unpacked(torch.tensor([0x76543210], dtype=torch.int32), 4).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    plain = words.long() & (2**WORD - 1)
    following = torch.zeros_like(plain)
    following[..., :-1] = plain[..., 1:]
    pairs = plain | following << WORD  # a code may run into the next word
    codes = torch.empty((*words.shape[:-1], words.shape[-1] * WORD // bits), dtype=torch.int16)
    for place, first, shift in _places(bits):
        into = codes[..., place::WORD]
        into.copy_(pairs[..., first::bits] >> shift & (2**bits - 1))
    return codes


def _places(bits: int) -> Iterator[tuple[int, int, int]]:
    """Of the 32 codes in `bits` words: (which, word, from which bit on)."""
    for place in range(WORD):
        yield place, *divmod(place * bits, WORD)


def _in_order(words: Tensor) -> Tensor:
    """AWQ's codes in the order of outputs, (rows, 8 k) from (rows, k)."""
    codes = unpacked(words, 4)
    ordered = torch.empty_like(codes)
    count = len(AWQ_ORDER)
    for place, output in enumerate(AWQ_ORDER):
        ordered[:, output::count] = codes[:, place::count]
    return ordered


def _weights(codes: Tensor, zeros: Tensor, scales: Tensor, group_of: Tensor) -> Tensor:
    """W (n, m) from codes (n, m), zeros and scales (g, n) and the group of each input (m,).

    A block of inputs at a time, so that nothing but W is as large as W in single precision.
    """
    weight = torch.empty(codes.shape, dtype=torch.float32)
    step = max(1, AT_ONCE // codes.shape[0])
    for first in range(0, codes.shape[1], step):
        some = slice(first, first + step)
        group = group_of[some]
        difference = codes[:, some] - zeros[group].T
        weight[:, some] = difference.float() * scales[group].T
    return weight
