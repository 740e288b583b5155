"""What of a machine does not work: PUs, modules, arrays, converters, columns, cells.

Given as names, or as rates from which a seed draws. Names are those of ``hyflexsim map --cells``::

    pu3                                 a PU
    pu3.analog.4                        a module of its unit that holds weights
    pu3.analog.4.17                     an array
    pu3.analog.4.17.adc0                one of its converters, and so the columns that it serves
    pu3.analog.4.17.column9             a column
    pu3.analog.4.17.row5.column9.on     a cell stuck at its top level (off: at level 0)

The draws of a place depend on the seed and its PU alone: a higher rate breaks what a lower one
does, and more, and a model that needs fewer PUs does not move them. What is broken is avoided as
``repair`` says; what is not avoided reads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.analog_parameters import AnalogValues

_NONE = np.zeros(0, dtype=np.int64)
REPAIRS = ("none", "arrays", "columns")
RATES = ("pus", "modules", "arrays", "converters", "columns")
_NAME = re.compile(
    r"pu(?P<pu>\d+)(\.(?P<unit>[A-Za-z_][\w-]*)\.(?P<module>\d+)(\.(?P<array>\d+)"
    r"(\.(adc(?P<adc>\d+)|(row(?P<row>\d+)\.)?column(?P<column>\d+)(\.(?P<stuck>on|off))?))?)?)?"
)


@dataclass(frozen=True, slots=True)
class Faults:
    """Names and rates (0 to 1) of what does not work, and what is done about it.

    ``repair``: ``"none"`` uses every array, working or not; ``"arrays"`` leaves dead arrays out,
    so those of dead modules and converters too; ``"columns"`` also arrays with a dead column. A
    dead PU is never used. ``deaths``: picoseconds at which a PU dies in the middle of a run.
    """

    names: tuple[str, ...] = ()
    pus: float = 0.0
    modules: float = 0.0
    arrays: float = 0.0
    converters: float = 0.0
    columns: float = 0.0
    seed: int = 0
    repair: str = "arrays"
    deaths: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.repair not in REPAIRS:
            raise InputError(
                f"faults.repair must be one of {', '.join(REPAIRS)}; got {self.repair!r}"
            )
        for key in RATES:
            if not 0 <= getattr(self, key) <= 1:
                raise InputError(f"faults.{key} must be from 0 to 1; got {getattr(self, key)}")

    @property
    def inside(self) -> bool:
        """Whether anything smaller than a PU may be broken."""
        return any(getattr(self, key) for key in RATES[1:]) or any("." in n for n in self.names)


class StuckCell(NamedTuple):
    """A cell of an array, and whether it holds its top level or none."""

    row: int
    column: int
    on: bool


class _Named(NamedTuple):
    """Faults that were named, by PU and then by place in it."""

    pus: set[int]
    modules: dict[int, set[int]]
    arrays: dict[int, set[int]]
    columns: dict[int, dict[int, set[int]]]
    stuck: dict[int, dict[int, list[StuckCell]]]


class FaultMap:
    """The faults of one machine of ``pus`` PUs. Arrays of a PU are numbered through its modules.

    ``share``: the PUs that are there for a model, others are those of its neighbours. Of several
    machines, whose PUs faults number through, it is the one that begins with PU ``first`` of
    ``total`` (None: it is the only one); asked for are PUs of the machine, from 0 on.

    Raises :class:`~hyflexsim.sim.errors.InputError` for names of what the machine does not have,
    and for faults of arrays where weights lie in bytes.
    """

    def __init__(
        self,
        faults: Faults,
        chip: Chip,
        pus: int,
        share: range | None = None,
        first: int = 0,
        total: int | None = None,
    ) -> None:
        self.faults, self.chip, self.pus = faults, chip, pus
        self._first = first
        self.share = range(pus) if share is None else share
        if faults.inside and not isinstance(chip.holder.values, AnalogValues):
            raise InputError(
                f"faults: {chip.name} holds weights in {chip.holder.name} as bytes, which has no "
                "arrays; only PUs can be broken"
            )
        total = pus if total is None else total
        self._named = _read(faults.names, chip, total)
        self._columns: dict[int, dict[int, np.ndarray]] = {}
        dying = {_pu_of("faults.deaths", name, total): at for name, at in faults.deaths.items()}
        self.deaths = {pu - first: at for pu, at in dying.items() if 0 <= pu - first < pus}

    @cached_property
    def working(self) -> Sequence[int]:
        """PUs of the share that are not dead, rising."""
        rate, named = self.faults.pus, self._named.pus
        if not rate and not named:
            return self.share
        draws = np.random.default_rng([self.faults.seed, 0]).random(self._first + self.pus)
        dead = draws[self._first :] < rate
        dead[[pu - self._first for pu in named if 0 <= pu - self._first < self.pus]] = True
        return [int(pu) for pu in np.flatnonzero(~dead) if int(pu) in self.share]

    def left_out(self, pu: int) -> np.ndarray:
        """Numbers (n,) of the arrays of a PU that hold nothing, rising."""
        if not self.faults.inside:
            return _NONE
        repair = self.faults.repair
        columns = self.dead_columns(pu) if repair != "none" else {}
        bad = [a for a, dead in columns.items() if repair == "columns" or dead.all()]
        return np.array(sorted(bad), dtype=np.int64)

    def dead_columns(self, pu: int) -> dict[int, np.ndarray]:
        """Columns that read nothing, True in (columns,), by array; others have none."""
        if not self.faults.inside:
            return {}
        if pu not in self._columns:
            self._columns[pu] = self._dead_columns(self._first + pu)
        return self._columns[pu]

    def stuck_cells(self, pu: int) -> dict[int, list[StuckCell]]:
        """Cells that were named as stuck, by array."""
        return self._named.stuck.get(self._first + pu, {})

    def _dead_columns(self, pu: int) -> dict[int, np.ndarray]:
        """The same of a PU as faults number it."""
        module: Any = self.chip.holder.values
        count, columns = module.count * module.arrays, module.columns
        dead = np.repeat(self._drawn(1, pu, "modules", module.count), module.arrays)
        dead |= self._drawn(2, pu, "arrays", count)
        for number in self._named.modules.get(pu, ()):
            dead[number * module.arrays : (number + 1) * module.arrays] = True
        dead[sorted(self._named.arrays.get(pu, ()))] = True
        found = np.repeat(dead[:, None], columns, axis=1)
        converters = self._drawn(3, pu, "converters", count, module.adc.per_array)
        found |= converters[:, converter_of(module, np.arange(columns))]
        found |= self._drawn(4, pu, "columns", count, columns)
        for array, some in self._named.columns.get(pu, {}).items():
            found[array, sorted(some)] = True
        return {int(array): found[array] for array in np.flatnonzero(found.any(axis=1))}

    def _drawn(self, kind: int, pu: int, rate: str, *shape: int) -> np.ndarray:
        share = getattr(self.faults, rate)
        if not share:
            return np.zeros(shape, dtype=bool)
        draws = np.random.default_rng([self.faults.seed, kind, pu]).random(shape)
        drawn: np.ndarray = draws < share
        return drawn


def converter_of(module: AnalogValues, column: Any) -> Any:
    """Which converter of its array serves a column: neighbours share one (assumed).

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> chip = load_chip("hyflexpim", {"analog.adc.per_array": 2})
    >>> converter_of(chip.units["analog"].values, 63), converter_of(chip.units["analog"].values, 64)
    (0, 1)
    """
    return column // -(-module.columns // module.adc.per_array)


def _read(names: Sequence[str], chip: Chip, pus: int) -> _Named:
    named = _Named(set(), {}, {}, {}, {})
    for name in names:
        found = _NAME.fullmatch(name)
        if found is None:
            raise InputError(
                "faults.names must be like pu3, pu3.analog.4, pu3.analog.4.17, "
                "pu3.analog.4.17.adc0, pu3.analog.4.17.column9 or "
                f"pu3.analog.4.17.row5.column9.on; got {name!r}"
            )
        part = found.groupdict()
        pu = _pu_of("faults.names", f"pu{part['pu']}", pus)
        if part["unit"] is None:
            named.pus.add(pu)
            continue
        holder, module = chip.holder, chip.holder.values
        if part["unit"] != holder.name:
            raise InputError(
                f"faults.names: weights of {chip.name} lie in {holder.name}, not in "
                f"{part['unit']}; got {name!r}"
            )
        module_at = _number(name, "module", part["module"], module.count)
        if part["array"] is None:
            named.modules.setdefault(pu, set()).add(module_at)
            continue
        array = module_at * module.arrays + _number(name, "array", part["array"], module.arrays)
        columns = list(_columns(name, part, module))
        if not columns:
            named.arrays.setdefault(pu, set()).add(array)
        elif part["row"] is None:
            named.columns.setdefault(pu, {}).setdefault(array, set()).update(columns)
        else:
            row = _number(name, "row", part["row"], module.rows)
            cell = StuckCell(row, columns[0], part["stuck"] == "on")
            named.stuck.setdefault(pu, {}).setdefault(array, []).append(cell)
    return named


def _columns(name: str, part: dict[str, str | None], module: AnalogValues) -> Iterator[int]:
    """Columns that a name is about; none where it is about a whole array."""
    if part["adc"] is not None:
        adc = _number(name, "adc", part["adc"], module.adc.per_array)
        yield from (c for c in range(module.columns) if converter_of(module, c) == adc)
    elif part["column"] is not None:
        if (part["row"] is None) != (part["stuck"] is None):
            raise InputError(f"faults.names: a stuck cell has row, column, on or off; got {name!r}")
        yield _number(name, "column", part["column"], module.columns)


def _number(name: str, what: str, text: str | None, count: int) -> int:
    number = int(text or 0)
    if number >= count:
        raise InputError(f"faults.names: {what} must be from 0 to {count - 1}; got {name!r}")
    return number


def _pu_of(key: str, name: str, pus: int) -> int:
    digits = name.removeprefix("pu")
    if not name.startswith("pu") or not digits.isdecimal() or int(digits) >= pus:
        raise InputError(f"{key}: PUs are pu0 to pu{pus - 1}; got {name!r}")
    return int(digits)
