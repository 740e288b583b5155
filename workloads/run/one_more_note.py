"""Where one token more would be answered sooner: copies take tokens in turn and meet on buses.

A run of one request is played once more with one token more, on the plan that such a run would
have. Left out: requests that differ in length or come in a stream, which meet on buses anyway, and
runs so long that a second one is felt.
"""

from __future__ import annotations

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.engine.trace import Keep
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Fixed, Tokens

MOST_VISITS = 2_000_000
"""A second or less of the compiled engine."""
PS_PER_US = 1e6


def one_more_note(scenario: Scenario, ready: Prepared, played: Played) -> list[str]:
    """The note, for a run of one request that ends later than one of one token more."""
    workload = scenario.workload
    if not (isinstance(workload, Tokens) and isinstance(workload.lengths, Fixed)):
        return []
    if len(ready.requests) > 1 or ready.deaths or scenario.mapping.copies == "none":
        return []
    if engines.visits(ready.plan, ready.requests) > MOST_VISITS:
        return []
    tokens = ready.requests[0].tokens
    longer = workload.model_copy(update={"tokens": tokens + 1})
    try:
        other = prepare(scenario.model_copy(update={"workload": longer}), ready.graph)
    except InputError:
        return []  # the model takes no more
    then, now = ((one.finished[0] - one.arrived[0]) / PS_PER_US for one in (_played(other), played))
    if then >= now:
        return []
    from hyflexsim.analysis.run.sooner import REASON  # noqa: PLC0415 (pandas)

    return [
        f"{tokens + 1:,} tokens would be answered in {then:.6g} us, sooner than {tokens:,} in "
        f"{now:.6g} us: {REASON}"
    ]


def _played(ready: Prepared) -> Played:
    return engines.play(
        ready.plan,
        ready.requests,
        window=ready.window,
        host=ready.host,
        keep=Keep(requests=(0, 0)),
    )
