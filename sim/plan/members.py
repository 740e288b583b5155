"""Several chips side by side: one plan whose members share nothing.

A request visits the steps of one member; which one the host decides as it comes
(:class:`~hyflexsim.sim.engine.request.Host`).
"""

from __future__ import annotations

from dataclasses import replace

from hyflexsim.sim.plan.plan import Component, Plan, Step


def side_by_side(plan: Plan, members: int) -> Plan:
    """The plan of so many equal chips; components of member k > 0 are named ``chip<k>/...``.

    >>> from hyflexsim.sim.chip.service import Rate
    >>> step = Step("host", "host", "host_port", "l", lanes=(0,), rate=Rate(fixed=7))
    >>> one = Plan((step,), (Component("port", "host_port"),), frozenset({0}))
    >>> two = side_by_side(one, 2)
    >>> [component.name for component in two.components], [step.lanes for step in two.steps]
    (['port', 'chip1/port'], [(0,), (1,)])
    """
    if members == 1:
        return plan
    chips = 1 + max((component.chip for component in plan.components), default=0)
    steps: list[Step] = []
    components: list[Component] = []
    for member in range(members):
        first_step, first = len(steps), len(components)
        steps += [_step(step, member, first_step, first) for step in plan.steps]
        components += [_component(c, member, chips, first) for c in plan.components]
    count = len(plan.steps)
    outputs = frozenset(m * count + i for m in range(members) for i in plan.outputs)
    return Plan(tuple(steps), tuple(components), outputs, plan.in_turn)


def _step(step: Step, member: int, first_step: int, first: int) -> Step:
    return replace(
        step,
        member=member,
        lanes=tuple(first + lane for lane in step.lanes),
        inputs=tuple(replace(edge, source=first_step + edge.source) for edge in step.inputs),
        reserves=tuple(first_step + index for index in step.reserves),
    )


def _component(component: Component, member: int, chips: int, first: int) -> Component:
    led = component.sequencer
    return replace(
        component,
        name=f"chip{member}/{component.name}" if member else component.name,
        chip=component.chip + member * chips,
        sequencer=None if led is None else first + led,
    )
