"""Which tokens an expert takes, where a model sends each token to a few of many experts.

An op of an expert carries ``routed``, a table with plain values::

    {"expert": 3, "experts": 8, "chosen": 2, "seed": 7}     drawn: two of eight, each as likely
    {"expert": 3, "experts": 8, "chosen": 2, "seed": 7, "skew": 1.0}     by Zipf's law of rank
    {"expert": 3, "tokens": [0, 4, 5]}                                   as a router chose

Drawn choices are assumed; a router's own come from :func:`with_routes`. Every request of a plan
takes the same. Rows of the drawn table do not depend on how many there are, so that a longer
request sends its first tokens where a shorter one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import networkx as nx
import numpy as np

from hyflexsim.sim.errors import InputError

BLOCK = 1024
Routed = tuple[tuple[str, Any], ...]
"""The table of an op as a step of a plan holds it: sorted pairs, tokens as a tuple."""


def frozen(routed: Mapping[str, Any]) -> Routed:
    """What a step holds for an op's ``routed``."""
    pairs = ((k, tuple(v) if isinstance(v, list) else v) for k, v in routed.items())
    return tuple(sorted(pairs))


def taken(routed: Routed, tokens: int) -> np.ndarray:
    """Of the tokens 0 ... tokens - 1 those that the expert takes, in order.

    >>> both = [{"expert": e, "experts": 2, "chosen": 1, "seed": 0} for e in (0, 1)]
    >>> sum(len(taken(frozen(each), 100)) for each in both)
    100
    """
    table = dict(routed)
    if "tokens" in table:
        given = np.array(table["tokens"], dtype=np.int64)
        return given[given < tokens]
    drawn = [table[key] for key in ("experts", "chosen", "seed")]
    chosen = _choices(*drawn, table.get("skew", 0.0), -(-tokens // BLOCK))
    found: np.ndarray = np.flatnonzero((chosen[:tokens] == table["expert"]).any(1))
    return found


@lru_cache(maxsize=256)
def _choices(experts: int, chosen: int, seed: int, skew: float, blocks: int) -> np.ndarray:
    """Experts of each token, (tokens, chosen): the largest of log p plus Gumbel noise.

    So they are drawn one after the other without putting any back (Gumbel top-k, arXiv 1903.06059).
    Which expert is popular is drawn as well.
    """
    rank = np.random.default_rng([seed, experts]).permutation(experts)
    logs = -skew * np.log(rank + 1.0)
    rows = []
    for block in range(blocks):
        noise = np.random.default_rng([seed, experts, block]).gumbel(size=(BLOCK, experts))
        rows.append(np.argsort(-(logs + noise), axis=1, kind="stable")[:, :chosen])
    return np.concatenate(rows)


def with_routes(
    graph: nx.DiGraph,
    *,
    skew: float = 0.0,
    tables: Mapping[str, Sequence[Sequence[int]]] | None = None,
) -> nx.DiGraph:
    """A copy of the graph whose experts take other tokens.

    ``skew``: drawn ones, the expert of rank r with a weight of r ** -skew. ``tables``: by layer,
    such as ``layers.3``, the experts of each token as the layer's router chose. Raises
    :class:`InputError` for a layer without experts or an expert that there is not.
    """
    result: nx.DiGraph = graph.copy()
    known: set[str] = set()
    for _, op in result.nodes(data=True):
        routed = op.get("routed")
        if routed is None:
            continue
        layer = op["layer"].rpartition(".experts.")[0]
        known.add(layer)
        if tables is None:
            op["routed"] = {**routed, "skew": float(skew)}
        elif layer in tables:
            rows = enumerate(tables[layer])
            sent = [n for n, row in rows if routed["expert"] in row]
            op["routed"] = {"expert": routed["expert"], "tokens": sent}
    if not known:
        raise InputError(f"{graph.graph['name']} has no experts that a router sends tokens to")
    for layer in set(tables or ()) - known:
        raise InputError(
            f"routes: no experts in layer {layer!r}; layers: {', '.join(sorted(known))}"
        )
    return result
