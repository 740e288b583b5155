"""Several models on one chip, or behind one dispatcher: a scenario with a table for each.

Beside ``[chip]``, ``[faults]``, ``[host]``, ``[run]`` and ``[trace]``, which are those of any
scenario (scenario.py), it has for each model, with its defaults::

    [models.tagger]              # a name of your own
    pus = 6                      # PUs of the chips that are this model's, one model after the other
                                 # (default: all, where no other model is on these chips)
    chip = 0                     # of several chips behind the dispatcher, the one it is on (each of
                                 # chip.chips)
    model = { name = "part-full" }     # as in a scenario, and so are ...
    mapping = { copies = "fill" }
    workload = { kind = "jets", count = 200, arrivals = { kind = "poisson", rate_per_s = 1e5 } }

Models on one chip compute on PUs of their own and share what is not in a PU: the host's port, buses
between PUs, memories beside them. Each has its own queue at the host (``host.queue``), its own
room in the memory of results, and draws from a seed of its own: ``run.seed`` and its number. The
dispatcher sends a request by its model, to the chip that has it; ``host.replicas`` chips of each
kind, and ``host.dispatch`` among these. ``run.precision`` is that of each model's mean latency.

What is broken is so for all: a model works around what is broken of its PUs, and requests of those
models are lost whose PUs die. PUs are numbered through the chips behind the dispatcher, as in
components.parquet: the first of chip 1 comes after the last of chip 0.

A trace with a column of models gives each its rows: ``{ kind = "trace", file = "BurstGPT.csv",
model = "GPT-4" }``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from hyflexsim.sim import toml_file
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario import overrides as changes
from hyflexsim.workloads.scenario.experiment import Experiment
from hyflexsim.workloads.scenario.refusals import refusal
from hyflexsim.workloads.scenario.scenario import (
    SCENARIOS,
    Scenario,
    find,
    from_folder,
    refuse_name,
)
from hyflexsim.workloads.scenario.schema import (
    MOST_REQUESTS,
    Arrivals,
    AtOnce,
    Chip,
    Closed,
    Count,
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
    allows,
)


class Share(Section):
    """One of the models: what it is, where it lies, what is asked of it."""

    model: Model
    pus: Count | None = None
    chip: Annotated[int, allows("an integer from 0 to 1023", ge=0, le=1023)] = 0
    mapping: Placing = Placing()
    workload: Annotated[Jets | Tokens | Generate, Field(discriminator="kind")]


class Colocation(Experiment, Section):
    """One experiment with several models, complete."""

    name: str
    title: str = ""
    models: dict[str, Share]
    chip: Chip = Chip()
    faults: Faults = Faults()
    host: Host = Host()
    run: Run = Run()
    trace: Tracing = Tracing()

    @classmethod
    def load(
        cls, name_or_path: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()
    ) -> Colocation:
        """A scenario of several models, by name or of a TOML file, with overrides such as
        ``models.tagger.workload.count=20``.

        Raises :class:`InputError` as ``Scenario.load``.
        """
        path = find(name_or_path)
        content = toml_file.read(path)
        refuse_name(path, content)
        tables = _tables(path, content)
        pairs = overrides.items() if isinstance(overrides, Mapping) else changes.pairs(overrides)
        given = list(pairs)
        changed = _apply_to_models(tables, given)
        changed += changes.apply(content, dict(_others(given)))
        content["models"] = {
            name: _share(path, name, table, changed) for name, table in tables.items()
        }
        from_folder(content, path.parent)
        try:
            loaded = cls.model_validate({"name": path.stem, **content})
        except ValidationError as error:
            raise refusal(cls, path.name, error, changed) from None
        _check(path.name, loaded)
        return loaded

    @property
    def arrivals(self) -> list[Arrivals]:
        """How requests come, of each model."""
        return [share.workload.arrivals for share in self.models.values()]

    @property
    def sources(self) -> list[Model]:
        """Where its models come from."""
        return [share.model for share in self.models.values()]

    @property
    def scored(self) -> bool:
        """Values of checkpoints are not computed here."""
        return False

    def alone(self, name: str) -> Scenario:
        """The scenario of one model, as if it were alone on its PUs, with the seed it has here."""
        share, number = self.models[name], [*self.models].index(name)
        return Scenario(
            name=name,
            model=share.model,
            chip=self.chip,
            mapping=share.mapping,
            faults=self.faults,
            workload=share.workload,
            host=self.host,
            run=self.run.model_copy(update={"seed": self.run.seed + number}),
            trace=self.trace,
        )

    def machines(self) -> list[list[str]]:
        """Names of the models on each of the chips behind the dispatcher."""
        count = 1 + max(share.chip for share in self.models.values())
        return [[n for n, share in self.models.items() if share.chip == k] for k in range(count)]

    def shares(self, pus: int) -> dict[str, range]:
        """PUs of each model on its machine, which has so many ``pus``.

        Raises :class:`InputError` where they are too few.
        """
        shares: dict[str, range] = {}
        for number, names in enumerate(self.machines()):
            following = 0
            for name in names:
                size = self.models[name].pus or pus
                shares[name] = range(following, following + size)
                following += size
            if following > pus:
                raise InputError(
                    f"{self.name}: pus of models {', '.join(names)} must add up to at most {pus}, "
                    f"the PUs of chip {number}; got {following}"
                )
        return shares


def is_colocation(name_or_path: str | Path) -> bool:
    """Whether a scenario has several models."""
    return "models" in toml_file.read(find(name_or_path))


def load(
    name_or_path: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()
) -> Scenario | Colocation:
    """A scenario of one model or of several."""
    kind = Colocation if is_colocation(name_or_path) else Scenario
    return kind.load(name_or_path, overrides)


def _tables(path: Path, content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    models = content.get("models")
    if not isinstance(models, dict) or not models:
        raise InputError(f"{path.name}: models must be a table of models by name; got {models!r}")
    for name, table in models.items():
        if not isinstance(table, dict):
            raise InputError(f"{path.name}: models.{name} must be a table; got {table!r}")
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise InputError(
                f"{path.name}: names of models must be of letters, digits, -, _ and .; got {name!r}"
            )
    for section in ("model", "workload", "mapping"):
        if section in content:
            raise InputError(f"{path.name}: {section} must be in one of models.*, not beside them")
    return models


def _apply_to_models(tables: dict[str, dict[str, Any]], given: list[tuple[str, Any]]) -> list[str]:
    """Put changes of ``models.NAME.…`` in; return their keys."""
    changed = []
    for key, value in given:
        if not key.startswith("models."):
            continue
        name = next((n for n in tables if key.startswith(f"models.{n}.")), None)
        if name is None:
            raise InputError(f"--set: {key} must be of one of models {', '.join(tables)}")
        inner = key.removeprefix(f"models.{name}.")
        if inner in ("pus", "chip"):
            tables[name][inner] = value
        elif inner.partition(".")[0] in ("model", "mapping", "workload"):
            changes.apply(tables[name], {inner: value})
        else:
            raise InputError(
                f"--set: {key} must go on with pus, chip, model, mapping or workload; got {inner!r}"
            )
        changed.append(key)
    return changed


def _others(given: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((key, value) for key, value in given if not key.startswith("models."))


def _share(path: Path, name: str, table: dict[str, Any], changed: list[str]) -> Share:
    graph = table.get("model", {}).get("graph") if isinstance(table.get("model"), dict) else None
    if path.parent == SCENARIOS and isinstance(graph, str) and (SCENARIOS / graph).is_file():
        table["model"]["graph"] = str(SCENARIOS / graph)
    from_folder(table, path.parent)
    mine = [key.removeprefix(f"models.{name}.") for key in changed]
    try:
        return Share.model_validate({"workload": {}, "model": {}, **table})
    except ValidationError as error:
        raise refusal(Share, f"{path.name} models.{name}", error, mine) from None


def _check(file: str, loaded: Colocation) -> None:
    """What only all models together can be wrong with."""
    for number, names in enumerate(loaded.machines()):
        if not names:
            raise InputError(f"{file}: chip {number} must have a model, since a later one has")
        for name in names:
            if loaded.models[name].pus is None and len(names) > 1:
                raise InputError(
                    f"{file}: models.{name}.pus must be an integer from 1 to {MOST_REQUESTS}, as "
                    f"{' and '.join(names)} are on one chip; got nothing"
                )
    if len(loaded.models) > 1 and any(isinstance(each, Closed) for each in loaded.arrivals):
        raise InputError(
            f"{file}: arrivals of kind closed go with one model alone, since clients send the next "
            "request there is; got several models"
        )
    if loaded.run.precision is not None:
        for name, share in loaded.models.items():
            if isinstance(share.workload.arrivals, AtOnce):
                raise InputError(
                    f"{file}: run.precision must go with models.{name}.workload.arrivals that are "
                    "not at-once"
                )
