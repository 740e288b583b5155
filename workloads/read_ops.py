"""What each operator with a meaning of its own becomes; used by :class:`~.read_export.Reader`.

A handler takes (reader, node, operands) and returns the value of the node. :data:`HANDLERS` maps
operator names to handlers. Shapes in comments: B batch (always 1), N tokens, C channels, H heads,
G key-value heads, D head dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyflexsim.workloads.read_export import Reader, Value
from hyflexsim.workloads.values import Const, Flow, Joined, Op, Part

QK_BITS, PV_BITS = [8, 8], [12, 8]
"""Operand bits of QK^T and of PV (HyFlexPIM: INT8 Q, K, V; softmax out of a 12-bit unit)."""


def _shape(node: Any, position: int = 0) -> Any:
    return node.args[position].meta["val"].shape


# -- products -------------------------------------------------------------------------------------


def _gemv(
    reader: Reader, node: Any, data: Any, weight: Any, rows: int, cols: int, bias: Any
) -> Any:
    """Static matrix times token; ``weight`` is a whole parameter or rows of one."""
    if not isinstance(weight, Const) or not weight.params:
        raise reader.refusal(node, "multiplies two activations outside a known attention")
    key = reader.short(weight.weight or weight.params[0])
    first, last = weight.rows or (0, cols)
    path, leaf = reader.module(node), reader.short(reader.module(node))
    own = key.startswith(leaf + ".weight") or not leaf  # a Linear names its op after its path
    tied = not key.startswith(leaf) and reader.classes[path].__name__ == "Linear"
    name = leaf if leaf and (own or tied) else key.removesuffix("weight").rstrip("._")
    value = reader.emit(
        "gemv",
        node,
        [data if isinstance(data, Flow | Joined) else _lookup_of(reader, node, data)],
        name=name,
        width=cols,
        rows=rows,
        cols=cols,
        weight=key,
        columns=[first, last],
        whole=weight.rows is None,
        bias=isinstance(bias, Const) and bool(bias.params),
    )
    for constant in (weight, bias):
        if isinstance(constant, Const):
            reader.count(constant)  # rows, cols and bias say it
    return value


def _linear(reader: Reader, node: Any, args: list[Any]) -> Any:
    cols, rows = _shape(node, 1)
    return _gemv(reader, node, args[0], args[1], rows, cols, args[2] if len(args) > 2 else None)


_linear.takes_constants = True  # type: ignore[attr-defined]  # a learned query is data


def _addmm(reader: Reader, node: Any, args: list[Any]) -> Any:
    rows, cols = _shape(node, 2)
    return _gemv(reader, node, args[1], args[2], rows, cols, args[0])


def _matmul(reader: Reader, node: Any, args: list[Any]) -> Any:
    left, right = args[:2]
    if isinstance(left, Const) and left.params:  # W (out, in) @ X (B, in, N)
        cols, rows = _shape(node, 0)[-2:]
        return _gemv(reader, node, right, left, rows, cols, None)
    if isinstance(right, Const) and right.params:  # X (B, N, in) @ W (in, out)
        rows, cols = _shape(node, 1)[-2:]
        return _gemv(reader, node, left, right, rows, cols, None)
    raise reader.refusal(node, "multiplies two activations outside a known attention")


def _convolution(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Kernel of one pixel or of disjoint patches: a gemv. Depthwise over tokens: taps."""
    x, weight, bias, stride, padding, dilation, groups = (
        *args,
        *[None, [1], [0], [1], 1][len(args) - 2 :],
    )
    out, inner, *kernel = _shape(node, 1)
    plain = set(dilation) == {1} and not isinstance(padding, str)
    if plain and groups == 1 and set(padding) == {0}:
        if set(kernel) == {1} and set(stride) == {1}:
            return _gemv(reader, node, x, weight, inner, out, bias)
        steps = list(stride) * (len(kernel) if len(stride) == 1 else 1)
        if steps == kernel and len(kernel) == 2 and isinstance(x, Flow) and x.op.kind == "input":
            high, wide = node.meta["val"].shape[-2:]  # patches of an image, one token each
            extra = high * wide - reader.sizes.tokens
            rows = inner * kernel[0] * kernel[1]
            x.op.axis, x.op.extra, x.op.width = "sequence", extra, rows
            patches = Flow(x.op, rows, "sequence", extra)
            return _gemv(reader, node, patches, weight, rows, out, bias)
    depthwise = groups == out == _shape(node, 0)[1] and len(kernel) == 1 and inner == 1
    causal = depthwise and list(padding) == [kernel[0] - 1] and list(stride) == [1]
    if plain and causal and isinstance(x, Flow):  # x (B, C, N); cut to N by the slice that follows
        return reader.emit(
            "pointwise",
            node,
            [x, weight, bias],
            name=f"{reader.short(reader.module(node))}.conv1d",
            width=out,
            function="conv1d",
            elements=out * kernel[0],
        )
    raise reader.refusal(node, "is a convolution over tokens (allowed: patches, causal depthwise)")


# -- tables ---------------------------------------------------------------------------------------


def _lookup_of(reader: Reader, node: Any, constant: Const) -> Flow:
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
        reader.ops.append(op)
        reader.lookups[name] = Flow(op, value, "single")
    return reader.lookups[name]


def _embedding(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Row of a table, by token id or by position; a position is known when its token arrives."""
    table, index = args[0], args[1]
    if not isinstance(table, Const) or not table.params:
        return Const()
    source = index if isinstance(index, Flow) else Flow(reader.inputs[0], 1, "sequence")
    value = node.meta["val"].shape
    sequence = bool(reader.sizes.token_axes(value[:-1], reader.sizes.tokens))
    axis = ("sequence", 0) if sequence else ("single", 0)
    flow: Flow = reader.emit(
        "lookup", node, [source], width=value[-1], axis=axis, table=table.params[0]
    )
    flow.op.parameters = reader.count(table)
    return flow


_embedding.takes_constants = True  # type: ignore[attr-defined]


# -- attention, scan, pairs -----------------------------------------------------------------------


def _attention(reader: Reader, node: Any, args: list[Any]) -> Any:
    """QK^T, softmax, PV. q (B, H, N, D), k (B, G, N, D), v (B, G, N, V), bias (B, H, N, N)."""
    q, k, v, bias, causal, window = args
    heads, inner = _shape(node, 0)[1], _shape(node, 0)[3]
    if not isinstance(q, Flow) or not all(isinstance(t, Flow | Joined) for t in (k, v)):
        raise reader.refusal(node, "needs queries on one axis and keys that depend on the input")
    _fits(reader, node, heads, inner)
    if window is not None:
        reader.notes.append(
            f"attention within a window of {window} tokens is counted over the whole context"
        )
    context: dict[str, Any] = {"context": "prefix" if causal else "all"}
    if isinstance(k, Joined):
        context["context_extra"] = 1
    seen = "prefix" if causal else "all"
    where = (q.axis, q.extra)
    path = reader.short(reader.module(node))
    dot = path + "." if path else ""

    def step(kind: str, label: str, source: Flow, width: int, **more: Any) -> Flow:
        made: Flow = reader.emit(
            kind, node, [source], name=dot + label, width=width, axis=where, **context, **more
        )
        return made

    shape = {"heads": heads, "inner": inner}
    scores = step("matmul", "qk", q, heads, operand_bits=QK_BITS, **shape)
    _see(scores.op, k, seen)
    if isinstance(bias, Flow):
        rule = "pair" if bias.axis == "pair" else seen
        scores = step("pointwise", "add", scores, heads, elements=heads, function="add")
        scores.op.inputs.append((bias, rule))
    elif bias is not None and getattr(bias, "params", ()):
        raise reader.refusal(node, "adds a trained bias to the scores, which is not supported yet")
    weights = step("softmax", "softmax", scores, heads, elements=heads)
    shape["inner"] = _shape(node, 2)[3]
    width = heads * shape["inner"]
    result = step("matmul", "pv", weights, width, operand_bits=PV_BITS, **shape)
    _see(result.op, v, seen)
    return result


def _fits(reader: Reader, node: Any, heads: Any, inner: Any) -> None:
    if not isinstance(heads, int) or not isinstance(inner, int):
        raise reader.refusal(node, "must have operands (batch, heads, tokens, head dimension)")


def _see(op: Op, value: Value, rule: str) -> None:
    """Keys or values of the context: of every token, and of the class token if joined."""
    if isinstance(value, Joined):
        op.inputs += [(value.rest, "all"), (value.single, "stream")]
    else:
        op.inputs.append((value, rule if value.axis == "sequence" else "stream"))


def _sdpa(reader: Reader, node: Any, args: list[Any]) -> Any:
    q, k, v, mask, _, causal = (*args, *[None, 0.0, False][len(args) - 3 :])
    bias = mask if isinstance(mask, Flow) else None
    return _attention(reader, node, [q, k, v, bias, bool(causal), None])


def _scan(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Selective scan: softplus(dt), the recurrence (A, D are its parameters), the gate silu(z)."""
    x, dt, a, b, c, d, z, bias, softplus = args
    path = reader.short(reader.module(node))
    channels, state = _shape(node, 2)
    if isinstance(bias, Const) and bias.params and isinstance(dt, Flow) and dt.op.kind == "gemv":
        dt.op.attributes["bias"] = True
        reader.count(bias)
    if softplus:
        dt = reader.emit(
            "pointwise", node, [dt], name=f"{path}.softplus", width=channels, function="softplus"
        )
    operands = [v for v in (x, dt, a, b, c, d) if v is not None]
    value: Flow = reader.emit(
        "scan", node, operands, name=f"{path}.scan", width=channels, channels=channels, state=state
    )
    value.op.inputs.append((value, "recurrent"))
    if z is None:
        return value
    more: dict[str, Any] = {"width": channels}
    gate = reader.emit("pointwise", node, [z], name=f"{path}.gate.silu", function="silu", **more)
    operands = [value, gate]
    return reader.emit("pointwise", node, operands, name=f"{path}.gate.mul", function="mul", **more)


def _pair_features(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Four features of a pair from two four-vectors (ParT), symmetric: N (N + 1) / 2 pairs."""
    vectors = args[0]
    width = _shape(node)[1]
    flow: Flow = reader.emit(
        "pointwise",
        node,
        [vectors],
        name=f"{reader.short(reader.module(node))}.pair_features",
        width=width,
        axis=("pair", 0),
        function="pair_features",
        elements=2 * width,
    )
    flow.op.inputs = [(vectors, "pair")]
    return flow


def _batch_norm(reader: Reader, node: Any, args: list[Any]) -> Any:
    return reader.emit("norm", node, args[:3], foldable=True)


# -- wires that choose ----------------------------------------------------------------------------


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
    shape = _shape(node)
    axis %= len(shape)
    count = value.count(reader.sizes.tokens)
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
    raise reader.refusal(node, "cuts the token axis (allowed: the first or the last token)")


def _select(reader: Reader, node: Any, args: list[Any]) -> Any:
    return _choose(reader, node, args[0], args[1], args[2], 1)


def _slice(reader: Reader, node: Any, args: list[Any]) -> Any:
    value, axis, start, *_ = (*args, 0, None)
    size = reader.sizes.pair(node.meta["val"].shape[axis])[0]
    start = start if isinstance(start, int) else 0
    if start < 0 and axis not in reader.sizes.token_axes(_shape(node), reader.sizes.tokens):
        start += _shape(node)[axis]
    return _choose(reader, node, value, axis, start, size)


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
    result = node.meta["val"].shape
    count = reader.sizes.pair(result[axis])[0]
    over_tokens = reader.sizes.varies(result[axis]) or count == reader.sizes.fixed
    if not over_tokens:
        pieces = [p for p in pieces if isinstance(p, Flow | Joined)]
        return _wires(reader, node, pieces)
    flows = [p if not isinstance(p, Const) else _lookup_of(reader, node, p) for p in pieces]
    pair = len(flows) == 2 and all(isinstance(f, Flow) for f in flows)
    if pair and flows[0].axis == "single" and flows[1].axis == "sequence":
        if reader.sizes.fixed is None:
            return Joined(flows[0], flows[1])
        where = ("sequence", count - reader.sizes.fixed)
        joined: Flow = _wires(reader, node, flows, axis=where)
        # token n holds entry n - 1 of the sequence: prefix waits for one more, never for one less
        joined.op.inputs = [(flows[0], "stream"), (flows[1], "prefix")]
        return joined
    raise reader.refusal(node, "joins tokens (allowed: a class token before a sequence)")


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
    axes = reader.sizes.token_axes(_shape(node), value.count(reader.sizes.tokens))
    dims = args[1] if len(args) > 1 and args[1] is not None else range(len(_shape(node)))
    over = {d % len(_shape(node)) for d in (dims if isinstance(dims, list | range) else [dims])}
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


def _softmax(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Of logits, so element-wise work; the softmax of attention is read with its attention."""
    value = args[0]
    if isinstance(value, Flow) and not reader.sizes.varies(_shape(node)[args[1]]):
        return reader.pointwise(node, "softmax", [value])
    raise reader.refusal(node, "over tokens outside a known attention")


HANDLERS: dict[str, Callable[[Reader, Any, list[Any]], Any]] = {
    "linear": _linear,
    "addmm": _addmm,
    "matmul": _matmul,
    "mm": _matmul,
    "bmm": _matmul,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "batch_norm": _batch_norm,
    "embedding": _embedding,
    "attention": _attention,
    "scaled_dot_product_attention": _sdpa,
    "scan": _scan,
    "pair_features": _pair_features,
    "select": _select,
    "slice": _slice,
    "chunk": _split,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "index": _index,
    "cat": _cat,
    "stack": _stack,
    "where": _where,
    "mean": _mean,
    "sum": _mean,
    "softmax": _softmax,
}
"""Operators by name (without overload); everything not here is wires, element-wise or refused."""
