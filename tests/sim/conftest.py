"""Fixtures: the reference chip, the reference event loop, and tiny plans."""

import importlib.util
from pathlib import Path

import pytest

from hyflexsim.sim.hardware import Hardware
from hyflexsim.sim.plan import Component, Group, Plan, Rate, Step


@pytest.fixture(scope="session")
def hw():
    return Hardware.load("hyflexpim")


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
