"""A whole model in low rank: which linear layers become factors, and back.

Layers in repeated blocks become factors, at one rank or at ranks of their own; counts say what then
ships. A fused projection (ParT's ``in_proj``, GPT-2's ``c_attn``) is split first, so that Q, K and
V have ranks of their own, under the paths ``in_proj.q``, ``.k``, ``.v``. A matrix stays dense where
factors would hold more values than W.

Left out: convolutions, embeddings, task heads and Mamba's ``dt_proj`` (a factor already; its weight
is read directly).
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.layers import (
    HARD_THRESHOLD,
    LowRankLinear,
    Rank,
    SplitLinear,
    bias_of,
    break_even,
    check_weight,
    dense_layer,
    factorise,
    inherit,
    is_conv1d,
    is_linear,
    linear_weight,
    rank_of,
)
from hyflexsim.models.part.attention import Attention as PartAttention

SKIP = ("*dt_proj",)
"""Patterns left alone by default: Mamba's dt_proj is a factor already (rank 48)."""


class LinearTarget(NamedTuple):
    """A linear layer to be replaced; `parts` names the parts of a fused one, else is empty."""

    path: str
    layer: nn.Module
    parts: tuple[str, ...]

    def matrices(self) -> list[str]:
        """Path of each matrix: the layer's own, or one for each part."""
        return [f"{self.path}.{part}" for part in self.parts] or [self.path]

    def shapes(self) -> list[tuple[int, int]]:
        """(m, n) of each matrix."""
        n, m = linear_weight(self.layer).shape
        parts = max(1, len(self.parts))
        return [(m, n // parts)] * parts

    def shape(self) -> tuple[int, int]:
        """(m, n) of each of its matrices: inputs, outputs."""
        n, m = linear_weight(self.layer).shape
        return m, n // max(1, len(self.parts))


class LayerRank(NamedTuple):
    """One matrix of a model: m inputs, n outputs, rank (None: dense), weight values, no bias."""

    name: str
    m: int
    n: int
    rank: int | None
    dense: int
    shipped: int


class Counts(NamedTuple):
    """Parameters now and before compression: of the blocks' linear weights, and of everything.

    Both readings of "50 % of the parameters": `linears / linears_dense`, `total / total_dense`.
    """

    linears: int
    linears_dense: int
    total: int
    total_dense: int


def linear_targets(
    model: nn.Module,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = SKIP,
    fused: Mapping[str, Sequence[str]] | None = None,
) -> list[LinearTarget]:
    """The dense linear layers to compress, in the model's order.

    `include`: patterns of paths (``*.query``, ``*mlp*``), which may also name layers outside the
    blocks (BERT's pooler); None: every linear layer in a repeated block. `exclude`: patterns to
    leave out. `fused`: pattern -> names of equal parts, beside those known (ParT's in_proj,
    GPT-2's c_attn), such as ``{"*.qkv": ("q", "k", "v")}``.

    Raises ModelError if no linear layer is left, a pattern of `include` matches none, or a
    layer's weight is shared with another module (a tied head).
    """
    layers = {path: m for path, m in model.named_modules() if is_linear(m)}
    if not layers:
        raise ModelError(f"{type(model).__name__} has no linear layers to compress")
    for pattern in include or ():
        if not fnmatch.filter(layers, pattern):
            near = ", ".join(difflib.get_close_matches(pattern, layers, n=3)) or "none"
            raise ModelError(f"include: no linear layer matches {pattern!r}; nearest: {near}")
    blocks = block_paths(model)
    users: dict[int, int] = {}
    for _, p in model.named_parameters(remove_duplicate=False):
        users[id(p)] = users.get(id(p), 0) + 1
    targets = []
    for path, layer in layers.items():
        inside = in_block(path, blocks)
        if not (inside if include is None else _matches(path, include)) or _matches(path, exclude):
            continue
        if _skipped(model, path):
            continue
        if users[id(layer.weight)] > 1:
            raise ModelError(f"{path}: its weight is shared with another module; exclude it")
        targets.append(LinearTarget(path, layer, _parts(model, path, layer, fused or {})))
    if not targets:
        raise ModelError(
            f"{type(model).__name__} has no linear layers to compress within the blocks and "
            "patterns given"
        )
    return targets


def compress(
    model: nn.Module,
    rank: Rank | Mapping[str, int],
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = SKIP,
    fused: Mapping[str, Sequence[str]] | None = None,
    row_weights: Mapping[str, Tensor] | None = None,
    moments: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """Replace linear layers by factors, in place; returns the model.

    `rank`: as in :func:`rank_of` for every matrix, or a mapping of path to integer rank (matrices
    not named stay dense). `include`, `exclude`, `fused`: see :func:`linear_targets`.
    `row_weights`, `moments`: by path, see :func:`factorise`. A matrix stays dense where
    r (m + n) > m n.

    Raises ModelError for what :func:`linear_targets` and :func:`factorise` refuse and for a
    mapping with an unknown path, before the model is touched.
    """
    targets = linear_targets(model, include, exclude, fused)
    if isinstance(rank, Mapping):
        _known(rank, targets, "rank")
    scales, moments = row_weights or {}, moments or {}
    _known(scales, targets, "row_weights")
    _known(moments, targets, "moments")
    swaps: dict[str, nn.Module] = {}
    for target in targets:
        made: dict[str, nn.Module] = {}
        for key, part in zip(target.matrices(), split_layer(target), strict=True):
            wanted = rank.get(key) if isinstance(rank, Mapping) else rank
            made[key] = part
            check_weight(linear_weight(part), key)
            n, m = linear_weight(part).shape
            thin = wanted == HARD_THRESHOLD and break_even(m, n) < 1
            if wanted is None or thin:
                continue
            if isinstance(wanted, int) and wanted > break_even(m, n):
                rank_of(torch.empty(0), m, n, wanted, key)  # in range, though it stays dense
                continue
            how = {"row_weights": scales.get(key), "moment": moments.get(key)}
            layer = factorise(part, wanted, name=key, **how)
            if layer.rank <= break_even(m, n):
                made[key] = layer
        if any(isinstance(layer, LowRankLinear) for layer in made.values()):
            swaps[target.path] = joined(target, list(made.values()))
    replace(model, swaps)
    return model


def expand(model: nn.Module) -> nn.Module:
    """Give every factorised layer its dense form back, in place; same output, original names."""
    swaps = {path: m.dense() for path, m in model.named_modules() if isinstance(m, SplitLinear)}
    for path, layer in model.named_modules():
        if isinstance(layer, LowRankLinear) and path.rpartition(".")[0] not in swaps:
            swaps[path] = layer.dense()
    replace(model, swaps)
    return model


def fold(model: nn.Module) -> nn.Module:
    """Fold sigma into V in every factorised layer, in place; same output."""
    replace(model, {path: layer.folded() for path, layer in low_rank_layers(model).items()})
    return model


def low_rank_layers(model: nn.Module) -> dict[str, LowRankLinear]:
    """The factorised layers by path, in the model's order."""
    return {path: m for path, m in model.named_modules() if isinstance(m, LowRankLinear)}


def ranks(model: nn.Module) -> list[LayerRank]:
    """Every factorised matrix, and every linear layer in a block that is dense (rank None)."""
    blocks = block_paths(model)
    rows = []
    for path, layer in model.named_modules():
        inside = in_block(path, blocks)
        if isinstance(layer, LowRankLinear):
            m, n = layer.in_features, layer.out_features
            rows.append(LayerRank(path, m, n, layer.rank, m * n, layer.shipped))
        elif is_linear(layer) and inside:
            n, m = linear_weight(layer).shape
            rows.append(LayerRank(path, m, n, None, m * n, m * n))
    return rows


def counts(model: nn.Module) -> Counts:
    """What ships: r (m + n) a factorised matrix (sigma folds into V), biases and the rest as is."""
    rows, factors = ranks(model), low_rank_layers(model).values()
    inner = {id(p) for layer in factors for p in layer.parameters() if p is not layer.bias}
    rest = sum(p.numel() for p in model.parameters() if id(p) not in inner)
    total = rest + sum(layer.shipped for layer in factors)
    saved = sum(row.dense - row.shipped for row in rows)
    linears = sum(row.shipped for row in rows)
    return Counts(linears, linears + saved, total, total + saved)


def block_paths(model: nn.Module) -> list[str]:
    """Paths of repeated blocks, outermost first: members of a ModuleList, or of a Sequential
    whose members all have members."""
    found: list[str] = []
    for path, module in model.named_modules():
        if any(path.startswith(block + ".") for block in found):
            continue
        members = list(module.children())
        deep = isinstance(module, nn.Sequential) and all(
            any(True for _ in m.children()) for m in members
        )
        if isinstance(module, nn.ModuleList) or (deep and members):
            found += [f"{path}.{name}" if path else name for name, _ in module.named_children()]
    return found


def in_block(path: str, blocks: Sequence[str]) -> bool:
    """Whether a module is one of the blocks, or within one."""
    return any(path == block or path.startswith(block + ".") for block in blocks)


def split_layer(target: LinearTarget) -> list[nn.Module]:
    """The matrices of a target as layers: itself, or a Linear for each part (copies)."""
    if not target.parts:
        return [target.layer]
    weight, bias = linear_weight(target.layer).detach(), bias_of(target.layer)
    pieces = weight.chunk(len(target.parts))
    biases: Sequence[Tensor | None] = [None] * len(pieces)
    if bias is not None:
        biases = bias.detach().chunk(len(pieces))
    return [
        inherit(target.layer, dense_layer(w, b, False)) for w, b in zip(pieces, biases, strict=True)
    ]


def joined(target: LinearTarget, layers: Sequence[nn.Module]) -> nn.Module:
    """One module in place of a target, from the layers of its matrices."""
    if not target.parts:
        return layers[0]
    parts = dict(zip(target.parts, layers, strict=True))
    return SplitLinear(parts, transposed=is_conv1d(target.layer)).train(target.layer.training)


def replace(model: nn.Module, swaps: Mapping[str, nn.Module]) -> None:
    """Put modules in place of those at the paths. Raises ModelError for the model itself."""
    for path, layer in swaps.items():
        if not path:
            raise ModelError("a single layer cannot be replaced in itself; use factorise")
        parent, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer)


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _skipped(model: nn.Module, path: str) -> bool:
    """A dense part of a split layer: it was left dense on purpose."""
    return isinstance(model.get_submodule(path.rpartition(".")[0]), SplitLinear)


def _parts(
    model: nn.Module, path: str, layer: nn.Module, fused: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    parent, _, leaf = path.rpartition(".")
    owner = model.get_submodule(parent)
    n, m = linear_weight(layer).shape
    names: tuple[str, ...] = ()
    for pattern, given in fused.items():
        if fnmatch.fnmatchcase(path, pattern):
            names = tuple(given)
    if not names and leaf == "in_proj" and isinstance(owner, PartAttention):
        names = ("q", "k", "v")
    if not names and leaf == "c_attn" and type(owner).__name__.endswith("Attention"):
        names = ("q", "k", "v") if n == 3 * m else ("k", "v") if n == 2 * m else ()
    if names and (len(names) < 2 or len(set(names)) < len(names) or n % len(names)):
        raise ModelError(
            f"{path}: its {n} outputs must divide into at least two distinct parts of one size; "
            f"got {', '.join(names)}"
        )
    return names


def _known(mapping: Mapping[str, Any], targets: Sequence[LinearTarget], what: str) -> None:
    keys = [key for target in targets for key in target.matrices()]
    for key in mapping:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=3)
            raise ModelError(
                f"{what}: no matrix {key!r} to compress; nearest: {', '.join(near) or 'none'}"
            )
