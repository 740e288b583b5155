"""A run that also says how right its model is: the way in for users.

:func:`~hyflexsim.workloads.run.run.simulate` asks the simulator how long and how much. Here it is
given a judge beside, which scores a scenario's checkpoint on the cells of the same placement.
"""

from __future__ import annotations

from pathlib import Path

import networkx as nx

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine import engines
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run import colocated, run
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.checkpoints import find_checkpoint, is_scored
from hyflexsim.workloads.scenario.colocation import Colocation, load
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.terminal import Say


def placed_graph(scenario: Scenario) -> nx.DiGraph | None:
    """The graph of a scenario's checkpoint with what its ranks are worth, so that the placement
    can protect the right ones; None for a model without such a checkpoint, which has no such order.
    """
    if not _scored(scenario):
        return None
    from hyflexsim.workloads.compression.accuracy_of_run import Judged  # noqa: PLC0415 (torch)

    return Judged(scenario).graph()


def check(scenario: Scenario | Colocation) -> Prepared:
    """Everything that :func:`simulate` reads and decides before the first event, and its refusals:
    the checkpoint with its weights, the noises it is scored with, what the trace keeps.
    """
    if isinstance(scenario, Colocation):
        joined = colocated.prepare(scenario).joined
        run.checked_keep(scenario, joined)
        return joined
    ready = prepare(scenario, placed_graph(scenario))
    if _scored(scenario):
        from hyflexsim.workloads.compression.accuracy_of_run import check_noises  # noqa: PLC0415

        check_noises(scenario, ready.chip)
    run.checked_keep(scenario, ready)
    return ready


def simulate(
    scenario: Scenario | Colocation | str | Path,
    *,
    graph: nx.DiGraph | None = None,
    progress: Say | None = None,
    servers: engines.Servers | None = None,
    chip: Chip | None = None,
    folder: Path | None = None,
    kept: Kept | None = None,
    values: bool = False,
) -> run.Result:
    """Run a scenario (or the one of that name or path), of one model or of several.

    ``graph``: runs instead of the scenario's model; it, ``chip`` and ``servers`` go with one
    model. ``progress`` is called with (what is being done, requests finished, requests in all).
    ``chip``: instead of the scenario's, such as one with kinds of units of your own
    (:func:`~hyflexsim.sim.units.catalogue.load_chip`). ``servers``: components written in Python,
    by kind (:func:`hyflexsim.sim.engine.engine.play`). ``folder``: where the trace is written
    meanwhile, for :meth:`Result.fill`. ``kept``: graphs, checkpoints and plans of earlier runs,
    which are used again where a run would make the same. ``values``: whether the run is executed in
    numbers, too (:func:`hyflexsim.workloads.values.execute`), so that settings of these act.

    A note names settings of the scenario that have changed nothing, unless ``graph``, ``chip`` or
    ``kept`` says that this run is one of many or of something else.

    Raises :class:`~hyflexsim.sim.errors.InputError` for what the user has to mend, and
    :class:`~hyflexsim.sim.errors.DeadlockError` when tokens stop moving.
    """
    if not isinstance(scenario, Scenario | Colocation):
        scenario = load(scenario)
    if isinstance(scenario, Colocation):
        if graph is not None or chip is not None or servers is not None:
            raise InputError(
                f"{scenario.name} has several models: graph, chip and servers go with one"
            )
        return colocated.simulate(scenario, progress=progress, folder=folder, kept=kept)
    judge: run.Judge | None = None
    explain = graph is None and chip is None and kept is None
    if _scored(scenario):
        from hyflexsim.workloads.compression.accuracy_of_run import (  # noqa: PLC0415 (torch)
            Judged,
            check_noises,
        )

        check_noises(scenario, chip or scenario.hardware())  # before an hour of simulation
        kept = kept or Kept()
        key = (scenario.model.checkpoint, scenario.accuracy.select)
        judged = kept.once("checkpoint", key, lambda: Judged(scenario))
        if graph is None:
            graph = kept.once("judged graph", key, judged.graph)
        judge = judged.score
    return run.simulate(
        scenario,
        graph=graph,
        progress=progress,
        servers=servers,
        chip=chip,
        judge=judge,
        folder=folder,
        kept=kept,
        explain=explain,
        values=values,
    )


def _scored(scenario: Scenario) -> bool:
    """Whether its model is a checkpoint with scores; one of weights alone has ranks and no more."""
    name = scenario.model.checkpoint
    return name is not None and is_scored(find_checkpoint(name))
