"""What a parameter is: unit of measure, range, meaning, which answers it acts on, what it follows.

Every kind of unit declares its parameters as a :class:`Section`, one line a parameter; the numbers
are in ``presets/``, loaded by ``load.py``. Values are frozen plain numbers in the canonical unit
(``measure.py``), so times are integer picoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from hyflexsim.sim.chip import measure

Answer = Literal["time", "energy", "area", "capacity", "values", "wear"]
ANSWERS: tuple[str, ...] = get_args(Answer)
"""What a parameter may act on: when, how much, how large, whether it fits, how right, how long
cells last and what writing them costs."""

Number = int | float | str


class Follows(NamedTuple):
    """One thing that a parameter follows from: ``rule`` of the parameters named in ``of``.

    Names are those of the same unit (``"adc.slc_bits"``) or start with ``chip.``. A stated value
    holds at its own point; away from it ``how`` says what the rule does to it: it ``scales``
    (``stated x rule(now) / rule(then)``), ``shifts`` (``stated + rule(now) - rule(then)``), or the
    rule ``is`` the value.
    """

    rule: Callable[..., Any]
    of: tuple[str, ...]
    how: Literal["scales", "shifts", "is"] = "scales"


def parameter(
    unit: str,
    low: float,
    high: float,
    meaning: str,
    acts: str = "",
    follows: Sequence[Follows] = (),
    default: Any = ...,
    when: tuple[str, str] | None = None,
    counts: Sequence[str] = (),
) -> Any:
    """A number: its canonical unit, inclusive range, meaning; ``acts``: answers, comma-separated;
    ``when``: a parameter of the unit and the word of it with which alone this one counts;
    ``counts``: parameters of the unit that are sums over so many instances.
    """
    extra: dict[str, Any] = {
        "unit": unit,
        "low": low,
        "high": high,
        "acts": tuple(answer.strip() for answer in acts.split(",") if answer.strip()),
        "follows": tuple(follows),
        "when": when,
        "counts": tuple(counts),
    }
    return Field(default, ge=low, le=high, description=meaning, json_schema_extra=extra)


def choice(options: Sequence[str], meaning: str, acts: str = "") -> Any:
    """A word out of several."""
    answers = tuple(answer.strip() for answer in acts.split(",") if answer.strip())
    extra: dict[str, Any] = {"options": tuple(options), "acts": answers}
    return Field(description=meaning, json_schema_extra=extra)


class Section(BaseModel):
    """Some parameters of a chip: numbers in canonical units, frozen. Sections may nest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Parameter(NamedTuple):
    """What one parameter may be. ``required``: a chip must give it, or it must follow."""

    unit: str
    whole: bool
    low: float
    high: float
    meaning: str
    acts: tuple[str, ...] = ()
    follows: tuple[Follows, ...] = ()
    options: tuple[str, ...] = ()
    required: bool = True
    when: tuple[str, str] | None = None
    counts: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """Kind, range and units, for an error message."""
        if self.options:
            return f"one of {', '.join(self.options)}"
        kind = "a whole number" if self.whole else "a number"
        text = f"{kind} from {self.low:.15g} to {self.high:.15g}"
        if self.unit:
            text += f" {self.unit}" * (self.unit not in measure.BARE)
            return f"{text}, {measure.unit_names(self.unit)}"
        return text if self.whole else f"{text}, {measure.unit_names(self.unit)}"


def parameters_of(section: type[Section], prefix: str = "") -> Iterator[tuple[str, Parameter]]:
    """Every parameter of a section and of those in it, by dotted name."""
    for name, field in section.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, Section):
            yield from parameters_of(nested, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _parameter(field)


def _parameter(field: FieldInfo) -> Parameter:
    extra: Any = field.json_schema_extra
    options = extra.get("options", ())
    return Parameter(
        extra.get("unit", ""),
        field.annotation is int,
        extra.get("low", 0),
        extra.get("high", 0),
        field.description or "",
        extra["acts"],
        extra.get("follows", ()),
        options,
        field.is_required(),
        extra.get("when"),
        extra.get("counts", ()),
    )


def fill(section: type[Section], numbers: dict[str, Any], prefix: str = "") -> Any:
    """An instance of ``section`` from values by dotted name."""
    values: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, Section):
            values[name] = fill(nested, numbers, f"{prefix}{name}.")
        elif f"{prefix}{name}" in numbers:
            values[name] = numbers[f"{prefix}{name}"]
    return section(**values)


def value_of(section: Section, name: str) -> Any:
    """The value of a parameter by its dotted name."""
    value: Any = section
    for part in name.split("."):
        value = getattr(value, part)
    return value
