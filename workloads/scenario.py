"""A scenario: model, chip, mapping, workload and run in one TOML file.

Every key, with its default::

    title = ""                   # one line for lists

    [model]
    name = "bert-base"           # a model by name or the path of a config.json ...
    graph = "model.json"         # ... or else a saved graph
    rank = "dense"               # "dense", "hard-threshold" (as many values as the dense matrix)
                                 # or a share of the full rank, such as 0.25

    [chip]
    preset = "hyflexpim"         # a preset or a chip's TOML file
    chips = 1
    set = { "adc.slc_bits" = 6 } # parameters that differ (default: none)

    [mapping]
    slc_rate = 1.0               # share of ranks (outputs, where dense) in single-level cells
    slc_rates = { "*.fc1" = 0.3 }# other rates by pattern of op name (default: none)
    tiles = "row-tile"           # or "ideal"
    copies = "fill"              # "none", "fill" or a number
    pus_per_layer = "auto"       # "auto", "fill" or a number

    [workload]                   # one of three kinds
    kind = "jets"                # one request a jet, one token a particle
    count = 200
    classes = ["QCD", "Tbqq"]    # default: all, in turn
    file = "jets.parquet"        # default: the sample that comes with hyflexsim
    # kind = "tokens"            # requests of one length
    # tokens = 128
    # requests = 1
    # kind = "generate"          # text: a prompt, then token by token
    # prefill = 128              # tokens of the prompt
    # decode = 32                # tokens generated; the last one is not fed back
    # requests = 1
    arrivals = { kind = "at-once" }                             # the default
    # arrivals = { kind = "interval", interval = "25 us" }
    # arrivals = { kind = "poisson", rate_per_s = 1e5, seed = 0 } # default seed: that of [run]
    # arrivals = { kind = "trace", file = "arrivals.txt" }        # see arrivals.py

    [run]
    fidelity = "token"           # or "bit"
    overlap = "pipelined"        # or "layer-serial"
    energy = "action"            # or "power-time"
    split_pairs = false          # true: particle pairs one by one instead of in waves
    seed = 0
    window = 4                   # at most so many requests on the chip (default: what memory holds)

Paths in a scenario file start from its folder, paths in overrides from the current one.

An override is ``key=value`` with both sides as in TOML (quotes around a text may be left out). A
key that a scenario has is the scenario's; any other is a parameter of the chip. Changing a
``kind`` drops the keys that only the former kind has.

>>> scenario = Scenario.load("bert-base", ["workload.tokens=64", "adc.slc_bits=5"])
>>> scenario.workload.tokens, scenario.chip.set
(64, {'adc.slc_bits': 5})

Anything that is not allowed raises :class:`InputError`: one line with file, key, what is allowed
and what was given.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hyflexsim.sim import units
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.hardware import Hardware
from hyflexsim.sim.mapping import Options
from hyflexsim.sim.parameters import PARAMETERS

SCENARIOS = Path(__file__).parent / "scenarios"
MOST_TOKENS = 2**20
MOST_REQUESTS = 10**6


def _is(allowed: str, **constraints: Any) -> Any:
    """A field and, for error messages, what it allows in words."""
    return Field(json_schema_extra={"allowed": allowed}, **constraints)


def _count(most: int) -> Any:
    return _is(f"an integer from 1 to {most}", ge=1, le=most)


def _word_or_count(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and not 1 <= value <= MOST_REQUESTS:
        raise ValueError
    return value


def _duration(text: str) -> str:
    time = units.read(text, "ps")
    if not (1 <= time <= 10**12 and time.denominator == 1):
        raise ValueError
    return text


def _dotted(table: Any, prefix: str = "") -> Any:
    """``{"adc": {"slc_bits": 6}}`` as ``{"adc.slc_bits": 6}``: TOML means the same by both."""
    if not isinstance(table, dict):
        return table
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat |= _dotted(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


Rate = Annotated[float, _is("a number from 0 to 1", ge=0, le=1)]
Count = Annotated[int, _count(MOST_REQUESTS)]
Length = Annotated[int, _count(MOST_TOKENS)]
Text = Annotated[str, _is("a text", min_length=1)]
File = Annotated[str, _is("the path of a file", min_length=1)]
Seed = Annotated[int, _is("an integer from 0", ge=0, le=2**63)]
Duration = Annotated[
    str,
    AfterValidator(_duration),
    _is('a duration such as "25 us", in whole ps, from 1 ps to 1 s'),
]


class Section(BaseModel):
    """One part of a scenario: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Model(Section):
    """What runs."""

    name: Text | None = None
    graph: File | None = None
    rank: Annotated[
        Literal["dense", "hard-threshold"] | Annotated[float, Field(gt=0, le=1)],
        _is("dense, hard-threshold or a share of the full rank above 0 and up to 1"),
    ] = "dense"

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if (self.name is None) == (self.graph is None):
            raise ValueError("model must have either name or graph")
        return self


class Chip(Section):
    """What it runs on."""

    preset: Text = "hyflexpim"
    chips: Annotated[int, _count(65536)] = 1
    set: Annotated[
        dict[str, int | float | str],
        BeforeValidator(_dotted),
        _is("a table of numbers and texts with units"),
    ] = {}


class Mapping_(Section):
    """Where it sits; see :class:`hyflexsim.sim.mapping.Options`."""

    slc_rate: Rate = 1.0
    slc_rates: Annotated[dict[str, Rate], _is("a table of numbers from 0 to 1")] = {}
    tiles: Annotated[Literal["row-tile", "ideal"], _is("row-tile or ideal")] = "row-tile"
    copies: Annotated[
        Literal["none", "fill"] | int,
        AfterValidator(_word_or_count),
        _is("none, fill or a positive integer"),
    ] = "fill"
    pus_per_layer: Annotated[
        Literal["auto", "fill"] | int,
        AfterValidator(_word_or_count),
        _is("auto, fill or a positive integer"),
    ] = "auto"


class AtOnce(Section):
    """All requests are there at time zero."""

    kind: Literal["at-once"] = "at-once"


class Interval(Section):
    """A request every so often, the first at time zero."""

    kind: Literal["interval"] = "interval"
    interval: Duration


class Poisson(Section):
    """Independent gaps with an exponential distribution."""

    kind: Literal["poisson"] = "poisson"
    rate_per_s: Annotated[float, _is("a number above 0 and up to 1e12", gt=0, le=1e12)]
    seed: Seed | None = None


class TraceFile(Section):
    """Times read from a file."""

    kind: Literal["trace"] = "trace"
    file: File


Arrivals = Annotated[AtOnce | Interval | Poisson | TraceFile, Field(discriminator="kind")]


class Jets(Section):
    """One request a jet, one token a particle."""

    kind: Literal["jets"] = "jets"
    count: Count = 200
    classes: Annotated[
        list[str] | None, _is("a list of class names, at least one", min_length=1)
    ] = None
    file: File | None = None
    arrivals: Arrivals = AtOnce()


class Tokens(Section):
    """Requests of one length."""

    kind: Literal["tokens"] = "tokens"
    tokens: Length = 128
    requests: Count = 1
    arrivals: Arrivals = AtOnce()


class Generate(Section):
    """A prompt, then text token by token."""

    kind: Literal["generate"] = "generate"
    prefill: Length = 128
    decode: Length = 32
    requests: Count = 1
    arrivals: Arrivals = AtOnce()


class Run(Section):
    """How it is simulated."""

    fidelity: Annotated[Literal["token", "bit"], _is("token or bit")] = "token"
    overlap: Annotated[
        Literal["pipelined", "layer-serial"], _is("pipelined or layer-serial")
    ] = "pipelined"
    energy: Annotated[Literal["action", "power-time"], _is("action or power-time")] = "action"
    split_pairs: Annotated[bool, _is("true or false")] = False
    seed: Seed = 0
    window: Count | None = None


KINDS: dict[str, dict[str, type[Section]]] = {
    "workload": {"jets": Jets, "tokens": Tokens, "generate": Generate},
    "workload.arrivals": {
        "at-once": AtOnce,
        "interval": Interval,
        "poisson": Poisson,
        "trace": TraceFile,
    },
}
"""Tables whose keys depend on their ``kind``."""

PATHS = ("model.name", "model.graph", "chip.preset", "workload.file", "workload.arrivals.file")


class Scenario(Section):
    """One experiment, complete: everything a run depends on but the code."""

    name: str
    title: str = ""
    model: Model
    chip: Chip = Chip()
    mapping: Mapping_ = Mapping_()
    workload: Annotated[Jets | Tokens | Generate, Field(discriminator="kind")]
    run: Run = Run()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        overrides: Iterable[str] | Mapping[str, Any] = (),
    ) -> Scenario:
        """A scenario that comes with hyflexsim (see :func:`shipped`), or of a TOML file.

        ``overrides``: texts ``"key=value"``, or a mapping from keys to values.
        """
        path = find(name_or_path)
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as TOML: {error}") from None
        _from_folder(content, path.parent)
        pairs = overrides.items() if isinstance(overrides, Mapping) else map(_pair, overrides)
        changed = [_apply(content, key, value) for key, value in pairs]
        content.setdefault("model", {})
        content.setdefault("workload", {})
        _refuse_name(path, content)
        try:
            return cls.model_validate({"name": path.stem, **content})
        except ValidationError as error:
            raise _refusal(path.name, error, changed) from None

    def hardware(self) -> Hardware:
        """The chip with its overrides."""
        return Hardware.load(self.chip.preset, self.chip.set)

    def options(self) -> Options:
        """The mapping as the placer wants it."""
        return Options(**self.mapping.model_dump(), chips=self.chip.chips)

    def resolved(self) -> dict[str, Any]:
        """Everything as plain values, defaults filled in."""
        return self.model_dump(mode="json")


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that come with hyflexsim.

    >>> "part-jets" in shipped()
    True
    """
    return tuple(sorted(path.stem for path in SCENARIOS.glob("*.toml")))


def find(name_or_path: str | Path) -> Path:
    """The file of a scenario; a name is looked up exactly."""
    if str(name_or_path) in shipped():
        return SCENARIOS / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise InputError(f"{path}: no such file")
    nearest = difflib.get_close_matches(str(name_or_path), shipped(), n=3, cutoff=0.4) or shipped()
    raise InputError(
        f"scenario must be a name or a .toml file; got {str(name_or_path)!r}; "
        f"nearest names: {', '.join(nearest)}"
    )


# --- overrides -----------------------------------------------------------------------------------


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (equals and key.strip() and value.strip()):
        raise InputError(f"--set must be key=value; got {text!r}")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        parsed = value.strip()  # a text without its quotes, which a shell may have eaten
    return key.strip(), parsed


def _apply(content: dict[str, Any], key: str, value: Any) -> str:
    """Put one override into the content of a scenario file; return its key there."""
    parts = _split(key)
    if not _known(content, parts, value):
        if key in PARAMETERS:
            content.setdefault("chip", {})
            content["chip"]["set"] = _dotted(content["chip"].get("set", {})) | {key: value}
            return f"chip.set.{key}"
        raise InputError(f"--set: unknown key {key!r}; {_nearest(key, [*_keys(), *PARAMETERS])}")
    table = content
    for part in parts[:-1]:
        if not isinstance(table.setdefault(part, {}), dict):
            table[part] = {}
        table = table[part]
    table[parts[-1]] = value
    where = ".".join(parts[:-1])
    if parts[-1] == "kind" and where in KINDS and value in KINDS[where]:
        for old in set(table) - set(KINDS[where][value].model_fields):
            del table[old]
    if key in ("model.name", "model.graph"):
        table.pop("graph" if key == "model.name" else "name", None)
    return ".".join(parts)


def _split(key: str) -> list[str]:
    try:
        table: Any = tomllib.loads(f"{key} = 0")
    except ValueError:
        raise InputError(f"--set: key must be a dotted TOML key; got {key!r}") from None
    parts = []
    while isinstance(table, dict):
        ((part, table),) = table.items()
        parts.append(part)
    return parts


def _known(content: dict[str, Any], parts: list[str], value: Any) -> bool:
    """Whether a scenario of the present kinds has this key."""
    fields: Any = Scenario.model_fields
    where = ""
    for depth, part in enumerate(parts):
        if part not in fields or (depth == 0 and part == "name"):
            return False
        where = f"{where}.{part}".lstrip(".")
        content = content.get(part, {}) if isinstance(content, dict) else {}
        if where in ("chip.set", "mapping.slc_rates"):
            return True
        if where in KINDS:
            kind = content.get("kind", "at-once") if isinstance(content, dict) else None
            kinds = KINDS[where]
            known = [kinds[kind]] if kind in kinds else kinds.values()
            fields = {name for section in known for name in section.model_fields}
        elif depth == 0 and part != "title":
            fields = Scenario.model_fields[part].annotation.model_fields  # type: ignore[union-attr]
        else:
            fields = ()
    return True


def _keys() -> list[str]:
    keys = [f"{section}.{key}" for section, kinds in KINDS.items() for key in _all_fields(kinds)]
    for name in ("model", "chip", "mapping", "run"):
        annotation: Any = Scenario.model_fields[name].annotation
        keys += [f"{name}.{key}" for key in annotation.model_fields]
    return keys


def _all_fields(kinds: dict[str, type[Section]]) -> dict[str, None]:
    return dict.fromkeys(key for section in kinds.values() for key in section.model_fields)


def _from_folder(content: dict[str, Any], folder: Path) -> None:
    """Make relative paths of a scenario file start from its folder."""
    if folder == SCENARIOS:
        return
    for key in PATHS:
        table: Any = content
        *sections, last = key.split(".")
        for section in sections:
            table = table.get(section, {}) if isinstance(table, dict) else {}
        value = table.get(last) if isinstance(table, dict) else None
        if isinstance(value, str) and (last in ("graph", "file") or value.endswith((".toml", ".json"))):
            table[last] = str(folder / value)


# --- error messages ------------------------------------------------------------------------------


def _refuse_name(path: Path, content: dict[str, Any]) -> None:
    if "name" in content:
        raise InputError(f"{path.name}: unknown key 'name'; the file name is the scenario's name")


class _Place(NamedTuple):
    key: str
    allowed: str
    fields: tuple[str, ...]  # of the innermost table on the way


def _refusal(file: str, error: ValidationError, changed: list[str]) -> InputError:
    first = error.errors()[0]
    place = _locate(first["loc"])
    kind = first["type"]
    given = "nothing" if kind == "missing" else repr(first["input"])
    key = place.key
    source = "--set" if any(f"{c}.".startswith(f"{key}.") or key.startswith(f"{c}.") for c in changed) else file
    if kind == "extra_forbidden":
        last = key.rpartition(".")[2]
        return InputError(f"{source}: unknown key {key!r}; {_nearest(last, place.fields)}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        table = first["input"]
        got = table.get("kind") if isinstance(table, dict) else table
        given = "nothing" if got is None else repr(got)
        return InputError(f"{source}: {key}.kind must be one of {', '.join(KINDS[key])}; got {given}")
    if kind == "value_error" and not place.allowed:
        return InputError(f"{source}: {first['ctx']['error']}")
    return InputError(f"{source}: {key} must be {place.allowed or 'a table'}; got {given}")


def _locate(loc: tuple[int | str, ...]) -> _Place:
    """Key, allowed values and neighbours of what pydantic complains about."""
    section: type[Section] | None = Scenario
    keys: list[str] = []
    allowed = ""
    fields: tuple[str, ...] = tuple(name for name in Scenario.model_fields if name != "name")
    parts = iter(loc)
    for part in parts:
        if section is None:
            if isinstance(part, str) and allowed.startswith("a table"):
                keys.append(part)
            break
        keys.append(str(part))
        field = section.model_fields.get(str(part))
        if field is None:
            allowed = ""
            break
        extra = field.json_schema_extra
        allowed = str(extra["allowed"]) if isinstance(extra, dict) else ""
        where = ".".join(keys)
        if where in KINDS:
            section = KINDS[where].get(str(next(parts, "")))
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            section = field.annotation
        else:
            allowed = allowed or _allowed_inside(field.annotation)
            section = None
        if section is not None:
            fields = tuple(section.model_fields)
    return _Place(".".join(keys), allowed or ("a text" if keys == ["title"] else ""), fields)


def _allowed_inside(annotation: Any) -> str:
    """Words of an annotated alternative, as in ``Seed | None``."""
    for option in getattr(annotation, "__args__", ()):
        for note in getattr(option, "__metadata__", ()):
            extra = getattr(note, "json_schema_extra", None)
            if isinstance(extra, dict):
                return str(extra["allowed"])
    return ""


def _nearest(key: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(key, names, n=3, cutoff=0.6)
    return f"nearest: {', '.join(near)}" if near else f"known: {', '.join(names[:40])}"


def as_text(scenario: Scenario) -> str:
    """A scenario as indented JSON."""
    return json.dumps(scenario.resolved(), indent=1)
