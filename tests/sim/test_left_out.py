"""What is left out has the value that docstrings give: nothing more is asked, counted or kept."""

from dataclasses import replace

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.chip import Assignment, Link
from hyflexsim.sim.chip.kind import Unit
from hyflexsim.sim.chip.parameters import Parameter
from hyflexsim.sim.chip.provenance import Record
from hyflexsim.sim.chip.service import Access, Action, Hop, Rate, Service, Task, Visit
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.trace import Keep
from hyflexsim.sim.placement.faults import FaultMap, Faults
from hyflexsim.sim.placement.mapping import Options, Placement, protection
from hyflexsim.sim.placement.weight import Weight
from hyflexsim.sim.plan.builder import Flow
from hyflexsim.sim.plan.plan import Component, Group, Plan, Step
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.tiling import Region

SERVICE = Service(Rate(1))


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        (Rate(), Rate(0, 1, 0, 1)),
        (Action("a"), Action("a", 0, 0)),
        (SERVICE, Service(Rate(1), (), 0)),
        (
            Visit("k", SERVICE),
            Visit("k", SERVICE, "", "", 0.0, False, 1, None, False, (0, 0), (), None),
        ),
        (Hop("l", 1), Hop("l", 1, None)),
        (Access("l", 1), Access("l", 1, False, 1)),
        (Task("o"), Task("o", 0, 0, 0, 1, False, "", 1)),
        (Flow("sequence"), Flow("sequence", 0, False, "one", 0, 0, 0, None, (1, 1), 1, "")),
        (Group(3), Group(3, 1, 1, 0)),
        (Component("n", "k"), Component("n", "k", "", -1, 0, 0.0, None, None, ())),
        (Request(1, 2), Request(1, 2, None, None)),
        (Keep(), Keep((), (), None, 1, 256 * 2**20)),
        (Options(), Options(1.0, {}, "row-tile", "fill", "auto", 1)),
        (Weight("n", "l", (), None, (), ()), Weight("n", "l", (), None, (), (), 1)),
        (Assignment("o", "u"), Assignment("o", "u", "", "", "")),
        (Link("n", "bus", ("a", "b"), None), Link("n", "bus", ("a", "b"), None, "first")),
        (Unit("n", None, "pu", 1, None), Unit("n", None, "pu", 1, None, "")),
        (Region("slc", (), ()), Region("slc", (), (), 0)),
        (
            Parameter("", True, 0, 1, "m"),
            Parameter("", True, 0, 1, "m", (), (), (), True, None),
        ),
        (
            Record(value=1, status="stated", source="x"),
            Record(value=1, unit="", status="stated", source="x", note=""),
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_defaults(short, whole):
    assert short == whole


def test_defaults_of_a_step():
    step = Step("n", "o", "k", "l", (0,), Rate(1))
    assert step == Step(
        *("n", "o", "k", "l", (0,), Rate(1)),
        inputs=(),
        axis="sequence",
        extra=0,
        wave=1,
        planes=1,
        split=False,
        head=False,
        size="one",
        context_extra=0,
        kept=(1, 1),
        unit="",
        places=None,
        reserves=(),
        actions=(),
        macs=(0, 0),
        macs_in=1,
        lead_ps=0,
    )
    assert step.parts == 1


def test_an_op_is_dense_and_runs_once_a_token():
    """5 x 3 weights, no bias; of seven tokens each is multiplied once, and none is a head's."""
    graph = g.new_graph("one")
    g.add_op(graph, "fc", "gemv", layer="b.0", rows=5, cols=3, width=3, weight="fc")
    assert g.parameters(graph) == 15
    assert g.macs(graph, 7) == {"fc": 7 * 15}
    assert not graph.nodes["fc"]["head"]
    assert protection(graph.nodes["fc"]) == range(3)


def frozen(value, name):
    with pytest.raises(AttributeError):
        setattr(value, name, 1)


def test_what_a_plan_is_made_of_does_not_change():
    plan = Plan((Step("n", "o", "k", "l", (0,), Rate(1)),), (Component("n", "k"),), frozenset({0}))
    frozen(plan, "steps")
    frozen(plan.steps[0], "wave")
    frozen(plan.components[0], "pu")
    assert plan.once("key", lambda: 1) == plan.once("key", lambda: 2) == 1


def test_what_has_been_made_of_a_plan_is_no_part_of_it():
    plan = Plan((Step("n", "o", "k", "l", (0,), Rate(1)),), (Component("n", "k"),), frozenset({0}))
    fresh = replace(plan)
    assert plan.once("key", lambda: 1) == 1
    assert plan == fresh == replace(plan)
    assert replace(plan).once("key", lambda: 2) == 2
    assert "_made" not in repr(plan)


def test_the_first_of_several_names_them():
    """Ops of a weight, lanes of a step, PUs of a group: 23 is on the first chip, 24 on the next."""
    assert Weight("n", "l", ("one", "two"), None, (), ()).op == "one"
    plan = Plan(
        (Step("n", "o", "k", "l", (2, 1), Rate(1)),), tuple(Component(n, "k") for n in "abc")
    )
    assert plan.server(plan.steps[0]).name == "c"
    chip = load_chip("hyflexpim")
    placement = Placement(chip, Options(), {}, {}, (), FaultMap(Faults(), chip, 48))
    assert [placement.chip_of_group(pus) for pus in ((22, 23), (23, 24), (24, 25))] == [0, 0, 1]
