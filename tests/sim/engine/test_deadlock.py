"""Who waits for whom, in words."""

import pytest

from hyflexsim.sim.engine import engine
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.deadlock import Blocked, Waiting, report
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import DeadlockError
from hyflexsim.sim.plan.plan import Group, Threshold


def stuck(plan_of):
    return plan_of(
        (0, 1, [], None, {}),
        (1, 1, [Group(0)], 2, {}),
        (2, 1, [Group(0), Threshold(1, "all")], None, {}),
    )


def test_a_report_names_places_first_and_then_inputs(plan_of):
    plan = stuck(plan_of)
    assert report(plan, 70, [Blocked(1, 0, 0, 5, 6)], [Waiting(7, 2, 8)]) == (
        "deadlock at 70 ps: s0 at c0 holds request 5 token 6 until s1 has a place (all 2 taken); "
        "s2 waits with request 7 token 8 for s0, s1"
    )


def test_eight_are_shown(plan_of):
    plan = stuck(plan_of)
    eight = report(plan, 0, [], [Waiting(0, 1, n) for n in range(8)])
    assert eight.count("waits with") == 8 and "more" not in eight
    assert report(plan, 0, [], [Waiting(0, 1, n) for n in range(8)] * 2) == f"{eight}; and 8 more"


@pytest.mark.parametrize("play", [engine.play, compiled.play])
def test_an_answer_does_not_hide_tokens_that_are_stuck(plan_of, play):
    """The first step is the answer, at 2 ps; the second waits for itself."""
    plan = plan_of((0, 1, [], None, {}), (1, 1, [Group(0), Group(1)], None, {}), outputs=[0])
    with pytest.raises(DeadlockError) as error:
        play(plan, [Request(0, 2)])
    assert str(error.value) == ("deadlock at 2 ps: s1 waits with request 0 token 0 for s0, s1")
