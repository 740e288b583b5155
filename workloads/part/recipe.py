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

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from hyflexsim.models import schedules
from hyflexsim.sim import toml_file
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.sample import LABELS

SHIPPED = ("part-small", "part-small-best", "part-small-long", "part-full")


class PartRecipe(BaseModel):
    """One training, fully determined with the jets it is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "part-small"
    classes: tuple[str, ...] = LABELS
    particles: int = Field(64, ge=1, le=128)
    steps: int = Field(1000, ge=1)
    batch: int = Field(128, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)  # share of the steps
    schedule: schedules.Name = "linear"
    cycle: int | None = Field(None, ge=1, validate_default=True)  # steps; of the schedule restarts
    optimiser: Literal["adamw", "lookahead-radam"] = "adamw"
    shape: dict[str, Any] = Field(default_factory=dict)
    dropout: float = Field(0.0, ge=0, lt=1)  # of particle blocks; the published models take 0.1
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mirror: bool = True  # reflect half of the jets, drawn anew at each step
    seed: int = Field(1, ge=0, lt=2**31)
    train_jets: int | None = Field(None, ge=1)
    top_k: int | None = Field(None, ge=1)
    entropy_penalty: float = Field(0.0, ge=0)  # on the mean entropy of attention rows, per nat
    distil: float = Field(0.7, gt=0, le=1)  # of a teacher's answers, where there is one
    validation: float = Field(0.1, gt=0, lt=0.5)
    test: float = Field(0.1, gt=0, lt=0.5)
    watch_every: int = Field(50, ge=1)  # steps between looks at validation jets
    snapshots: tuple[int, ...] = ()  # steps after which a model is kept: model-00500.safetensors

    @field_validator("classes")
    @classmethod
    def _known(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [n for n in classes if n not in LABELS or classes.count(n) > 1]
        if wrong or len(classes) < 2:
            raise ValueError(
                f"must be at least two of {', '.join(LABELS)}, each once; "
                f"got {wrong[0] if wrong else ', '.join(classes)!r}"
            )
        return classes

    @field_validator("cycle")
    @classmethod
    def _of_restarts(cls, cycle: int | None, info: ValidationInfo) -> int | None:
        if cycle is None and info.data.get("schedule") == "restarts":
            raise ValueError("schedule restarts needs one")
        return cycle

    @classmethod
    def load(cls, recipe: str | Path | None, changes: dict[str, Any] | None = None) -> Self:
        """A shipped recipe by name, a TOML file, or the defaults; `changes` go over it.

        >>> PartRecipe.load("part-small").model
        'part-small'
        """
        given: dict[str, Any] = {}
        if recipe is not None:
            given = _read(str(recipe))
        given |= {key: value for key, value in (changes or {}).items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise InputError(f"{recipe or 'recipe'}: {key}: {message}; {_got(first)}") from None


def _got(error: Any) -> str:
    return f"got {error['input']!r}"


def _read(recipe: str) -> dict[str, Any]:
    path = Path(recipe)
    if recipe in SHIPPED:
        text = (resources.files("hyflexsim.workloads.data") / f"{recipe}.toml").read_text("utf-8")
    elif path.suffix == ".toml" and path.is_file():
        return toml_file.read(path, recipe)
    else:
        raise InputError(
            f"{recipe}: no such recipe; name one of {', '.join(SHIPPED)} or a .toml file"
        )
    return tomllib.loads(text)
