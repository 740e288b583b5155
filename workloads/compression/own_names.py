"""The weights of a folder by the names of a model, tensor by tensor, or refused by name.

A file may leave the base model's name out or put it in front (``bert.encoder...``), keep tied
weights once or twice, and hold buffers that the model makes itself. What a family was called before
is known to published_names.py; a mapping (name_mapping.py) says the rest. Every parameter of the
model must be there, of the right shape, and every tensor of the file must be one: nothing is left
out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from hyflexsim.models.lowrank.compress import LinearTarget
from hyflexsim.models.lowrank.layers import check_weight, is_conv1d, is_linear, linear_weight
from hyflexsim.models.tensor_files import TensorFiles
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.lora import Adapter
from hyflexsim.workloads.compression.name_mapping import Factors, Mapping, Tensor
from hyflexsim.workloads.extraction.published_names import PublishedFiles

MADE_ANEW = ("rotary_emb.inv_freq", "position_ids", "token_type_ids", "attn.masked_bias")
"""Buffers that a model makes of its configuration; older files hold them."""


class Pair(NamedTuple):
    """W near u v^T: `u` (n, r) and `v` (m, r)."""

    u: torch.Tensor
    v: torch.Tensor


class _Changed(NamedTuple):
    """A matrix with a change: its path in the adapter, and whether it is kept transposed."""

    path: str
    flipped: bool


class OwnWeights:
    """Weights of `model`, which may be without values, in `files`; `targets`: its matrices.

    `tied`: names of the model that share another's tensor, and whose. An `adapter` is merged where
    a weight is read; `adapted`: ranks of the changes of one that is kept, by path. Raises
    InputError for a parameter that is missing or of another shape, and for tensors that the model
    does not have.
    """

    def __init__(
        self,
        model: nn.Module,
        files: TensorFiles | PublishedFiles,
        targets: Sequence[LinearTarget],
        mapping: Mapping | None = None,
        adapter: Adapter | None = None,
    ):
        self._files, self._mapping = files, mapping or Mapping()
        self._at = str(files.folder)
        self._flipped = {f"{path}.weight" for path, m in model.named_modules() if is_conv1d(m)}
        self._prefix = f"{getattr(model, 'base_model_prefix', '') or ''}."
        state: dict[str, Any] = model.state_dict(keep_vars=True)
        self.tied = _tied(state)
        self.factors = self._factors(targets)
        self.dense = self._dense(model, state, self._given(targets))
        self._refuse_unused(model, state)
        self._refuse_untied(model)
        self._adapter = adapter
        changed = {} if adapter is None else self._changes(model, adapter)
        self._changed, self._beside = ({}, changed) if adapter and adapter.kept else (changed, {})
        self.adapted = {
            name.removesuffix(".weight"): adapter.rank(change.path)
            for name, change in self._beside.items()
            if adapter is not None
        }

    def read(self, name: str) -> torch.Tensor:
        """A parameter of the model, in the precision of its file. Raises ModelError for NaN."""
        tensor = self._read(self.dense[name])
        found = self._changed.get(name)
        if found is None or self._adapter is None:
            return tensor
        change = self._adapter.change(found.path)
        return (tensor.double() + (change.T if found.flipped else change)).to(tensor.dtype)

    def pair(self, matrix: str) -> Pair:
        """The factors of one of the matrices that the file holds as such."""
        u, v, sigma = (None if each is None else self._read(each) for each in self.factors[matrix])
        assert u is not None
        assert v is not None
        return Pair(u, v if sigma is None else (v.double() * sigma.double()).to(v.dtype))

    def beside(self, path: str, leaf: str) -> torch.Tensor:
        """`down` (r, m) or `up` (n, r) of a change that is kept beside a dense layer."""
        assert self._adapter is not None
        down, up = self._adapter.factors(self._beside[f"{path}.weight"].path)
        return down if leaf == "down" else up

    def rank(self, matrix: str) -> int:
        """The rank of one of the matrices that the file holds as factors."""
        return self._shape(self.factors[matrix].u)[1]

    def _read(self, place: Tensor) -> torch.Tensor:
        tensor = self._files.read(place.name)
        if place.scale != 1:
            tensor = (tensor.double() * place.scale).to(tensor.dtype)
        check_weight(tensor, f"{self._at}: {place.name}")
        return tensor.T.contiguous() if place.transpose else tensor

    def _shape(self, place: Tensor) -> tuple[int, ...]:
        shape = self._files.shape(place.name)
        return shape[::-1] if place.transpose else shape

    # -- which tensor is which --------------------------------------------------------------------

    def _factors(self, targets: Sequence[LinearTarget]) -> dict[str, Factors]:
        found: dict[str, Factors] = {}
        for target in targets:
            for matrix, (m, n) in zip(target.matrices(), target.shapes(), strict=True):
                factors = self._mapping.factors_of(matrix, self._files)
                if factors is not None:
                    self._check_factors(matrix, factors, m, n)
                    found[matrix] = factors
        if self._mapping.factors and not found:
            raise InputError(
                f"--mapping: factors must name matrices of the model, such as "
                f"{targets[0].matrices()[0]}, and tensors of {self._at}, such as "
                f"{_shown(self._files.names)}; no entry finds both"
            )
        return found

    def _check_factors(self, matrix: str, factors: Factors, m: int, n: int) -> None:
        for each in factors:
            if each is not None:
                self._check_real(each)
        u, v = self._shape(factors.u), self._shape(factors.v)
        rank = u[-1] if u else 0
        sigma = (rank,) if factors.sigma is None else self._shape(factors.sigma)
        if not (u == (n, rank) and v == (m, rank) and sigma == (rank,) and 0 < rank <= min(m, n)):
            raise InputError(
                f"{self._at}: factors of {matrix} must be u ({n}, rank), v ({m}, rank) and sigma "
                f"(rank,) once transposed; got u {u}, v {v}, sigma {sigma}"
            )

    def _check_real(self, place: Tensor) -> None:
        if not self._files.is_real(place.name):
            raise InputError(
                f"{self._at}: {place.name} must hold floating-point numbers of 16 bits or more; it "
                "holds codes of another kind"
            )

    def _changes(self, model: nn.Module, adapter: Adapter) -> dict[str, _Changed]:
        """Weights that an adapter changes."""
        layers = {path: layer for path, layer in model.named_modules() if is_linear(layer)}
        found: dict[str, _Changed] = {}
        for path in adapter.changes:
            name = next((each for each in self._aliases(path) if each in layers), None)
            if name is None or f"{name}.weight" not in self.dense:
                raise InputError(
                    f"{adapter.folder}: changes {path}, which is no dense matrix of "
                    f"{type(model).__name__} alone; matrices are such as {next(iter(layers))}"
                )
            n, m = linear_weight(layers[name]).shape
            adapter.check(path, (n, m))
            found[f"{name}.weight"] = _Changed(path, is_conv1d(layers[name]))
        return found

    def _given(self, targets: Sequence[LinearTarget]) -> set[str]:
        """Weights all of whose matrices are there as factors."""
        return {
            f"{target.path}.weight"
            for target in targets
            if all(matrix in self.factors for matrix in target.matrices())
        }

    def _dense(self, model: nn.Module, state: dict[str, Any], given: set[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        missing = []
        for name, value in state.items():
            if name in self.tied or name in given:
                continue
            also = [other for other, first in self.tied.items() if first == name]
            places = (self._place(each) for each in (name, *also))
            place = next((each for each in places if each is not None), None)
            if place is None:
                missing.append(name)
                continue
            if self._shape(place) != tuple(value.shape):
                raise InputError(
                    f"{self._at}: {place.name} must have shape {tuple(value.shape)}, of {name} in "
                    f"{type(model).__name__}; got {self._shape(place)}"
                )
            if value.is_floating_point():
                self._check_real(place)
            found[name] = place
        if missing:
            raise InputError(
                f"{self._at}: lacks {missing[0]}{_more(missing)}, which {type(model).__name__} "
                f"has; the file has {_shown(self._files.names)} (--mapping says what is which)"
            )
        return found

    def _place(self, name: str) -> Tensor | None:
        mapped = self._mapping.dense_of(name, self._files)
        if mapped is not None:
            return mapped
        there = next((each for each in self._aliases(name) if each in self._files), None)
        if there is None:
            return None
        # a packed matrix is unpacked to (outputs, inputs), and Conv1D keeps (inputs, outputs)
        flipped = name in self._flipped and self._files.is_packed(there)
        return Tensor(name=there, transpose=flipped)

    def _aliases(self, name: str) -> Iterator[str]:
        base = name.removeprefix(self._prefix)
        yield from dict.fromkeys((name, base, self._prefix + name))

    def _refuse_unused(self, model: nn.Module, state: dict[str, Any]) -> None:
        factors = [each for three in self.factors.values() for each in three if each is not None]
        used = {place.name for place in (*self.dense.values(), *factors)}
        used |= {each for name in self.tied for each in self._aliases(name)}
        unused = [
            name
            for name in self._files.names
            if name not in used
            and not name.endswith(MADE_ANEW)
            and not _is_mask(name, state)
            and not self._files.is_empty_bias(name)
        ]
        if unused:
            raise InputError(
                f"{self._at}: has {unused[0]}{_more(unused)}, which {type(model).__name__} does "
                "not have; architectures of config.json must name the class that has them, or "
                "--mapping say where they belong"
            )

    def _refuse_untied(self, model: nn.Module) -> None:
        """Tensors that the model shares must be the same where a file holds them twice."""
        for name, first in self.tied.items():
            one, other = self.dense.get(first), self._place(name)
            if one is None or other is None or one == other:
                continue
            if not torch.equal(self._read(one), self._read(other)):
                raise InputError(
                    f"{self._at}: {other.name} and {one.name} must be equal, since "
                    f"{type(model).__name__} shares them (tie_word_embeddings of config.json); "
                    "they differ"
                )


def _is_mask(name: str, state: dict[str, Any]) -> bool:
    """GPT-2's ``h.0.attn.bias``: a causal mask of older files, beside no such weight."""
    return name.endswith(".attn.bias") and not any(key.endswith(".attn.weight") for key in state)


def _tied(state: dict[str, Any]) -> dict[str, str]:
    first: dict[int, str] = {}
    tied: dict[str, str] = {}
    for name, value in state.items():
        if first.setdefault(id(value), name) != name:
            tied[name] = first[id(value)]
    return tied


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (" ..." if len(names) > 2 else "")
