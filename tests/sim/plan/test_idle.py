"""A plan without some of its work: tokens still pass, work is gone, nothing else moves."""

from hyflexsim.sim import energy
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.idle import without_work
from hyflexsim.sim.plan.plan import Group, Threshold
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of


def test_a_chain_without_its_middle(plan_of):
    """3 + 50 + 2 ps a token alone: 3 + 1 + 2 ps without the middle."""
    plan = plan_of(
        (0, 3, [], None, {}), (1, 50, [Group(0)], None, {}), (2, 2, [Group(1)], None, {})
    )
    assert engines.play(plan, [Request(0, 1)]).finished == [55]
    idle = without_work(plan, [1])
    assert engines.play(idle, [Request(0, 1)]).finished == [6]
    assert engines.play(plan, [Request(0, 1)]).finished == [55]  # itself untouched


def test_who_waits_for_whom_stays(plan_of):
    """The last step needs all tokens of the first: the third one ends at 9 ps."""
    plan = plan_of((0, 3, [], None, {}), (1, 50, [Threshold(0, "all")], None, {}))
    assert engines.play(without_work(plan, [1]), [Request(0, 3)]).finished == [9 + 3]


def test_nothing_is_idle(plan_of):
    plan = plan_of((0, 3, [], None, {}), (1, 50, [Group(0)], None, {}))
    assert without_work(plan, []) == plan


def test_energy_is_that_of_the_other_steps(chain_of, chip_of):
    hw = chip_of()
    graph = chain_of({"a": [1], "b": []})
    plan = build_plan(graph, place(graph, hw, Options()))
    shape = shape_of(plan, 5)
    each = energy.action_counts_of(plan, hw).step_energies_pj(shape.counts, shape.sizes)
    gone = [i for i, step in enumerate(plan.steps) if step.kind in ("bank", "sfu")]
    left = without_work(plan, gone)
    rest = energy.action_counts_of(left, hw).step_energies_pj(shape.counts, shape.sizes)
    assert rest[gone].tolist() == [0.0, 0.0]
    assert each[gone].min() > 0
    kept = [i for i in range(len(plan.steps)) if i not in gone]
    assert rest[kept].tolist() == each[kept].tolist()
