"""A sweep in one TOML file: a scenario, the keys that vary, and how points are chosen.

Every key::

    title = "Converters and single-level cells"  # one line for pictures (default: the file's name)
    scenario = "part-jets"       # name or path, as of hyflexsim run

    [set]                        # what differs from the scenario in every point (default: nothing)
    workload.count = 20

    [vary]                       # any key of a scenario or parameter of the chip, as with --set
    adc.slc_bits = [4, 5, 6]                                # a list
    mapping.slc_rate = { from = 0.0, to = 1.0, steps = 5 }  # a range
    analog.read_cycle = { from = "50 ns", to = "200 ns", steps = 4, log = true }

    [design]
    kind = "grid"                # all combinations (default)
    # kind = "random"            # ... independent points
    # kind = "latin"             # ... a Latin hypercube
    # kind = "optuna"            # ... proposed one after the other: hyflexsim[search]
    # points = 100               # of random, latin, optuna
    # seed = 0

    [objectives]                 # answers that are to be small or large; optuna aims at them, the
    "latency_ps.p99" = "min"     # Pareto picture shows them (default: these two)
    energy_per_request_pj = "min"

    answers = [...]              # at the top: columns of the table (default: answers.py)

Ranges: ``axes.py``; names of answers: ``answers.py``. A path in the file starts from its folder.
Anything that is not allowed raises InputError: one line with file, key, what is allowed, what was
given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ValidationError

from hyflexsim.sim import toml_file
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.checkpoints import is_shipped
from hyflexsim.workloads.scenario.refusals import find_file, refusal
from hyflexsim.workloads.scenario.scenario import PATHS
from hyflexsim.workloads.scenario.schema import Section, Seed, Text, allows
from hyflexsim.workloads.sweeping import designs
from hyflexsim.workloads.sweeping.answers import STANDARD
from hyflexsim.workloads.sweeping.axes import Axis, axis, is_range
from hyflexsim.workloads.sweeping.designs import MOST_POINTS, Settings

SWEEPS = Path(__file__).parents[1] / "sweeps"
OBJECTIVES = {"latency_ps.p99": "min", "energy_per_request_pj": "min"}
_BARE = re.compile(r"[A-Za-z0-9_.-]+")


class Design(Section):
    """How points are chosen."""

    kind: Annotated[
        Literal["grid", "random", "latin", "optuna"], allows("grid, random, latin or optuna")
    ] = "grid"
    points: Annotated[
        int | None, allows(f"an integer from 1 to {MOST_POINTS}", ge=1, le=MOST_POINTS)
    ] = None
    seed: Seed = 0


class SweepFile(Section):
    """The tables of a sweep's file."""

    title: Text | None = None
    scenario: Text
    set: Annotated[dict[str, Any], allows("a table of keys and values", default_factory=dict)]
    vary: Annotated[dict[str, Any], allows("a table of keys, with lists or ranges")]
    design: Design = Design()
    objectives: Annotated[
        dict[str, Any], allows("a table of answers, min or max", default_factory=dict)
    ]
    answers: Annotated[list[Text] | None, allows("a list of answers", min_length=1)] = None


class Sweep(NamedTuple):
    """A sweep as it is run: ``common`` are the settings of every point, the scenario among them."""

    name: str
    title: str
    common: Settings
    axes: tuple[Axis, ...]
    design: Design
    objectives: Mapping[str, str]
    answers: tuple[str, ...]

    @classmethod
    def load(cls, name_or_path: str | Path) -> Sweep:
        """The sweep of a file, or one that comes with hyflexsim (:func:`shipped`)."""
        path = find_file("sweep", name_or_path, SWEEPS)
        return cls.of(toml_file.read(path), path.stem, path.name, path.parent)

    @classmethod
    def of(
        cls,
        content: Mapping[str, Any],
        name: str = "sweep",
        source: str = "sweep",
        folder: Path | None = None,
    ) -> Sweep:
        """The sweep of what stands in a file, or of the same as Python values.

        `source`: how errors call it. `folder`: where its paths start from.

        >>> vary = {"adc.slc_bits": [5, 6], "mapping": {"slc_rate": {"from": 0, "to": 1.0}}}
        >>> design = {"kind": "latin", "points": 8}
        >>> sweep = Sweep.of({"scenario": "part-jets", "vary": vary, "design": design})
        >>> [axis.key for axis in sweep.axes], len(sweep.points())
        (['adc.slc_bits', 'mapping.slc_rate'], 8)
        """
        try:
            file = SweepFile.model_validate({**content})
        except ValidationError as error:
            raise refusal(SweepFile, source, error) from None
        vary = dict(_dotted(source, "vary", file.vary))
        if not vary:
            raise InputError(f"{source}: vary must have a key at least; got an empty table")
        axes = tuple(axis(source, key, given) for key, given in vary.items())
        common = dict(_dotted(source, "set", file.set))
        twice = next((key for key in common if key in vary), None)
        if twice is not None:
            raise InputError(f"{source}: {twice} must be in one of set and vary; it is in both")
        base = (Path() if folder is None or folder == SWEEPS else folder).absolute()
        common = {key: _path(base, key, value) for key, value in common.items()}
        axes = tuple(
            each._replace(choices=[_path(base, each.key, value) for value in each.choices])
            if each.key in PATHS and each.choices is not None
            else each
            for each in axes
        )
        objectives = _objectives(source, file.objectives) or OBJECTIVES
        answers = dict.fromkeys((*(file.answers or STANDARD), *objectives))
        _check_design(source, file.design, axes)
        return cls(
            name,
            file.title or name,
            {"scenario": _path(base, "scenario", file.scenario), **common},
            axes,
            file.design,
            objectives,
            tuple(answers),
        )

    def points(self) -> list[Settings]:
        """What varies, point by point; not of optuna, which proposes them one by one."""
        count, seed = self.design.points or 0, self.design.seed
        if self.design.kind == "grid":
            return designs.grid(self.axes)
        if self.design.kind == "random":
            return designs.random(self.axes, count, seed)
        return designs.latin(self.axes, count, seed)


def shipped() -> tuple[str, ...]:
    """Names of the sweeps that come with hyflexsim.

    >>> "latency-area" in shipped()
    True
    """
    return tuple(sorted(path.stem for path in SWEEPS.glob("*.toml")))


def _check_design(source: str, design: Design, axes: tuple[Axis, ...]) -> None:
    if design.kind == "grid":
        if design.points is not None:
            raise InputError(
                f"{source}: design.points goes with random, latin or optuna; got {design.points}"
            )
        designs.check_grid(source, axes)
    elif design.points is None:
        raise InputError(f"{source}: design.points must be given for {design.kind}; got nothing")


def _objectives(source: str, given: Mapping[str, Any]) -> dict[str, str]:
    found = dict(_dotted(source, "objectives", given))
    for name, aim in found.items():
        if aim not in ("min", "max"):
            raise InputError(f"{source}: objectives.{name} must be min or max; got {aim!r}")
    return found


def _dotted(
    source: str, where: str, table: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Keys with dots, whether they were written so or as tables; patterns in quotes."""
    for part, value in table.items():
        key = prefix + (part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False))
        if isinstance(value, Mapping) and not (where == "vary" and is_range(value)):
            yield from _dotted(source, where, value, f"{key}.")
        else:
            _check_plain(source, f"{where}.{key}", value)
            yield key, value


def _path(base: Path, key: str, value: Any) -> Any:
    """A value that names a file, from the folder of the sweep; workers may be in another."""
    if key not in (*PATHS, "scenario") or not isinstance(value, str):
        return value
    always = key.endswith((".graph", ".file"))
    checkpoint = key.endswith(".checkpoint") and not is_shipped(value)
    names = always or checkpoint or value.endswith((".toml", ".json"))
    return str(base / value) if names else value


def _check_plain(source: str, key: str, value: Any) -> None:
    """Only what JSON has, too: points travel and are kept as such."""
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, list | tuple | Mapping):
        for each in inner:
            _check_plain(source, key, each)
    elif not isinstance(value, str | int | float):
        raise InputError(
            f"{source}: {key} must be a number, a text, true, false, or lists and tables of such; "
            f"got {value!r}"
        )
