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

from hyflexsim.sim.chip import measure
from hyflexsim.sim.placement.extent import is_number

MOST_TOKENS = 2**20
MOST_REQUESTS = 10**6


def allows(allowed: str, **constraints: Any) -> Any:
    """A field and, for error messages, what it allows in words."""
    return Field(json_schema_extra={"allowed": allowed}, **constraints)


def _count(most: int) -> Any:
    return allows(f"an integer from 1 to {most}", ge=1, le=most)


def _word_or_count(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and not 1 <= value <= MOST_REQUESTS:
        raise ValueError
    return value


def _word_or_number(value: Any) -> Any:
    if not isinstance(value, str) and not (is_number(value) and value <= MOST_REQUESTS):
        raise ValueError
    return value


def _duration(text: str) -> str:
    time = measure.read(text, "ps")
    if not (1 <= time <= 10**12 and time.denominator == 1):
        raise ValueError
    return text


def _places(pattern: list[int]) -> list[int]:
    if not pattern or min(pattern) < 1 or sum(pattern) > MOST_TOKENS:
        raise ValueError
    return pattern


def _shares(shares: list[float]) -> list[float]:
    if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError
    return shares


def dotted(table: Any, prefix: str = "") -> Any:
    """``{"adc": {"slc_bits": 6}}`` as ``{"adc.slc_bits": 6}``: TOML means the same by both."""
    if not isinstance(table, dict):
        return table
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat |= dotted(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


Rate = Annotated[float, allows("a number from 0 to 1", ge=0, le=1)]
Count = Annotated[int, _count(MOST_REQUESTS)]
Length = Annotated[int, _count(MOST_TOKENS)]
Text = Annotated[str, allows("a text", min_length=1)]
File = Annotated[str, allows("the path of a file", min_length=1)]
Seed = Annotated[int, allows("an integer from 0", ge=0, le=2**63)]
PerSecond = Annotated[float, allows("a number above 0 and up to 1e12", gt=0, le=1e12)]
Variation = Annotated[float, allows("a number from 0.01 to 100", ge=0.01, le=100)]
Mean = Annotated[float, allows(f"a number from 1 to {MOST_TOKENS}", ge=1, le=MOST_TOKENS)]
Duration = Annotated[
    str,
    AfterValidator(_duration),
    allows('a duration such as "25 us", in whole ps, from 1 ps to 1 s'),
]


class Section(BaseModel):
    """One part of a scenario: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Model(Section):
    """What runs."""

    name: Text | None = None
    graph: File | None = None
    checkpoint: Text | None = None
    rank: Annotated[
        Literal["dense", "hard-threshold"] | Annotated[float, Field(gt=0, le=1)],
        allows("dense, hard-threshold or a share of its rank, above 0 and up to 1"),
    ] = "dense"
    source: Annotated[int, _count(2**20)] | None = None
    positions: Annotated[Literal["learned", "any"], allows("learned or any")] = "learned"
    leave_out: Annotated[list[Text], allows("a list of patterns of modules")] = []
    router_skew: Annotated[float, Field(ge=0, le=100), allows("a number from 0 to 100")] = 0.0

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if [self.name, self.graph, self.checkpoint].count(None) != 2:
            raise ValueError("model must have one of name, graph and checkpoint")
        if self.checkpoint is not None and self.rank != "dense":
            raise ValueError("model.rank goes with model.name or graph; a checkpoint has its ranks")
        return self


class Chip(Section):
    """What it runs on."""

    preset: Text = "hyflexpim"
    chips: Annotated[int, _count(65536)] = 1
    set: Annotated[
        dict[str, int | float | str],
        BeforeValidator(dotted),
        allows("a table of numbers and texts with units"),
    ] = {}


class Placing(Section):
    """Where it sits; see :class:`hyflexsim.sim.placement.mapping.Options`."""

    slc_rate: Rate = 1.0
    slc_rates: Annotated[dict[str, Rate], allows("a table of numbers from 0 to 1")] = {}
    tiles: Annotated[Literal["row-tile", "ideal"], allows("row-tile or ideal")] = "row-tile"
    copies: Annotated[
        Literal["none", "fill", "fill-factors", "even"] | int | dict[str, Count],
        AfterValidator(_word_or_count),
        allows("none, fill, fill-factors, even, a positive integer or a table of such by pattern"),
    ] = "fill"
    pus_per_layer: Annotated[
        Literal["auto", "fill", "packed"] | int | float,
        AfterValidator(_word_or_number),
        allows("auto, fill, packed or a number from 1"),
    ] = "auto"
    weight_clip: Annotated[Literal["max", "second-signed"], allows("max or second-signed")] = "max"
    spare_arrays: Annotated[int, allows("an integer from 0", ge=0, le=2**31)] = 0
    deal: Annotated[Literal["by-token", "in-turn"], allows("by-token or in-turn")] = "by-token"


class Faults(Section):
    """What of the machine is broken; see :class:`hyflexsim.sim.placement.faults.Faults`."""

    names: list[Text] = []
    pus: Rate = 0.0
    modules: Rate = 0.0
    arrays: Rate = 0.0
    converters: Rate = 0.0
    columns: Rate = 0.0
    seed: Seed = 0
    repair: Annotated[Literal["none", "arrays", "columns"], allows("none, arrays or columns")] = (
        "arrays"
    )
    deaths: dict[str, Duration] = {}


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
    rate_per_s: PerSecond
    seed: Seed | None = None


class Gamma(Section):
    """Independent gaps with a gamma distribution: more or less bunched than Poisson's."""

    kind: Literal["gamma"] = "gamma"
    rate_per_s: PerSecond
    variation: Variation
    seed: Seed | None = None


class Bunched(Section):
    """Events at crossings of bunches in a pattern of filled and empty places, some jets each."""

    kind: Literal["bunched"] = "bunched"
    rate_per_s: PerSecond
    crossing: Duration = "25 ns"
    filled: Annotated[
        list[int],
        AfterValidator(_places),
        allows("a list of positive integers: places filled, empty, filled, ..."),
    ] = [1]
    per_event: Annotated[
        list[float],
        AfterValidator(_shares),
        allows("a list of shares that add up to 1: of events with 1, 2, ... requests"),
    ] = [1.0]
    seed: Seed | None = None


class OnOff(Section):
    """A Poisson source that is on and off by turns."""

    kind: Literal["on-off"] = "on-off"
    rate_per_s: PerSecond
    on: Duration
    off: Duration
    seed: Seed | None = None


class Closed(Section):
    """Clients that send a request, wait for its answer, think, and send the next."""

    kind: Literal["closed"] = "closed"
    clients: Count
    think: Duration
    gaps: Annotated[Literal["exponential", "fixed"], allows("exponential or fixed")] = "exponential"
    seed: Seed | None = None


class TraceFile(Section):
    """Times read from a file; of a file with a column of models, those for one of them."""

    kind: Literal["trace"] = "trace"
    file: File
    model: Text | None = None
    speed: Annotated[float, allows("a number above 0 and up to 1e12", gt=0, le=1e12)] = 1.0


Arrivals = Annotated[
    AtOnce | Interval | Poisson | Gamma | Bunched | OnOff | Closed | TraceFile,
    Field(discriminator="kind"),
]


class Fixed(Section):
    """All of one length, which stands beside."""

    kind: Literal["fixed"] = "fixed"


class Uniform(Section):
    """Any length of a range as likely as another."""

    kind: Literal["uniform"] = "uniform"
    least: Length = 1
    most: Length
    seed: Seed | None = None
    multiple: Length = 1

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.least > self.most:
            raise ValueError(f"least must be at most {self.most}, which is most; got {self.least}")
        return self


class Geometric(Section):
    """As long as one goes on with a fixed probability."""

    kind: Literal["geometric"] = "geometric"
    mean: Mean
    most: Length = MOST_TOKENS
    seed: Seed | None = None
    multiple: Length = 1


class Lognormal(Section):
    """Lengths whose logarithms are normal; ``variation``: deviation over mean."""

    kind: Literal["lognormal"] = "lognormal"
    mean: Mean
    variation: Variation
    most: Length = MOST_TOKENS
    seed: Seed | None = None
    multiple: Length = 1


class FromTrace(Section):
    """Lengths read from a file, by default that of the arrivals."""

    kind: Literal["trace"] = "trace"
    file: File | None = None
    multiple: Length = 1


Lengths = Annotated[
    Fixed | Uniform | Geometric | Lognormal | FromTrace, Field(discriminator="kind")
]


class Alone(Section):
    """Each request stands for itself."""

    kind: Literal["alone"] = "alone"


class Talking(Section):
    """Between the turns of a conversation its client thinks."""

    think: Duration | None = None
    gaps: Annotated[Literal["exponential", "fixed"], allows("exponential or fixed")] = "exponential"
    seed: Seed | None = None


class FixedTurns(Talking):
    """So many turns in each conversation."""

    kind: Literal["fixed"] = "fixed"
    turns: Count


class UniformTurns(Talking):
    """Any number of a range as likely as another."""

    kind: Literal["uniform"] = "uniform"
    least: Count = 1
    most: Count

    @model_validator(mode="after")
    def _ordered(self) -> UniformTurns:
        if self.least > self.most:
            raise ValueError(f"least must be at most {self.most}, which is most; got {self.least}")
        return self


class GeometricTurns(Talking):
    """Another turn with a fixed probability."""

    kind: Literal["geometric"] = "geometric"
    mean: Mean
    most: Count = MOST_REQUESTS


class TracedTurns(Section):
    """As the trace of the arrivals says."""

    kind: Literal["trace"] = "trace"


Sessions = Annotated[
    Alone | FixedTurns | UniformTurns | GeometricTurns | TracedTurns, Field(discriminator="kind")
]


class Jets(Section):
    """One request a jet, one token a particle."""

    kind: Literal["jets"] = "jets"
    count: Count = 200
    classes: Annotated[
        list[str] | None, allows("a list of class names, at least one", min_length=1)
    ] = None
    file: File | None = None
    repeat: Annotated[bool, allows("true or false")] = False
    arrivals: Arrivals = AtOnce()


class Tokens(Section):
    """Requests that are there in full."""

    kind: Literal["tokens"] = "tokens"
    tokens: Length = 128
    lengths: Lengths = Fixed()
    requests: Count = 1
    logits: Annotated[Literal["last", "all"], allows("last or all")] = "last"
    arrivals: Arrivals = AtOnce()


class Generate(Section):
    """A prompt, then text token by token."""

    kind: Literal["generate"] = "generate"
    prefill: Length = 128
    decode: Length = 32
    prompts: Lengths = Fixed()
    answers: Lengths = Fixed()
    requests: Count = 1
    sessions: Sessions = Alone()
    arrivals: Arrivals = AtOnce()


class Host(Section):
    """Who sends the requests and waits for the answers."""

    queue: Annotated[
        int | None, allows(f"an integer from 0 to {MOST_REQUESTS}", ge=0, le=MOST_REQUESTS)
    ] = None
    deadline: Duration | None = None
    replicas: Annotated[int, _count(1024)] = 1
    dispatch: Annotated[
        Literal["round-robin", "shortest-queue"], allows("round-robin or shortest-queue")
    ] = "round-robin"
    admission: Annotated[Literal["longest", "own", "paged"], allows("longest, own or paged")] = (
        "longest"
    )
    page: Annotated[int, _count(MOST_TOKENS)] = 16
    prefill_chunk: Length | None = None
    sessions: Annotated[Literal["kept", "forgotten"], allows("kept or forgotten")] = "kept"


class Run(Section):
    """How it is simulated."""

    fidelity: Annotated[Literal["token", "bit"], allows("token or bit")] = "token"
    overlap: Annotated[
        Literal["pipelined", "layer-serial"], allows("pipelined or layer-serial")
    ] = "pipelined"
    energy: Annotated[Literal["action", "power-time"], allows("action or power-time")] = "action"
    split_pairs: Annotated[bool, allows("true or false")] = False
    seed: Seed = 0
    window: Count | None = None
    precision: Annotated[float | None, allows("a number above 0 and up to 1", gt=0, le=1)] = None
    engine: Annotated[Literal["auto", "simpy", "compiled"], allows("auto, simpy or compiled")] = (
        "auto"
    )


class Tracing(Section):
    """Which visits are written down; see :class:`hyflexsim.sim.engine.trace.Keep`."""

    components: Annotated[list[Text], allows("a list of patterns")] = []
    layers: Annotated[list[Text], allows("a list of patterns")] = []
    first: Annotated[int, allows("an integer from 0", ge=0)] = 0
    stop: Count | None = None
    every: Count = 1
    memory_mb: Annotated[int, _count(2**20)] = 256


MOVED = {
    "sign": "sign, a parameter of the chip's analog unit",
    "bits_per_cell": "mlc_bits, a parameter of the chip's analog unit",
    "activation_bits": "input_bits, a parameter of the chip's analog unit",
    "adc_bits": "adc.mlc_bits and adc.slc_bits, parameters of the chip's analog unit",
    "adc_mode": "adc.range, a parameter of the chip's analog unit",
    "slc_sigma": "cells.slc_sigma, a parameter of the chip's analog unit",
    "device": "cells.noise, a parameter of the chip's analog unit",
    "conductance": "parameters in cells of the chip's analog unit, with cells.noise = conductance",
    "clip": "mapping.weight_clip",
    "exact": 'mapping.slc_rates, such as { "*.up_proj" = 1.0 }',
}
"""Keys that [accuracy] had while it described a device of its own, and where they are now."""


class Accuracy(Section):
    """How a compressed checkpoint is scored on the chip's cells; the device is the chip's."""

    sigma: Annotated[
        list[float | str],
        allows(
            "a list of chip, released, calibrated, calibrated-bit or numbers from 0", min_length=1
        ),
    ] = ["chip", "calibrated"]
    seeds: Annotated[int, allows("an integer from 1 to 1000", ge=1, le=1000)] = 5
    select: Annotated[
        Literal["gradient", "gradient-last", "rank", "saliency", "magnitude"],
        allows("gradient, gradient-last, rank, saliency or magnitude"),
    ] = "gradient"
    limit: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, content: Any) -> Any:
        for key in content if isinstance(content, dict) else ():
            if key in MOVED:
                raise ValueError(f"accuracy.{key} is {MOVED[key]} now")
        return content


_LENGTHS: dict[str, type[Section]] = {
    "fixed": Fixed,
    "uniform": Uniform,
    "geometric": Geometric,
    "lognormal": Lognormal,
    "trace": FromTrace,
}

KINDS: dict[str, dict[str, type[Section]]] = {
    "workload": {"jets": Jets, "tokens": Tokens, "generate": Generate},
    "workload.arrivals": {
        "at-once": AtOnce,
        "interval": Interval,
        "poisson": Poisson,
        "gamma": Gamma,
        "bunched": Bunched,
        "on-off": OnOff,
        "closed": Closed,
        "trace": TraceFile,
    },
    "workload.lengths": _LENGTHS,
    "workload.prompts": _LENGTHS,
    "workload.answers": _LENGTHS,
    "workload.sessions": {
        "alone": Alone,
        "fixed": FixedTurns,
        "uniform": UniformTurns,
        "geometric": GeometricTurns,
        "trace": TracedTurns,
    },
}
"""Tables whose keys depend on their ``kind``."""

STANDARD = {
    "workload.arrivals": "at-once",
    "workload.lengths": "fixed",
    "workload.prompts": "fixed",
    "workload.answers": "fixed",
    "workload.sessions": "alone",
}
"""Their kind where a scenario gives none."""

SECTIONS: dict[str, type[Section]] = {
    "model": Model,
    "chip": Chip,
    "mapping": Placing,
    "faults": Faults,
    "accuracy": Accuracy,
    "host": Host,
    "run": Run,
    "trace": Tracing,
}
"""Tables whose keys are always the same."""
