"""A scenario in numbers: reference and execution side by side, and the table of how they agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import networkx as nx
import torch
from torch import Tensor

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.cells import Array
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.routing import with_routes
from hyflexsim.workloads.run.prepare import Prepared, plan_of, prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Generate, Tokens
from hyflexsim.workloads.terminal import Say
from hyflexsim.workloads.values.arrays import Factor, arrays_of, lay_out
from hyflexsim.workloads.values.attention import attentions, per_head
from hyflexsim.workloads.values.cells import ModelCells
from hyflexsim.workloads.values.execution import Execution
from hyflexsim.workloads.values.experts import expert_of
from hyflexsim.workloads.values.keeping import Choice
from hyflexsim.workloads.values.matrices import Matrix, matrix_of
from hyflexsim.workloads.values.program import Program
from hyflexsim.workloads.values.reference import Reference
from hyflexsim.workloads.values.results import Results, Row, added, compare, save
from hyflexsim.workloads.values.sight import Machine
from hyflexsim.workloads.values.subject import Inputs, Subject, open_subject
from hyflexsim.workloads.values.widths import Widths, widths_of

Cells = Literal["ideal", "converters", "noise"]
"""``ideal``: the reference multiplies integers exactly, converters lose nothing. ``converters``:
the chip's, held to models/cells. ``noise``: these and errors of cells and converters, drawn
from the run's seed, and what the scenario says is broken.
"""

Routes = dict[str, list[list[int]]]
"""By layer, the experts of each token."""

Layouts = dict[str, dict[str, Factor]]
"""By op, its factors in arrays."""

REQUESTS = 5
"""Requests that are executed, if a scenario has more."""


@dataclass(frozen=True)
class Executed:
    """How a plan's numbers agree with the quantised model's.

    ``rows``: by op and what of it, over all requests. ``requests``: how many, ``tokens`` in all.
    ``output_error``: largest difference of the outputs between the quantised model and the model in
    floating point. ``stuck``: the first step that some token never reached. ``seconds`` by phase.
    ``routes``: of each request, by layer with experts, those of each token as the router chose.
    """

    rows: list[Row]
    requests: int
    tokens: int
    output_error: float
    stuck: str
    seconds: dict[str, float]
    notes: list[str]
    routes: list[Routes]

    @property
    def elements(self) -> int:
        """Numbers compared."""
        return sum(row.elements for row in self.rows)

    @property
    def equal(self) -> int:
        """Of these, how many agree bit for bit."""
        return sum(row.equal for row in self.rows)

    def unequal(self) -> list[Row]:
        """Rows that do not agree altogether, in the order of the model."""
        return [row for row in self.rows if row.equal != row.elements]

    def by_op(self) -> list[Row]:
        """One row an op, whatever of it was compared."""
        return added(row._replace(what="") for row in self.rows)

    def summary(self) -> str:
        """One line."""
        what = "all equal" if self.equal == self.elements else f"{self.equal:,} equal"
        stuck = f"; tokens are stuck before {self.stuck}" if self.stuck else ""
        return (
            f"values: {self.elements:,} numbers of {len({row.op for row in self.rows})} ops, "
            f"{self.requests} requests, {self.tokens} tokens: {what}{stuck}"
        )

    def save(self, folder: Path) -> None:
        """Write values.parquet: op, what, elements, equal, largest_difference."""
        save(folder, {key: [getattr(row, key) for row in self.rows] for key in Row._fields})


def _one_chip(scenario: Scenario) -> Scenario:
    """The scenario without replicas behind a dispatcher, which all compute alike."""
    host = scenario.host.model_copy(update={"replicas": 1})
    return scenario.model_copy(update={"host": host})


def execute(
    scenario: Scenario | str | Path,
    *,
    cells: Cells | str = "ideal",
    requests: int = REQUESTS,
    ready: Prepared | None = None,
    progress: Say | None = None,
) -> Executed:
    """Play a scenario's plan in numbers and hold each op to the quantised torch model.

    ``cells``: see :data:`Cells`. ``requests``: at most so many of the scenario's. ``ready``: a plan
    and placement instead of the scenario's own. Raises InputError for what the scenario lacks
    (weights, data), for conversations whose turns begin with what was kept, for a chip whose
    numbers have no meaning here, and for a step that has none.

    >>> done = execute("hybrid-jets", requests=1)
    >>> print(done.summary())
    values: 552,125 numbers of 115 ops, 1 requests, 34 tokens: all equal
    >>> done.rows[-1]._replace(op="the last op")
    Row(op='the last op', what='values', elements=5, equal=5, largest_difference=0.0)
    """
    if cells not in get_args(Cells):
        raise InputError(f"cells must be one of {', '.join(get_args(Cells))}; got {cells!r}")
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    with torch.no_grad():
        return Sides(scenario, cells, requests, ready, progress).run()


class Sides:
    """A scenario's model and data, opened once; :meth:`run` plays a plan as often as wanted.

    ``choice``: which keys both sides keep, None: all.
    """

    def __init__(
        self,
        scenario: Scenario,
        cells: str = "ideal",
        requests: int = REQUESTS,
        ready: Prepared | None = None,
        progress: Say | None = None,
        choice: Choice | None = None,
    ):
        self.scenario, self.cells, self.choice = scenario, cells, choice
        self.arrays: Mapping[str, Sequence[Array]] = {}
        self.seconds: dict[str, float] = {}
        self.say = progress or (lambda what, done, total: None)
        self.ready = prepare(_one_chip(scenario)) if ready is None else ready
        if any(request.keeps for request in self.ready.requests):
            raise InputError(
                "values are of requests that compute all of their tokens: host.sessions must be "
                "forgotten; got 'kept'"
            )
        self.widths: Widths = widths_of(self.ready.chip)
        self.say("reading weights and data", 0, 0)
        with self._timed("open"):
            self.subject: Subject = open_subject(
                scenario, self.ready.requests, self.ready.graph, requests
            )
        self.program: Program = self.subject.program

    def run(
        self,
        arrays: Mapping[str, Sequence[Array]] | None = None,
        plan: Plan | None = None,
        change: Callable[[Layouts], Layouts] | None = None,
    ) -> Executed:
        """Both sides and how they agree; with another plan, other arrays or other cells."""
        self.arrays = arrays or {}
        with self._timed("write"):
            matrices = self._matrices()
            models = self._model_cells(matrices)
            layouts = {name: self._lay_out(name, m, models) for name, m in matrices.items()}
            layouts = layouts if change is None else change(layouts)
        rows: list[Row] = []
        tokens, error, stuck = 0, 0.0, ""
        routes: list[Routes] = []
        multiply = None if models is None else models.multiply
        total = len(self.subject.inputs)
        for i, inputs in enumerate(self.subject.inputs):
            self.say("computing values", i, total)
            request = self.ready.requests[i]
            with self._timed("reference"):
                made, scales, apart = self._reference(inputs, request.prefill, matrices, multiply)
            routes.append(made.routes())
            played = self._planned(routes[-1]) if plan is None else plan
            machine = Machine(
                self.ready.chip, played, self.program, matrices, layouts, scales, self.choice
            )
            with self._timed("execution"):
                self.program.start(inputs)
                execution = Execution(machine, request.tokens, request.prefill)
                got = execution.run()
                stuck = stuck or execution.stuck
            prompt = execution.sight.waits.prefill
            rows += compare(
                self._asked(made.results, prompt), self._asked(got, prompt), self._tolerance()
            )
            tokens, error = tokens + request.tokens, max(error, apart)
        return Executed(
            rows=added(rows),
            requests=total,
            tokens=tokens,
            output_error=error,
            stuck=stuck,
            seconds=self.seconds,
            notes=self._notes(any(routes)),
            routes=routes,
        )

    # --- the two sides -----------------------------------------------------------------------

    def _matrices(self) -> dict[str, Matrix]:
        return {
            name: matrix_of(self.program, name, self.widths.weights, self.subject.factors)
            for name, kind in self.program.graph.nodes(data="kind")
            if kind == "gemv"
        }

    def _model_cells(self, matrices: dict[str, Matrix]) -> ModelCells | None:
        if self.cells == "ideal":
            return None
        seed = self.scenario.run.seed if self.cells == "noise" else None
        prefix = self.ready.graph.graph["prefix"]
        return ModelCells(self.ready.placement, matrices, prefix, seed)

    def _lay_out(self, name: str, matrix: Matrix, models: ModelCells | None) -> Any:
        placement = self.ready.placement
        held = self.arrays.get(name) or arrays_of(placement, name)
        return lay_out(
            placement,
            name,
            [codes.numpy() for codes in matrix.codes],
            held,
            exact=models is None,
            cells=models.cells(name) if models is not None and self.cells == "noise" else None,
        )

    def _planned(self, routes: Routes) -> Plan:
        """The scenario's plan; where there are experts, they take the tokens of their router."""
        if not routes:
            return self.ready.plan
        graph = with_routes(self.ready.graph, tables=routes)
        return plan_of(_one_chip(self.scenario), graph, self.ready.placement)

    def _reference(
        self, inputs: Inputs, prefill: int | None, matrices: dict[str, Matrix], multiply: Any
    ) -> tuple[Reference, dict[str, Tensor], float]:
        """The quantised model with its results, scales of values, and how far its output is from
        that in floating point.
        """
        known = dict(inputs)
        first = prefill if isinstance(self.scenario.workload, Generate) else None
        scales: dict[str, Tensor] = {}
        while True:
            self.program.start(known)
            plain = Reference(self.program, matrices, None)
            exact = plain.run()["output", "values"]
            scales = scales or self._value_scales(plain, prefill)
            made = Reference(self.program, matrices, self.widths, scales, multiply, self.choice)
            output = made.run()["output", "values"]
            if first is None or first >= self.program.tokens:
                finite = (output - exact).abs()
                return made, scales, float(finite.max())
            name = next(key for key in known if key not in self.program.sources)
            ids = known[name].clone()
            ids[0, first] = output[first - 1].argmax()
            known[name] = ids
            first += 1

    def _value_scales(self, plain: Reference, prefill: int | None) -> dict[str, Tensor]:
        """One scale a head of V, from those of the prompt that the model has in floating point."""
        top = 2 ** ((self.widths.values or 8) - 1) - 1
        scales = {}
        for name, a in attentions(self.program).items():
            if name == a.pv:
                heads = int(a.operands[0].meta["val"].shape[1])
                values = per_head(plain.tensor(a.operands[2]), heads)
                largest = values[:, :prefill].float().abs().amax((1, 2)) / top
                scales[name] = torch.where(largest == 0, torch.ones_like(largest), largest).double()
        return scales

    def _asked(self, results: Results, prompt: int) -> Results:
        """Without what nobody asked for: scores of tokens before the last one of the prompt."""
        workload = self.scenario.workload
        last = isinstance(workload, Generate) or (
            isinstance(workload, Tokens) and workload.logits == "last"
        )
        graph: nx.DiGraph = self.ready.graph
        marked = {name for name, head in graph.nodes(data="head") if head} if last else set()
        heads = marked.union(*(nx.descendants(graph, name) for name in marked))
        heads = {n for n in heads if graph.nodes[n]["axis"] == "sequence"}
        heads -= {n for n, k in graph.nodes(data="kind") if k == "input"}
        return {
            key: values[prompt - 1 :] if key[0] in heads else self._sent(key[0], values)
            for key, values in results.items()
            if key[1] != "between"
        }

    def _sent(self, name: str, values: Tensor) -> Tensor:
        """Tokens that nobody sent to an expert are no numbers: -inf, as keys not looked at."""
        if expert_of(self.program, name) is None:
            return values
        return values.masked_fill(values.isnan().all(1, keepdim=True), -torch.inf)

    def _tolerance(self) -> float:
        """Where steps of converters or cells are no whole numbers, models/cells rounds sums."""
        whole = self.cells == "ideal" or (
            self.cells == "converters" and self.ready.chip.holder.values.adc.range == "clip"
        )
        return 0.0 if whole else 1e-9

    def _notes(self, routed: bool) -> list[str]:
        notes = list(self.subject.notes)
        if routed:
            notes.append(
                "values: experts take the tokens that the router chose; the run's times are of "
                "tokens sent by a draw"
            )
        left = len(self.ready.requests) - len(self.subject.inputs)
        if left:
            notes.append(
                f"values of the first {len(self.subject.inputs)} requests; {left} more ran"
            )
        return notes

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started
