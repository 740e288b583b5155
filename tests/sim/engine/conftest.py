"""A plan that generates text, as small as can be."""

import pytest

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.plan.plan import Group, Threshold


@pytest.fixture(scope="session")
def decoder(plan_of):
    """A function: in, attention over the tokens so far (on these lanes), a head from which text is
    sampled and fed back.
    """

    def made(lanes=(1,)):
        every = [Group(0), Threshold(0, "prefix")]
        return plan_of(
            (0, 2, [Group(2, lag=1)], None, {}),
            (lanes, Rate(fixed=3, work=1), every, None, {"size": "prefix"}),
            (1 + len(lanes), 5, [Group(1)], None, {"head": True}),
        )

    return made
