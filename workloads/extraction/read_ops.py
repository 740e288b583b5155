"""What each operator with a meaning of its own becomes; used by :class:`~.read_export.Reader`.

A handler takes (reader, node, operands) and returns the value of the node. :data:`HANDLERS` maps
operator names to handlers; those that only choose or join tensors are in read_wires.py. Shapes in
comments: B batch (always 1), N tokens, C channels, H heads, G key-value heads, D head dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hyflexsim.workloads.extraction.flowing import Const, Flow, Joined, Op, is_scores
from hyflexsim.workloads.extraction.read_experts import EXPERTS
from hyflexsim.workloads.extraction.read_export import PASS, Reader, Value
from hyflexsim.workloads.extraction.read_positions import (
    OUTSIDE,
    gathered,
    product,
    rows_of,
    turned,
)
from hyflexsim.workloads.extraction.read_wires import WIRES, lookup_of, shape_of

SCORES, MIXES = ["values", "values"], ["probabilities", "values"]
"""Operand bits of QK^T and of PV (HyFlexPIM: INT8 Q, K, V; softmax out of a 12-bit unit)."""


# -- products -------------------------------------------------------------------------------------


def _gemv(
    reader: Reader, node: Any, data: Any, weight: Any, rows: int, cols: int, bias: Any
) -> Any:
    """Static matrix times token; ``weight`` is a whole parameter or rows of one."""
    if not isinstance(weight, Const) or not weight.params:
        raise reader.refusal(node, OUTSIDE)
    held = sum(reader.numel[reader.identity[name]] for name in weight.params)
    if len(weight.params) > 1 and held != rows * cols:
        raise reader.refusal(
            node,
            f"multiplies with a matrix computed from {' and '.join(weight.params)}; give each a "
            "product of its own, such as linear(linear(x, V), U)",
        )
    key = reader.short(weight.weight or weight.params[0])
    first, last = weight.rows or (0, cols)
    path, leaf = reader.module(node), reader.short(reader.module(node))
    own = key.startswith(leaf + ".weight") or not leaf  # a Linear names its op after its path
    tied = not key.startswith(leaf) and reader.classes[path].__name__ == "Linear"
    name = leaf if leaf and (own or tied) else key.removesuffix("weight").rstrip("._")
    data = data if isinstance(data, Flow | Joined) else _data_of(reader, node, data, rows)
    positional = isinstance(data, Flow) and data.op in reader.positional
    if positional and any(op.kind == "gemv" and op.name == name for op in reader.ops):
        name += "@table"  # a matrix of tokens once more
    value = reader.emit(
        "gemv",
        node,
        [data],
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
    if positional:
        reader.positional.add(value.op)
    return value


def _data_of(reader: Reader, node: Any, data: Any, rows: int) -> Flow:
    """Parameters used as data: a vector, or a table that is read whole."""
    vectors = reader.sizes.numel(shape_of(node)) // rows
    if isinstance(data, Const) and vectors > 1:
        return rows_of(reader, node, data)
    return lookup_of(reader, node, data)


def _linear(reader: Reader, node: Any, args: list[Any]) -> Any:
    cols, rows = shape_of(node, 1)
    return _gemv(reader, node, args[0], args[1], rows, cols, args[2] if len(args) > 2 else None)


def _addmm(reader: Reader, node: Any, args: list[Any]) -> Any:
    rows, cols = shape_of(node, 2)
    return _gemv(reader, node, args[1], args[2], rows, cols, args[0])


def _matmul(reader: Reader, node: Any, args: list[Any]) -> Any:
    left, right = args[:2]
    if isinstance(left, Const) and left.params:  # W (out, in) @ X (B, in, N)
        cols, rows = shape_of(node, 0)[-2:]
        return _gemv(reader, node, right, left, rows, cols, None)
    if isinstance(right, Const) and right.params:  # X (B, N, in) @ W (in, out)
        rows, cols = shape_of(node, 1)[-2:]
        return _gemv(reader, node, left, right, rows, cols, None)
    return product(reader, node, left, right)


def _convolution(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Kernel of one pixel or of disjoint patches: a gemv. Depthwise over tokens: taps."""
    defaults: list[Any] = [None, [1], [0], [1], 1]
    x, weight, bias, stride, padding, dilation, groups = [*args, *defaults[len(args) - 2 :]]
    out, inner, *kernel = shape_of(node, 1)
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
    if plain and groups == 1 and len(kernel) == 1 and isinstance(x, Flow):
        return _taps(reader, node, x, weight, bias, (stride[0], padding[0]))
    depthwise = groups == out == shape_of(node, 0)[1] and len(kernel) == 1 and inner == 1
    causal = depthwise and list(padding) == [kernel[0] - 1] and list(stride) == [1]
    if plain and causal and isinstance(x, Flow):  # x (B, C, N); cut to N by the slice that follows
        value: Flow = reader.emit(
            "pointwise",
            node,
            [x, weight, bias],
            name=f"{reader.short(reader.module(node))}.conv1d",
            width=out,
            function="conv1d",
            elements=out * kernel[0],
        )
        value.op.inputs = [(x, "prefix")]  # it looks back at the tokens before
        return value
    raise reader.refusal(node, "is a convolution over tokens (allowed: patches, causal depthwise)")


def _taps(reader: Reader, node: Any, x: Flow, weight: Any, bias: Any, how: tuple[int, int]) -> Any:
    """A convolution over tokens (B, C, N): a matrix on each token and its neighbours."""
    (stride, padding), (out, inner, taps) = how, shape_of(node, 1)
    before, after = (reader.sizes.pair(t.meta["val"].shape[-1])[0] for t in (node.args[0], node))
    base = reader.sizes.count(Flow(x.op, 1, x.axis))
    if x.op.kind == "input":
        x.op.extra, x.op.width = before - base, inner
        x = Flow(x.op, inner, x.axis, x.op.extra)
    flow: Flow = _gemv(reader, node, x, weight, inner * taps, out, bias)
    if flow.op.kind != "gemv" or reader.sizes.varies(node.meta["val"].shape[-1]):
        raise reader.refusal(node, "is a convolution over tokens whose number is free")
    op = flow.op
    op.extra = after - base
    op.attributes |= {"behind": padding, "ahead": taps - 1 - padding, "stride": stride}
    op.inputs = [(x, "window")]
    return Flow(op, out, op.axis, op.extra)


# -- tables ---------------------------------------------------------------------------------------


def _embedding(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Row of a table, by token id or by position; a position is known when its token arrives."""
    table, index = args[0], args[1]
    if not isinstance(table, Const) or not table.params:
        return Const()
    value = node.meta["val"].shape
    where = index.axis if isinstance(index, Flow) else reader.sizes.axis_of(value[:-1])
    first = next((op for op in reader.inputs if op.axis == where), reader.inputs[0])
    source = index if isinstance(index, Flow) else Flow(first, 1, first.axis)
    # a row for every two tokens (a bias of their distance): what it is added to gives the context
    relative = len(reader.sizes.sequence_axes(value[:-1])) > 1
    name = table.params[0]
    flow: Flow = reader.emit(
        "lookup",
        node,
        [source],
        width=value[-1],
        axis=(where, 0),
        table=name,
        stored=reader.numel[reader.identity[name]],
        **({"context": "all"} if relative else {}),
    )
    flow.op.parameters = reader.count(table)
    if isinstance(index, Const) and not relative:
        reader.limit_positions(where, node, shape_of(node)[0])
    return flow


# -- attention, scan, pairs -----------------------------------------------------------------------


def _attention(reader: Reader, node: Any, args: list[Any]) -> Any:
    """QK^T, softmax, PV. q (B, H, N, D), k (B, G, N, D), v (B, G, N, V), bias (B, H, N, N)."""
    q, k, v, bias, causal, window, _, cap, sinks, squares = (*args, None)[:10]
    heads, inner = shape_of(node, 0)[1], shape_of(node, 0)[3]
    if not isinstance(q, Flow) or not all(isinstance(t, Flow | Joined) for t in (k, v)):
        raise reader.refusal(node, "needs queries on one axis and keys that depend on the input")
    _fits(reader, node, heads, inner)
    context, seen = _context(q, k, causal, window)
    if squares:
        context, seen = _squares(*squares)
    where = (q.axis, q.extra)
    path = reader.short(reader.module(node))
    dot = path + "." if path else ""

    def step(kind: str, label: str, source: Flow, width: int, **more: Any) -> Flow:
        made: Flow = reader.emit(
            kind, node, [source], name=dot + label, width=width, axis=where, **context, **more
        )
        made.op.stage = label
        return made

    shape = {"heads": heads, "inner": inner}
    scores = step("matmul", "qk", q, heads, multiplies=SCORES, **shape)
    _see(scores.op, k, seen)
    if cap is not None:
        scores = step("pointwise", "cap", scores, heads, elements=heads, function="tanh")
    if isinstance(bias, Const) and bias.params:
        bias = _pairs(reader, node, q, bias)
    if isinstance(bias, Flow):
        rule = "pair" if bias.axis == "pair" else seen
        if is_scores(bias):
            rule = bias.rule
        if bias.op.kind == "lookup" and bias.op.attributes.get("context"):
            bias.op.attributes |= context
            rule = "stream"
        scores = step("pointwise", "add", scores, heads, elements=heads, function="add")
        scores.op.inputs.append((bias, rule))
    elif isinstance(bias, Const) and not bias.zero:  # of positions alone: distance times a slope
        scores = step("pointwise", "add", scores, heads, elements=heads, function="add")
    weights = step("softmax", "softmax", scores, heads, elements=heads)
    if isinstance(sinks, Const):  # a trained score of no token, a head
        weights.op.parameters += reader.count(sinks)
    shape["inner"] = shape_of(node, 2)[3]
    width = heads * shape["inner"]
    result = step("matmul", "pv", weights, width, multiplies=MIXES, **shape)
    _see(result.op, v, seen)
    return result


def _context(
    q: Flow, k: Value, causal: bool, window: tuple[int, int] | None
) -> tuple[dict[str, Any], str]:
    """What scores of a query look at, and how they wait for it."""
    keys = k.rest if isinstance(k, Joined) else k
    if keys.axis == "source" and q.axis != "source":  # keys once, read by every token
        return {"context": "source", "context_extra": keys.extra}, "all"
    if window is not None:
        behind, ahead = window
        return {"context": "window", "behind": behind, "ahead": 0 if causal else ahead}, "window"
    if causal:
        return {"context": "prefix"}, "prefix"
    if keys.axis == "source":
        return {"context": "source", "context_extra": keys.extra}, "all"
    return {"context": "all"} | ({"context_extra": 1} if isinstance(k, Joined) else {}), "all"


def _squares(wide: int, side: int, first: int) -> tuple[dict[str, Any], str]:
    """The same within squares of an image. Where these are shifted, the first goes around the image
    and waits for its last tokens.
    """
    size = {"context_extra": side**2, "side": side, "wide": wide}
    return {"context": "square", **size}, "all" if first else "square"


def _pairs(reader: Reader, node: Any, q: Flow, bias: Const) -> Flow:
    """A trained bias of two tokens' places: a row of a table for every two, as known beforehand."""
    table = node.args[3]
    while table.op == "call_function" and reader.operator(table) in PASS:
        table = table.args[0]
    heads, tokens = shape_of(node)[1], reader.sizes.count(q)
    if reader.sizes.fixed is None or list(table.meta["val"].shape) != [tokens, tokens, heads]:
        raise reader.refusal(node, "adds a trained bias to the scores, which is not supported yet")
    name = bias.params[0]
    source = Flow(reader.inputs[0], 1, "sequence", reader.inputs[0].extra)
    options: dict[str, Any] = {"stored": reader.numel[reader.identity[name]], "context": "all"}
    own = reader.short(name).rpartition(".")[0] or reader.short(name)
    flow: Flow = reader.emit(
        "lookup", table, [source, bias], name=own, width=heads, axis=(q.axis, q.extra), **options
    )
    return flow


def _fits(reader: Reader, node: Any, heads: Any, inner: Any) -> None:
    if not isinstance(heads, int) or not isinstance(inner, int):
        raise reader.refusal(node, "must have operands (batch, heads, tokens, head dimension)")


def _see(op: Op, value: Value, rule: str) -> None:
    """Keys or values of the context: of every token, and of the class token if joined."""
    if isinstance(value, Joined):
        op.inputs += [(value.rest, "all"), (value.single, "stream")]
    else:
        op.inputs.append((value, "stream" if value.axis == "single" else rule))


def _scan(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Selective scan: softplus(dt), the recurrence (A, D are its parameters), the gate silu(z)."""
    x, dt, a, b, c, d, z, bias, softplus = args
    path = reader.short(reader.module(node))
    channels, state = shape_of(node, 2)
    if isinstance(bias, Const) and bias.params and isinstance(dt, Flow) and dt.op.kind == "gemv":
        dt.op.attributes["bias"] = True
        reader.count(bias)
    if softplus:
        dt = reader.emit(
            "pointwise", node, [dt], name=f"{path}.softplus", width=channels, function="softplus"
        )
        dt.op.stage = "softplus"
    operands = [v for v in (x, dt, a, b, c, d) if v is not None]
    value: Flow = reader.emit(
        "scan", node, operands, name=f"{path}.scan", width=channels, channels=channels, state=state
    )
    value.op.inputs.append((value, "recurrent"))
    value.op.stage = "scan"
    if z is None:
        return value
    more: dict[str, Any] = {"width": channels}
    gate = reader.emit("pointwise", node, [z], name=f"{path}.gate.silu", function="silu", **more)
    gate.op.stage = "silu"
    operands = [value, gate]
    name = f"{path}.gate.mul"
    gated: Flow = reader.emit("pointwise", node, operands, name=name, function="mul", **more)
    gated.op.stage = "mul"
    return gated


def _chunk_scan(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Mamba-2: a decay a head, and a state of S values for each of its channels."""
    x, dt, a, b, c, d, bias, limit = args
    path = reader.short(reader.module(node))
    heads, width = shape_of(node)[2:]
    state = int(shape_of(node, 3)[-1])
    channels = heads * width
    step = reader.emit(
        "pointwise", node, [dt, bias], name=f"{path}.softplus", width=heads, function="softplus"
    )
    step.op.stage = "softplus"
    if list(limit) != [0.0, math.inf]:  # the softplus alone is within these
        step = reader.emit(
            "pointwise", node, [step], name=f"{path}.clamp", width=heads, function="clamp"
        )
        step.op.stage = "clamp"
    operands = [each for each in (x, step, a, b, c, d) if each is not None]
    shape = {"channels": channels, "state": state}
    value: Flow = reader.emit("scan", node, operands, name=f"{path}.scan", width=channels, **shape)
    value.op.inputs.append((value, "recurrent"))
    value.op.stage = "scan"
    return value


def _sums(reader: Reader, node: Any, args: list[Any]) -> Any:
    """RWKV-4: a weighted sum of values and that of the weights, a channel: two states."""
    decay, first, key, value = args
    channels = int(shape_of(node, 2)[-1])
    shape: dict[str, Any] = {"channels": channels, "state": 2}
    name = f"{reader.short(reader.module(node))}.scan"
    operands = [key, value, decay, first]
    flow: Flow = reader.emit("scan", node, operands, name=name, width=channels, **shape)
    flow.op.inputs.append((flow, "recurrent"))
    flow.op.stage = "scan"
    return flow


def _pair_features(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Four features of a pair from two four-vectors (ParT), symmetric: N (N + 1) / 2 pairs."""
    vectors = args[0]
    width = shape_of(node)[1]
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


def _gather(reader: Reader, node: Any, args: list[Any]) -> Any:
    """By position, of scores; else of the scores of experts."""
    return (gathered if is_scores(args[0]) else EXPERTS["gather"])(reader, node, args)


HANDLERS: dict[str, Callable[[Reader, Any, list[Any]], Any]] = {
    **WIRES,
    **EXPERTS,
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
    "scan": _scan,
    "chunk_scan": _chunk_scan,
    "sums": _sums,
    "gather": _gather,
    "transpose": turned,
    "permute": turned,
    "pair_features": _pair_features,
}
"""Operators by name (without overload); everything not here is wires, element-wise or refused."""
