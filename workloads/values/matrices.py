"""The matrices of a model as they are written to the chip: scales folded in, integer codes.

A BatchNorm beside a matrix and a scale on its result are part of the stored weights, as extraction
folds them (fold.py there). A matrix with a rank is two factors: the checkpoint's own, or the best
ones of that rank (SVD).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hyflexsim.models.lowrank.layers import factorise
from hyflexsim.workloads.values.codes import codes_of
from hyflexsim.workloads.values.program import Program, folded, operator_of, product_of, share


@dataclass(frozen=True)
class Matrix:
    """An op's matrix, or its two factors, first one first; each (out, in) float32.

    ``codes``: what is stored, whole numbers in float64; ``scales``: one a factor; ``bias``:
    (out,) float64, added after the last factor, or None.
    """

    weights: tuple[Tensor, ...]
    codes: tuple[Tensor, ...]
    scales: tuple[float, ...]
    bias: Tensor | None


def matrix_of(
    program: Program, name: str, bits: int, factors: Mapping[str, list[Tensor]]
) -> Matrix:
    """The matrix of an op of class gemv at ``bits`` of a weight.

    ``factors``: of a checkpoint, by name of op: (rank, in) and (out, rank).
    """
    op = program.ops[name]
    product = product_of(program, name)
    width = len(product.matrix)
    columns = share(op, width)
    one_in, none_in, one_out, none_out = folded(program, name, width)
    one_out, none_out = one_out[columns], none_out[columns]
    dense = product.matrix.double()[columns]
    bias = _bias(program, name)
    shift = dense @ none_in
    rank = program.graph.nodes[name]["rank"]
    if rank is None:
        weights = [dense * one_in * one_out[:, None]]
    else:
        first, second = _factors(name, dense, rank, factors)
        shift = second @ (first @ none_in)
        weights = [first * one_in, second * one_out[:, None]]
    total = (shift if bias is None else shift + bias[columns]) * one_out + none_out
    has_bias = bias is not None or bool((total != 0).any())
    single = [w.float() for w in weights]
    scales = [_scale(w, bits) for w in single]
    stored = tuple(codes_of(w, torch.tensor(s), bits) for w, s in zip(single, scales, strict=True))
    return Matrix(tuple(single), stored, tuple(scales), total if has_bias else None)


def _scale(weight: Tensor, bits: int) -> float:
    step = weight.abs().max() / (2 ** (bits - 1) - 1)
    return float(step) if float(step) > 0 else 1.0


def _bias(program: Program, name: str) -> Tensor | None:
    """Of the product itself, or the step bias that Mamba's scan adds to the step sizes."""
    bias = product_of(program, name).bias
    if bias is not None:
        return bias.double()
    for scan in program.exported.graph.nodes:
        if operator_of(scan) != "scan" or scan.args[7] is None:
            continue
        if name in _reads(program, scan.args[1]):
            value: Tensor = program.value(scan.args[7], lambda n: None)
            return value.double()
    return None


def _reads(program: Program, node: object) -> tuple[str, ...]:
    owners = program.owners.get(node)
    return tuple(owners) if owners else program.depends(node)


def _factors(
    name: str, dense: Tensor, rank: int, factors: Mapping[str, list[Tensor]]
) -> tuple[Tensor, Tensor]:
    stem = name.split("@", maxsplit=1)[0]
    if stem in factors:
        first, second = factors[stem]
        return first.double(), second.double()
    layer = nn.Linear(dense.shape[1], dense.shape[0], bias=False)
    layer.weight = nn.Parameter(dense.float(), requires_grad=False)
    made = factorise(layer, rank, name=name).folded()
    return made.v.T.detach().double(), made.u.detach().double()
