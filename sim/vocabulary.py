"""The vocabulary of workloads: what a dataflow graph of a model must carry, and what it refuses.

A workload is a :class:`networkx.DiGraph`. A node is one operation of the model, an edge
is one tensor that flows between two operations. The graph is **symbolic in the token
count** N: it is made once per model and evaluated for any N, because every quantity
that depends on N does so in one of three ways only:

- how often an op runs: its *axis* (``sequence``: N + extra, ``pair``: N (N + 1) / 2,
  ``single``: 1, ``source``: ``extra``, the tokens of an encoder beside a decoder of N, ``table``:
  ``extra``, the rows of a table that is read whole, such as embeddings of distances);
- how much one run costs: a constant, or a constant times the *context* it looks at
  (``all``: N + context_extra tokens, ``prefix``: the n + 1 tokens up to its own, ``window``: of the
  tokens from n - behind to n + ahead those that there are, ``source`` and ``table``:
  context_extra of them, ``square``: of an image's tokens, row by row ``wide``, the context_extra
  of a square of ``side`` times ``side``);
- what one run waits for: the *firing rule* on the edge.

So there is no formula language, a graph saves to JSON and loads without running code.

Sources: the op classes follow HyFlexPIM §3.1 and §3.3 (what runs on which unit), the
pair axis follows ParT's interaction features (arXiv 2202.03772 §3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import networkx as nx

from hyflexsim.sim.errors import InputError, shortened
from hyflexsim.sim.op_classes import KINDS

FORMAT = "hyflexsim-graph-2"

AXES = ("sequence", "pair", "single", "source", "table")
CONTEXTS = (None, "all", "prefix", "window", "source", "table", "square")
FIXED = ("source", "table", "square")
"""Axes and contexts of a number of tokens that does not grow with N."""
RULES = {
    "stream": "token n needs token n (the only token, when the producer is single)",
    "prefix": "token n needs tokens 0 .. n",
    "window": "token n needs the tokens of its window, up to n * stride + ahead",
    "square": "token n needs the square of an image's tokens that it looks at or is made of",
    "all": "every token is needed before the first run",
    "first": "token 0 is needed",
    "last": "the last token is needed",
    "recurrent": "token n needs token n - 1",
    "pair": "pair (i, j) needs particles i and j; the row of query i needs its pairs",
}
"""Firing rules of edges."""

PRODUCTS = (["values", "values"], ["probabilities", "values"], ["values", "positions"])
"""What a product of activations multiplies: how wide these are is the chip's. ``positions``: what a
model makes of distances between tokens, which does not depend on its input.
"""

REQUIRED = {
    "input": ("width",),
    "gemv": ("width", "rows", "cols", "weight"),
    "matmul": ("width", "heads", "inner", "multiplies", "context"),
    "softmax": ("width", "elements", "context"),
    "norm": ("width", "elements"),
    "pointwise": ("width", "elements", "function"),
    "lookup": ("width",),
    "scan": ("width", "channels", "state"),
    "output": ("width",),
}
"""Attributes a node of each kind must carry besides ``kind``, ``axis``, ``layer``, ``module``."""

OPTIONAL: dict[str, Any] = {
    "extra": 0,
    "context": None,
    "context_extra": 0,
    "bias": False,
    "rank": None,
    "importance": None,
    "head": False,
    "parameters": 0,
}
"""Attributes with defaults, filled in by :func:`~hyflexsim.sim.graph.add_op`.

``extra``: tokens on the sequence axis beyond N (ViT's patches: -1).
``rank``: None for a dense matrix, r for W = U diag(s) V^T kept as two factors.
``importance``: one number per rank (per output, where dense), largest = protect first
(HyFlexPIM §4).
``head``: needed only for the tokens that are sampled when text is generated.
``parameters``: trained values outside matrices (norm scales, convolution taps). A lookup may
give as ``stored`` the values of its table, where a tied matrix counts them as parameters. Any
op may give as ``bits`` the width of its results, where it is not the chip's. ``behind``, ``ahead``:
of a context ``window``, how many tokens it reaches to both sides; also of a gemv that is a
convolution over tokens, which with its token n reads around token n * ``stride``. ``routed``: it
is an expert's and takes only some tokens (routing.py). ``side``, ``wide``: of a context ``square``,
or of an op whose tokens are made of such squares of the tokens it reads (patch merging), the side
of a square and tokens in a row of the image.
"""

MOST_SIZE = 2**31
MOST_VALUES = 2**48
MOST_SKEW = 100
_LARGEST = float("inf")
_TEXTS = ("layer", "module", "weight", "function")
_SIZES = ("width", "rows", "cols", "elements", "heads", "inner", "channels", "state")
_REMEMBER = ("scan", "pointwise")
"""Kinds of op that can keep a token for the next."""


class GraphError(InputError):
    """A graph that no machine can run; the message names node or edge, key and allowed values."""


def check_op(name: Any, op: dict[str, Any]) -> None:
    """Raise :class:`GraphError` unless an op's attributes are there, known and in range."""
    if not isinstance(name, str):
        raise GraphError(f"op names must be texts; got {name!r}")
    _one_of(name, "kind", op.get("kind"), tuple(KINDS))
    _one_of(name, "axis", op.get("axis"), AXES)
    _one_of(name, "context", op.get("context"), CONTEXTS)
    _check_keys(name, op)
    _check_values(name, op)
    _check_rank(name, op)


def _check_keys(name: str, op: dict[str, Any]) -> None:
    required = ("layer", "module", *REQUIRED[op["kind"]])
    for key in (*required, *OPTIONAL):
        if key not in op or (key in required and op[key] is None):
            raise GraphError(f"op {name!r} ({op['kind']}): {key} is missing")
    window = ("behind", "ahead") if op["context"] == "window" or "stride" in op else ()
    square = ("side", "wide") if op["context"] == "square" or "side" in op else ()
    for key in (*window, *square):
        if key not in op:
            raise GraphError(f"op {name!r} ({op['kind']}): {key} is missing")
    known = ("kind", "axis", *required, *OPTIONAL, "bits", "stored", "routed", *window, *square)
    known = (*known, "stride") if op["kind"] == "gemv" else known
    for key in op:
        if key not in known:
            raise GraphError(
                f"op {name!r} ({op['kind']}): unknown key {key!r}; known: {', '.join(known)}"
            )


def _check_values(name: str, op: dict[str, Any]) -> None:
    for key in _TEXTS:
        if key in op and not isinstance(op[key], str):
            raise _refused(name, key, "a text", op[key])
    for key in ("bias", "head"):
        if not isinstance(op[key], bool):
            raise _refused(name, key, "true or false", op[key])
    for key in _SIZES:
        _integer(name, op, key, 1, MOST_SIZE, "a positive integer")
    for key in ("parameters", "stored", "behind", "ahead"):
        _integer(name, op, key, 0, MOST_VALUES, "an integer from 0")
    for key in ("extra", "context_extra"):
        _integer(name, op, key, -MOST_SIZE, MOST_SIZE, "an integer")
    if op["context"] == "prefix":
        _integer(name, op, "context_extra", 0, MOST_SIZE, "an integer from 0 with context prefix")
    if op["context"] == "window" and op["context_extra"] != 0:
        raise _refused(name, "context_extra", "0 with context window", op["context_extra"])
    for key, size in (("context", "context_extra"), ("axis", "extra")):
        if op[key] in FIXED:
            _integer(name, op, size, 1, MOST_SIZE, f"a positive integer with {key} {op[key]}")
    _integer(name, op, "stride", 1, MOST_SIZE, "a positive integer")
    _integer(name, op, "bits", 1, 64, "a positive integer")
    _check_routed(name, op)
    _check_square(name, op)
    if op["kind"] == "matmul":
        _one_of(name, "multiplies", op["multiplies"], PRODUCTS)


def _check_square(name: str, op: dict[str, Any]) -> None:
    if "side" not in op:
        return
    for key in ("side", "wide"):
        _integer(name, op, key, 1, MOST_SIZE, "a positive integer")
    if op["wide"] % op["side"]:
        raise _refused(name, "wide", f"a multiple of side ({op['side']})", op["wide"])
    if op["context"] == "square" and op["context_extra"] != op["side"] ** 2:
        allowed = f"side * side ({op['side'] ** 2}) with context square"
        raise _refused(name, "context_extra", allowed, op["context_extra"])


def _check_routed(name: str, op: dict[str, Any]) -> None:
    routed = op.get("routed", {})
    drawn = {"expert", "experts", "chosen", "seed"}
    keys = set(routed) if isinstance(routed, dict) else {""}
    allowed = "a table of expert, experts, chosen and seed (and skew), or of expert and tokens"
    if keys and keys not in (drawn, drawn | {"skew"}, {"expert", "tokens"}):
        raise _refused(name, "routed", allowed, routed)
    if not keys:
        return
    if op["axis"] != "sequence" or op["extra"] or op["context"]:
        raise _refused(name, "routed", "of an op on axis sequence, one run a token", routed)
    tokens = routed.get("tokens", [])
    if not isinstance(tokens, list) or not all(_whole(n) and n >= 0 for n in tokens):
        raise _refused(name, "routed tokens", "a list of integers from 0", tokens)
    if tokens != sorted(set(tokens)):
        raise _refused(name, "routed tokens", "in order, each once", tokens)
    skew = routed.get("skew", 0.0)
    if not isinstance(skew, int | float) or not 0 <= skew <= MOST_SKEW:
        raise _refused(name, "routed skew", f"a number from 0 to {MOST_SKEW}", skew)
    for key, least, most in (
        ("experts", 1, MOST_SIZE),
        ("chosen", 1, routed.get("experts", 1)),
        ("expert", 0, routed.get("experts", MOST_SIZE) - 1),
        ("seed", 0, MOST_SIZE),
    ):
        value = routed.get(key, least)
        if not _whole(value) or not least <= value <= most:
            raise _refused(name, f"routed {key}", f"an integer from {least} to {most}", value)


def _check_rank(name: str, op: dict[str, Any]) -> None:
    rank = op["rank"]
    if rank is not None:
        if op["kind"] != "gemv":
            raise _refused(name, "rank", f"None for kind {op['kind']}", rank)
        least = min(op["rows"], op["cols"])
        if not _whole(rank) or not 1 <= rank <= least:
            allowed = f"None or a positive integer up to {least}, of rows and cols the smaller"
            raise _refused(name, "rank", allowed, rank)
    importance, size = op["importance"], op.get("cols") if rank is None else rank
    if importance is None:
        return
    of = "output" if rank is None else "rank"
    allowed = f"a list of one value per {of} ({size})"
    if not (isinstance(importance, list) and len(importance) == size):
        given = f"{len(importance)} values" if isinstance(importance, list) else repr(importance)
        raise GraphError(f"op {name!r}: importance must be {allowed}; got {given}")
    for value in importance:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not -_LARGEST < value < _LARGEST:
            raise _refused(name, "importance", f"{allowed}, all finite numbers", value)


def check_edge(graph: nx.DiGraph, source: str, target: str, rule: Any) -> None:
    """Raise :class:`GraphError` for a rule that is none, or cannot join these two ops."""
    where = f"edge {source!r} -> {target!r}: "
    if rule not in tuple(RULES):
        raise GraphError(f"{where}rule must be one of {', '.join(RULES)}; got {rule!r}")
    there, here = graph.nodes[source], graph.nodes[target]
    ends = there["axis"], here["axis"]
    crosses = ends[0] not in (ends[1], "single") and any(end in FIXED for end in ends)
    if rule in ("stream", "prefix", "window") and crosses:
        raise GraphError(
            f"{where}rule {rule} cannot join a {ends[0]} op to a {ends[1]} op; use all, first or "
            "last"
        )
    if rule == "stream" and ends in (
        ("sequence", "single"),
        ("sequence", "pair"),
        ("pair", "sequence"),
    ):
        raise GraphError(
            f"{where}rule stream cannot join a {ends[0]} op to a {ends[1]} op; use all, first, "
            "last or pair"
        )
    sent, taken = there.get("routed"), here.get("routed")
    if sent != taken and (rule != "stream" or (sent and taken)):
        raise GraphError(
            f"{where}rule {rule} cannot join what two experts take, or what one takes and all; "
            "use stream from or to an op that runs for all tokens"
        )
    if rule == "window" and "ahead" not in here:
        raise GraphError(
            f"{where}rule window leads to an op of context window; got {here['context']}"
        )
    if rule == "square" and ("side" not in here or ends != ("sequence",) * 2):
        raise GraphError(
            f"{where}rule square joins sequence ops and leads to one with side and wide; got a "
            f"{ends[0]} op and a {ends[1]} op with context {here['context']}"
        )
    if rule == "pair" and ("pair" not in ends or "single" in ends):
        raise GraphError(
            f"{where}rule pair joins pair ops and sequence ops; got a {ends[0]} op and a "
            f"{ends[1]} op"
        )
    if rule == "recurrent" and (ends != ("sequence",) * 2 or here["kind"] not in _REMEMBER):
        raise GraphError(
            f"{where}rule recurrent joins sequence ops and leads to a {' or '.join(_REMEMBER)} op, "
            f"which keeps a token for the next; got a {ends[0]} op and a {ends[1]} op of kind "
            f"{here['kind']}"
        )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _integer(name: str, op: dict[str, Any], key: str, least: int, most: int, allowed: str) -> None:
    value = op.get(key, 1)
    if not _whole(value) or value < least:
        raise _refused(name, key, allowed, value)
    if value > most:
        raise _refused(name, key, f"{allowed}, at most {most}", value)


def _one_of(name: str, key: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise _refused(name, key, f"one of {', '.join(map(str, allowed))}", value)


def _refused(name: str, key: str, allowed: str, value: Any) -> GraphError:
    return GraphError(f"op {name!r}: {key} must be {allowed}; got {shortened(value)}")


def validate(graph: nx.DiGraph) -> None:
    """Raise :class:`GraphError` unless every op and edge is in the vocabulary and work can start.

    Every op must follow from an ``input``, so that it waits for something. A cycle must contain an
    edge with rule ``recurrent``: any other cycle waits for itself.
    """
    _check_header(graph.graph)
    for name, op in graph.nodes(data=True):
        check_op(name, op)
    for source, target, edge in graph.edges(data=True):
        check_edge(graph, source, target, edge.get("rule"))
        for key in edge:
            if key != "rule":
                raise GraphError(f"edge {source!r} -> {target!r}: unknown key {key!r}; known: rule")
    forward = nx.DiGraph()
    forward.add_nodes_from(graph)
    forward.add_edges_from((u, v) for u, v, rule in graph.edges(data="rule") if rule != "recurrent")
    try:
        cycle = [edge[0] for edge in nx.find_cycle(forward)]
    except nx.NetworkXNoCycle:
        cycle = []
    if cycle:
        shown = cycle if len(cycle) <= 8 else [*cycle[:5], "…", *cycle[-2:]]
        raise GraphError(f"cycle without a recurrent edge: {' -> '.join([*shown, cycle[0]])}")
    _check_flow(graph, forward)
    weights: dict[str, tuple[int, int, int | None]] = {}
    for name, op in graph.nodes(data=True):
        if op["kind"] == "gemv":
            shape = (op["rows"], op["cols"], op["rank"])
            if weights.setdefault(op["weight"], shape) != shape:
                raise GraphError(f"op {name!r}: weight {op['weight']!r} has two shapes")


def _check_header(header: dict[str, Any]) -> None:
    if header.get("format") != FORMAT:
        raise GraphError(f"format must be {FORMAT!r}; got {header.get('format')!r}")
    for key in ("name", "family", "prefix"):
        if not isinstance(header.get(key, None if key == "name" else ""), str):
            raise GraphError(f"{key} must be a text; got {header.get(key)!r}")
    if not isinstance(header.get("causal", False), bool):
        raise GraphError(f"causal must be true or false; got {header['causal']!r}")
    for key in ("tokens", "vocab", "source", "positions", "source_positions"):
        value = header.get(key, 1)
        if not _whole(value) or not 1 <= value <= MOST_SIZE:
            raise GraphError(f"{key} must be a positive integer; got {value!r}")


def _check_flow(graph: nx.DiGraph, forward: nx.DiGraph) -> None:
    """Every op waits for an input, and some op has a token to compute."""
    if all(kind in ("input", "output") for _, kind in graph.nodes(data="kind")):
        raise GraphError("nodes must hold ops that compute; got none")
    for name, op in graph.nodes(data=True):
        if op["kind"] == "input" and graph.in_degree(name):
            raise GraphError(f"op {name!r} (input): must have no edge to it")
        if op["kind"] == "output" and graph.out_degree(name):
            raise GraphError(f"op {name!r} (output): must have no edge from it")
        if op["kind"] != "input" and not forward.in_degree(name):
            raise GraphError(
                f"op {name!r} ({op['kind']}): must follow from an op of kind input, by edges "
                "that are not recurrent"
            )
    fixed = graph.graph.get("tokens")
    if fixed is not None:
        check_length(graph, fixed)


def check_length(graph: nx.DiGraph, tokens: int) -> None:
    """Raise :class:`GraphError` for an input so short that an op has nothing to compute."""
    for name, key, value in _cuts(graph):
        if tokens + value < 1:
            raise _refused(name, key, f"at least {1 - tokens} for {tokens} tokens", value)


def check_positions(graph: nx.DiGraph, tokens: int) -> None:
    """Raise :class:`GraphError` for an input longer than the positions that the model has learned.

    They are the graph's attribute ``positions``; without it there is no end (rotary positions).
    """
    positions = graph.graph.get("positions", tokens)
    if tokens > positions:
        raise GraphError(
            f"{graph.graph['name']}: tokens must be at most {positions}, the positions that it has "
            f'learned (in a run, model.positions = "any" goes beyond); got {tokens}'
        )


def least_tokens(graph: nx.DiGraph) -> int:
    """The shortest input of which every op has something to compute and to look at."""
    return max(1, *(1 - value for _, _, value in _cuts(graph)))


def _cuts(graph: nx.DiGraph) -> Iterator[tuple[str, str, int]]:
    """What is added to the token count: (op, key, value)."""
    for name, op in graph.nodes(data=True):
        if op["axis"] == "sequence":
            yield name, "extra", op["extra"]
        if op["context"] == "all":
            yield name, "context_extra", op["context_extra"]
