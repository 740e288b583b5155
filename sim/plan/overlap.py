"""Whether the units of a layer work at the same time.

``pipelined``: every component takes its next token as soon as it can. ``layer-serial``: one
sequencer per PU group lets one visit run at a time, so that the time of a token in a layer is
the sum of all its steps. The paper's Fig. 16 is reproduced only by the second, a chip with
finite buffers and no stated scheduler would rather do the first; so both are offered.

With copies, a step of the serial layer takes 1/c of its time: c tokens share it.

Source: HyFlexPIM §3.1 (pipelining), Fig. 16; the serial reading is ours (the paper prints no
absolute latency).
"""

from __future__ import annotations

from dataclasses import replace

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.plan.plan import Component, Plan, Step

OVERLAPS = ("pipelined", "layer-serial")


def layer_serial(plan: Plan) -> Plan:
    """The same plan with one sequencer per PU group; buses outside the PUs stay as they are."""
    components = list(plan.components)
    sequencers: dict[str, int] = {}
    steps = []
    for step in plan.steps:
        owner = plan.components[step.lanes[0]]
        if owner.pu < 0:
            steps.append(step)
            continue
        group = owner.name.partition(".")[0]
        if group not in sequencers:
            sequencers[group] = len(components)
            components.append(
                Component(f"{group}.sequencer", "sequencer", owner.layer, owner.pu, owner.chip)
            )
        steps.append(_sequenced(step, sequencers[group]))
    return Plan(tuple(steps), tuple(components), plan.outputs)


def _sequenced(step: Step, sequencer: int) -> Step:
    copies = len(step.lanes)
    rate = step.rate
    if copies > 1:
        rate = Rate(work=rate.fixed, speed=copies)
    return replace(step, lanes=(sequencer,), shown=step.lanes, rate=rate, places=None, reserves=())
