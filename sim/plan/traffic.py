"""What a request moves over each link, in closed form: what a mapping costs on the buses.

A layer that is spread over several PUs sends its partial sums over the bus between them; a copy
takes tokens from the others and moves no more.
"""

from __future__ import annotations

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.unrolled import shape_of


def link_bytes(plan: Plan, chip: Chip, tokens: int, prefill: int | None = None) -> dict[str, int]:
    """Bytes of a request of so many tokens over each link of the chip (a mesh: times its hops).

    ``prefill``: of these, the prompt; all by default.
    """
    shape = shape_of(plan, tokens, prefill)
    bits = dict.fromkeys(chip.links, 0)
    for step, count, size in zip(plan.steps, shape.counts, shape.sizes, strict=True):
        if step.unit in bits:
            bits[step.unit] += sum(a.per_visit * count + a.per_size * size for a in step.actions)
    return {link: -(-total // 8) for link, total in bits.items()}
