"""A recipe: how a model gets its weights, its ranks, and back its quality, in one TOML file.

Every key, with its default::

    title = ""                     # one line for lists
    seed = 0                       # of initial weights, order of data, everything random
    precision = "float32"          # of matrix products in training; or "bfloat16", faster for
                                   # some models (precision.py); scores are always in float32

    [model]
    weights = "minilm"             # trained weights by name or folder (weights.py) ...
    config = { model_type = "gpt2", ... }  # ... or else a configuration, to be trained from scratch
    initial = "random"             # ... from the library's random weights, or with attention like
                                   # trained attention's: "mimetic" (models/mimetic.py)
    frozen = []                    # patterns of parameters that no training changes

    [data]
    name = "glue/mrpc"             # a data set by name (datasets/)
    max_length = 128               # further keys: options of its task (tasks/)

    [train]                        # before compression
    epochs = 0
    batch = 16
    lr = 1e-4
    weight_decay = 0.01
    warmup = 0.1                   # share of steps
    optimiser = "adamw"            # or "muon", which learns faster from nothing (optimisers.py)
    patches = 0                    # of a picture, drawn anew each step; 0: all (patch_dropout.py)
    whole = 0.2                    # ... but for this share of the epochs, the last ones
    cutmix = 0.0                   # share of batches whose pictures are mixed (cutmix.py)

    [compress]
    method = "hard-threshold"      # floor(m n / (m + n)) ranks: as many values as the matrix
    # method = "tanh"              # learned thresholds: tanh, shrinkage, sigmoid (SoftLMs)
    # method = "uniform"           # not learned: uniform, energy, global; at uniform ranks also
    #                              # fwsvd, and by inputs of the training data asvd and svd-llm
    budget = 0.5                   # share of parameters kept; all methods but hard-threshold
    reading = "linears"            # of the blocks' linear weights; or "total", of all parameters
    round = 0                      # ranks to multiples of this before recovery (0: as they are)
    exclude = []                   # patterns of matrices left dense
    steps = 200                    # learned thresholds: most steps of phase 1 ...
    lr = 2e-5                      # ... rate of weights ...
    alpha_lr = 1e-2                # ... rate of thresholds ...
    strength = 1.0                 # ... weight of the regulariser beside the loss ...
    regulariser = "log"            # ... "log" (knows sizes) or "exp" ...
    floor = 1                      # ... fewest ranks of a matrix

    [recover]                      # after compression; keys and defaults as in [train], and
    epochs = 1
    lr = 2e-5

    [workload]                     # what the chip is given in studies: as in a scenario

Anything that is not allowed raises :class:`InputError`: one line with file, key, what is allowed
and what was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from hyflexsim.sim import toml_file
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario import overrides as changes
from hyflexsim.workloads.scenario.refusals import find_file, refusal
from hyflexsim.workloads.scenario.schema import Generate, Jets, Section, Seed, Text, Tokens, allows

RECIPES = Path(__file__).parents[1] / "recipes"
LEARNED = ("tanh", "shrinkage", "sigmoid")
ACTIVATION_AWARE = ("asvd", "svd-llm")
BASELINES = ("uniform", "energy", "global", "fwsvd", *ACTIVATION_AWARE)

Positive = Annotated[float, allows("a number above 0", gt=0)]
Share = Annotated[float, allows("a number above 0 and up to 1", gt=0, le=1)]
Whole = Annotated[int, allows("an integer from 0", ge=0)]
Natural = Annotated[int, allows("an integer from 1", ge=1)]


class Source(Section):
    """Where weights come from."""

    weights: Text | None = None
    frozen: Annotated[list[str], allows("a list of patterns")] = Field(default_factory=list)
    config: Annotated[dict[str, Any] | None, allows("a table with model_type")] = None
    initial: Annotated[Literal["random", "mimetic"], allows("random or mimetic")] = "random"

    @model_validator(mode="after")
    def _one_source(self) -> Source:
        if (self.weights is None) == (self.config is None):
            raise ValueError("model must have either weights or config")
        if self.weights is not None and self.initial != "random":
            raise ValueError("model.initial is for a model.config; model.weights are trained")
        return self


class Training(Section):
    """A fine-tuning, see :func:`hyflexsim.models.training.fine_tune`."""

    epochs: Whole = 0
    batch: Natural = 16
    lr: Positive = 1e-4
    weight_decay: Annotated[float, allows("a number from 0", ge=0)] = 0.01
    warmup: Annotated[float, allows("a number from 0 to 1", ge=0, le=1)] = 0.1
    optimiser: Annotated[Literal["adamw", "muon"], allows("adamw or muon")] = "adamw"
    patches: Whole = 0
    whole: Annotated[float, allows("a number from 0 to 1", ge=0, le=1)] = 0.2
    cutmix: Annotated[float, allows("a number from 0 to 1", ge=0, le=1)] = 0.0


class Recovery(Training):
    """The fine-tuning after compression."""

    epochs: Whole = 1
    lr: Positive = 2e-5


class Compress(Section):
    """How ranks are found."""

    method: Annotated[
        Literal[
            "hard-threshold",
            "tanh",
            "shrinkage",
            "sigmoid",
            "uniform",
            "energy",
            "global",
            "fwsvd",
            "asvd",
            "svd-llm",
        ],
        allows(f"hard-threshold, {', '.join((*LEARNED, *BASELINES))}"),
    ] = "hard-threshold"
    budget: Share = 0.5
    reading: Annotated[Literal["linears", "total"], allows("linears or total")] = "linears"
    round: Whole = 0
    exclude: Annotated[list[str], allows("a list of patterns")] = Field(default_factory=list)
    steps: Natural = 200
    lr: Positive = 2e-5
    alpha_lr: Positive = 1e-2
    strength: Positive = 1.0
    regulariser: Annotated[Literal["log", "exp"], allows("log or exp")] = "log"
    floor: Natural = 1

    def unused(self) -> list[str]:
        """Keys that the file gives and the method does not read.

        >>> Compress(method="hard-threshold", floor=9).unused()
        ['compress.floor']
        """
        read = {"method", "exclude"}
        if self.method != "hard-threshold":
            read |= {"budget", "reading", "round"}
        if self.method in LEARNED:
            read |= {"steps", "lr", "alpha_lr", "strength", "regulariser", "floor"}
        return sorted(f"compress.{key}" for key in self.model_fields_set - read)


class Recipe(Section):
    """One compression, complete."""

    name: str
    title: str = ""
    seed: Seed = 0
    precision: Annotated[Literal["float32", "bfloat16"], allows("float32 or bfloat16")] = "float32"
    model: Source
    data: dict[str, Any]
    train: Training = Training()
    compress: Compress = Compress()
    recover: Recovery = Recovery()
    workload: Annotated[Jets | Tokens | Generate, Field(discriminator="kind")] = Tokens()

    @classmethod
    def load(cls, name_or_path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
        """A recipe that comes with hyflexsim (see :func:`shipped`), or of a TOML file."""
        path = find_file("recipe", name_or_path, RECIPES)
        content = toml_file.read(path)
        changed = changes.put(content, overrides)
        return cls.of(path.stem, content, path.name, changed)

    @classmethod
    def of(
        cls, name: str, content: dict[str, Any], file: str, changed: Sequence[str] = ()
    ) -> Recipe:
        """A recipe from plain values; refusals name `file`, or --set for keys `changed` by it."""
        if not isinstance(content.get("data"), dict) or "name" not in content["data"]:
            raise InputError(f"{file}: data.name must be the name of a data set; got nothing")
        if "name" in content:
            raise InputError(f"{file}: unknown key 'name'; the file name is the recipe's name")
        try:
            return cls.model_validate({**content, "name": name})
        except ValidationError as error:
            raise refusal(cls, file, error, changed) from None

    def resolved(self) -> dict[str, Any]:
        """Everything as plain values, defaults filled in."""
        return self.model_dump(mode="json")


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with hyflexsim."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.toml")))
