"""Everything before the first event: extract, rank, place, copy, plan.

Each line of :func:`prepare` is one arrow of docs/architecture.md::

    model ─> graph ─> ranks ─> placement ─> copies ─> plan
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, Placement, place
from hyflexsim.sim.placement.memory import memory_and_needs, pages, requests_at_once
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.plan.held import check_held
from hyflexsim.sim.plan.members import side_by_side
from hyflexsim.sim.plan.overlap import layer_serial
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.routing import with_routes
from hyflexsim.sim.vocabulary import check_length, check_positions
from hyflexsim.workloads.extraction.extract import TRAINED, extract, extract_config
from hyflexsim.workloads.extraction.ranks import exact_ops, with_ranks
from hyflexsim.workloads.jets.sample import sample_lengths
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.scenario import arrivals
from hyflexsim.workloads.scenario.checkpoints import find_checkpoint, read_about
from hyflexsim.workloads.scenario.lengths import lengths as lengths_of
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import (
    Alone,
    Closed,
    Generate,
    Jets,
    Tokens,
    TracedTurns,
)
from hyflexsim.workloads.scenario.sessions import Turn, thinking, turns


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before the first event."""

    chip: Chip
    graph: nx.DiGraph
    placement: Placement
    plan: Plan
    requests: list[Request]
    labels: list[str]
    window: int
    host: Host

    @property
    def deaths(self) -> dict[int, int]:
        """Components that die in the middle of the run, and when (ps): those of a group of PUs with
        the first of these, since each holds a part of every matrix. Replicas live.
        """
        at = self.placement.faults.deaths
        groups = {
            pus[0]: min(at[pu] for pu in pus if pu in at)
            for pus in self.placement.groups()
            if any(pu in at for pu in pus)
        }
        components = self.plan.components[: len(self.plan.components) // self.plan.replicas]
        return {i: groups[c.pu] for i, c in enumerate(components) if c.pu in groups}


class Planned(NamedTuple):
    """What does not depend on when requests come, nor on how many there are.

    ``graph``: held, so that no other has its id while this is kept.
    """

    graph: nx.DiGraph
    placement: Placement
    plan: Plan
    window: int


def prepare(
    scenario: Scenario,
    graph: nx.DiGraph | None = None,
    chip: Chip | None = None,
    kept: Kept | None = None,
) -> Prepared:
    """Everything up to the first event: also what ``hyflexsim validate`` and ``map`` do.

    ``graph`` and ``chip``: instead of the scenario's. ``kept``: what earlier runs have made; not
    used with a ``chip``. Copies are chosen for a request of mean length, memory is checked for the
    longest.
    """
    kept = Kept() if kept is None or chip is not None else kept
    if graph is None:
        model = scenario.model
        graph = kept.once("graph", model.model_dump_json(), lambda: load_graph(scenario))
    requests, labels = load_requests(scenario, graph)
    lengths = [request.tokens for request in requests]
    usual, longest = -(-sum(lengths) // len(lengths)), max(lengths)

    def plan() -> Planned:
        machine = scenario.hardware() if chip is None else chip
        planned = place_and_plan(scenario, graph, machine, usual, longest)
        return planned._replace(plan=side_by_side(planned.plan, scenario.host.replicas))

    key = (id(graph), plan_key(scenario, usual, longest))
    planned = kept.once("plan", key, plan)
    placement, window = planned.placement, planned.window
    if scenario.run.window is not None:
        window = min(window, scenario.run.window)
    plan_, host = planned.plan, load_host(scenario, len(requests))
    check_sessions(requests, plan_)
    limited = memory_of(scenario, graph, placement, lengths)
    if limited is not None:
        host = replace(host, memory=limited.memory, needs=limited.needs, page=limited.page)
        window = scenario.run.window or len(requests)
    return Prepared(placement.chip, graph, placement, plan_, requests, labels, window, host)


class Limited(NamedTuple):
    """A chip's memory for requests, and what each takes of it; or pages of so many tokens."""

    memory: int
    needs: list[int]
    page: int | None


def memory_of(
    scenario: Scenario, graph: nx.DiGraph, placement: Placement, lengths: list[int]
) -> Limited | None:
    """How memory limits who is let in (``host.admission``); None: only by their number.

    Raises :class:`~hyflexsim.sim.errors.CapacityError` for a request that never fits.
    """
    if scenario.host.admission == "own":
        memory, needs = memory_and_needs(graph, placement, lengths)
        return Limited(memory, [needs[tokens] for tokens in lengths], None)
    if scenario.host.admission == "paged":
        size = scenario.host.page
        return Limited(pages(graph, placement, size, max(lengths)), [], size)
    return None


def plan_key(scenario: Scenario, usual: int, longest: int) -> str:
    """All that is read for a plan beside the graph; sections that it may read count as a whole."""
    run, workload = scenario.run, scenario.workload
    others = {"name", "title", "accuracy", "workload", "host", "run", "trace"}
    parts = scenario.model_dump_json(exclude=others)
    logits = workload.logits if isinstance(workload, Tokens) else ""
    host = (scenario.host.replicas, scenario.host.prefill_chunk)
    switches = (run.fidelity, run.overlap, run.split_pairs, *host)
    return f"{parts} {workload.kind} {logits} {switches} {usual} {longest}"


def place_and_plan(
    scenario: Scenario,
    graph: nx.DiGraph,
    chip: Chip,
    usual: int,
    longest: int,
    share: range | None = None,
    machine: int = 0,
    machines: int = 1,
) -> Planned:
    """A model on a machine, or on a share of its PUs; lengths as in :func:`prepare`.

    ``machine``: which of so many ``machines``, whose PUs ``[faults]`` numbers through.
    """
    options = replace(_options(scenario, graph), share=share, machine=machine, machines=machines)
    placement = place(graph, chip, options)
    placement = apply_copies(graph, placement, usual, scenario.run.overlap)
    plan = plan_of(scenario, graph, placement)
    return Planned(graph, placement, plan, requests_at_once(graph, placement, longest))


def plan_of(scenario: Scenario, graph: nx.DiGraph, placement: Placement) -> Plan:
    """The plan of a placement for one chip or one group of chips."""
    plan = build_plan(
        graph,
        placement,
        fidelity=scenario.run.fidelity,
        generate=isinstance(scenario.workload, Generate),
        last_logits=isinstance(scenario.workload, Tokens) and scenario.workload.logits == "last",
        split_pairs=scenario.run.split_pairs,
        chunk=scenario.host.prefill_chunk,
    )
    return layer_serial(plan) if scenario.run.overlap == "layer-serial" else plan


def _options(scenario: Scenario, graph: nx.DiGraph) -> Options:
    """How to place; what a checkpoint computes exactly is in SLC unless the scenario says else."""
    options = scenario.options()
    if scenario.model.checkpoint is None:
        return options
    exact = {op: 1.0 for op in exact_ops(graph) if op not in options.slc_rates}
    return replace(options, slc_rates={**options.slc_rates, **exact})


def load_graph(scenario: Scenario) -> nx.DiGraph:
    """The model's graph, with the scenario's ranks."""
    model = scenario.model
    if model.checkpoint is not None:
        return checkpoint_graph(model.checkpoint)
    if model.graph is not None:
        graph = g.load(model.graph)
    else:
        graph = extract(str(model.name), leave_out=model.leave_out)
    if model.router_skew:
        graph = with_routes(graph, skew=model.router_skew)
    if model.source is not None:
        graph = g.with_source(graph, model.source)
    return graph if model.rank == "dense" else with_ranks(graph, model.rank)


def checkpoint_graph(checkpoint: str) -> nx.DiGraph:
    """The graph of a compressed checkpoint: its model's, with ranks and changes of the file."""
    from hyflexsim.models.lowrank.checkpoint import read_ranks  # noqa: PLC0415 (torch)

    folder = find_checkpoint(checkpoint)
    about = read_about(folder, scored=False)
    held = read_ranks(folder)
    graph = extract_config(
        about["recipe"]["name"], about["config"], leave_out=TRAINED, adapted=held["adapted"]
    )
    prefix = graph.graph["prefix"]
    layers = {path.removeprefix(prefix): layer for path, layer in held["layers"].items()}
    return with_ranks(graph, {op: layer["rank"] for op, layer in layers.items()})


def load_requests(scenario: Scenario, graph: nx.DiGraph) -> tuple[list[Request], list[str]]:
    """Requests in order of arrival, and a label for each (a jet's class, else nothing)."""
    workload = scenario.workload
    seed, arriving = scenario.run.seed, workload.arrivals
    labels: list[str] = []
    talk: list[Turn] = []
    if isinstance(workload, Jets):
        lengths, labels = _jets(workload)
    elif isinstance(workload, Generate):
        count = workload.requests
        prompts = lengths_of("prompts", workload.prompts, workload.prefill, count, seed, arriving)
        answers = lengths_of("answers", workload.answers, workload.decode, count, seed, arriving)
        talk = turns(workload, prompts, answers, seed)
        lengths = [turn.tokens for turn in talk]
    else:
        count = workload.requests
        lengths = lengths_of("lengths", workload.lengths, workload.tokens, count, seed, arriving)
    fixed = graph.graph.get("tokens")
    if fixed is not None and set(lengths) != {fixed}:
        wrong = next(length for length in lengths if length != fixed)
        raise InputError(
            f"workload.tokens must be {fixed}: {graph.graph['name']} takes inputs of one length; "
            f"got {wrong}"
        )
    check_length(graph, min(lengths))
    if scenario.model.positions == "learned":
        check_positions(graph, max(lengths))
    if isinstance(workload, Generate):
        requests = _said(scenario, workload, talk)
    else:
        requests = list(map(Request, arrivals.times(arriving, len(lengths), seed), lengths))
    return requests, labels or [""] * len(requests)


def _said(scenario: Scenario, workload: Generate, talk: list[Turn]) -> list[Request]:
    """Requests of text, of which some may be turns of conversations.

    Drawn arrivals are those of first turns; a trace has a time for each turn.
    """
    traced = isinstance(workload.sessions, TracedTurns)
    begun = len(talk) if traced else sum(turn.after is None for turn in talk)
    times = iter(arrivals.times(workload.arrivals, begun, scenario.run.seed))
    keeps = _keeps(scenario)
    requests: list[Request] = []
    for turn in talk:
        own = turn.after is None or traced
        arrival = next(times) if own else requests[-1].arrival
        requests.append(Request(arrival, turn.tokens, turn.prompt, after=turn.after, keeps=keeps))
    return requests


def check_sessions(requests: list[Request], plan: Plan) -> None:
    """Refuse conversations whose next turns cannot begin with what stays of the last ones."""
    if any(request.keeps for request in requests):
        check_held(plan)


def _keeps(scenario: Scenario) -> bool:
    """Whether keys and values of a turn stay for the next one."""
    workload, host = scenario.workload, scenario.host
    talks = isinstance(workload, Generate) and not isinstance(workload.sessions, Alone)
    return talks and host.admission == "paged" and host.sessions == "kept"


def load_host(scenario: Scenario, requests: int) -> Host:
    """How the host sends so many requests."""
    places, arriving = scenario.host.queue, scenario.workload.arrivals
    members, shortest = scenario.host.replicas, scenario.host.dispatch == "shortest-queue"
    think = think_of(scenario, requests)
    if not isinstance(arriving, Closed):
        return Host(places, None, think, members, shortest)
    if places is not None and places < arriving.clients:
        raise InputError(
            f"host.queue must be at least {arriving.clients}, a place for each client of "
            f"workload.arrivals; got {places}"
        )
    return Host(places, arriving.clients, think, members, shortest)


def think_of(scenario: Scenario, requests: int) -> list[int]:
    """ps from the answer of each request to the next one of whoever sent it; empty: nobody waits"""
    workload, seed = scenario.workload, scenario.run.seed
    if isinstance(workload, Generate):
        return thinking(workload, seed)
    if isinstance(workload.arrivals, Closed):
        return arrivals.thinks(workload.arrivals, requests, seed)
    return []


def _jets(workload: Jets) -> tuple[list[int], list[str]]:
    """Token counts and classes of so many jets; raises InputError where there are fewer."""
    counts, labels = _read_jets(workload)
    if len(counts) < workload.count and not (workload.repeat and counts):
        raise InputError(
            f"workload.count must be at most {len(counts)}, the jets of the chosen classes "
            f"in {workload.file or 'the sample'}, or workload.repeat true; got {workload.count}"
        )
    again = -(-workload.count // len(counts))
    return (counts * again)[: workload.count], (labels * again)[: workload.count]


def _read_jets(workload: Jets) -> tuple[list[int], list[str]]:
    """Those that there are, up to the count; a file of the user's is read and checked whole."""
    if workload.file is None:
        return sample_lengths(workload.classes, workload.count)
    from hyflexsim.workloads.jets import jets  # noqa: PLC0415 (a third of a second)

    loaded = jets.load_jets(workload.file, workload.classes, workload.count)
    return loaded.counts.tolist(), [str(label) for label in loaded.labels]
