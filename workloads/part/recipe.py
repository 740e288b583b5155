"""Recipes of `hyflexsim train-part`: a TOML file that says how a ParT is trained.

Keys, with defaults in :class:`PartRecipe`::

    model = "part-small"        # a name of PART_CONFIGS
    classes = ["QCD", "Tbqq"]   # in the order of the logits
    particles = 64              # leading particles read, 1 ... 128
    steps, batch, learning_rate, weight_decay, warmup, dropout, mirror, seed
    schedule = "constant"       # of the rate: models/schedules.py; cycle: steps between restarts
    optimiser = "lookahead-radam"   # the paper's; left out: AdamW
    shape = { num_layers = 2 }  # arguments of ParticleTransformer that differ from the model's
    train_jets = 2000           # of each class; left out: all
    top_k = 8                   # keys a query keeps in the particle blocks; left out: all
    distil = 0.7                # share of a teacher's answers in the targets (--teacher)

Recipes that come with the package: part-small, part-small-best, part-small-long, part-full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ValidationError, ValidationInfo, field_validator

from hyflexsim.models import schedules
from hyflexsim.sim import toml_file
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.sample import LABELS
from hyflexsim.workloads.scenario import overrides
from hyflexsim.workloads.scenario.refusals import refusal
from hyflexsim.workloads.scenario.schema import Section, Text, allows

DATA = Path(__file__).parents[1] / "data"
SHIPPED = ("part-small", "part-small-best", "part-small-long", "part-full")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Natural = Annotated[int, allows("an integer from 1", ge=1)]
Above = Annotated[float, allows("a number above 0", gt=0)]
From = Annotated[float, allows("a number from 0", ge=0)]
Below = Annotated[float, allows("a number from 0 and below 1", ge=0, lt=1)]
Held = Annotated[float, allows("a number above 0 and below 0.5", gt=0, lt=0.5)]
Classes = Annotated[
    tuple[str, ...],
    BeforeValidator(_tuple),
    allows(f"at least two of {', '.join(LABELS)}, each once"),
]


class PartRecipe(Section):
    """One training, fully determined with the jets it is given."""

    model: Text = "part-small"
    classes: Classes = LABELS
    particles: Annotated[int, allows("an integer from 1 to 128", ge=1, le=128)] = 64
    steps: Natural = 1000
    batch: Annotated[int, allows("an integer from 2", ge=2)] = 128
    learning_rate: Above = 2e-3
    weight_decay: From = 0.01
    warmup: Below = 0.05  # share of the steps
    schedule: Annotated[
        schedules.Name, allows("linear, constant, cosine, restarts or flat-decay")
    ] = "linear"
    cycle: Annotated[
        int | None,
        allows(
            "an integer from 1, the steps of the schedule restarts", ge=1, validate_default=True
        ),
    ] = None
    optimiser: Annotated[
        Literal["adamw", "lookahead-radam"], allows("adamw or lookahead-radam")
    ] = "adamw"
    shape: Annotated[dict[str, Any], allows("a table", default_factory=dict)]
    dropout: Below = 0.0  # of particle blocks; the published models take 0.1
    label_smoothing: Below = 0.0
    mirror: Annotated[bool, allows("true or false")] = True  # half of the jets, drawn at each step
    seed: Annotated[int, allows(f"an integer from 0 to {2**31 - 1}", ge=0, lt=2**31)] = 1
    train_jets: Annotated[int | None, allows("an integer from 1", ge=1)] = None
    top_k: Annotated[int | None, allows("an integer from 1", ge=1)] = None
    entropy_penalty: From = 0.0  # on the mean entropy of attention rows, per nat
    distil: Annotated[float, allows("a number above 0 and up to 1", gt=0, le=1)] = 0.7
    validation: Held = 0.1
    test: Held = 0.1
    watch_every: Natural = 50  # steps between looks at validation jets
    snapshots: Annotated[
        tuple[int, ...], BeforeValidator(_tuple), allows("a list of steps")
    ] = ()  # after which a model is kept: model-00500.safetensors

    @field_validator("classes")
    @classmethod
    def _known(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(classes) < 2 or len(set(classes)) < len(classes) or set(classes) - set(LABELS):
            raise ValueError
        return classes

    @field_validator("cycle")
    @classmethod
    def _of_restarts(cls, cycle: int | None, info: ValidationInfo) -> int | None:
        if cycle is None and info.data.get("schedule") == "restarts":
            raise ValueError
        return cycle

    @classmethod
    def load(
        cls, recipe: str | Path | None, changes: Iterable[str] | Mapping[str, Any] = ()
    ) -> Self:
        """A shipped recipe by name, a TOML file, or the defaults.

        `changes` go over it: values by dotted key, or texts ``key=value``.

        >>> PartRecipe.load("part-small", ["steps=7"]).steps
        7
        """
        given: dict[str, Any] = {} if recipe is None else _read(str(recipe))
        changed = overrides.put(given, changes)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise refusal(cls, str(recipe or "recipe"), error, changed) from None


def _read(recipe: str) -> dict[str, Any]:
    path = Path(recipe)
    if recipe in SHIPPED:
        path = DATA / f"{recipe}.toml"
    elif path.suffix != ".toml" or not path.is_file():
        raise InputError(
            f"{recipe}: no such recipe; name one of {', '.join(SHIPPED)} or a .toml file"
        )
    return toml_file.read(path, recipe)
