"""Scores of positions: products of tokens with vectors of distances, gathered key by key.

A model may keep embeddings of distances between tokens and multiply queries (or keys) with all of
them, so that each pair of tokens finds the product of its own distance there (DeBERTa: content to
position, position to content; XLNet: with sines of the distance)::

    vectors -> projection -+
                           product (tokens x rows) -> gather -> (turned) -> sum -> bias of scores
    token ---> projection -+

A table is an axis of its own (``table``), as long as it has rows, and read once a request, as torch
does. Where there are as many rows as tokens, each token brings one. Gathering by position costs
nothing: it is where a reader finds its numbers. Scores are *turned* where rows become columns: then
a query reads what every key made.
"""

from __future__ import annotations

from typing import Any

from hyflexsim.workloads.extraction.flowing import Const, Flow, Op, is_scores
from hyflexsim.workloads.extraction.read_export import PASS, Reader

OUTSIDE = "multiplies two activations outside a known attention"


def rows_of(reader: Reader, node: Any, constant: Const) -> Flow:
    """A constant used as data, a row after the other: a table, or a row for each token."""
    data = node.args[0]
    while data.op == "call_function" and reader.operator(data) in PASS:
        data = data.args[0]
    if data not in reader.tables_read:
        reader.tables_read[data] = _looked_up(reader, node, data, constant)
    return reader.tables_read[data]


def _looked_up(reader: Reader, node: Any, data: Any, constant: Const) -> Flow:
    shape = data.meta["val"].shape
    width = shape[-1]
    path = reader.short(reader.module(node))
    first = reader.inputs[0]
    if constant.params:
        rows, name = shape[-2], constant.params[0]
        if reader.sizes.varies(rows):
            raise reader.refusal(node, "reads so many rows of a table as there are tokens")
        if reader.sizes.numel(shape) != rows * width:
            raise reader.refusal(node, "reads a table of more than two dimensions")
        op = Op("lookup", reader.short(name), reader.layer(name), name, "table", rows, width, {})
        op.attributes["stored"] = rows * width
        rule = "first"
    else:  # of positions alone: known when a token arrives
        if reader.sizes.numel(shape) != reader.sizes.tokens * width or reader.sizes.fixed:
            raise reader.refusal(node, "multiplies a constant that has no row a token")
        module = reader.module(node)
        name = f"{path}.positions".lstrip(".")
        op = Op("lookup", name, reader.layer(module), module, "sequence", 0, width, {})
        rule = "stream"
    op.inputs = [(Flow(first, 1, "sequence", first.extra), rule)]
    op.parameters = reader.count(constant)
    op.nodes = [data]
    reader.ops.append(op)
    reader.positional.add(op)
    return Flow(op, width, op.axis, op.extra)


def product(reader: Reader, node: Any, left: Any, right: Any) -> Flow:
    """Tokens (H, N, D) times what was made of positions (H, D, rows): a score a row and head."""
    plain = isinstance(left, Flow) and isinstance(right, Flow)
    if not plain or is_scores(left) or left.axis != "sequence" or right.op not in reader.positional:
        raise reader.refusal(node, OUTSIDE)
    heads = _heads(reader, node, right)
    table = {"context": "table", "context_extra": right.extra}
    flow: Flow = reader.emit(
        "matmul",
        node,
        [left],
        name=f"{reader.short(reader.module(node))}.distances".lstrip("."),
        width=heads,
        heads=heads,
        inner=left.width // heads,
        multiplies=["values", "positions"],
        **(table if right.axis == "table" else {"context": "all"}),
    )
    flow.op.inputs.append((right, "all"))
    return flow


def _heads(reader: Reader, node: Any, right: Flow) -> int:
    """Of operands that have tokens and rows where a product wants them."""
    pair, count = reader.sizes.pair, reader.sizes.count(right)
    (*_, tokens, inner), (*_, other, rows) = (each.meta["val"].shape for each in node.args[:2])
    fits = inner == other and pair(rows)[0] == count and pair(tokens)[0] > 1
    heads = reader.sizes.numel(node.meta["val"].shape) // (reader.sizes.tokens * count)
    if not fits or heads * inner != right.width:
        raise reader.refusal(node, OUTSIDE)
    return int(heads)


def gathered(reader: Reader, node: Any, args: list[Any]) -> Flow:
    """Of a token's scores of all rows, those of its distances to the keys."""
    flow, axis = args[:2]
    shape = node.meta["val"].shape
    last = axis % len(shape) == len(shape) - 1
    if isinstance(flow, Flow) and is_scores(flow) and last and _by_position(reader, node.args[2]):
        return flow
    raise reader.refusal(node, "gathers by what is no position")


def _by_position(reader: Reader, node: Any) -> bool:
    """Whether a node depends on no input but by its shape."""
    stack, seen = [node], set()
    while stack:
        each = stack.pop()
        if each in seen or reader.operator(each) == "sym_size":
            continue
        seen.add(each)
        if each in [own for op in reader.inputs for own in op.nodes]:
            return False
        stack += each.all_input_nodes
    return True


def turned(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Scores whose rows become columns: each token then reads those of all others."""
    flow = args[0]
    sizes = [reader.sizes.varies(size) for size in node.args[0].meta["val"].shape]
    if not is_scores(flow) or sum(sizes) != 2:
        return flow
    order = list(range(len(sizes)))
    if reader.operator(node) == "transpose":
        a, b = (axis % len(sizes) for axis in node.args[1:3])
        order[a], order[b] = b, a
    else:
        order = [axis % len(sizes) for axis in node.args[1]]
    tokens = [axis for axis in order if sizes[axis]]
    if tokens == sorted(tokens):
        return flow
    rule = "all" if flow.rule == "stream" else "stream"
    return Flow(flow.op, flow.width, flow.axis, flow.extra, flow.parts, rule)
