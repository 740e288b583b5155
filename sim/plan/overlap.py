"""Whether the units of a layer work at the same time.

``pipelined``: every component takes its next token as soon as it can. ``layer-serial``: the units
of a PU group take turns under a sequencer. At any time one step has the turn, so the time of a
token in a layer is the sum of its steps there. The plan is the same otherwise, buffers included.

Copies serve side by side: a step with c copies that has the turn serves c tokens, each of which
takes as long as ever. So n tokens take ceil(n / c) turns, and one alone gains nothing. The first
request goes ahead as far as it can, so requests that come together work in several layers at once.
The rule is that of :class:`~hyflexsim.sim.engine.servers.Sequencer`.

Source: HyFlexPIM §3.1 (pipelining), Fig. 16. The serial reading is ours, as the paper prints no
absolute latency: with full overlap the digital units bound a layer from some 1,024 tokens on,
whatever the share of SLC, where Fig. 16 still shows a gain. So both are offered.
"""

from __future__ import annotations

from dataclasses import replace

from hyflexsim.sim.plan.plan import Component, Plan
from hyflexsim.sim.plan.unrolled import shape_of

OVERLAPS = ("pipelined", "layer-serial")


def layer_serial(plan: Plan) -> Plan:
    """The same plan with one sequencer per PU group; buses outside the PUs stay as they are."""
    sequencers: dict[str, Component] = {}
    where: dict[str, int] = {}
    components = []
    for each in plan.components:
        if each.pu < 0:
            components.append(each)
            continue
        group = each.name.partition(".")[0]
        if group not in where:
            where[group] = len(plan.components) + len(where)
            sequencers[group] = Component(
                f"{group}.sequencer", "sequencer", each.layer, each.pu, each.chip
            )
        components.append(replace(each, sequencer=where[group]))
    return replace(plan, components=(*components, *sequencers.values()))


def turns_ps(plan: Plan, tokens: int) -> dict[int, int]:
    """Time that a request alone takes of each sequencer, if its turns are full."""
    shape = shape_of(plan, tokens)
    times = {c.sequencer: 0 for c in plan.components if c.sequencer is not None}
    for step, count, duration in zip(plan.steps, shape.counts, shape.durations, strict=True):
        sequencer = plan.server(step).sequencer
        if sequencer is None:
            continue
        if isinstance(duration, list):
            lanes = len(step.lanes)
            times[sequencer] += sum(max(duration[i : i + lanes]) for i in range(0, count, lanes))
        else:
            times[sequencer] += -(-count // len(step.lanes)) * duration
    return times
