"""Rows of a timeline: what each component's visits are drawn into."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyflexsim.analysis.run.measures import colours_of, kind_order, layer_order
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.run.visits import Visits
from hyflexsim.analysis.style import kind_name, short
from hyflexsim.sim.errors import InputError

GROUPS = ("component", "kind", "layer")


@dataclass(frozen=True)
class Row:
    """One line of the picture: ``servers`` components of a ``kind`` (empty: several) in a layer.

    ``layer``: with + between those that share the components.
    """

    label: str
    layer: str
    kind: str
    servers: int


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows from top to bottom; ``of[c]`` is the row of component number c, -1 where it has none.

    ``colours``: of kinds of component.
    """

    group: str
    rows: list[Row]
    of: NDArray[np.int64]
    colours: dict[str, str]

    def __len__(self) -> int:
        return len(self.rows)

    def bands(self) -> list[tuple[str, int, int]]:
        """Runs of rows of one layer, as (layer, first row, row after the last)."""
        found: list[tuple[str, int, int]] = []
        for i, row in enumerate(self.rows):
            if found and found[-1][0] == row.layer:
                found[-1] = (row.layer, found[-1][1], i + 1)
            else:
                found.append((row.layer, i, i + 1))
        return found


def arrange(run: Run, visits: Visits, group: str | None, max_rows: int) -> Rows:
    """Rows for the components with visits: one each, or as finely as ``max_rows`` allows."""
    if group is not None and group not in GROUPS:
        raise InputError(f"group must be one of {', '.join(GROUPS)}; got {group!r}")
    if max_rows < 1:
        raise InputError(f"max_rows must be positive; got {max_rows!r}")
    if group is not None:
        return rows_of(run, visits, group)
    if visits.used.sum() <= min(max_rows, 60):
        return rows_of(run, visits, "component")
    rows = rows_of(run, visits, "kind")
    return rows if len(rows) <= max_rows else rows_of(run, visits, "layer")


def rows_of(run: Run, visits: Visits, group: str) -> Rows:
    """One row per component, kind in a layer, or layer; only those with visits."""
    table = {name: run.components[name].tolist() for name in ("component", "layer", "kind")}
    used = visits.used
    layers = _positions(run)
    kinds = {name: i for i, name in enumerate(kind_order(table["kind"]))}
    position = {name: i for i, name in enumerate(table["component"])}
    owner: dict[str, tuple[str, str]] = {
        name: (layer, kind) for name, layer, kind in zip(*table.values(), strict=True)
    }
    missing = [n for n, u in zip(visits.components, used, strict=True) if u and n not in owner]
    if missing:
        raise InputError(f"{run.path / 'components.parquet'}: no component {missing[0]!r}")

    def key(name: str) -> tuple[Any, ...]:
        layer, kind = owner[name]
        parts = (layers[layer], kinds[kind], position[name])
        return parts[: {"component": 3, "kind": 2, "layer": 1}[group]]

    active = [name for name, u in zip(visits.components, used, strict=True) if u]
    keys = {name: key(name) for name in active}
    order = sorted(set(keys.values()))
    number = {k: i for i, k in enumerate(order)}
    servers = dict.fromkeys(order, 0)
    for name in table["component"]:  # idle ones count: a share of all
        if (k := key(name)) in servers:
            servers[k] += 1
    first = {k: name for name, k in sorted(keys.items(), reverse=True)}
    rows = []
    for k in order:
        layer, kind = owner[first[k]]
        label = {"component": _label(first[k], layer), "kind": kind_name(kind)}.get(
            group, short(layer, 24)
        )
        if group == "kind" and servers[k] > 1:
            label += f" ×{servers[k]}"
        rows.append(Row(label, layer, kind if group != "layer" else "", servers[k]))
    of = np.array([number[keys[n]] if n in keys else -1 for n in visits.components])
    return Rows(group, rows, of, colours_of(run))


def _positions(run: Run) -> dict[str, tuple[int, int]]:
    """Where a layer stands among layers; what several share comes after the last of them."""
    single = {name: (i, 0) for i, name in enumerate(["", *layer_order(run)])}
    joints = [name for name in run.components["layer"].unique().tolist() if "+" in name]
    shared = {
        name: (max(single[part][0] for part in name.split("+")), len(name.split("+")))
        for name in joints
    }
    return single | shared


def _label(name: str, layer: str, limit: int = 30) -> str:
    """A component's name without its layer's, cut in the middle where it is long."""
    text = name
    if layer:
        text = text.replace(f"{layer}.", "") if text != layer else text
    text = re.sub(r"\.{2,}", ".", text)
    if len(text) > limit:
        half = (limit - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text
