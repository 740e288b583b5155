"""Layers of a model that are alike: which they are, and the model with only three rounds of them.

A decoder of eighty layers is one layer eighty times, and exporting it takes as long as exporting
eighty. Here a stack of layers (a ``ModuleList``) is described layer by layer: classes, shapes of
parameters, plain attributes of every module, and the layer's entries in the configuration's lists
(``layer_types``). Where such descriptions repeat with some period, :func:`shortened` leaves the
first three rounds; ``unrolling.py`` gives the graph of the whole model from theirs, or refuses.

What a layer knows of its place (:data:`PLACES`) is no difference. Meanwhile it is an
:class:`_Index`, which may be handed on, to a cache, and not be reckoned with: a model that does so
is exported whole.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ROUNDS = 3
"""Enough to see one round between two others: the first may read what no other reads."""

PLACES = ("layer_idx", "layer_id", "layer_number", "block_idx")
"""Attributes that hold a layer's place in its stack."""


class ReckonedError(Exception):
    """A model computes with the place of a layer."""


def _refuse(*_: Any) -> Any:
    raise ReckonedError


class _Index(int):
    """A layer's place, of which nothing may depend."""

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __mod__ = __floordiv__ = __truediv__ = __index__ = __bool__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _refuse
    __hash__ = int.__hash__


@dataclass(frozen=True)
class Run:
    """Layers of the stack at ``path`` that repeat: from ``first`` on, ``rounds`` times ``period``.

    Counted as in the whole model; of the layers ``layers`` in all some may follow.
    """

    path: str
    layers: int
    first: int
    period: int
    rounds: int

    @property
    def left_out(self) -> int:
        """Layers that the shortened model has not."""
        return (self.rounds - ROUNDS) * self.period

    @property
    def kept(self) -> list[int]:
        """Places of the layers that it has."""
        last = self.first + ROUNDS * self.period
        return [*range(last), *range(last + self.left_out, self.layers)]


def longest(marks: Sequence[Any]) -> tuple[int, int, int] | None:
    """(first, period, rounds) of the repetition that leaves out most; None where none does.

    >>> longest("aaaaaa")
    (0, 1, 6)
    >>> longest("dssgssgssgssgss")
    (1, 3, 4)
    >>> longest("abcd") is None
    True
    """
    found: list[tuple[int, int, int, int]] = []
    for period in range(1, len(marks) // (ROUNDS + 1) + 1):
        first = 0
        while first + period < len(marks):
            last = first
            while last + period < len(marks) and marks[last] == marks[last + period]:
                last += 1
            rounds = (last - first) // period + 1
            found.append(((rounds - ROUNDS) * period, -period, -first, rounds))
            first = last + 1
    most = max(found, default=(0, 0, 0, 0))
    return (-most[2], -most[1], most[3]) if most[0] > 0 else None


def runs_of(model: Any) -> list[Run]:
    """The repetitions of a model's stacks, one a stack, outermost stacks only."""
    import torch  # noqa: PLC0415

    found: list[Run] = []
    stacks: list[str] = []
    for path, module in model.named_modules():
        inside = any(path.startswith(f"{stack}.") for stack in stacks)
        if inside or not isinstance(module, torch.nn.ModuleList):
            continue
        stacks.append(path)
        lists = [values for _, _, values in _lists(model, len(module))]
        marks = [
            (_description(layer), repr([values[i] for values in lists]))
            for i, layer in enumerate(module)
        ]
        run = longest(marks)
        if run is not None:
            found.append(Run(path, len(marks), *run))
    return found


def _description(layer: Any) -> tuple[Any, ...]:
    """All that may tell two layers apart but their values and their place."""
    return tuple(
        (
            name,
            type(module),
            [(key, p.shape, p.dtype) for key, p in module.named_parameters(recurse=False)],
            [(key, b.shape, b.dtype) for key, b in module.named_buffers(recurse=False)],
            {key: _plain(value) for key, value in vars(module).items() if _tells(key)},
        )
        for name, module in layer.named_modules()
    )


def _tells(attribute: str) -> bool:
    return attribute not in (*PLACES, "_parameters", "_buffers", "_modules")


def _plain(value: Any) -> Any:
    """A value as it can be compared; an object is equal to itself alone."""
    if value is None or isinstance(value, bool | int | float | str | type):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return type(value), [_plain(each) for each in value]
    if isinstance(value, functools.partial):
        return value.func, _plain(value.args), _plain(value.keywords)
    if isinstance(value, dict):
        return [(key, _plain(each)) for key, each in value.items()]
    return id(value)


def _lists(model: Any, length: int) -> Iterator[tuple[Any, str, list[Any]]]:
    """Lists of the model's configurations with an entry a layer: (configuration, key, list)."""
    seen: set[int] = set()
    for module in model.modules():
        config = getattr(module, "config", None)
        if config is None or id(config) in seen:
            continue
        seen.add(id(config))
        for key, value in vars(config).items():
            if isinstance(value, list | tuple) and len(value) == length:
                yield config, key, list(value)


@contextmanager
def shortened(model: Any, runs: Sequence[Run]) -> Iterator[None]:
    """Leave ``ROUNDS`` rounds of each run in the model; all is as it was afterwards."""
    import torch  # noqa: PLC0415

    before: list[tuple[Any, str, Any]] = []

    def put(holder: Any, key: str, value: Any) -> None:
        before.append((holder, key, getattr(holder, key)))
        setattr(holder, key, value)

    try:
        for run in runs:
            parent, _, name = run.path.rpartition(".")
            layers = model.get_submodule(run.path)
            for config, key, values in list(_lists(model, run.layers)):
                put(config, key, [values[i] for i in run.kept])
            put(model.get_submodule(parent), name, torch.nn.ModuleList(layers[i] for i in run.kept))
            for module in model.get_submodule(run.path).modules():
                for key in PLACES:
                    if isinstance(getattr(module, key, None), int):
                        put(module, key, _Index(getattr(module, key)))
        yield
    finally:
        for holder, key, value in reversed(before):
            setattr(holder, key, value)
