"""What runs of one model and of several have in common: a chip, a host, how they are simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyflexsim.sim.chip import measure
from hyflexsim.sim.chip.chip import Chip as Machine
from hyflexsim.sim.engine.trace import Keep
from hyflexsim.sim.placement import faults as placed_faults
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.scenario.schema import (
    MOST_REQUESTS,
    Arrivals,
    Chip,
    Faults,
    Host,
    Model,
    Run,
    Tracing,
)


class Experiment:
    """What a run reads of a scenario, whatever runs in it."""

    if TYPE_CHECKING:
        name: str
        chip: Chip
        faults: Faults
        host: Host
        run: Run
        trace: Tracing

        def model_dump(self, **options: Any) -> dict[str, Any]:
            """Everything as plain values."""

    @property
    def arrivals(self) -> list[Arrivals]:
        """How requests come, of each model."""
        raise NotImplementedError

    @property
    def sources(self) -> list[Model]:
        """What runs."""
        raise NotImplementedError

    @property
    def scored(self) -> bool:
        """Whether there is a checkpoint, whose values count."""
        raise NotImplementedError

    def hardware(self) -> Machine:
        """The chip with its overrides. Raises InputError, by the scenario, where it is none."""
        return load_chip(self.chip.preset, self.chip.set, source=f"{self.name}: chip.set")

    def broken(self) -> placed_faults.Faults:
        """What of the machine is broken, as the placer wants it."""
        given = self.faults
        return placed_faults.Faults(
            **given.model_dump(exclude={"names", "deaths"}),
            names=tuple(given.names),
            deaths={pu: int(measure.read(at, "ps")) for pu, at in given.deaths.items()},
        )

    def deadline_ps(self) -> int | None:
        """The deadline of answers, from arrival."""
        text = self.host.deadline
        return None if text is None else int(measure.read(text, "ps"))

    def keep(self) -> Keep:
        """The part of the trace to keep, as the engines want it."""
        trace = self.trace
        requests = None
        if trace.first or trace.stop is not None:
            requests = (trace.first, MOST_REQUESTS if trace.stop is None else trace.stop)
        return Keep(
            components=tuple(trace.components),
            layers=tuple(trace.layers),
            requests=requests,
            every=trace.every,
            memory=trace.memory_mb * 2**20,
        )

    def resolved(self) -> dict[str, Any]:
        """Everything as plain values, defaults filled in."""
        return self.model_dump(mode="json")
