"""A request that begins with tokens whose keys and values are there: what its plan leaves out.

The first ``held`` tokens of a text were computed by another request, the last turn of a
conversation. Whatever serves tokens of the text has served these already, so every step begins at
what it makes of so many tokens; positions, contexts and firing rules are those of the whole text.
That is right where a token depends on those before it alone, and on no more of these than keys,
values and states that wait in memory. What serves other things than tokens of the text, fetched
weights and words to be sampled, is served as ever.
"""

from __future__ import annotations

from bisect import bisect_left

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Group, Plan, Step, Threshold
from hyflexsim.sim.routing import taken


def begin_of(step: Step, tokens: int, held: int) -> int:
    """Tokens (or parts of tokens) of a step that are done, of a text whose first ``held`` are.

    ``tokens``: of the whole text.

    >>> from hyflexsim.sim.chip.service import Rate
    >>> begin_of(Step("fc", "fc", "bank", "b", lanes=(0,), rate=Rate(), planes=8), 9, 2)
    16
    """
    if step.head or step.axis == "single":
        return 0
    if step.routed is not None:
        return bisect_left(taken(step.routed, tokens).tolist(), held) * step.planes
    return held * step.planes


def check_held(plan: Plan) -> None:
    """Refuse a plan in which a text cannot begin with tokens that others have computed.

    Raises :class:`InputError` with the first step that needs more of them than keys and values, or
    tokens behind its own.
    """
    for step in plan.steps:
        what = _more(plan, step)
        if what:
            raise InputError(f"keys and values of a text cannot be used again: {step.op} {what}")


def _more(plan: Plan, step: Step) -> str:
    """What a step needs beside tokens before its own; empty: nothing."""
    if step.axis in ("pair", "source"):
        return f"serves {'pairs' if step.axis == 'pair' else 'an encoder or a table'}"
    if step.axis == "sequence" and step.extra:
        return f"serves {step.extra} tokens beside those of the text"
    if step.size in ("all", "source") or step.ahead:
        return "looks at tokens behind its own"
    edges = [edge for edge in step.inputs if plan.steps[edge.source].axis != "single"]
    found = (_crosses(plan.steps[edge.source], step, edge) for edge in edges)
    return next((what for what in found if what), "")


def _crosses(producer: Step, reader: Step, edge: Group | Threshold) -> str:
    """The same of one input, which is not once a request."""
    if isinstance(edge, Group):
        alike = edge.every * reader.parts == edge.spread * producer.parts
        return "" if alike or reader.axis == "single" else "joins or splits tokens"
    if edge.rule in ("chunk", "routed") or (edge.rule, edge.ahead, edge.stride) == ("prefix", 0, 1):
        return ""
    return f"waits for {producer.op} by the rule {edge.rule}"
