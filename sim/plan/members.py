"""Several chips side by side, and several models on one chip: plans joined into one.

A request visits the steps of one member; which one the host decides as it comes
(:class:`~hyflexsim.sim.engine.request.Host`). Chips share nothing. Models on one chip have PUs of
their own and share what stands outside of them: the host's port, buses, memories. A component with
one name is one component then, which serves tokens of both as they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hyflexsim.sim.plan.plan import Component, Plan, Step


def side_by_side(plan: Plan, replicas: int) -> Plan:
    """The plan of so many equal chips; components of member k > 0 are named ``chip<k>/...``.

    >>> from hyflexsim.sim.chip.service import Rate
    >>> step = Step("host", "host", "host_port", "l", lanes=(0,), rate=Rate(fixed=7))
    >>> one = Plan((step,), (Component("port", "host_port"),), frozenset({0}))
    >>> two = side_by_side(one, 2)
    >>> [component.name for component in two.components], [step.lanes for step in two.steps]
    (['port', 'chip1/port'], [(0,), (1,)])
    """
    return plan if replicas == 1 else replace(beside([plan] * replicas), replicas=replicas)


def beside(plans: Sequence[Plan]) -> Plan:
    """The plan of several machines, each with its own; those of equal ones are equal plans.

    Members, chips and components are numbered on from one to the next.
    """
    if len(plans) == 1:
        return plans[0]
    steps: list[Step] = []
    components: list[Component] = []
    outputs: set[int] = set()
    member = chip = 0
    for number, plan in enumerate(plans):
        first_step, first = len(steps), len(components)
        places = range(first, first + len(plan.components))
        steps += [_step(step, member, first_step, places) for step in plan.steps]
        components += [_component(c, number, chip, first) for c in plan.components]
        outputs |= {first_step + i for i in plan.outputs}
        member += plan.members
        chip += 1 + max((component.chip for component in plan.components), default=0)
    return Plan(tuple(steps), tuple(components), frozenset(outputs), in_turn=_dealing(plans))


def together(plans: Sequence[Plan], names: Sequence[str]) -> Plan:
    """The plan of several models on one chip; ``names``: put before their steps, ops and layers.

    Raises ValueError for models that have a PU in common.

    >>> from hyflexsim.sim.chip.service import Rate
    >>> step = Step("in", "in", "host_port", "l", lanes=(0,), rate=Rate(fixed=7))
    >>> one = Plan((step,), (Component("host.in", "host_port"),), frozenset({0}))
    >>> two = together([one, one], ["a", "b"])
    >>> [step.name for step in two.steps], [step.lanes for step in two.steps], two.members
    (['a/in', 'b/in'], [(0,), (0,)], 2)
    """
    steps: list[Step] = []
    components: dict[str, Component] = {}
    outputs: set[int] = set()
    member = 0
    for plan, name in zip(plans, names, strict=True):
        first_step, places = len(steps), _placed(plan, name, components)
        for step in plan.steps:
            own = _step(step, member, first_step, places)
            steps.append(
                replace(
                    own,
                    name=f"{name}/{step.name}",
                    op=f"{name}/{step.op}",
                    layer=f"{name}/{step.layer}",
                )
            )
        outputs |= {first_step + i for i in plan.outputs}
        member += plan.members
    return Plan(
        tuple(steps),
        tuple(components.values()),
        frozenset(outputs),
        in_turn=_dealing(plans),
    )


def _dealing(plans: Sequence[Plan]) -> bool:
    """How all of the plans deal tokens. Raises ValueError where they differ."""
    ways = {plan.in_turn for plan in plans}
    if len(ways) > 1:
        raise ValueError("plans that are joined must deal tokens alike")
    return ways.pop()


def _placed(plan: Plan, name: str, components: dict[str, Component]) -> list[int]:
    """Where the components of a plan are among all; those that are not there yet are added."""
    numbers = {known: i for i, known in enumerate(components)}
    for each in plan.components:
        if each.name not in numbers:
            numbers[each.name] = len(numbers)
        elif each.pu >= 0:
            raise ValueError(f"{each.name} is of two models: their PUs must differ")
    places = [numbers[each.name] for each in plan.components]
    for each in plan.components:
        led = None if each.sequencer is None else places[each.sequencer]
        layer = each.layer and "+".join(f"{name}/{part}" for part in each.layer.split("+"))
        components.setdefault(each.name, replace(each, layer=layer, sequencer=led))
    return places


def _step(step: Step, member: int, first_step: int, places: Sequence[int]) -> Step:
    return replace(
        step,
        member=member + step.member,
        lanes=tuple(places[lane] for lane in step.lanes),
        inputs=tuple(replace(edge, source=first_step + edge.source) for edge in step.inputs),
        reserves=tuple(first_step + index for index in step.reserves),
    )


def _component(component: Component, number: int, chip: int, first: int) -> Component:
    led = component.sequencer
    return replace(
        component,
        name=f"chip{number}/{component.name}" if number else component.name,
        chip=component.chip + chip,
        sequencer=None if led is None else first + led,
    )
