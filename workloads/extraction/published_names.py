"""Tensors of a published folder by the names that transformers gives them today.

Families were renamed and experts merged since their weights were published: Mixtral's files hold
``block_sparse_moe.experts.0.w1.weight`` and so on, one tensor an expert and matrix, and the model
has ``mlp.experts.gate_up_proj`` (experts, 2 F, D). transformers keeps for every family what becomes
of what, and converts where it loads, and back where it saves; the same rules are applied here, to
one tensor of the model at a time, so that a model larger than the memory can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hyflexsim.models.tensor_files import TensorFiles
from hyflexsim.sim.errors import InputError


class _Group(NamedTuple):
    """Tensors of a file that become others together, by the pattern that each fits."""

    rule: Any
    target: str
    sources: dict[str, list[str]]


class PublishedFiles:
    """`files` by the names of `model`, as :class:`~hyflexsim.models.tensor_files.TensorFiles`.

    A `model` that is not of transformers has the names of its files. Raises InputError for two
    tensors of one name, and for tensors that do not fit together.
    """

    def __init__(self, files: TensorFiles, model: Any):
        self._files, self._model = files, model
        self.folder = files.folder
        renamings, rules = _rules(model)
        self._plain: dict[str, str] = {}
        groups: dict[tuple[int, str], _Group] = {}
        for source in sorted(files.names, key=_order()):
            target, pattern = _renamed(source, renamings, rules)
            if pattern is None:
                self._refuse_twice(target, self._plain.get(target), source)
                self._plain[target] = source
                continue
            number, rule = next((n, r) for n, r in enumerate(rules) if pattern in r.source_patterns)
            group = groups.setdefault((number, target), _Group(rule, target, {}))
            group.sources.setdefault(pattern, []).append(source)
        self._made: dict[str, _Group] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for group in groups.values():
            for target, tensor in self._converted(group, self._empty).items():
                self._refuse_twice(target, self._plain.get(target), target)
                self._made[target], self._shapes[target] = group, tuple(tensor.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, those that are made of several last."""
        return (*self._plain, *self._made)

    def __contains__(self, name: object) -> bool:
        return name in self._plain or name in self._made

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape."""
        return self._shapes[name] if name in self._made else self._files.shape(self._plain[name])

    def is_real(self, name: str) -> bool:
        """Whether its values, or those that it is made of, are floating-point numbers."""
        return all(self._files.is_real(source) for source in self._sources(name))

    def is_packed(self, name: str) -> bool:
        """Whether the tensor is unpacked where it is read."""
        return name in self._plain and self._files.is_packed(self._plain[name])

    def is_empty_bias(self, name: str) -> bool:
        """Whether it stands for no bias at all."""
        return name in self._plain and self._files.is_empty_bias(self._plain[name])

    def read(self, name: str) -> Tensor:
        """A copy of the tensor, in the precision of the file."""
        if name in self._plain:
            return self._files.read(self._plain[name])
        return self._converted(self._made[name], self._files.read)[name].contiguous()

    def _sources(self, name: str) -> list[str]:
        if name in self._plain:
            return [self._plain[name]]
        return [each for names in self._made[name].sources.values() for each in names]

    def _empty(self, source: str) -> Tensor:
        return torch.empty(self._files.shape(source), device="meta")

    def _converted(self, group: _Group, read: Callable[[str], Tensor]) -> dict[str, Tensor]:
        """What becomes of a group, by name."""
        rule = deepcopy(group.rule)
        for pattern, sources in group.sources.items():
            for source in sources:
                rule.add_tensor(group.target, source, pattern, partial(read, source))
        try:
            made = rule.convert(group.target, model=self._model, config=self._model.config)
        except Exception as error:  # shapes of any file meet rules of any family
            first = next(iter(group.sources.values()))[0]
            said = str(error.__cause__ or error).splitlines() or [repr(error)]
            raise InputError(
                f"{self.folder}: {first} and what belongs to it do not make {group.target}: "
                f"{said[0]}"
            ) from None
        return {name: t[0] if isinstance(t, list) else t for name, t in made.items()}

    def _refuse_twice(self, target: str, first: str | None, second: str) -> None:
        if first is not None:
            raise InputError(f"{self.folder}: {first} and {second} are both {target} of the model")


def _rules(model: Any) -> tuple[list[Any], list[Any]]:
    """What is renamed, and what is made of several, in a model's family."""
    from transformers import PreTrainedModel  # noqa: PLC0415 (seconds)
    from transformers.conversion_mapping import get_model_conversion_mapping  # noqa: PLC0415
    from transformers.core_model_loading import WeightConverter, WeightRenaming  # noqa: PLC0415

    if not isinstance(model, PreTrainedModel):
        return [], []
    all_of = get_model_conversion_mapping(model)
    renamings = [each for each in all_of if isinstance(each, WeightRenaming)]
    return renamings, [each for each in all_of if isinstance(each, WeightConverter)]


def _renamed(source: str, renamings: list[Any], rules: list[Any]) -> tuple[str, str | None]:
    from transformers.core_model_loading import rename_source_key  # noqa: PLC0415

    target, pattern = rename_source_key(source, renamings, rules)
    return str(target), pattern


def _order() -> Callable[[str], Any]:
    """The order in which transformers meets tensors: experts by number."""
    from transformers.core_model_loading import dot_natural_key  # noqa: PLC0415

    return dot_natural_key  # type: ignore[no-any-return]
