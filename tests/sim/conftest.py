"""Fixtures: the reference chip, the reference event loop, and tiny plans."""

import dataclasses
import functools
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.errors import DeadlockError
from hyflexsim.sim.plan.plan import Component, Group, Plan, Step
from hyflexsim.sim.units.catalogue import load_chip


@pytest.fixture(scope="session")
def hw():
    return load_chip("hyflexpim")


@pytest.fixture(scope="session")
def reference():
    """The plain event loop of ``reference_engine.py``."""
    spec = importlib.util.spec_from_file_location(
        "reference_engine", Path(__file__).parent / "reference_engine.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.play


def make_plan(*rows, components=None, outputs=None):
    """A plan from rows (component, ps, inputs, places, options); reserves follow the inputs.

    A step reserves a place at every bounded step that reads it by a Group.
    """
    steps = []
    for component, ps, inputs, places, options in rows:
        lanes = component if isinstance(component, tuple) else (component,)
        steps.append(
            {
                "name": f"s{len(steps)}",
                "op": f"s{len(steps)}",
                "kind": "bank",
                "layer": "l",
                "lanes": lanes,
                "rate": ps if isinstance(ps, Rate) else Rate(fixed=ps),
                "inputs": tuple(inputs),
                "places": places,
                "reserves": (),
            }
            | options
        )
    for index, step in enumerate(steps):
        for edge in step["inputs"]:
            if step["places"] is not None and isinstance(edge, Group):
                steps[edge.source]["reserves"] += (index,)
    count = 1 + max(lane for step in steps for lane in step["lanes"])
    names = components or [f"c{i}" for i in range(count)]
    return Plan(
        tuple(Step(**step) for step in steps),
        tuple(Component(name, "bank") for name in names),
        frozenset(outputs if outputs is not None else [len(steps) - 1]),
    )


@pytest.fixture(scope="session")
def plan_of():
    return make_plan


def under_sequencers(plan, group):
    """The plan with components under sequencers: ``group``, of each component that takes turns."""
    count, first = 1 + max(group.values(), default=-1), len(plan.components)
    components = [
        dataclasses.replace(component, sequencer=first + group[i] if i in group else None)
        for i, component in enumerate(plan.components)
    ]
    components += [Component(f"sequencer {i}", "sequencer") for i in range(count)]
    return dataclasses.replace(plan, components=tuple(components))


@pytest.fixture(scope="session")
def under():
    return under_sequencers


def take_turns(draw, plan):
    """The plan with some of its components under a sequencer or two: all lanes of a step under one.

    Tokens are dealt by either rule. ``draw``: of hypothesis.
    """
    joined = list(range(len(plan.components)))
    for step in plan.steps:
        for lane in step.lanes:
            old, new = joined[lane], joined[step.lanes[0]]
            joined = [new if each == old else each for each in joined]
    of = {each: draw(st.sampled_from([None, 0, 1])) for each in sorted(set(joined))}
    group = {i: of[each] for i, each in enumerate(joined) if of[each] is not None}
    return dataclasses.replace(under_sequencers(plan, group), in_turn=draw(st.booleans()))


@pytest.fixture(scope="session")
def sequenced():
    return take_turns


def all_of(play, plan, requests, **options):
    """Everything an engine returns as plain lists, or the text of its deadlock report."""
    try:
        played = play(plan, requests, **options)
    except DeadlockError as error:
        return str(error)
    columns = zip("srtabe", played.trace.columns(), strict=True)
    fields = dataclasses.asdict(played.tally) | dict(columns)
    return {name: np.asarray(value).tolist() for name, value in fields.items()} | {
        name: getattr(played, name)
        for name in (
            *("arrived", "entered", "first_output", "finished", "refused"),
            *("peak_places", "peak_requests", "preemptions", "found", "dropped"),
        )
    }


@pytest.fixture(scope="session")
def outcome():
    return all_of


@functools.cache
def make_chip(pus=4, arrays=10, **overrides):
    """A chip whose PUs hold so few arrays of 64 x 128 that one can count them; else the reference.

    Keywords name parameters with ``__`` for the dot: ``analog__adc__rate="0.64 GS/s"``.
    """
    changes = {"chip.pus": pus, "analog.count": 1, "analog.arrays": arrays}
    changes |= {key.replace("__", "."): value for key, value in overrides.items()}
    return load_chip("hyflexpim", changes)


@pytest.fixture(scope="session")
def chip_of():
    return make_chip


def make_chain(layers, *, axis="sequence", **more):
    """input -> a gemv for every matrix of every layer, in order -> output.

    ``layers`` maps a layer to its matrices: a number n for 64 n x 16, so n arrays in SLC, or
    ``(rows, cols)`` or ``(rows, cols, rank)``. A layer without matrices has one pointwise op.
    """
    graph = g.new_graph("chain")
    first, end = next(iter(layers)), list(layers)[-1]
    last = g.add_op(graph, "in", "input", layer=first, width=64)
    for layer, matrices in layers.items():
        following = []
        for i, matrix in enumerate(matrices):
            shape = (64 * matrix, 16) if isinstance(matrix, int) else matrix
            rows, cols, rank = (*shape, None)[:3]
            name = f"{layer}.fc{i}"
            size = {"rows": rows, "cols": cols, "width": cols, "rank": rank, "weight": name}
            following.append((name, "gemv", size))
        for name, kind, size in following or [
            (f"{layer}.act", "pointwise", {"width": 16, "elements": 16, "function": "gelu"})
        ]:
            g.add_op(graph, name, kind, layer=layer, axis=axis, **size, **more)
            g.connect(graph, last, name, "pair" if axis == "pair" and last == "in" else "stream")
            last = name
    g.add_op(graph, "out", "output", layer=end, width=16, axis=axis)
    g.connect(graph, last, "out")
    return graph


@pytest.fixture(scope="session")
def chain_of():
    return make_chain
