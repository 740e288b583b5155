"""Changes to a scenario from outside: ``--set key=value``. The rules: ``scenario.py``."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from hyflexsim.sim.chip.load import presets, resolve
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.scenario.schema import KINDS, MOVED, SECTIONS, STANDARD, Chip, dotted

FREE = ("chip.set", "mapping.slc_rates", "mapping.copies")
"""Tables whose keys the user chooses."""

SOURCES = ("name", "graph", "checkpoint")
"""Keys of [model] of which there is one."""


def apply(content: dict[str, Any], overrides: Iterable[str] | Mapping[str, Any]) -> list[str]:
    """Put overrides into the content of a scenario file; return the keys that they changed.

    >>> content = {"workload": {"kind": "tokens", "tokens": 128}}
    >>> apply(content, ["workload.tokens=64", "analog.read_cycle=50 ns"])
    ['workload.tokens', 'chip.set.analog.read_cycle']
    >>> content
    {'workload': {'kind': 'tokens', 'tokens': 64}, 'chip': {'set': {'analog.read_cycle': '50 ns'}}}
    """
    # kinds, the chip and the checkpoint first, since they decide which other keys there are
    first = ("kind", "chip.preset", "model.checkpoint")
    ordered = sorted(_given(overrides), key=lambda pair: not pair[0].endswith(first))
    return [_apply(content, key, value) for key, value in ordered]


def put(content: dict[str, Any], overrides: Iterable[str] | Mapping[str, Any]) -> list[str]:
    """Put overrides of plain dotted keys into the content of a TOML file; return the keys.

    >>> content = {"train": {"epochs": 3}}
    >>> put(content, ["train.epochs=1"]), content
    (['train.epochs'], {'train': {'epochs': 1}})
    """
    keys = []
    for key, value in _given(overrides):
        *sections, last = key.split(".")
        table = content
        for section in sections:
            if not isinstance(table.get(section), dict):
                table[section] = {}
            table = table[section]
        table[last] = value
        keys.append(key)
    return keys


def pairs(overrides: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Keys and values of texts ``key=value``.

    >>> list(pairs(["seeds=3", "sign=biased"]))
    [('seeds', 3), ('sign', 'biased')]
    """
    return map(_pair, overrides)


def _given(overrides: Iterable[str] | Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return overrides.items() if isinstance(overrides, Mapping) else pairs(overrides)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (equals and key.strip() and value.strip()):
        raise InputError(f"--set must be key=value; got {text!r}")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()  # a text without its quotes, which a shell may have eaten
    return key.strip(), parsed


def _apply(content: dict[str, Any], key: str, value: Any) -> str:
    parts = _split(key)
    where, last = ".".join(parts[:-1]), parts[-1]
    if where == "accuracy" and last in MOVED:
        raise InputError(f"--set: {key} is {MOVED[last]} now")
    if not _in_scenario(parts):
        parts, where = ["chip", "set", _of_chip(content, key)], "chip.set"
    table = content
    for part in parts[:-1]:
        if not isinstance(table.get(part), dict):
            table[part] = {}
        table = table[part]
    if where in KINDS and last != "kind":
        _check_kind(where, last, table.get("kind", STANDARD.get(where)))
    if where == "chip.set":
        value = _of_parameter(table, key, value)
    table[parts[-1]] = value
    if last == "kind" and isinstance(value, str) and value in KINDS[where]:
        for old in set(table) - set(KINDS[where][value].model_fields):
            del table[old]
    if where == "model" and last in SOURCES:
        for other in SOURCES:
            if other != last:
                table.pop(other, None)
        if last == "checkpoint":
            table.pop("rank", None)  # of the file's model; a checkpoint has its own
    return ".".join(parts)


def _of_parameter(table: dict[str, Any], key: str, value: Any) -> Any:
    """The value as the chip takes it; the table's other parameters by their full names."""
    if value == {}:
        raise InputError(f"--set: {key} must be a value; got an empty table")
    flat = dotted(table)
    table.clear()
    table |= flat
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # refused by the parameter, with its range
    return value


def _split(key: str) -> list[str]:
    try:
        table: Any = tomllib.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        raise InputError(f"--set: key must be a dotted TOML key; got {key!r}") from None
    parts = []
    while isinstance(table, dict):
        ((part, table),) = table.items()
        parts.append(part)
    free = next((name for name in FREE if ".".join(parts).startswith(f"{name}.")), None)
    return parts if free is None else [*free.split("."), ".".join(parts[2:])]


def _in_scenario(parts: list[str]) -> bool:
    where, last = ".".join(parts[:-1]), parts[-1]
    if not where:
        return last in ("title", "workload", *SECTIONS)
    if where in KINDS:
        return any(last in section.model_fields for section in KINDS[where].values())
    return where in FREE or (where in SECTIONS and last in SECTIONS[where].model_fields)


def _of_chip(content: dict[str, Any], key: str) -> str:
    """The full name of a parameter of the scenario's chip."""
    chip = content.get("chip", {})
    preset = chip.get("preset", Chip.model_fields["preset"].default)
    known = _parameters(preset) if isinstance(preset, str) else {}
    ends = [full for full in known if full == key or full.endswith(f".{key}")]
    if not ends:
        raise InputError(f"--set: unknown key {key!r}; {_meant(key, known)}")
    return resolve(key, known)


def _parameters(preset: str) -> Mapping[str, object]:
    return _of_preset(preset) if preset in presets() else load_chip(preset).parameters


@cache
def _of_preset(preset: str) -> Mapping[str, object]:
    """Parameters of a preset, whose file does not change while a process lives."""
    return load_chip(preset).parameters


def _check_kind(where: str, last: str, kind: Any) -> None:
    owners = [name for name, section in KINDS[where].items() if last in section.model_fields]
    if kind not in owners and isinstance(kind, str) and kind in KINDS[where]:
        raise InputError(
            f"--set: {where}.{last} goes with {where}.kind {' or '.join(owners)}; it is {kind!r}"
        )


def _meant(key: str, known: Iterable[str]) -> str:
    keys = [
        f"{name}.{field}" for name, section in SECTIONS.items() for field in section.model_fields
    ]
    keys += [
        f"{name}.{field}"
        for name, kinds in KINDS.items()
        for section in kinds.values()
        for field in section.model_fields
    ]
    near = difflib.get_close_matches(key, [*dict.fromkeys(keys), *known], n=3, cutoff=0.6)
    if near:
        return f"nearest: {', '.join(near)}"
    return f"sections: {', '.join((*SECTIONS, 'workload'))}, or a parameter of the chip"
