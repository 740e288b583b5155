"""Copies whose number is said: one for all, numbers by pattern, or as many as fit evenly.

Which of them are worth their arrays is another matter (copies.py).
"""

from __future__ import annotations

from fnmatch import fnmatch

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Placement, is_block
from hyflexsim.sim.placement.weight import Weight


def refuse_idle_copies(placement: Placement) -> None:
    """Raise :class:`InputError` for numbers of copies that could do nothing."""
    wanted, unit = placement.options.copies, placement.chip.unit("gemv")
    if isinstance(wanted, str):
        return
    if not unit.kind.copied:
        raise InputError(
            f"copies must be none or fill on {placement.chip.name}: a second copy in {unit.name} "
            f"serves no second token; got {wanted!r}"
        )
    weights = placement.weights.values()
    for pattern in wanted if isinstance(wanted, dict) else ():
        if not any(_matches(w, i, pattern) for w in weights for i in range(len(w.parts))):
            some = ", ".join(weight.op for weight in list(weights)[:3])
            raise InputError(f"copies: no matrix matches {pattern!r}; names are like {some}")


def _matches(weight: Weight, part: int, pattern: str) -> bool:
    """Whether a pattern means a matrix, or one of its factors (``*.fc1.V``)."""
    return any(
        fnmatch(name, pattern) for name in (weight.op, f"{weight.op}.{weight.parts[part].part}")
    )


def given(placement: Placement, wanted: int | dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Copies by weight and part: a number is for the matrices of blocks, patterns are of names."""
    if isinstance(wanted, int):
        blocks = (w for w in placement.weights.values() if is_block(w.layer))
        return {w.name: (wanted,) * len(w.parts) for w in blocks}
    return {
        weight.name: tuple(
            next((n for op, n in wanted.items() if _matches(weight, i, op)), 1)
            for i in range(len(weight.parts))
        )
        for weight in placement.weights.values()
    }


def even(graph: nx.DiGraph, placement: Placement, tokens: int) -> Placement:
    """As many copies of every matrix of a block as its PUs hold, of other matrices one; not more
    than there are tokens for.
    """
    if not placement.chip.unit("gemv").kind.copied:
        return placement
    copies: dict[str, int] = {}
    for pus, layers in placement.groups().items():
        here = [w for w in placement.weights.values() if w.layer in layers and is_block(w.layer)]
        once = sum(weight.pieces for weight in here)
        most = max((runs_of(graph, weight, tokens) for weight in here), default=1)
        further = max(0, placement.free(pus)) // once if once else 0
        copies |= dict.fromkeys((weight.name for weight in here), min(1 + further, most))
    return placement.with_copies(copies)


def runs_of(graph: nx.DiGraph, weight: Weight, tokens: int) -> int:
    """Tokens that a matrix serves for one request."""
    return sum(g.token_count(graph.nodes[op], tokens) for op in weight.ops)
