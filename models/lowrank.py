"""Low-rank linear layers: W (n x m) kept as U diag(sigma) V^T of rank r, by SVD.

A linear layer maps m inputs to n outputs. Its factors hold r (m + n) values, fewer than W only for
r < m n / (m + n) (HyFlexPIM §4, the "hard threshold": there nothing is saved, the factors serve to
tell important ranks from others). The chip stores two matrices, V diag(sigma) and U^T; a rank is
a column of the first and a row of the second::

    x (..., m) --V (m x r)--> (..., r) --* sigma--> (..., r) --U^T (r x n)--> + bias (..., n)

Which layers: those in repeated blocks, Linear of torch and Conv1D of transformers (GPT-2, whose
weight is W transposed). A fused projection (ParT's ``in_proj``, GPT-2's ``c_attn``) is split first,
so that Q, K and V have ranks of their own, under the paths ``in_proj.q``, ``.k``, ``.v``. A layer
stays dense where factors would hold more values than W.

Names in this package: `path` is a module's path in the model. Left out: convolutions, embeddings,
task heads and Mamba's ``dt_proj`` (a factor already; its weight is read directly).
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part import Attention as PartAttention

HARD_THRESHOLD: Literal["hard-threshold"] = "hard-threshold"
SKIP = ("*dt_proj",)
"""Patterns left alone by default: Mamba's dt_proj is a factor already (rank 48)."""

Rank = int | float | str
"""An integer rank, an energy fraction (float), or "hard-threshold"."""

M = TypeVar("M", bound=nn.Module)

WEIGHTS_FILE, RANKS_FILE, FORMAT = "model.safetensors", "ranks.json", "hyflexsim-lowrank-1"


class LowRankLinear(nn.Module):
    """y = ((x V) * sigma) U^T + bias, everything trainable.

    `u` (n, r), `sigma` (r,), `v` (m, r), `bias` (n,) or None; x (..., m) gives (..., n). `sigma`
    is None once folded into V. `transposed`: made from a Conv1D, which :meth:`dense` gives back.
    Raises ModelError if shapes do not fit.

    >>> layer = LowRankLinear(torch.ones(3, 1), torch.tensor([2.0]), torch.ones(4, 1))
    >>> layer(torch.ones(4)).tolist(), layer.rank, layer.shipped
    ([8.0, 8.0, 8.0], 1, 7)
    """

    sigma: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        u: Tensor,
        sigma: Tensor | None,
        v: Tensor,
        bias: Tensor | None = None,
        *,
        transposed: bool = False,
    ):
        super().__init__()
        ranks = {u.shape[-1], v.shape[-1], *(() if sigma is None else (sigma.shape[-1],))}
        if u.dim() != 2 or v.dim() != 2 or len(ranks) != 1 or 0 in ranks:
            raise ModelError(
                "LowRankLinear needs u (n, r), sigma (r,), v (m, r) of one rank r of at least 1; "
                f"got u {tuple(u.shape)}, v {tuple(v.shape)}"
            )
        self.u, self.v = _parameter(u), _parameter(v)
        self.sigma = None if sigma is None else _parameter(sigma)
        self.bias = None if bias is None else _parameter(bias)
        self.transposed = transposed

    @property
    def in_features(self) -> int:
        """Inputs m."""
        return self.v.shape[0]

    @property
    def out_features(self) -> int:
        """Outputs n."""
        return self.u.shape[0]

    @property
    def rank(self) -> int:
        """Ranks that ship."""
        return self.u.shape[1]

    @property
    def shipped(self) -> int:
        """Weight values that ship, without bias: r (m + n), at most the m n of a dense layer."""
        m, n = self.in_features, self.out_features
        return min(self.rank * (m + n), m * n)

    @property
    def weight(self) -> Tensor:
        """W = U diag(sigma) V^T, (n, m) as nn.Linear has it; made anew at each access."""
        scale = self.diagonal()
        return (self.u if scale is None else self.u * scale) @ self.v.T

    def diagonal(self) -> Tensor | None:
        """Singular values as the forward pass applies them, (r,); None once folded."""
        return self.sigma

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., n)."""
        y, scale = x @ self.v, self.diagonal()
        return functional.linear(y if scale is None else y * scale, self.u, self.bias)

    def folded(self) -> LowRankLinear:
        """The layer as the chip stores it: V diag(sigma) and U^T, no sigma; a copy, same output."""
        scale = self.diagonal()
        v = self.v if scale is None else self.v * scale
        return _like(self, LowRankLinear(*_copies(self.u, None, v, self.bias)))

    def dense(self) -> nn.Module:
        """A Linear (Conv1D if `transposed`) of the same output."""
        bias = None if self.bias is None else self.bias.detach().clone()
        return _like(self, _dense_layer(self.weight.detach(), bias, self.transposed))

    def extra_repr(self) -> str:
        """Sizes, for print."""
        return f"{self.in_features}, {self.out_features}, rank={self.rank}"


class SplitLinear(nn.Module):
    """A fused projection in parts: the same input to each, results one after the other.

    `parts` by name ("q", "k", "v"), each a layer (..., m) -> (..., n_i); together (..., sum n_i).
    """

    def __init__(self, parts: Mapping[str, nn.Module], *, transposed: bool = False):
        super().__init__()
        self.names, self.transposed = tuple(parts), transposed
        for name, part in parts.items():
            self.add_module(name, part)

    def parts(self) -> list[nn.Module]:
        """The parts in order."""
        return [self.get_submodule(name) for name in self.names]

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., n)."""
        return torch.cat([part(x) for part in self.parts()], dim=-1)

    @property
    def weight(self) -> Tensor:
        """Weights of the parts, (n, m)."""
        return torch.cat([linear_weight(part) for part in self.parts()])

    @property
    def bias(self) -> Tensor | None:
        """Biases of the parts, (n,)."""
        return _stacked([part.bias for part in self.parts()])

    def dense(self) -> nn.Module:
        """One Linear (Conv1D if `transposed`) of the same output."""
        bias = self.bias
        made = _dense_layer(
            self.weight.detach(), None if bias is None else bias.detach(), self.transposed
        )
        return _like(self.parts()[0], made)


class LinearTarget(NamedTuple):
    """A linear layer to be replaced; `parts` names the parts of a fused one, else is empty."""

    path: str
    layer: nn.Module
    parts: tuple[str, ...]

    def matrices(self) -> list[str]:
        """Path of each matrix: the layer's own, or one for each part."""
        return [f"{self.path}.{part}" for part in self.parts] or [self.path]


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


# -- one layer ------------------------------------------------------------------------------------


def break_even(m: int, n: int) -> int:
    """Largest rank whose factors hold no more values than the matrix: floor(m n / (m + n)).

    >>> break_even(768, 768), break_even(768, 3072)
    (384, 614)
    """
    return m * n // (m + n)


def is_linear(module: nn.Module) -> bool:
    """Whether it is a dense linear layer: nn.Linear, or Conv1D of transformers."""
    return isinstance(module, nn.Linear) or _is_conv1d(module)


def linear_weight(layer: nn.Module) -> Tensor:
    """W (n, m) of a linear layer, dense or low-rank; of a Conv1D the transposed weight."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight.T if _is_conv1d(layer) else weight


def rank_of(values: Tensor, m: int, n: int, rank: Rank, name: str = "layer") -> int:
    """The rank asked for, of a matrix m x n with singular values `values` in falling order.

    An integer: itself. "hard-threshold": floor(m n / (m + n)), the break-even rank. A float f,
    0 < f <= 1: the smallest rank that holds the fraction f of the sum of squares ("energy").
    Raises ModelError, naming `name`, for a rank below 1 or above min(m, n), or another value.

    >>> rank_of(torch.tensor([2.0, 1.0, 1.0]), 3, 3, 0.8)
    2
    """
    limit = min(m, n)
    if isinstance(rank, int) and not isinstance(rank, bool):
        chosen = rank
    elif rank == HARD_THRESHOLD:
        chosen = break_even(m, n)
    elif isinstance(rank, float) and 0 < rank <= 1:
        energy = values.double().square().cumsum(0)
        chosen = 1 + int((energy < rank * energy[-1] * (1 - 1e-12)).sum())
    else:
        raise ModelError(
            f"rank of {name} must be an integer from 1 to {limit}, {HARD_THRESHOLD!r} or an "
            f"energy fraction (float) above 0 and at most 1; got {rank!r}"
        )
    if not 1 <= chosen <= limit:
        raise ModelError(f"rank of {name} must be from 1 to {limit}; got {chosen}")
    return chosen


def factorise(
    layer: nn.Module,
    rank: Rank,
    *,
    row_weights: Tensor | None = None,
    name: str = "layer",
) -> LowRankLinear:
    """The best approximation of a Linear or Conv1D at a rank, by SVD (Eckart-Young).

    `rank` as in :func:`rank_of`; bias, dtype, device and requires_grad are kept. `row_weights`
    (m,), positive: how much an error in the weights of each input counts (FWSVD: the SVD is of
    W diag(w), and V is divided by w). sigma falls; computed in float32 at least.

    Raises ModelError for a bad rank, NaN or infinity in the weight, a layer that is not linear,
    weights of a wrong shape or not positive.

    >>> layer = nn.Linear(6, 4)
    >>> bool(torch.allclose(factorise(layer, 4).weight, layer.weight, atol=1e-6))
    True
    """
    if not is_linear(layer):
        raise ModelError(f"{name} must be a Linear or Conv1D layer; got {type(layer).__name__}")
    return _factorise_matrix(
        linear_weight(layer),
        _bias(layer),
        rank,
        row_weights,
        name,
        _is_conv1d(layer),
        layer,
    )


# -- a model --------------------------------------------------------------------------------------


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
) -> nn.Module:
    """Replace linear layers by factors, in place; returns the model.

    `rank`: as in :func:`rank_of` for every matrix, or a mapping of path to integer rank (matrices
    not named stay dense). `include`, `exclude`, `fused`: see :func:`linear_targets`.
    `row_weights`: by path, see :func:`factorise`. A matrix stays dense where r (m + n) > m n.

    Raises ModelError for what :func:`linear_targets` and :func:`factorise` refuse and for a
    mapping with an unknown path, before the model is touched.
    """
    targets = linear_targets(model, include, exclude, fused)
    if isinstance(rank, Mapping):
        _known(rank, targets, "rank")
    _known(row_weights or {}, targets, "row_weights")
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
            layer = factorise(part, wanted, row_weights=(row_weights or {}).get(key), name=key)
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


# -- files ----------------------------------------------------------------------------------------


def save_compressed(
    model: nn.Module,
    path: str | Path,
    *,
    importance: Mapping[str, Tensor] | None = None,
) -> None:
    """Write folder `path`: model.safetensors (all parameters and buffers) and ranks.json.

    ranks.json: `format`, `model` (class), `layers` {path: m, n, rank, bias, folded, transposed},
    `split` {path of a fused layer: names, transposed, outputs}, `tied` {name: the name that holds
    its values}; with `importance` ((r,) by path) each layer's list. A checkpoint of this kind at
    `path` is replaced; the folder appears whole or not at all.

    Raises ModelError if no layer is factorised, one still has a learned threshold, a weight
    is not finite, importance does not fit, or `path` is something else.
    """
    path = Path(path)
    layers = low_rank_layers(model)
    if not layers:
        raise ModelError(f"{type(model).__name__} has no factorised layers; compress it first")
    for name, layer in layers.items():
        if type(layer) is not LowRankLinear:
            raise ModelError(f"{name}: its threshold must be truncated before it can be saved")
    about = {name: _about(layer) for name, layer in layers.items()}
    for name, values in (importance or {}).items():
        if name not in layers or values.shape != (layers[name].rank,):
            raise ModelError(
                f"importance of {name} must be of a factorised layer, one value a rank; "
                f"got shape {tuple(values.shape)}"
            )
        about[name]["importance"] = [float(value) for value in values]
    state, tied = _untied(model)
    for name, value in state.items():
        check_weight(value, name)
    entry = {
        "format": FORMAT,
        "model": type(model).__name__,
        "layers": about,
        "split": {p: _about_split(m) for p, m in model.named_modules() if _is_split(m)},
        "tied": tied,
    }
    if path.exists() and {p.name for p in path.glob("*")} - {WEIGHTS_FILE, RANKS_FILE}:
        raise ModelError(f"{path}: must be a new folder or a checkpoint to replace")
    if path.is_file():
        raise ModelError(f"{path}: must be a folder; got a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        save_file(state, scratch / WEIGHTS_FILE)
        (scratch / RANKS_FILE).write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
        scratch.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        os.replace(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read_ranks(path: str | Path) -> dict[str, Any]:
    """ranks.json of a checkpoint folder, see :func:`save_compressed`.

    Raises ModelError for a missing, unreadable or foreign file.
    """
    file = Path(path) / RANKS_FILE
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(
            f"{path}: must be a folder with {WEIGHTS_FILE} and {RANKS_FILE} (pickled checkpoints "
            "are not read)"
        ) from None
    except ValueError as error:
        raise ModelError(f"{file}: not a JSON file ({error})") from None
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        got = entry.get("format") if isinstance(entry, dict) else type(entry).__name__
        raise ModelError(f"{file}: format must be {FORMAT!r}; got {got!r}")
    for key in ("layers", "split", "tied"):
        if not isinstance(entry.get(key), dict):
            raise ModelError(f"{file}: key {key!r} must be an object")
    return entry


def load_compressed(model: nn.Module, path: str | Path) -> nn.Module:
    """Make the dense `model` the compressed one of a checkpoint folder, in place; returns it.

    `model`: the same architecture, any weights. Nothing in the files is executed. Raises
    ModelError for an unreadable file, a layer the model lacks, wrong shapes, missing or unknown
    keys, NaN or infinity, before the model is touched.
    """
    entry = read_ranks(path)
    file = Path(path) / WEIGHTS_FILE
    if not file.is_file():
        raise ModelError(f"{file}: no such file (pickled checkpoints are not read)")
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: not a safetensors file; {str(error).splitlines()[0]}") from None
    for name, value in state.items():
        check_weight(value, f"{file}: {name}")
    for name, source in entry["tied"].items():
        if source not in state:
            raise ModelError(f"{file}: lacks key {source}, to which {name} is tied")
        state[name] = state[source]
    swaps = _empty_layers(model, entry, Path(path) / RANKS_FILE)
    expected = _expected_shapes(model, swaps)
    for what, keys in (
        ("lacks", sorted(expected.keys() - state.keys())),
        ("has unknown", sorted(state.keys() - expected.keys())),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(f"{file}: {what} key {keys[0]}{more}; it needs this model's names")
    for key, value in state.items():
        if value.shape != expected[key]:
            raise ModelError(
                f"{file}: {key} must have shape {tuple(expected[key])}; got {tuple(value.shape)}"
            )
    replace(model, swaps)
    model.load_state_dict(state)
    return model


# -- building stones, for soft_threshold.py too ---------------------------------------------------


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


def check_weight(weight: Tensor, name: str) -> None:
    """Raise ModelError if `weight`, called `name`, holds NaN or infinity."""
    if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
        raise ModelError(f"{name} must be finite; it holds NaN or infinity")


def split_layer(target: LinearTarget) -> list[nn.Module]:
    """The matrices of a target as layers: itself, or a Linear for each part (copies)."""
    if not target.parts:
        return [target.layer]
    weight, bias = linear_weight(target.layer).detach(), _bias(target.layer)
    pieces = weight.chunk(len(target.parts))
    biases: Sequence[Tensor | None] = [None] * len(pieces)
    if bias is not None:
        biases = bias.detach().chunk(len(pieces))
    return [
        _like(target.layer, _dense_layer(w, b, False)) for w, b in zip(pieces, biases, strict=True)
    ]


def joined(target: LinearTarget, layers: Sequence[nn.Module]) -> nn.Module:
    """One module in place of a target, from the layers of its matrices."""
    if not target.parts:
        return layers[0]
    parts = dict(zip(target.parts, layers, strict=True))
    return SplitLinear(parts, transposed=_is_conv1d(target.layer)).train(target.layer.training)


def replace(model: nn.Module, swaps: Mapping[str, nn.Module]) -> None:
    """Put modules in place of those at the paths. Raises ModelError for the model itself."""
    for path, layer in swaps.items():
        if not path:
            raise ModelError("a single layer cannot be replaced in itself; use factorise")
        parent, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer)


def _factorise_matrix(
    weight: Tensor,
    bias: Tensor | None,
    rank: Rank,
    row_weights: Tensor | None,
    name: str,
    transposed: bool,
    like: nn.Module,
) -> LowRankLinear:
    check_weight(weight, name)
    n, m = weight.shape
    if isinstance(rank, int):
        rank_of(torch.empty(0), m, n, rank, name)  # refused before the work is done
    w = weight.detach()
    exact = w if w.dtype == torch.float64 else w.float()
    scale = None
    if row_weights is not None:
        scale = row_weights.to(exact)
        if scale.shape != (m,) or not bool(((scale > 0) & torch.isfinite(scale)).all()):
            raise ModelError(f"row_weights of {name} must be {m} positive finite numbers")
        exact = exact * scale
    u, s, vt = torch.linalg.svd(exact, full_matrices=False)
    r = rank_of(s, m, n, rank, name)
    v = vt[:r].T if scale is None else vt[:r].T / scale[:, None]
    u, s, v = (t.to(w.dtype).contiguous() for t in (u[:, :r], s[:r], v))
    return _like(like, LowRankLinear(u, s, v, _clone(bias), transposed=transposed))


def _parameter(t: Tensor) -> nn.Parameter:
    return t if isinstance(t, nn.Parameter) else nn.Parameter(t)


def _clone(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.detach().clone()


def _copies(*tensors: Tensor | None) -> Iterator[Any]:
    return (_clone(t) for t in tensors)


def _bias(layer: nn.Module) -> Tensor | None:
    return getattr(layer, "bias", None)


def _is_conv1d(module: nn.Module) -> bool:
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


def _is_split(module: nn.Module) -> bool:
    return isinstance(module, SplitLinear)


def _dense_layer(weight: Tensor, bias: Tensor | None, transposed: bool) -> nn.Module:
    n, m = weight.shape
    made: Any
    if transposed:
        from transformers.pytorch_utils import Conv1D  # noqa: PLC0415

        made = Conv1D(n, m).to(weight)
        made.weight = nn.Parameter(weight.T.contiguous())
        made.bias = nn.Parameter(torch.zeros(n).to(weight) if bias is None else bias.clone())
        return made  # type: ignore[no-any-return]
    made = nn.Linear(m, n, bias=bias is not None, device="meta")
    made.weight = nn.Parameter(weight.contiguous().clone())
    made.bias = None if bias is None else nn.Parameter(bias.clone())
    return made  # type: ignore[no-any-return]


def _like(old: nn.Module, new: M) -> M:
    """`new` with the training mode, origin and trainability of `old`."""
    if isinstance(old, LowRankLinear) and isinstance(new, LowRankLinear):
        new.transposed = old.transposed
    trains = next(old.parameters()).requires_grad
    for p in new.parameters():
        p.requires_grad_(trains)
    return new.train(old.training)


def _stacked(biases: Sequence[Any]) -> Tensor | None:
    return None if any(b is None for b in biases) else torch.cat(list(biases))


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _skipped(model: nn.Module, path: str) -> bool:
    """A dense part of a split layer: it was left dense on purpose."""
    return _is_split(model.get_submodule(path.rpartition(".")[0]))


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


def _about(layer: LowRankLinear) -> dict[str, Any]:
    return {
        "m": layer.in_features,
        "n": layer.out_features,
        "rank": layer.rank,
        "bias": layer.bias is not None,
        "folded": layer.sigma is None,
        "transposed": layer.transposed,
    }


def _about_split(layer: nn.Module) -> dict[str, Any]:
    assert isinstance(layer, SplitLinear)
    outputs = [linear_weight(part).shape[0] for part in layer.parts()]
    return {"names": list(layer.names), "outputs": outputs, "transposed": layer.transposed}


def _untied(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state dict without names that share another's tensor, and whose they share."""
    state: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    for name, value in model.state_dict().items():
        key = (value.data_ptr(), value.shape, value.stride())
        if value.numel() and key in first:
            tied[name] = first[key]
            continue
        first[key] = name
        state[name] = value.detach().clone().contiguous()
    return state, tied


def _empty_layers(model: nn.Module, entry: dict[str, Any], file: Path) -> dict[str, nn.Module]:
    """Modules of the shapes a checkpoint describes, their values not yet filled in."""
    dense = {path: m for path, m in model.named_modules() if is_linear(m)}
    swaps: dict[str, nn.Module] = {}
    try:
        parts: dict[str, nn.Module] = {}
        for path, about in entry["layers"].items():
            parent = path.rpartition(".")[0]
            like = _original(dense, parent if parent in entry["split"] else path, file)
            m, n, rank = int(about["m"]), int(about["n"]), int(about["rank"])
            rank_of(torch.empty(0), m, n, rank, f"{file}: {path}")
            w = linear_weight(like)
            if w.shape[1] != m or (parent not in entry["split"] and w.shape[0] != n):
                raise ModelError(
                    f"{file}: {path} is {m} x {n}; the model has {w.shape[1]} x {w.shape[0]}"
                )
            empty = (
                w.new_zeros(n, rank),
                None if about["folded"] else w.new_zeros(rank),
                w.new_zeros(m, rank),
                w.new_zeros(n) if about["bias"] else None,
            )
            layer = LowRankLinear(*empty, transposed=bool(about["transposed"]))
            parts[path] = _like(like, layer)
        for path, about in entry["split"].items():
            like = _original(dense, path, file)
            w = linear_weight(like)
            if sum(about["outputs"]) != w.shape[0]:
                raise ModelError(
                    f"{file}: {path} has {sum(about['outputs'])} outputs; the model {w.shape[0]}"
                )
            made: dict[str, nn.Module] = {}
            for name, n in zip(about["names"], about["outputs"], strict=True):
                bias = None if _bias(like) is None else w.new_zeros(n)
                blank = _dense_layer(w.new_zeros(n, w.shape[1]), bias, False)
                key = f"{path}.{name}"
                made[name] = parts.pop(key) if key in parts else _like(like, blank)
            swaps[path] = SplitLinear(made, transposed=about["transposed"]).train(like.training)
        return swaps | parts
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file}: broken entry; {type(error).__name__} {error}") from None


def _original(dense: Mapping[str, nn.Module], path: str, file: Path) -> nn.Module:
    if path not in dense:
        raise ModelError(f"{file}: the model has no dense linear layer {path!r}")
    return dense[path]


def _expected_shapes(model: nn.Module, swaps: Mapping[str, nn.Module]) -> dict[str, torch.Size]:
    shapes = {
        key: value.shape
        for key, value in model.state_dict().items()
        if key.rpartition(".")[0] not in swaps
    }
    for path, layer in swaps.items():
        shapes |= {f"{path}.{key}": value.shape for key, value in layer.state_dict().items()}
    return shapes
