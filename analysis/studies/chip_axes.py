"""In what the chips of a Pareto study differ: parameters, one axis where several go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class ChipAxis(NamedTuple):
    """Parameters that vary together: their names, and the text of each value, by chip."""

    name: str
    of: dict[str, str]

    @property
    def values(self) -> list[str]:
        """Each value once, numbers by size."""
        return sorted(set(self.of.values()), key=_by_size)


def chip_axes(chips: Mapping[str, Mapping[str, Any]]) -> list[ChipAxis]:
    """Axes along which chips were varied, from their parameters by name (pareto.json's ``chips``).

    Parameters of which one says the other are one axis. Names lack their unit's name where that
    leaves them apart.

    >>> own = {"analog.adc.slc_bits": 6, "analog.adc.mlc_bits": 7, "analog.rows": 64}
    >>> five = own | {"analog.adc.slc_bits": 5, "analog.adc.mlc_bits": 6}
    >>> tall = own | {"analog.rows": 128}
    >>> for axis in chip_axes({"own": own, "five": five, "tall": tall}):
    ...     print(axis.name, axis.values, axis.of["own"])
    adc.slc_bits:adc.mlc_bits ['5:6', '6:7'] 6:7
    rows ['64', '128'] 64
    """
    keys = list(next(iter(chips.values()), {}))
    groups: list[list[str]] = []
    for key in keys:
        same = next((group for group in groups if _together(chips, group[0], key)), None)
        if same is None:
            groups.append([key])
        else:
            same.append(key)
    return [_axis(chips, group, keys) for group in groups]


def _axis(
    chips: Mapping[str, Mapping[str, Any]], group: Sequence[str], keys: Sequence[str]
) -> ChipAxis:
    name = ":".join(_short(key, keys) for key in group)
    return ChipAxis(name, {c: ":".join(_text(v[key]) for key in group) for c, v in chips.items()})


def _together(chips: Mapping[str, Mapping[str, Any]], one: str, other: str) -> bool:
    """Whether each value of one goes with one of the other, and back."""
    pairs = {(str(values[one]), str(values[other])) for values in chips.values()}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _short(key: str, keys: Sequence[str]) -> str:
    end = key.partition(".")[2]
    return key if [k.partition(".")[2] for k in keys].count(end) > 1 else end


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _by_size(text: str) -> tuple[bool, float, str]:
    try:
        return (False, float(text.partition(":")[0]), text)
    except ValueError:
        return (True, 0.0, text)
