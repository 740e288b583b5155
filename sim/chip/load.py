"""From a TOML file, the files it extends, and overrides to a
:class:`~hyflexsim.sim.chip.chip.Chip`.

A file may say ``extends = "hyflexpim"`` (a preset, or a file beside it) on its first line and give
what differs. A bare ``rows = 128`` is refused, since nobody could tell later where it came from.

Overrides are for a quick what-if. Their keys are full names, ``analog.adc.slc_bits``, or an end of
one that only one parameter has, ``adc.slc_bits``; values are numbers, or texts with units.

Files and overrides are applied one after the other. When one changes what a parameter follows from
(``Follows``) without giving the parameter itself, its rule makes it anew: status ``derived``, and
the chip's ``derived`` says from what.

``ports`` of the link to the host: ``first`` (all inputs and outputs pass the first chip) or
``each`` (every chip has a port).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hyflexsim.sim import toml_file
from hyflexsim.sim.chip import measure
from hyflexsim.sim.chip.chip import (
    ENDS,
    OPERANDS,
    SERVED,
    Assignment,
    Chip,
    ChipValues,
    Link,
    link_values,
)
from hyflexsim.sim.chip.formats import FORMATS
from hyflexsim.sim.chip.kind import PLACES, Kind, Unit
from hyflexsim.sim.chip.links import check_link
from hyflexsim.sim.chip.parameters import Follows, Parameter, fill, parameters_of
from hyflexsim.sim.chip.provenance import STATUSES, Record
from hyflexsim.sim.errors import InputError

PRESETS = Path(__file__).parent / "presets"
SECTIONS = ("chip", "units", "links", "serves")
STRUCTURE = {"units": ("kind", "where", "beside"), "links": ("kind", "joins", "ports")}
"""Keys of an entry that are no parameters."""
ASSIGNED = ("unit", "format", "weights", "keys")
"""Keys of an entry of ``[serves]``."""
PARTS = ("input_buffer", "output_buffer", "sequencer")
"""Kinds of component that belong to no kind of unit."""


def presets() -> tuple[str, ...]:
    """Names of the chips that come with hyflexsim."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.toml")))


def load(
    preset_or_path: str | Path,
    overrides: Mapping[str, object] | None,
    kinds: Mapping[str, Kind],
    source: str = "overrides",
) -> Chip:
    """The chip of a preset or of a TOML file, with overrides on top, which `source` has given.

    Raises :class:`InputError`: one line with file or source, key, what is allowed and given.
    """
    path = find(preset_or_path)
    content = list(_chain(path))
    draft = _Draft(path, kinds)
    for file, tables in content:
        draft.structure(file, tables)
    draft.declare()
    for file, tables in content:
        draft.apply(file, dict(_parameter_tables(file, tables)))
    draft.complete()
    if overrides:
        draft.override(overrides, source)
    return draft.chip()


def find(name: str | Path, beside: Path = Path(), asked: str = "chip") -> Path:
    """The file of a preset, or a TOML file; ``asked``: the key that names it, for an error."""
    if str(name) in presets():
        return PRESETS / f"{name}.toml"
    path = beside / name
    if path.suffix == ".toml" and path.is_file():
        return path
    raise InputError(
        f"{asked} must be one of the presets {', '.join(presets())} or an existing .toml file;"
        f" got {str(name)!r}"
    )


def called(path: Path) -> str:
    """What a file is called: its name, or its path where a preset has that name."""
    return path.name if path.parent == PRESETS or path.stem not in presets() else str(path)


def _chain(path: Path, seen: tuple[Path, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a file is called and its content, the extended file first."""
    others = {other.name for other in seen if other != path.resolve()}
    twice = path.parent != PRESETS and path.name in others
    file = str(path) if twice else called(path)
    if path.resolve() in seen:
        raise InputError(f"{file}: extends must not lead back to the file itself")
    content = toml_file.read(path, file)
    base = content.pop("extends", None)
    if base is not None:
        if not isinstance(base, str):
            raise InputError(f"{file}: extends must be a preset or a file; got {base!r}")
        base_file = find(base, path.parent, f"{file}: extends")
        yield from _chain(base_file, (*seen, path.resolve()))
    for section, tables in content.items():
        if section not in SECTIONS:
            raise InputError(_unknown(file, section, SECTIONS))
        if not isinstance(tables, dict):
            raise InputError(f"{file}: {section} must be a section; got {tables!r}")
    yield file, content


def _parameter_tables(file: str, content: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Full name and table of every parameter of a file."""
    for name, table in content.get("chip", {}).items():
        yield from _flat(f"chip.{name}", table)
    for section, structure in STRUCTURE.items():
        for owner, entry in content.get(section, {}).items():
            if not isinstance(entry, dict):
                raise InputError(f"{file}: {section}.{owner} must be a table; got {entry!r}")
            for name, table in entry.items():
                if name not in structure:
                    yield from _flat(f"{owner}.{name}", table)


def _flat(key: str, table: object) -> Iterator[tuple[str, object]]:
    if isinstance(table, dict) and table and not _is_record(table):
        for name, inner in table.items():
            yield from _flat(f"{key}.{name}", inner)
    else:
        yield key, table


def resolve(key: str, known: Mapping[str, object], source: str = "overrides") -> str:
    """The full name of a parameter given by its full name, or by an end that only it has.

    ``source``: who gave it, for the :class:`InputError` about another key.

    >>> resolve("adc.rate", {"analog.adc.rate": 1, "analog.rows": 2})
    'analog.adc.rate'
    """
    if key in known:
        return key
    if not isinstance(key, str):
        raise InputError(f"{source}: keys must be names of parameters; got {key!r}")
    ends = [full for full in known if full.endswith(f".{key}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise InputError(f"{source}: key {key!r} must be one of {', '.join(ends)}")
    raise InputError(_unknown(source, key, known))


def _is_record(table: dict[str, Any]) -> bool:
    """Whether a table is a parameter's (a section may have one that is called ``unit``)."""
    return any(not isinstance(table.get(name, {}), dict) for name in Record.model_fields)


class _Draft:
    """A chip in the making: structure first, then numbers, layer upon layer."""

    def __init__(self, path: Path, kinds: Mapping[str, Kind]) -> None:
        self.path = path
        self.file = called(path)
        self.files: list[str] = []  # in the order in which they were read
        self.kinds = kinds
        self.units: dict[str, dict[str, Any]] = {}
        self.links: dict[str, dict[str, Any]] = {}
        self.serves: dict[str, tuple[str, dict[str, Any]]] = {}
        self.parameters: dict[str, Parameter] = {}
        self.numbers: dict[str, Any] = {}
        self.records: dict[str, Record] = {}
        self.derived: dict[str, str] = {}
        self.order: list[str] = []

    # --- structure -------------------------------------------------------------------------------

    def structure(self, file: str, content: dict[str, Any]) -> None:
        """Units, links and who serves what; a later file changes what it names."""
        self.files.append(file)
        for section, entries in (("units", self.units), ("links", self.links)):
            for name, table in content.get(section, {}).items():
                if not isinstance(table, dict):
                    raise InputError(f"{file}: {section}.{name} must be a table; got {table!r}")
                given = {key: table[key] for key in STRUCTURE[section] if key in table}
                entry = entries.setdefault(name, {"file": file, "made": file})
                if given:
                    entry.update(given, file=file)  # errors name the file that said it last
        for ops, table in content.get("serves", {}).items():
            if not isinstance(table, dict):
                raise InputError(
                    f"{file}: serves.{ops} must be a table such as {{ unit = NAME }}; got {table!r}"
                )
            self._serve(file, ops, table)

    def _serve(self, file: str, ops: str, table: dict[str, Any]) -> None:
        for key in table:
            if key not in ASSIGNED:
                raise InputError(_unknown(f"{file}: serves.{ops}", key, ASSIGNED))
        for op in ops.split("|"):
            if op.partition(".")[0] not in SERVED:
                raise InputError(_unknown(f"{file}: serves", op, SERVED))
            before = self.serves.get(op)
            if before is not None and before[0] == file:
                raise InputError(
                    f"{file}: serves.{op} must have one unit; got {before[1].get('unit')!r} and "
                    f"{table.get('unit')!r}"
                )
            self.serves[op] = (file, table)

    def declare(self) -> None:
        """Check the structure; collect which parameters the chip has."""
        for key, one in parameters_of(ChipValues, "chip."):
            self.parameters[key] = one
        for name, entry in self.units.items():
            self._check_unit(name, entry)
            kind = self.kinds[entry["kind"]]
            self.parameters |= dict(parameters_of(kind.Values, f"{name}."))
        for name, entry in self.links.items():
            self._check_link(name, entry)
            self.parameters |= dict(parameters_of(link_values(entry["joins"]), f"{name}."))
        for op, (file, table) in self.serves.items():
            self._check_served(file, op, table)
        self._check_use_of_links()
        self.order = self._order()

    def _latest(self, *files: str) -> str:
        """Of files, the one read last: a contradiction is its fault."""
        return max(files, key=self.files.index)

    def _check_names(self, section: str, name: str, entry: dict[str, Any]) -> None:
        """A name is nobody else's, and no kind of component's that is not its own."""
        _check_name(f"{entry['file']}: {section}.{name}", name, ENDS)
        other = (self.links if section == "units" else self.units).get(name)
        if other is not None:
            file = self._latest(entry["made"], other["made"])
            said = section if file == entry["made"] else ("links", "units")[section == "links"]
            raise InputError(
                f"{file}: {said}.{name} must have a name of its own; {name!r} is taken"
            )
        mine = self.kinds[entry["kind"]].actions.values() if section == "units" else ()
        parts = {part for kind in self.kinds.values() for part in kind.actions.values()}
        if name in parts.union(PARTS).difference(mine):
            raise InputError(
                f"{entry['file']}: {section}.{name} must have another name: {name} is a kind of "
                "component, under which others are counted"
            )

    def _check_use_of_links(self) -> None:
        serves = {op: str(table["unit"]) for op, (_, table) in self.serves.items()}
        since = max((self.files.index(file) for file, _ in self.serves.values()), default=0)
        for name, entry in self.links.items():
            own = self.files.index(entry["file"]) >= since
            check_link(f"{entry['file']}: links.{name}", entry, self.units, serves, own)

    def _check_unit(self, name: str, entry: dict[str, Any]) -> None:
        at = f"{entry['file']}: units.{name}"
        if entry.get("kind") not in list(self.kinds):
            kinds = ", ".join(self.kinds)
            raise InputError(f"{at}.kind must be one of {kinds}; got {entry.get('kind')!r}")
        self._check_names("units", name, entry)
        host = entry.get("beside")
        if host is not None:
            if host not in list(self.units) or host == name or "beside" in self.units[host]:
                others = ", ".join(u for u, e in self.units.items() if "beside" not in e)
                raise InputError(f"{at}.beside must be one of {others}; got {host!r}")
            there = self.units[host].get("where")
            if entry.setdefault("where", there) != there:
                raise InputError(
                    f"{at}.where must be {there}, as {host} is, or left out; got {entry['where']!r}"
                )
        if entry.get("where") not in PLACES:
            raise InputError(
                f"{at}.where must be one of {', '.join(PLACES)}; got {entry.get('where')!r}"
            )

    def _check_link(self, name: str, entry: dict[str, Any]) -> None:
        at = f"{entry['file']}: links.{name}"
        self._check_names("links", name, entry)
        joins = entry.get("joins")
        ends = (*ENDS, *self.units)
        if not isinstance(joins, list) or len(joins) != 2 or any(e not in ends for e in joins):
            raise InputError(f"{at}.joins must be two of {', '.join(ends)}; got {joins!r}")
        for other, one in self.links.items():
            if other == name:
                break
            if sorted(one["joins"]) == sorted(joins):
                raise InputError(f"{at}.joins must differ from that of {other}; got {joins!r}")
        for key, allowed in (("kind", ("bus", "mesh")), ("ports", ("first", "each"))):
            if entry.get(key, allowed[0]) not in allowed:
                raise InputError(
                    f"{at}.{key} must be one of {', '.join(allowed)}; got {entry[key]!r}"
                )

    def _check_served(self, file: str, op: str, table: dict[str, Any]) -> None:
        at = f"{file}: serves.{op}"
        unit = table.get("unit")
        if "." in op and op not in OPERANDS:
            raise InputError(f"{at} must be an op class or one of {', '.join(OPERANDS)}")
        if unit not in list(self.units):
            raise InputError(f"{at}.unit must be one of {', '.join(self.units)}; got {unit!r}")
        kind, op_class = self.kinds[self.units[unit]["kind"]], op.partition(".")[0]
        turned = self.units[unit]["file"]
        if op_class not in kind.serves and self._latest(file, turned) != file:
            raise InputError(
                f"{turned}: units.{unit}.kind must be one that serves {op_class}, which {file} "
                f"gives to {unit}; got {kind.name!r}"
            )
        if op_class not in kind.serves:
            able = [u for u, e in self.units.items() if op_class in self.kinds[e["kind"]].serves]
            if not able:
                raise InputError(f"{at}: no unit of the chip can serve {op_class}; got {unit!r}")
            raise InputError(
                f"{at}.unit must be one of {', '.join(able)}, which serve {op_class}; got "
                f"{unit!r}, a {kind.name}"
            )
        for key, ops in (("weights", ("gemv",)), ("keys", ("matmul", "softmax"))):
            if key in table and op_class not in ops:
                raise InputError(f"{at}.{key} goes with {' and '.join(ops)}; {op} has none")
        allowed = [name for name in FORMATS if name in kind.formats]
        if "format" in table and table["format"] not in allowed:
            some = f"one of {', '.join(allowed)}" if allowed else "left out"
            raise InputError(
                f"{at}.format must be {some}, for a {kind.name}; got {table['format']!r}"
            )
        holders = [u for u, e in self.units.items() if self.kinds[e["kind"]].holds]
        if op_class == "gemv" and table.get("weights", unit) not in holders:
            raise InputError(
                f"{at}.weights must be one of {', '.join(holders)}, which can hold weights; got "
                f"{table.get('weights', unit)!r}"
            )
        keys = table.get("keys")
        choosers = [u for u, e in self.units.items() if "keys" in self.kinds[e["kind"]].serves]
        if keys is not None and keys not in choosers:
            if not choosers:
                raise InputError(f"{at}.keys: no unit of the chip chooses keys; got {keys!r}")
            raise InputError(
                f"{at}.keys must be one of {', '.join(choosers)}, which choose keys; got {keys!r}"
            )

    def _order(self) -> list[str]:
        """Parameters, after those that they follow from."""
        edges = {
            key: [self._input(key, name) for each in one.follows for name in each.of]
            for key, one in self.parameters.items()
        }
        try:
            return list(TopologicalSorter(edges).static_order())
        except CycleError as error:
            raise InputError(f"{self.file}: rules go round: {' -> '.join(error.args[1])}") from None

    def _input(self, key: str, name: str) -> str:
        owner = key.partition(".")[0]
        full = name if name.startswith("chip.") else f"{owner}.{name}"
        if full not in self.parameters:
            raise InputError(f"{self.file}: {key} follows from {full}, which is no parameter")
        return full

    # --- numbers ---------------------------------------------------------------------------------

    def apply(self, file: str, tables: dict[str, object]) -> None:
        """The parameters of one file, then what follows from those it changed."""
        given: dict[str, Any] = {}
        for key, table in tables.items():
            record = self._record(file, key, table)
            given[key] = self._number(file, key, record)
            self.records[key] = record
        self._refuse_alone(file, given)
        self._update(given)

    def override(self, overrides: Mapping[str, object], source: str) -> None:
        """Single values on top."""
        self.file = f"{self.file} with overrides"
        given: dict[str, Any] = {}
        for written, value in overrides.items():
            key = resolve(written, self.parameters, source)
            if key in given:
                raise InputError(f"{source}: {key} is given twice, once as {written!r}")
            record = self._override(source, key, value)
            given[key] = self._number(source, key, record, value)
            self.records[key] = record
        self._refuse_alone(source, given)
        self._update(given)
        for key in given:
            self._refuse_idle(source, key)

    def _refuse_alone(self, file: str, given: Mapping[str, Any]) -> None:
        """What says how others are to be read cannot change without them."""
        for key, value in given.items():
            others = [self._input(key, name) for name in self.parameters[key].counts]
            left = [other for other in others if other not in given]
            if left and self.numbers.get(key, value) != value:
                raise InputError(
                    f"{file}: {key} says how many instances {' and '.join(others)} stand for; "
                    f"give {' and '.join(left)} with it, or leave it out; got {value}"
                )

    def _refuse_idle(self, source: str, key: str) -> None:
        """A parameter that counts only beside another, which is not so."""
        when = self.parameters[key].when
        if when is None:
            return
        other = self._input(key, when[0])
        if self.numbers[other] != when[1]:
            raise InputError(
                f"{source}: {key} goes with {other} = {when[1]}; it is {self.numbers[other]}"
            )

    def _update(self, given: dict[str, Any]) -> None:
        before = dict(self.numbers)
        self.numbers |= given
        for key in given:
            self.derived.pop(key, None)
        for key in self.order:
            one = self.parameters.get(key)
            if one is None or not one.follows or key in given or key not in before:
                continue
            inputs = [self._input(key, name) for each in one.follows for name in each.of]
            if any(before.get(name) != self.numbers.get(name) for name in inputs):
                self._follow(key, one, before)

    def _follow(self, key: str, one: Parameter, before: dict[str, Any]) -> None:
        value: Any = before.get(key)
        said = []
        for each in one.follows:
            inputs = [self._input(key, name) for name in each.of]
            now = [self.numbers[name] for name in inputs]
            then = [before[name] for name in inputs]
            if now == then:
                continue
            value = _followed(each, value, now, then)
            said.append(f"{each.rule.__name__}({', '.join(inputs)})")
        value = round(value) if one.whole else value
        if value == before.get(key):
            return
        if not one.low <= value <= one.high:
            raise InputError(
                f"{self.file}: {key} would be {value:g} by {', '.join(said)}; it must be "
                f"{one.allowed}"
            )
        self.numbers[key] = value
        self.derived[key] = ", ".join(said)
        self.records[key] = Record(
            value=value,
            unit=one.unit,
            status="derived",
            source=f"derived by {self.derived[key]}",
            note=f"was {self.records[key].value} {self.records[key].unit}".strip(),
        )

    def complete(self) -> None:
        """Values that rules give where the file does not; raise for what is missing."""
        for key in self.order:
            one = self.parameters.get(key)
            if one is None or key in self.numbers:
                continue
            rule = next((each for each in one.follows if each.how == "is"), None)
            inputs = [self._input(key, name) for name in rule.of] if rule else []
            if rule is None or any(name not in self.numbers for name in inputs):
                continue
            value = rule.rule(*(self.numbers[name] for name in inputs))
            self.numbers[key] = round(value) if one.whole else float(value)
            said = f"{rule.rule.__name__}({', '.join(inputs)})"
            self.records[key] = Record(
                value=self.numbers[key], unit=one.unit, status="derived", source=f"rule {said}"
            )
        missing = [
            key for key, one in self.parameters.items() if key not in self.numbers and one.required
        ]
        if missing:
            raise InputError(f"{self.file}: missing {', '.join(missing)}")

    def _record(self, file: str, key: str, table: object) -> Record:
        if key not in self.parameters:
            raise InputError(_unknown(file, key, self.parameters))
        one = self.parameters[key]
        if not isinstance(table, dict):
            raise InputError(
                f"{file}: {key} must be a table with value, status and source; got {table!r}"
            )
        try:
            return Record.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            part = str(first["loc"][0])
            if part == "value" and part in table:
                raise self._refusal(file, key, table[part]) from None
            given = "nothing" if part not in table else repr(table[part])
            allowed = {
                "status": f"one of {', '.join(STATUSES)}",
                "source": "a text that names the paper and its section",
                "value": one.allowed,
            }.get(part, "a text" if part in Record.model_fields else "left out")
            raise InputError(f"{file}: {key}.{part} must be {allowed}; got {given}") from None

    def _override(self, source: str, key: str, value: object) -> Record:
        unit = ""
        if isinstance(value, str) and not self.parameters[key].options:
            try:
                value, unit = measure.split(value)
            except InputError:
                raise self._refusal(source, key, value) from None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self._refusal(source, key, value)
        return Record(value=value, unit=unit, status="assumed", source="override")

    def _number(self, file: str, key: str, record: Record, given: object = None) -> Any:
        one = self.parameters[key]
        if given is None:
            given = f"{record.value} {record.unit}" if record.unit else record.value
        if one.options:
            if record.unit or record.value not in one.options:
                raise self._refusal(file, key, given)
            return record.value
        if isinstance(record.value, str):
            raise self._refusal(file, key, given)
        try:
            number = measure.convert(record.value, record.unit, one.unit)
        except InputError:
            raise self._refusal(file, key, given) from None
        whole = number.denominator == 1 or not one.whole
        if not (whole and one.low <= number <= one.high):
            raise self._refusal(file, key, given)
        return int(number) if one.whole else float(number)

    def _refusal(self, file: str, key: str, given: object) -> InputError:
        return InputError(f"{file}: {key} must be {self.parameters[key].allowed}; got {given!r}")

    # --- the chip --------------------------------------------------------------------------------

    def chip(self) -> Chip:
        """What has been collected, checked as a whole."""
        units: dict[str, Unit] = {}
        for name, entry in sorted(self.units.items(), key=lambda item: "beside" in item[1]):
            kind = self.kinds[entry["kind"]]
            host = entry.get("beside", "")
            values = fill(kind.Values, self.numbers, f"{name}.")
            total = getattr(values, "count", 1) * (units[host].total if host else 1)
            units[name] = Unit(name, kind, entry["where"], total, values, host)
            try:
                kind.check(units[name])
            except InputError as error:
                raise InputError(f"{self.file}: {error}") from None
        for op, (file, table) in self.serves.items():
            unit = units[table["unit"]]
            left = [operand for operand in OPERANDS if operand not in self.serves]
            try:
                for each in left if op == "matmul" else [op]:
                    unit.kind.check_served(unit, each, table.get("format", ""))
            except InputError as error:
                raise InputError(f"{file}: serves.{op}: {error}") from None
        units = {name: units[name] for name in self.units}
        links = {
            name: Link(
                name,
                entry.get("kind", "bus"),
                (entry["joins"][0], entry["joins"][1]),
                fill(link_values(entry["joins"]), self.numbers, f"{name}."),
                entry.get("ports", "first"),
            )
            for name, entry in self.links.items()
        }
        return Chip(
            name=self.path.stem if called(self.path) == self.path.name else str(self.path),
            values=fill(ChipValues, self.numbers, "chip."),
            units=units,
            links=links,
            serves={op: Assignment(op, **table) for op, (_, table) in self.serves.items()},
            provenance={key: self.records[key] for key in self.parameters if key in self.records},
            parameters={key: one for key, one in self.parameters.items() if key in self.records},
            derived=dict(self.derived),
        )


def _check_name(at: str, name: str, taken: Collection[str]) -> None:
    if not name.isidentifier():
        raise InputError(f"{at} must be named with letters, digits and _; got {name!r}")
    if name in taken:
        raise InputError(f"{at} must have a name of its own; {name!r} is taken")


def _followed(each: Follows, value: Any, now: list[Any], then: list[Any]) -> Any:
    """The value away from its own point.

    Words among the inputs choose *how* a rule counts; a value keeps its own point whatever the
    choice, unless the rule is the value.
    """
    if each.how == "is":
        return each.rule(*now)
    own = [n if isinstance(n, str) else t for n, t in zip(now, then, strict=True)]
    if each.how == "shifts":
        return value + each.rule(*now) - each.rule(*own)
    base = each.rule(*own)
    return value * (each.rule(*now) / base) if base else value


def _unknown(file: str, key: str, known: Any) -> str:
    nearest = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    ends = [full for full in known if full.rpartition(".")[2] == key.rpartition(".")[2]]
    nearest += [full for full in ends if full not in nearest][: 3 - len(nearest)]
    if nearest:
        return f"{file}: unknown key {key!r}; nearest: {', '.join(nearest)}"
    owners = dict.fromkeys(full.partition(".")[0] for full in known)
    return f"{file}: unknown key {key!r}; known: {', '.join(owners)}"
