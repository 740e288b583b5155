"""A scenario: model, chip, mapping, workload and run in one TOML file.

Every key, with its default::

    title = ""                   # one line for lists

    [model]
    name = "bert-base"           # a model by name or the path of a config.json ...
    graph = "model.json"         # ... or else a saved graph ...
    checkpoint = "runs/minilm"   # ... or else a compressed checkpoint (hyflexsim compress), or
                                 # one by name; the run then says how right it is
    rank = "dense"               # "dense", "hard-threshold" (two factors with as many values as
                                 # the matrix) or a share of that rank, such as 0.25
    router_skew = 0.0            # experts drawn: that of rank r with a weight of r ** -skew
    source = 128                 # of an encoder beside a decoder: tokens that the encoder reads
    positions = "learned"        # "any": inputs may be longer than the positions that the model
                                 # has learned, as where papers run BERT on 8192 tokens
    leave_out = ["vision_tower"] # modules that the forward pass does not reach and that the chip is
                                 # to do without (default: none, such models are refused)

    [chip]
    preset = "hyflexpim"         # a preset or a chip's TOML file
    chips = 1
    set = { "adc.slc_bits" = 6 } # parameters that differ (default: none)

    [mapping]
    slc_rate = 1.0               # share of ranks (outputs, where dense) in single-level cells
    slc_rates = { "*.fc1" = 0.3 }# other rates by pattern of op name (default: none)
    tiles = "row-tile"           # or "ideal"
    copies = "fill"              # "none", "fill", "fill-factors" (each factor for itself), "even"
                                 # (the same of all matrices of a block), a number (of the blocks'
                                 # matrices), or numbers by pattern: { "*.fc1" = 2, "*.fc1.V" = 3 }
    pus_per_layer = "auto"       # "auto", "fill", "packed" or a number from 1; 2.5: two neighbours
                                 # share a PU by its modules
    weight_clip = "max"          # where weights are clipped before they become codes, or
                                 # "second-signed", as HyFlexPIM's released code does
    spare_arrays = 0             # of each PU: free until something is broken
    deal = "by-token"            # token 0 to a matrix's first copy, or "in-turn": to the next one
                                 # with each request

    [faults]                     # what of the machine is broken (default: nothing)
    names = ["pu3.analog.4.17"]  # as map --cells has them; see sim/placement/faults.py
    pus = 0.0                    # shares of PUs ...
    modules = 0.0
    arrays = 0.0
    converters = 0.0
    columns = 0.0                # ... to columns that are dead
    seed = 0                     # which ones
    repair = "arrays"            # leave dead arrays out, "columns": also arrays with a dead column,
                                 # "none": use them all
    deaths = { pu3 = "40 us" }   # PUs that die in the middle of the run

    [workload]                   # one of three kinds
    kind = "jets"                # one request a jet, one token a particle
    count = 200                  # the first so many of the file
    classes = ["QCD", "Tbqq"]    # default: all in the file
    file = "jets.parquet"        # default: the sample that comes with hyflexsim
    repeat = false               # true: begin again where there are fewer than count
    # kind = "tokens"            # requests that are there in full
    # tokens = 128               # of one length ...
    # lengths = { kind = "lognormal", mean = 128, variation = 0.8, most = 512 } # see lengths.py
    # requests = 1
    # logits = "last"            # of a causal model: those of the last token, or of "all"
    # kind = "generate"          # text: a prompt, then token by token
    # prefill = 128              # tokens of the prompt
    # decode = 32                # tokens generated; the last one is not fed back
    # prompts = { kind = "trace" } # other lengths, as above: here those of the trace of arrivals
    # answers = { kind = "trace" }
    # requests = 1               # of conversations, turns
    # sessions = { kind = "fixed", turns = 3, think = "2 ms" } # conversations: next turns begin
    #                            # with all that was said (default "alone": none); see sessions.py
    arrivals = { kind = "at-once" }                             # the default
    # arrivals = { kind = "interval", interval = "25 us" }
    # arrivals = { kind = "poisson", rate_per_s = 1e5, seed = 0 } # default seed: that of [run]
    # arrivals = { kind = "gamma", rate_per_s = 1e5, variation = 3, seed = 0 } # see arrivals.py
    # arrivals = { kind = "bunched", rate_per_s = 1e5, filled = [72, 8], per_event = [0.5, 0.5] }
    # arrivals = { kind = "on-off", rate_per_s = 4e5, on = "50 us", off = "150 us" }
    # arrivals = { kind = "closed", clients = 8, think = "10 us" }
    # arrivals = { kind = "trace", file = "arrivals.csv", speed = 1.0 } # see trace_file.py; with
    #                            # model = "..." only rows for that model are taken

    [host]                       # who sends requests and waits for answers
    admission = "longest"        # a chip takes in as many requests as its memory holds of the
                                 # longest kind; "own": as many as fit, each with what its own keys,
                                 # values and results need at its end (prompt and answer); "paged":
                                 # as many as have pages for their prompts, see sim/engine/pages.py
    page = 16                    # tokens of such a page (vLLM's block size)
    sessions = "kept"            # with "paged": pages of a turn stay for the next one of its
                                 # conversation until others need them; "forgotten": they do not
    prefill_chunk = 64           # prompts of text come in chunks of so many tokens, each when the
                                 # one before has passed the last layer (default: as one stream)
    queue = 64                   # places for requests that the chip has no room for (run.window):
                                 # those that find none are lost (default: without end)
    deadline = "10 us"           # from arrival to answer: how many keep it (default: none)
    replicas = 1                 # so many chips (each of chip.chips) with the same model behind a
                                 # dispatcher, each with such a queue and window
    dispatch = "round-robin"     # or "shortest-queue": the chip with the fewest requests

    [accuracy]                   # of a checkpoint on the chip's cells, at the rates of [mapping]
    sigma = ["chip", "calibrated"]  # noises of MLC cells: the chip's own, "released",
                                 # "calibrated", "calibrated-bit" (4.04 % are wrong bits, not
                                 # cells), or numbers; all else of the device is the chip's
    seeds = 5                    # chips programmed
    select = "gradient"          # ranks in SLC: gradient, gradient-last, rank, saliency, magnitude
    limit = 100                  # score only so many held-out items (default: all)

    [run]
    fidelity = "token"           # or "bit"
    overlap = "pipelined"        # or "layer-serial"
    energy = "action"            # or "power-time"
    split_pairs = false          # true: particle pairs one by one instead of in waves
    seed = 0
    window = 4                   # at most so many requests on the chip (default: what memory holds)
    precision = 0.02             # only as many requests as it takes to know the mean latency to
                                 # ± 2 % (95 %; default: all): see run/precision.py
    engine = "auto"              # "simpy", "compiled", or by the number of visits: same answer

    [trace]                      # which visits trace.parquet keeps; sums are always over all
    components = ["pu03.*"]      # patterns of names (default: all components)
    layers = ["*.layer.0"]       # (default: all layers)
    first = 0                    # requests from `first` up to `stop` (default: all) ...
    stop = 1000
    every = 1                    # ... each so-many-th
    memory_mb = 256              # beyond, the trace waits in a scratch file

Paths in a scenario file start from its folder, paths in overrides from the current one.

An override is ``key=value`` with both sides as in TOML (quotes around a text may be left out). A
key that a scenario has is the scenario's; any other is a parameter of the chip. Changing a
``kind`` drops the keys that only the former kind has.

>>> scenario = Scenario.load("bert-base", ["workload.tokens=64", "adc.slc_bits=5"])
>>> scenario.workload.tokens, scenario.chip.set
(64, {'analog.adc.slc_bits': 5})

Anything that is not allowed raises :class:`InputError`: one line with file, key, what is allowed
and what was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from hyflexsim.sim import toml_file
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options
from hyflexsim.workloads.scenario import overrides as changes
from hyflexsim.workloads.scenario.checkpoints import is_shipped
from hyflexsim.workloads.scenario.experiment import Experiment
from hyflexsim.workloads.scenario.refusals import find_file, refusal
from hyflexsim.workloads.scenario.schema import (
    Accuracy,
    Arrivals,
    Chip,
    Faults,
    Generate,
    Host,
    Jets,
    Model,
    Placing,
    Run,
    Section,
    Tokens,
    Tracing,
)

SCENARIOS = Path(__file__).parents[1] / "scenarios"
PATHS = (
    *("model.name", "model.graph", "model.checkpoint", "chip.preset"),
    *("workload.file", "workload.arrivals.file", "workload.lengths.file"),
    *("workload.prompts.file", "workload.answers.file"),
)


class Scenario(Experiment, Section):
    """One experiment, complete: everything a run depends on but the code."""

    name: str
    title: str = ""
    model: Model
    chip: Chip = Chip()
    mapping: Placing = Placing()
    faults: Faults = Faults()
    accuracy: Accuracy = Accuracy()
    workload: Annotated[Jets | Tokens | Generate, Field(discriminator="kind")]
    host: Host = Host()
    run: Run = Run()
    trace: Tracing = Tracing()

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
        content = toml_file.read(path)
        if "models" in content:
            raise InputError(
                f"{path.name} has several models; only "
                "run, validate, faults, sweep and sensitivity take such"
            )
        from_folder(content, path.parent)
        changed = changes.apply(content, overrides)
        content.setdefault("model", {})
        content.setdefault("workload", {})
        refuse_name(path, content)
        try:
            return cls.model_validate({"name": path.stem, **content})
        except ValidationError as error:
            raise refusal(cls, path.name, error, changed) from None

    @property
    def sources(self) -> list[Model]:
        """Where its model comes from."""
        return [self.model]

    @property
    def arrivals(self) -> list[Arrivals]:
        """How requests come."""
        return [self.workload.arrivals]

    @property
    def scored(self) -> bool:
        """Whether there is a checkpoint, whose values count."""
        return self.model.checkpoint is not None

    def options(self) -> Options:
        """The mapping as the placer wants it."""
        placing = self.mapping.model_dump(exclude={"weight_clip"})
        return Options(**placing, chips=self.chip.chips, faults=self.broken())


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that come with hyflexsim.

    >>> "part-jets" in shipped()
    True
    """
    return tuple(sorted(path.stem for path in SCENARIOS.glob("*.toml")))


def find(name_or_path: str | Path) -> Path:
    """The file of a scenario; a name is looked up exactly."""
    return find_file("scenario", name_or_path, SCENARIOS)


def from_folder(content: dict[str, Any], folder: Path) -> None:
    """Make relative paths of a scenario file start from its folder."""
    if folder == SCENARIOS:
        return
    for key in PATHS:
        table: Any = content
        *sections, last = key.split(".")
        for section in sections:
            table = table.get(section) if isinstance(table, dict) else None
        value = table.get(last) if isinstance(table, dict) else None
        if isinstance(value, str) and (
            last in ("graph", "file") or value.endswith((".toml", ".json"))
        ):
            table[last] = str(folder / value)
        if isinstance(value, str) and last == "checkpoint" and not is_shipped(value):
            table[last] = str(folder / value)


# --- error messages ------------------------------------------------------------------------------


def refuse_name(path: Path, content: dict[str, Any]) -> None:
    """A scenario has the name of its file."""
    if "name" in content:
        raise InputError(f"{path.name}: unknown key 'name'; the file name is the scenario's name")
