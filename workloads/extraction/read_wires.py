"""Operators that choose, join or pool tensors; used by :class:`~.read_export.Reader`.

Choosing columns costs nothing: the flow remembers which (see Part). Along the token axis only what
the firing rules can say is allowed: the first or the last token, class tokens before a sequence
(and, of an image, the rest of it), the token before each, pairs of particles, a mean over all
tokens. Handlers are as in read_ops.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyflexsim.workloads.extraction.flowing import Const, Flow, Joined, Op, Part, is_scores
from hyflexsim.workloads.extraction.read_export import Reader, Value


def shape_of(node: Any, position: int = 0) -> Any:
    """Shape of an operand of a node."""
    return node.args[position].meta["val"].shape


def lookup_of(reader: Reader, node: Any, constant: Const) -> Flow:
    """A learned vector used as data (class token): one row of a table, looked up by the host."""
    if not constant.params:
        raise reader.refusal(node, "works on a constant that is no parameter")
    name = constant.params[0]
    if name not in reader.lookups:
        value = reader.numel[reader.identity[name]]
        short = reader.short(name)
        op = Op("lookup", short, short.split(".")[0], name, "single", 0, value, {})
        op.layer = reader.layer(name) if "." in short else short
        op.inputs = [(Flow(reader.inputs[0], 1, "sequence", reader.inputs[0].extra), "first")]
        op.parameters = reader.count(constant)
        op.nodes = [reader.placeholders[name]]
        reader.ops.append(op)
        reader.lookups[name] = Flow(op, value, "single")
    return reader.lookups[name]


def _columns(node: Any, flow: Flow, axis: int, start: int, size: int) -> Flow:
    """Part of the columns. Strides of the exported tensor tell which columns these are."""
    value = node.args[0].meta["val"]
    whole, stride = value.shape[axis], value.stride()[axis]
    if size == whole:
        return flow
    width = flow.width * size // whole
    base = flow.part.first if flow.part else 0
    contiguous = isinstance(stride, int) and stride * whole == flow.width
    if contiguous and not (flow.part and flow.part.period):
        part = Part(base + start * stride, base + (start + size) * stride)
    else:
        step = stride if isinstance(stride, int) else 1
        part = Part(start * step, (start + size) * step, whole * step)
    return Flow(flow.op, width, flow.axis, flow.extra, (*flow.parts, part), flow.rule)


def _choose(reader: Reader, node: Any, value: Value, axis: int, start: Any, size: int) -> Any:
    """``size`` entries of a dimension from ``start``: some columns, or the first or last token."""
    shape = shape_of(node)
    axis %= len(shape)
    count = reader.sizes.count(value)
    if axis not in reader.sizes.token_axes(shape, count):
        if isinstance(value, Joined):
            single = _columns(node, value.single, axis, start, size)
            return Joined(single, _columns(node, value.rest, axis, start, size))
        return _columns(node, value, axis, start, size)
    if size == count:
        return value
    if isinstance(value, Joined):
        if start == 0 and size == 1:
            return value.single
        if start == 1 and size == count - 1:
            return value.rest
    elif size == 1 and start in (0, -1, count - 1):
        rule = "first" if start == 0 else "last"
        return Flow(value.op, value.width, "single", 0, value.parts, rule)
    elif reader.sizes.fixed is not None and value.axis == "sequence":
        # patches without class tokens: what reads them waits for all, which is no earlier than due
        extra = value.extra - (count - size)
        return Flow(value.op, value.width, "sequence", extra, value.parts, "all")
    raise reader.refusal(node, "cuts the token axis (allowed: the first or the last token)")


def _select(reader: Reader, node: Any, args: list[Any]) -> Any:
    return _choose(reader, node, args[0], args[1], args[2], 1)


def _slice(reader: Reader, node: Any, args: list[Any]) -> Any:
    value, axis, start, *_ = (*args, 0, None)
    if _is_row(reader, node, value, axis) and len(args) > 4 and args[4] != 1:
        return _every(reader, node, value, axis, args[4])
    size = reader.sizes.pair(node.meta["val"].shape[axis])[0]
    start = start if isinstance(start, int) else 0
    if start < 0 and axis not in reader.sizes.sequence_axes(shape_of(node)):
        start += shape_of(node)[axis]
    return _choose(reader, node, value, axis, start, size)


def _is_row(reader: Reader, node: Any, value: Value, axis: int) -> bool:
    """Whether a dimension counts rows or columns of an image's tokens."""
    image = reader.sizes.is_image(shape_of(node), reader.sizes.count(value))
    return isinstance(value, Flow) and image and axis in (1, 2)


def _every(reader: Reader, node: Any, value: Flow, axis: int, step: int) -> Flow:
    """Every second row or column of an image's tokens: what takes them all joins a square."""
    shape, count = shape_of(node), reader.sizes.count(value)
    if shape[axis] % step:
        raise reader.refusal(node, f"takes every row of {shape[axis]} in steps of {step}")
    square = value.square or (step, shape[2])
    extra = value.extra - count + count // step
    return Flow(value.op, value.width, value.axis, extra, value.parts, "square", square)


def _split(reader: Reader, node: Any, args: list[Any]) -> Any:
    axis = node.kwargs.get("dim", args[2] if len(args) > 2 else 0)
    pieces, start = [], 0
    for piece in node.meta["val"]:
        size = reader.sizes.pair(piece.shape[axis])[0]
        pieces.append(_choose(reader, node, args[0], axis, start, size))
        start += size
    return pieces


def _unbind(reader: Reader, node: Any, args: list[Any]) -> Any:
    axis = args[1] if len(args) > 1 else 0
    value = args[0]
    return [_choose(reader, node, value, axis, i, 1) for i in range(len(node.meta["val"]))]


def _index(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Gathering by known positions: pairs of particles, a mirrored matrix, the last token."""
    sizes, shape = reader.sizes, node.meta["val"].shape
    tokens = [sizes.pair(size)[0] for size in shape if sizes.varies(size)]
    if isinstance(args[0], Flow) and sizes.fixed is None:
        value, n = args[0], sizes.tokens
        if value.axis == "single" or tokens in ([n * (n + 1) // 2], [n, n]):
            return value
        if not tokens:
            return Flow(value.op, value.width, "single", 0, value.parts, "last")
    raise reader.refusal(node, "gathers tokens (allowed: pairs, the last token)")


def _cat(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Along tokens: class token and sequence. Along channels: wires only."""
    pieces, axis = args[0], args[1] if len(args) > 1 else 0
    shapes = [a.meta["val"].shape for a in node.args[0]]
    axis %= len(shapes[0])
    if axis == len(shapes[0]) - 1 and all(is_scores(piece) for piece in pieces):
        width = max(piece.width for piece in pieces)  # scores of some rows and of others
        return _wires(reader, node, pieces, width=width, context="all")
    result = node.meta["val"].shape
    count = reader.sizes.pair(result[axis])[0]
    over_tokens = reader.sizes.varies(result[axis]) or any(
        isinstance(piece, Flow)
        and axis in reader.sizes.token_axes(shape, reader.sizes.count(piece))
        for piece, shape in zip(pieces, shapes, strict=True)
    )
    if not over_tokens:
        pieces = [p for p in pieces if isinstance(p, Flow | Joined)]
        return _wires(reader, node, pieces)
    flows = [p if not isinstance(p, Const) else lookup_of(reader, node, p) for p in pieces]
    axes = [f.axis for f in flows if isinstance(f, Flow)]
    if len(axes) == len(flows) and sorted(axes) == ["sequence", *["single"] * (len(axes) - 1)]:
        if reader.sizes.fixed is not None:
            where = ("sequence", count - reader.sizes.fixed)
            joined: Flow = _wires(reader, node, flows, axis=where)
            # token n holds entry n - k of the sequence: prefix waits for k more, never for less
            own = {"single": "stream", "sequence": "prefix"}
            joined.op.inputs = [(f, own[f.axis] if f.rule == "stream" else f.rule) for f in flows]
            return joined
        if axes == ["single", "sequence"]:
            return Joined(flows[0], flows[1])
    raise reader.refusal(node, "joins tokens (allowed: a class token before a sequence)")


def _pad(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Zeros before the first token, the last one cut: each token reads the one before it."""
    value, axes = args[0], reader.sizes.sequence_axes(shape_of(node))
    if not any(args[1]):
        return value
    shift = list(args[1]) == [0, 0, 1, -1] and axes == [len(shape_of(node)) - 2]
    if not (shift and isinstance(value, Flow) and value.axis == "sequence"):
        raise reader.refusal(node)
    return Flow(value.op, value.width, value.axis, value.extra, value.parts, "prefix")


def _stack(reader: Reader, node: Any, args: list[Any]) -> Any:
    flows = [p for p in args[0] if isinstance(p, Flow)]
    return _wires(reader, node, flows)


def _wires(reader: Reader, node: Any, flows: list[Any], **more: Any) -> Any:
    return reader.emit("cat", node, flows, name=f"{reader.short(reader.module(node))}.cat", **more)


def _where(reader: Reader, node: Any, args: list[Any]) -> Any:
    flows = [v for v in args if isinstance(v, Flow | Joined)]
    return flows[0] if len(flows) == 1 else reader.pointwise(node, "where", args)


def _mean(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Over tokens: pooling, one op that waits for all. Over channels: element-wise work."""
    value = args[0]
    function = reader.operator(node)
    name = f"{reader.short(reader.module(node))}.{function}".lstrip(".")
    if not isinstance(value, Flow):
        raise reader.refusal(node, "over the class token and the sequence together")
    axes = reader.sizes.token_axes(shape_of(node), reader.sizes.count(value))
    dims = args[1] if len(args) > 1 and args[1] is not None else range(len(shape_of(node)))
    over = {d % len(shape_of(node)) for d in (dims if isinstance(dims, list | range) else [dims])}
    if value.axis != "sequence" or not over & set(axes):
        options: dict[str, Any] = {"function": function, "elements": value.width}
        return reader.emit("pointwise", node, [value], name=name, **options)
    flow: Flow = reader.emit(
        "pointwise",
        node,
        [value],
        name=name,
        axis=("single", 0),
        context="all",
        context_extra=value.extra,
        function=function,
    )
    flow.op.inputs = [(value, "all")]
    return flow


def _pool(reader: Reader, node: Any, args: list[Any]) -> Any:
    """A mean over the last dimension, if it leaves one of it."""
    if list(args[1]) != [1]:
        raise reader.refusal(node, "pools to several tokens (allowed: one)")
    return _mean(reader, node, [args[0], -1])


def _softmax(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Of logits, so element-wise work; the softmax of attention is read with its attention."""
    value = args[0]
    if isinstance(value, Flow) and not reader.sizes.varies(shape_of(node)[args[1]]):
        return reader.pointwise(node, "softmax", [value])
    raise reader.refusal(node, "over tokens outside a known attention")


WIRES: dict[str, Callable[[Reader, Any, list[Any]], Any]] = {
    "select": _select,
    "slice": _slice,
    "chunk": _split,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "index": _index,
    "cat": _cat,
    "stack": _stack,
    "pad": _pad,
    "constant_pad_nd": _pad,
    "where": _where,
    "mean": _mean,
    "sum": _mean,
    "adaptive_avg_pool1d": _pool,
    "softmax": _softmax,
}
"""Operators by name."""
