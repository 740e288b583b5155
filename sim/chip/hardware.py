"""A chip: typed, range-checked parameters, each with its provenance.

A chip is a TOML file. Every parameter is a table of its own::

    [analog.read_cycle]
    value = 100
    unit = "ns"
    status = "stated"           # stated | derived | third-party | inferred | assumed
    source = "HyFlexPIM §5.4"
    note = "..."                          # optional
    derived_from = ["adc.rate"]           # optional, see `Hardware.stale`

``unit`` may be left out where only one is possible (counts, bits, cycles, bytes, nm). What
parameters there are, and their ranges: ``parameters.py``.

A chip of your own says ``extends = "hyflexpim"`` (a preset, or a file beside it) on its first
line and gives the parameters that differ, in the same form. A bare ``rows = 128`` is refused,
since nobody could tell later where it came from. For a quick what-if there are overrides:

>>> hw = Hardware.load("hyflexpim", {"adc.slc_bits": 5, "interconnect.pu_bandwidth": "2 TB/s"})
>>> hw.adc.slc_bits, hw.interconnect.pu_bandwidth, hw.analog.read_cycle
(5, 2000.0, 100000)
>>> hw.provenance["adc.slc_bits"].status, hw.provenance["adc.slc_bits"].source
('assumed', 'override')
>>> hw.stale
('energy.adc_conversion_slc',)

Anything that is not allowed raises :class:`InputError` with file, key, what is allowed and
what was given. Areas and powers are summed in ``area.py``.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyflexsim.sim.chip import measure
from hyflexsim.sim.chip.parameters import (
    PARAMETERS,
    SECTIONS,
    Adc,
    Analog,
    Area,
    Buffer,
    Chip,
    Count,
    Device,
    Digital,
    Energy,
    Interconnect,
    Power,
    Pu,
    Sfu,
    ShiftAdd,
)
from hyflexsim.sim.errors import InputError

PRESETS = Path(__file__).parent / "presets"

Status = Literal["stated", "derived", "third-party", "inferred", "assumed"]


class Record(BaseModel):
    """A value as it was written, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    value: int | float
    unit: str = ""
    status: Status
    source: Annotated[str, Field(min_length=1)]
    note: str = ""
    derived_from: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Row(NamedTuple):
    """One line of a table of parameters: the value as it was written."""

    key: str
    value: int | float
    unit: str
    status: str
    source: str


class Hardware(BaseModel):
    """One chip. ``hw.analog.rows`` is a plain number in its canonical unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    chip: Chip
    pu: Pu
    analog: Analog
    adc: Adc
    shift_add: ShiftAdd
    digital: Digital
    sfu: Sfu
    buffer: Buffer
    interconnect: Interconnect
    device: Device
    energy: Energy
    count: Count
    power: Power
    area: Area
    provenance: dict[str, Record]
    stale: tuple[str, ...] = ()
    """Parameters computed from others (``derived_from``) of which one has since been changed,
    by an override or an extending file, without giving these anew. Nothing is recomputed."""

    def __repr__(self) -> str:
        return f"Hardware({self.name!r})"  # a hundred values would drown every message

    @classmethod
    def load(
        cls, preset_or_path: str | Path, overrides: Mapping[str, object] | None = None
    ) -> Hardware:
        """The chip of a preset (see :func:`presets`) or of a TOML file, with overrides on top.

        An override is a number where the unit is beyond doubt (``{"analog.rows": 128}``) or a
        text with its unit (``{"analog.read_cycle": "50 ns"}``).
        """
        entries: dict[str, _Entry] = {}
        path = _find(preset_or_path)
        for layer, (file, tables) in enumerate(_chain(path)):
            for key, table in _tables(file, tables):
                _put(entries, key, _entry(file, layer, key, _record(file, key, table)))
        for key, value in (overrides or {}).items():
            record = _override(key, value)
            _put(entries, key, _entry("overrides", 1 << 30, key, record, given=value))
        missing = [key for key in PARAMETERS if key not in entries]
        if missing:
            raise InputError(f"{path.name}: missing {', '.join(missing)}")
        file = f"{path.name} with overrides" if overrides else path.name
        return cls(
            name=path.stem,
            **{name: _section(file, name, entries) for name in SECTIONS},
            provenance={key: entries[key].record for key in PARAMETERS},
            stale=tuple(_stale(entries)),
        )

    def describe(self) -> list[Row]:
        """A row a parameter, in the order of ``parameters.py``."""
        return [
            Row(key, record.value, record.unit, record.status, record.source)
            for key, record in self.provenance.items()
        ]


def presets() -> tuple[str, ...]:
    """Names of the chips that come with hyflexsim.

    >>> "hyflexpim" in presets()
    True
    """
    return tuple(sorted(path.stem for path in PRESETS.glob("*.toml")))


def used_assumptions(hw: Hardware) -> list[str]:
    """Names of the parameters that no paper gives: status inferred or assumed."""
    return sorted(
        key for key, record in hw.provenance.items() if record.status in ("inferred", "assumed")
    )


class _Entry(NamedTuple):
    number: int | float  # in the canonical unit
    record: Record
    layer: int  # of the file that gave it last; extending files and overrides come later
    changed: int  # of the file that last gave it another value


def _find(name: str | Path, beside: Path = Path()) -> Path:
    if str(name) in presets():
        return PRESETS / f"{name}.toml"
    path = beside / name
    if path.suffix == ".toml" and path.is_file():
        return path
    raise InputError(
        f"chip must be one of the presets {', '.join(presets())} or an existing .toml file;"
        f" got {str(name)!r}"
    )


def _chain(path: Path, seen: tuple[Path, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and content, the extended file first."""
    if path.resolve() in seen:
        raise InputError(f"{path.name}: extends must not lead back to the file itself")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name}: cannot be read as TOML: {error}") from None
    base = content.pop("extends", None)
    if base is not None:
        if not isinstance(base, str):
            raise InputError(f"{path.name}: extends must be a preset or a file; got {base!r}")
        yield from _chain(_find(base, path.parent), (*seen, path.resolve()))
    yield path.name, content


def _tables(file: str, content: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for section, tables in content.items():
        if section not in SECTIONS:
            raise InputError(_unknown(file, section, SECTIONS))
        if not isinstance(tables, dict):
            raise InputError(f"{file}: {section} must be a section; got {tables!r}")
        for name, table in tables.items():
            yield f"{section}.{name}", table


def _record(file: str, key: str, table: object) -> Record:
    if key not in PARAMETERS:
        raise InputError(_unknown(file, key, PARAMETERS))
    if not isinstance(table, dict):
        raise InputError(
            f"{file}: {key} must be a table with value, status and source; got {table!r}"
        )
    try:
        record = Record.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        part = str(first["loc"][0])
        if part == "value" and part in table:
            raise _refusal(file, key, table[part]) from None
        given = "nothing" if part not in table else repr(table[part])
        allowed = {
            "status": "one of stated, derived, third-party, inferred, assumed",
            "source": "a text that names the paper and its section",
            "value": PARAMETERS[key].allowed,
        }.get(part, "a text" if part in Record.model_fields else "left out")
        raise InputError(f"{file}: {key}.{part} must be {allowed}; got {given}") from None
    for other in record.derived_from:
        if other not in PARAMETERS:
            raise InputError(_unknown(f"{file}: {key}.derived_from", other, PARAMETERS))
    return record


def _override(key: str, value: object) -> Record:
    if key not in PARAMETERS:
        raise InputError(_unknown("overrides", key, PARAMETERS))
    unit = ""
    if isinstance(value, str):
        try:
            value, unit = measure.split(value)
        except InputError:
            raise _refusal("overrides", key, value) from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal("overrides", key, value)
    return Record(value=value, unit=unit, status="assumed", source="override")


def _entry(file: str, layer: int, key: str, record: Record, given: object = None) -> _Entry:
    parameter = PARAMETERS[key]
    if given is None:
        given = f"{record.value} {record.unit}" if record.unit else record.value
    try:
        number = measure.convert(record.value, record.unit, parameter.unit)
    except InputError:
        raise _refusal(file, key, given) from None
    whole = number.denominator == 1 or not parameter.whole
    if not (whole and parameter.low <= number <= parameter.high):
        raise _refusal(file, key, given)
    plain = int(number) if parameter.whole else float(number)
    return _Entry(plain, record, layer, layer)


def _put(entries: dict[str, _Entry], key: str, entry: _Entry) -> None:
    old = entries.get(key)
    if old is not None and old.number == entry.number:
        entry = entry._replace(changed=old.changed)
    entries[key] = entry


def _section(file: str, section: str, entries: dict[str, _Entry]) -> Any:
    numbers = {name: entries[f"{section}.{name}"].number for name in SECTIONS[section].model_fields}
    try:
        return SECTIONS[section](**numbers)
    except ValidationError as error:
        # ranges were checked one by one; what is left is two values that contradict each other
        raise InputError(f"{file}: {error.errors()[0]['ctx']['error']}") from None


def _stale(entries: dict[str, _Entry]) -> Iterator[str]:
    for key in PARAMETERS:
        entry = entries[key]
        if any(entries[other].changed > entry.layer for other in entry.record.derived_from):
            yield key


def _refusal(file: str, key: str, given: object) -> InputError:
    return InputError(f"{file}: {key} must be {PARAMETERS[key].allowed}; got {given!r}")


def _unknown(file: str, key: str, known: Mapping[str, object]) -> str:
    nearest = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    hint = f"nearest: {', '.join(nearest)}" if nearest else f"known: {', '.join(known)}"
    if not nearest and len(known) > len(SECTIONS):
        hint = f"sections: {', '.join(SECTIONS)}"
    return f"{file}: unknown key {key!r}; {hint}"
