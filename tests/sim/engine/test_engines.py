"""Which engine plays, and components written in Python."""

import re

import pytest

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.servers import Server
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Group


class Tired(Server):
    """Needs 1 ps more for each token it has served."""

    served = 0

    def service_ps(self, step, request, token):
        self.served += 1
        return super().service_ps(step, request, token) + self.served - 1


def test_many_visits_go_to_the_compiled_engine(plan_of):
    plan = plan_of((0, 1, [], None, {}), (1, 1, [Group(0)], None, {}))
    half = engines.BREAK_EVEN // 2
    assert engines.visits(plan, [Request(0, 3), Request(0, 4), Request(0, 3)]) == 20
    assert engines.choose(plan, [Request(0, half - 1)]) == "simpy"
    assert engines.choose(plan, [Request(0, half)]) == "compiled"
    assert engines.choose(plan, [Request(0, half)], "simpy") == "simpy"
    assert engines.choose(plan, [Request(0, 1)], "compiled") == "compiled"


def test_a_component_written_in_python_is_played_with_simpy(plan_of):
    """Services of 10, 11, 12 end at 10, 21, 33."""
    plan = plan_of((0, 10, [], None, {}))
    played = engines.play(plan, [Request(0, 3)], servers={"bank": Tired})
    assert played.trace.end.tolist() == [10, 21, 33]
    many = [Request(0, engines.BREAK_EVEN)]
    assert engines.choose(plan, many, servers={"bank": Tired}) == "simpy"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"engine": "compiled", "servers": {"bank": Tired}},
            "run.engine must be simpy (or auto) for components written in Python, here bank "
            "(Tired); got 'compiled'",
        ),
        (
            {"engine": "verilog"},
            "run.engine must be one of auto, simpy, compiled; got 'verilog'",
        ),
        ({"servers": {"adc": Tired}}, "servers: kind must be one of bank; got 'adc'"),
    ],
)
def test_refusals(plan_of, options, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        engines.play(plan_of((0, 10, [], None, {})), [Request(0, 3)], **options)
