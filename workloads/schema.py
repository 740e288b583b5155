"""The tables of a scenario file: keys, ranges, defaults. What they mean: ``scenario.py``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from hyflexsim.sim import units

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


def dotted(table: Any, prefix: str = "") -> Any:
    """``{"adc": {"slc_bits": 6}}`` as ``{"adc.slc_bits": 6}``: TOML means the same by both."""
    if not isinstance(table, dict):
        return table
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat |= dotted(value, f"{name}.") if isinstance(value, dict) else {name: value}
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
        _is("dense, hard-threshold or a share of its rank, above 0 and up to 1"),
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
        BeforeValidator(dotted),
        _is("a table of numbers and texts with units"),
    ] = {}


class Placing(Section):
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
    overlap: Annotated[Literal["pipelined", "layer-serial"], _is("pipelined or layer-serial")] = (
        "pipelined"
    )
    energy: Annotated[Literal["action", "power-time"], _is("action or power-time")] = "action"
    split_pairs: Annotated[bool, _is("true or false")] = False
    seed: Seed = 0
    window: Count | None = None
    engine: Annotated[Literal["auto", "simpy", "compiled"], _is("auto, simpy or compiled")] = "auto"


class Tracing(Section):
    """Which visits are written down; see :class:`hyflexsim.sim.trace.Keep`."""

    components: Annotated[list[Text], _is("a list of patterns")] = []
    layers: Annotated[list[Text], _is("a list of patterns")] = []
    first: Annotated[int, _is("an integer from 0", ge=0)] = 0
    stop: Count | None = None
    every: Count = 1
    memory_mb: Annotated[int, _count(2**20)] = 256


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

SECTIONS: dict[str, type[Section]] = {
    "model": Model,
    "chip": Chip,
    "mapping": Placing,
    "run": Run,
    "trace": Tracing,
}
"""Tables whose keys are always the same."""
