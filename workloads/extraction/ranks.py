"""Give the matrices of a graph ranks: W (m x n) kept as two factors of r (m + n) values.

A rank is worth its factors only below m n / (m + n), where they hold as many values as W. HyFlexPIM
starts from exactly that rank ("hard threshold", its §4): nothing is saved by it, the factors serve
to tell important ranks from others. Savings come with fewer ranks.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

import networkx as nx

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.vocabulary import check_op

HARD_THRESHOLD = "hard-threshold"
SKIP = ("dt_proj",)
"""Last parts of module paths that are neither factorised nor put on multi-level cells."""
_BLOCK = re.compile(r"(^|\.)\d+$")


def break_even(rows: int, cols: int) -> int:
    """Largest rank whose factors hold no more values than the matrix: floor(m n / (m + n)).

    >>> break_even(768, 768), break_even(768, 3072)
    (384, 614)
    """
    return rows * cols // (rows + cols)


def block_matrices(graph: nx.DiGraph) -> dict[str, tuple[int, int]]:
    """(rows, cols) by weight, of the matrices in repeated blocks (layers ending in an index)."""
    return {
        op["weight"]: (op["rows"], op["cols"])
        for _, op in graph.nodes(data=True)
        if op["kind"] == "gemv" and _BLOCK.search(op["layer"])
    }


def exact_ops(graph: nx.DiGraph) -> list[str]:
    """GEMV ops that a compressed checkpoint computes exactly: outside blocks, or in SKIP."""
    return [
        name
        for name, op in graph.nodes(data=True)
        if op["kind"] == "gemv"
        and (not _BLOCK.search(op["layer"]) or name.split("@")[0].rsplit(".", 1)[-1] in SKIP)
    ]


def with_ranks(
    graph: nx.DiGraph,
    ranks: Mapping[str, int] | str | float,
    *,
    skip: Collection[str] = SKIP,
) -> nx.DiGraph:
    """A copy of the graph whose block matrices have ranks; embeddings and heads stay dense.

    ``ranks``:

    - ``"hard-threshold"``: floor(m n / (m + n)) each, break-even by construction: parameters and
      MACs stay within one rank of the dense ones.
    - a float f, 0 < f <= 1: floor(f m n / (m + n)), at least 1: about f of the dense parameters.
    - a mapping of weight (or op name) to rank; matrices not named stay dense. Ops that share a
      weight (ParT's class token) share its rank.

    A matrix stays dense where its factors would hold more values than the matrix itself, also
    where a mapping asks for such a rank. ``skip``: last parts of module paths left alone by the
    first two rules (Mamba's ``dt_proj`` is a factor already).

    Raises InputError for an unknown weight, naming the nearest, or a value out of range.
    """
    matrices = block_matrices(graph)
    if isinstance(ranks, Mapping):
        chosen = _named(graph, ranks)
    else:
        fraction = _fraction(ranks)
        chosen = {}
        for weight, (rows, cols) in matrices.items():
            if weight.removesuffix(".weight").rsplit(".", 1)[-1] not in skip:
                chosen[weight] = max(1, int(fraction * rows * cols / (rows + cols) + 1e-9))
    result = copy.deepcopy(graph)
    for name, op in result.nodes(data=True):
        rank = chosen.get(op["weight"]) if op["kind"] == "gemv" else None
        if rank is not None and rank <= break_even(op["rows"], op["cols"]):
            op["rank"] = rank
            check_op(name, op)
    return result


def _fraction(ranks: Any) -> float:
    if ranks == HARD_THRESHOLD:
        return 1.0
    if isinstance(ranks, int | float) and not isinstance(ranks, bool) and 0 < ranks <= 1:
        return float(ranks)
    raise InputError(
        f"ranks must be {HARD_THRESHOLD!r}, a fraction above 0 and at most 1, or a mapping of "
        f"weight to rank; got {ranks!r}"
    )


def _named(graph: nx.DiGraph, ranks: Mapping[str, int]) -> dict[str, int]:
    ops = {name: op for name, op in graph.nodes(data=True) if op["kind"] == "gemv"}
    shapes = {op["weight"]: (op["rows"], op["cols"]) for op in ops.values()}
    chosen: dict[str, int] = {}
    for key, rank in ranks.items():
        weight = ops[key]["weight"] if key in ops else key
        if weight not in shapes:
            near = difflib.get_close_matches(key, [*shapes, *ops], n=3)
            raise InputError(
                f"ranks: no matrix {key!r} in {graph.graph['name']!r}; "
                f"nearest: {', '.join(near) or 'none'}"
            )
        limit = min(shapes[weight])
        if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= limit:
            raise InputError(f"ranks: rank of {key!r} must be 1 to {limit}; got {rank!r}")
        if chosen.setdefault(weight, rank) != rank:
            raise InputError(f"ranks: weight {weight!r} is given two ranks")
    return chosen
