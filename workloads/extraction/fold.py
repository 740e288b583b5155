"""From ops as read to the graph: what a chip would merge is merged, what it would split is split.

- The five element-wise operators of rotary position embedding become one ``rotary``.
- A scale or shift of a gemv's result by parameters (BatchNorm, head scales) folds into its
  weights: the op vanishes, its parameters stay counted.
- A fused projection whose columns are queries, keys and values becomes three gemvs, so that
  Q, K and V are separate ops in every model.
- Concatenation is wires.
- Ops that lead to no output vanish.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import networkx as nx

from hyflexsim.sim import graph as vocabulary
from hyflexsim.workloads.extraction.flowing import Flow, Op, Part

STRENGTH = ("stream", "first", "pair", "window", "square", "prefix", "last", "all")
"""Where one op reads another twice, the rule further right is kept: it waits for more."""


def users_of(ops: Iterable[Op]) -> dict[Op, list[Op]]:
    """The ops that read each op's result."""
    users: dict[Op, list[Op]] = defaultdict(list)
    for op in ops:
        for flow, rule in op.inputs:
            if rule != "recurrent":
                users[flow.op].append(op)
    return users


def live(ops: list[Op], outputs: list[Flow]) -> list[Op]:
    """The ops that some output depends on, in order."""
    seen: set[Op] = set()
    stack = [flow.op for flow in outputs]
    while stack:
        op = stack.pop()
        if op not in seen:
            seen.add(op)
            stack += [flow.op for flow, _ in op.inputs]
    return [op for op in ops if op in seen]


def replace(ops: list[Op], old: Op, new: Flow) -> None:
    """Let every reader of ``old`` read ``new`` instead; its rule stays."""
    for op in ops:
        if any(flow.op is old for flow, _ in op.inputs):
            op.inputs = [
                (_through(flow, new), rule) if flow.op is old else (flow, rule)
                for flow, rule in op.inputs
            ]


def _through(flow: Flow, new: Flow) -> Flow:
    return Flow(new.op, flow.width, flow.axis, flow.extra, new.parts + flow.parts, flow.rule)


# -- rotary ---------------------------------------------------------------------------------------


def merge_rotary(ops: list[Op]) -> None:
    """Element-wise work between a projection and QK^T that uses a table: one op ``rotary``."""
    for scores in [op for op in ops if op.kind == "matmul"]:
        for role, (flow, _) in zip("qkk", scores.inputs, strict=False):
            cluster, sources = _cluster(flow.op)
            if len(cluster) < 3 or not any(op.constant for op in cluster):
                continue
            if len({source.op for source in sources}) != 1:
                continue
            last, source = flow.op, sources[0]
            dot = last.name.rsplit(".", 1)[0] + "." if "." in last.name else ""
            last.kind, last.name = "pointwise", f"{dot}rotary.{role}"
            last.attributes = {"function": "rotary", "elements": last.width}
            parts = _shared([flow.parts for flow in sources])
            reads = Flow(source.op, last.width, source.axis, source.extra, parts)
            last.inputs = [(reads, "stream")]
            last.parameters = sum(op.parameters for op in cluster)


def _cluster(op: Op) -> tuple[set[Op], list[Flow]]:
    """Element-wise ops that lead to ``op`` within its module, and what they read from outside."""
    if op.kind not in ("pointwise", "cat") or op.attributes.get("function") == "rotary":
        return set(), []
    cluster, sources, stack = {op}, [], [op]
    while stack:
        for flow, _ in stack.pop().inputs:
            inside = flow.op.kind in ("pointwise", "cat") and flow.op.module == op.module
            if not inside:
                sources.append(flow)
            elif flow.op not in cluster:
                cluster.add(flow.op)
                stack.append(flow.op)
    return cluster, sources


def _shared(paths: list[tuple[Part, ...]]) -> tuple[Part, ...]:
    """The cuts that all flows have in common: the halves of q lie in q."""
    shared: list[Part] = []
    for cuts in zip(*paths, strict=False):
        if len(set(cuts)) > 1:
            break
        shared.append(cuts[0])
    return tuple(shared)


# -- scales into weights --------------------------------------------------------------------------


def fold_scales(ops: list[Op]) -> list[Op]:
    """BatchNorm, and products or sums with a parameter, into the gemv before or after them."""
    users = users_of(ops)
    gone: set[Op] = set()
    for op in ops:
        scale = op.kind == "norm" and op.attributes.pop("foldable", False)
        affine = op.attributes.get("function") in ("mul", "add") and len(op.inputs) == 1
        affine = affine and 0 < op.parameters <= op.width and not op.constant
        if not (scale or affine) or len(op.inputs) != 1:
            continue
        before = op.inputs[0][0]
        target: Op | None = None
        if before.op.kind == "gemv" and len(users[before.op]) == 1 and not before.parts:
            target = before.op
        elif scale and users[op] and all(user.kind == "gemv" for user in users[op]):
            target = users[op][0]
        if target is None:
            continue
        target.parameters += op.parameters
        if target is before.op:
            target.nodes += op.nodes
        else:
            for user in users[op]:
                user.before += op.nodes
        replace(ops, op, before)
        users[before.op] = [u for u in users[before.op] if u is not op] + users[op]
        gone.add(op)
    return [op for op in ops if op not in gone]


# -- fused projections ----------------------------------------------------------------------------


def split_projections(ops: list[Op]) -> list[Op]:
    """Gemvs whose columns are queries, keys, values: one gemv for each part that is read."""
    roles: dict[Op, dict[Part, str]] = defaultdict(dict)
    for op in ops:
        if op.kind == "matmul":
            stem = op.name.rsplit("@", 1)[0]
            names = ("q", "k", "k") if stem.endswith("qk") else ("", "v", "v")
            for role, (flow, _) in zip(names, op.inputs, strict=False):
                source = _projection(flow)
                if not role or source is None:
                    continue
                if source.part is not None:
                    roles[source.op].setdefault(source.part, role)
                elif not source.op.attributes["whole"]:  # rows of a fused matrix, applied alone
                    stem, at, cls = source.op.name.partition("@")
                    source.op.name = f"{stem.removesuffix('.' + role)}.{role}{at}{cls}"
    parts: dict[tuple[Op, Part], Op] = {}
    result: list[Op] = []
    for op in ops:
        found = roles.get(op, {})
        read = {f.part for u in ops for f, _ in u.inputs if f.op is op}
        total = sum(_columns(part, op.width) for part in found)
        if not found or read != set(found) or total != op.width:
            result.append(op)
            continue
        for part, role in found.items():
            parts[op, part] = _part_op(op, part, role, first=part == next(iter(found)))
            result.append(parts[op, part])
    for op in result:
        op.inputs = [
            (Flow(parts[f.op, f.part], f.width, f.axis, f.extra, (), f.rule), rule)
            if f.part is not None and (f.op, f.part) in parts
            else (f, rule)
            for f, rule in op.inputs
        ]
    return result


def _projection(flow: Flow) -> Flow | None:
    """The gemv that a query, key or value comes from, through norms and rotary."""
    while flow.op.kind in ("norm", "pointwise") and len(flow.op.inputs) == 1:
        flow = flow.op.inputs[0][0]
    return flow if flow.op.kind == "gemv" else None


def _columns(part: Part, width: int) -> int:
    size = part.last - part.first
    return size * (width // part.period) if part.period else size


def _part_op(op: Op, part: Part, role: str, first: bool) -> Op:
    name, at, cls = op.name.partition("@")
    width = _columns(part, op.width)
    attributes = dict(op.attributes, cols=width, whole=False, period=part.period)
    offset = 0 if part.period else op.attributes["columns"][0]
    attributes["columns"] = [offset + part.first, offset + part.last]
    made = Op(
        "gemv",
        f"{name}.{role}{at}{cls}",
        op.layer,
        op.module,
        op.axis,
        op.extra,
        width,
        attributes,
        list(op.inputs),
        nodes=list(op.nodes),
        half=op.half,
        share=part,
        before=list(op.before),
    )
    made.parameters = op.parameters if first else 0
    return made


# -- the graph ------------------------------------------------------------------------------------


def build(name: str, ops: list[Op], output: Flow, **attributes: Any) -> nx.DiGraph:
    """The validated graph of ops, which now have its names; ``output`` leaves to the host."""
    causal = attributes["causal"]
    source = attributes.get("source", 0)
    head = _head(ops, output) if causal and output.axis == "sequence" else None
    graph = vocabulary.new_graph(name, **attributes)
    names: dict[Op, str] = {}
    tables = {op.attributes["weight"] for op in ops if op.kind == "gemv"}
    for op in ops:
        if op.kind == "cat":
            continue
        names[op] = op.name = _unique(graph, op.name)
        values = _attributes(op, head is op, tables, source)
        vocabulary.add_op(
            graph, names[op], op.kind, axis=op.axis, layer=op.layer, module=op.module, **values
        )
    for op in ops:
        if op.kind != "cat":
            for source, rule in _sources(op.inputs):
                _connect(graph, names[source], names[op], rule)
    extra = output.extra + (source if output.axis == "source" else 0)
    values = {"width": output.width, "extra": extra, "head": head is not None}
    end = _unique(graph, "output")
    vocabulary.add_op(graph, end, "output", axis=output.axis, layer="output", **values)
    for source, rule in _sources([(output, output.rule)]):
        _connect(graph, names[source], end, rule)
    vocabulary.validate(graph)
    return graph


def _head(ops: list[Op], output: Flow) -> Op | None:
    """The gemv that makes scores of words: the last op of a model that generates text."""
    op = output.op
    while op.kind == "pointwise" and len(op.inputs) == 1:  # a bias, a cap on the scores
        op = op.inputs[0][0].op
    return op if op.kind == "gemv" and op in ops else None


def _attributes(op: Op, head: bool, tables: set[str], source: int) -> dict[str, Any]:
    values = dict(op.attributes, width=op.width, extra=op.extra, parameters=op.parameters)
    if op.axis == "source":
        values["extra"] += source
    if values.get("context") == "source":
        values["context_extra"] += source
    if op.kind == "gemv":
        first, last = values.pop("columns")
        period = values.pop("period", 0)
        if not values.pop("whole"):
            values["weight"] += str(Part(first, last, period))
        values["head"] = head
    if op.kind == "lookup":
        values.setdefault("stored", op.parameters)  # it lies in memory even where it is tied
        if values.pop("table", None) in tables:
            values["parameters"] = 0  # tied to a matrix that counts as trained values
    return values


def _unique(graph: nx.DiGraph, name: str) -> str:
    number, result = 2, name
    while result in graph:
        result, number = f"{name}#{number}", number + 1
    return result


def _sources(inputs: list[tuple[Flow, str]]) -> list[tuple[Op, str]]:
    """Producers and rules, through concatenations."""
    found: list[tuple[Op, str]] = []
    for flow, rule in inputs:
        if flow.op.kind == "cat":
            inner = _sources(flow.op.inputs)
            found += [(op, rule if rule != "stream" else below) for op, below in inner]
        else:
            found.append((flow.op, rule))
    return found


def _connect(graph: nx.DiGraph, source: str, target: str, rule: str) -> None:
    before = graph.get_edge_data(source, target, {}).get("rule", "stream")
    if rule != "recurrent" and STRENGTH.index(before) > STRENGTH.index(rule):
        rule = before
    vocabulary.connect(graph, source, target, rule)
