"""Attention that a model writes out, operator by operator, becomes the one node that others have.

Looked for: a softmax over tokens, above it a product of two activations, below it another::

    q k -> product -> times, plus, cap, mask ... -> softmax -> product <- v

What lies between the product and the softmax is read into the node's arguments: numbers into its
scale, sums into its bias, ``c tanh(x / c)`` into its cap, a mask of ``attention_capture.py`` into
causality. Anything else leaves the operators as they are, and reading refuses them by name.

Three dimensions (heads, tokens, elements) become four, of one batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hyflexsim.workloads.extraction.flowing import operator_name as _name

THROUGH = frozenset(
    {"to", "_to_copy", "dropout", "clone", "contiguous", "alias", "type_as", "float", "detach"}
    | {"view", "reshape", "_unsafe_view"}
)
PRODUCTS = frozenset({"matmul", "bmm", "baddbmm"})
ONES = frozenset({"ones", "new_ones", "ones_like"})
PADDING = ONES | THROUGH | {"unsqueeze", "squeeze", "expand", "mul", "bitwise_not", "logical_not"}
MASK = "hyflexsim.causal_mask"


@dataclass
class _Scores:
    """What was found between a product and its softmax; ``biases`` each with its factor."""

    query: Any = None
    key: Any = None
    scale: float = 1.0
    biases: list[tuple[Any, float]] = field(default_factory=list)
    causal: bool = False
    cap: float | None = None


def gather(program: Any, attention: Any) -> None:
    """Rewrite the exported program in place; ``attention``: the operator of the one node."""
    graph = program.graph
    _sweep(graph)
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if _name(node) in ("softmax", "_softmax"):
            _replace(program, node, attention)
        elif _name(node) == "scaled_dot_product_attention":
            _fused(graph, node, attention)
        elif node.target is attention.default and node.args[3] and _is_mask(node.args[3]):
            node.args = (*node.args[:3], None, True, *node.args[5:])
    _sweep(graph)


def _sweep(graph: Any) -> None:
    """Take out what says nothing or is read by nobody: it would keep old operators alive."""
    for node in reversed(list(graph.nodes)):
        if "_assert_tensor_metadata" in str(node.target) or _idle(node):
            graph.erase_node(node)


def _idle(node: Any) -> bool:
    schema = getattr(node.target, "_schema", None)
    return not node.users and schema is not None and not schema.is_mutable


def _fused(graph: Any, node: Any, attention: Any) -> None:
    """torch's own node: the same operands, in another order."""
    q, k, v, mask, _, causal = [*node.args, *[None, 0.0, False][len(node.args) - 3 :]][:6]
    mask = node.kwargs.get("attn_mask", mask)
    causal = bool(node.kwargs.get("is_causal", causal))
    if mask is not None and _is_mask(mask):
        mask, causal = None, True
    elif mask is not None and _name(mask) == "masked_fill" and _is_mask(mask.args[1]):
        mask, causal = mask.args[0], True  # a bias, and the mask in it
    elif mask is not None and not mask.meta["val"].dtype.is_floating_point:
        mask = None  # of what is padding
    with graph.inserting_before(node):
        scale = node.kwargs.get("scale")
        whole = graph.call_function(
            attention.default, (q, k, v, mask, causal, None, scale, None, None)
        )
    whole.meta |= node.meta
    node.replace_all_uses_with(whole)
    graph.erase_node(node)


def _replace(program: Any, softmax: Any, attention: Any) -> None:
    out = _mixed(softmax)
    scores = _Scores()
    if out is None or not _scores(program, softmax.args[0], 1.0, scores):
        return
    graph, value = program.graph, out.args[1]
    bias = None
    with graph.inserting_before(out):
        flat = out.meta["val"].dim() == 3
        q, k, v = (_batched(graph, x) for x in (scores.query, scores.key, value))
        for each, factor in scores.biases:
            own = _batched(graph, each)
            if factor != 1.0:
                own = _made(graph, "mul.Tensor", own, factor)
            bias = own if bias is None else _made(graph, "add.Tensor", bias, own)
        options = (bias, scores.causal, None, scores.scale, scores.cap, None)
        whole = graph.call_function(attention.default, (q, k, v, *options))
        whole.meta |= {"nn_module_stack": softmax.meta.get("nn_module_stack", {})}
        whole.meta["val"] = q.meta["val"].new_empty(*q.meta["val"].shape[:-1], _last(v))
        result = _made(graph, "squeeze.dim", whole, 0) if flat else whole
    out.replace_all_uses_with(result)


def _last(node: Any) -> Any:
    return node.meta["val"].shape[-1]


def _mixed(softmax: Any) -> Any:
    """The product of the probabilities with values; None if there is none."""
    node = softmax
    while True:
        users = [user for user in node.users if _name(user) in THROUGH | PRODUCTS]
        if len(users) != 1:
            return None
        user = users[0]
        if _name(user) in PRODUCTS:
            return user if user.args[0] is node else None
        node = user


def _scores(program: Any, node: Any, factor: float, found: _Scores) -> bool:
    """Walk up from a softmax to its product; ``factor``: what follows multiplies by."""
    while node.op == "call_function":
        name, args = _name(node), node.args
        if name in PRODUCTS:
            return _product(program, node, factor, found)
        number = _number(program, args[1]) if len(args) > 1 and name in ("mul", "div") else None
        if name in THROUGH or (name == "masked_fill" and _is_padding(args[1])):
            node = args[0]
        elif number is not None:
            factor = factor * number if name == "mul" else factor / number
            node = args[0]
        elif name == "add":
            if _is_mask(args[1]):
                found.causal = True
            else:
                found.biases.append((args[1], factor))
            node = args[0]
        elif name == "tanh" and found.cap is None:
            found.cap, factor = factor, 1.0
            node = args[0]
            inner = _name(node) in ("div", "mul") and _number(program, node.args[1])
            if not inner:
                return False
            node = node.args[0]  # by the cap itself, which attention divides by
        else:
            return False
    return False


def _product(program: Any, node: Any, factor: float, found: _Scores) -> bool:
    args = list(node.args)
    if _name(node) == "baddbmm":
        bias, *args = args
        found.biases.append((bias, factor * node.kwargs.get("beta", 1)))
        factor *= node.kwargs.get("alpha", 1)
    query, key = args[:2]
    while _name(key) in ("mul", "div") and (number := _number(program, key.args[1])):
        factor = factor * number if _name(key) == "mul" else factor / number
        key = key.args[0]
    with program.graph.inserting_before(node):
        turned = _name(key) == "transpose" and _swaps(key)
        found.key = key.args[0] if turned else _made(program.graph, "transpose.int", key, -1, -2)
    found.query, found.scale = query, factor
    return True


def _swaps(node: Any) -> bool:
    """Whether a transposition is of the last two dimensions."""
    size = node.meta["val"].dim()
    return {axis % size for axis in node.args[1:]} == {size - 1, size - 2}


def _is_mask(node: Any) -> bool:
    """Whether a tensor is the mark of a causal mask, perhaps cut or cast."""
    while node.op == "call_function" and _name(node) in THROUGH | {"slice", "expand", "lt"}:
        node = node.args[0]
    return str(node.target).startswith(MASK)


def _is_padding(node: Any) -> bool:
    """Whether a mask is made of ones alone: of what is padding, where nothing is."""
    stack, seen = [node], set()
    while stack:
        each = stack.pop()
        if each not in seen and each.op == "call_function" and _name(each) in PADDING:
            seen.add(each)
            stack += [] if _name(each) in ONES else each.all_input_nodes
        elif each not in seen:
            return False
    return True


def _batched(graph: Any, node: Any) -> Any:
    """A node with four dimensions."""
    return _made(graph, "unsqueeze.default", node, 0) if node.meta["val"].dim() == 3 else node


def _made(graph: Any, operator: str, *args: Any) -> Any:
    """A node of a standard operator, with the shape that it has."""
    import torch  # noqa: PLC0415

    name, _, overload = operator.partition(".")
    target = getattr(getattr(torch.ops.aten, name), overload)
    node = graph.call_function(target, args)
    values = [a.meta["val"] if isinstance(a, torch.fx.Node) else a for a in args]
    node.meta["val"] = target(*values)
    source = next(a for a in args if isinstance(a, torch.fx.Node))
    node.meta["nn_module_stack"] = source.meta.get("nn_module_stack", {})
    return node


def _number(program: Any, node: Any) -> float | None:
    """A number, or a tensor without dimensions that is known before a token arrives."""
    if isinstance(node, int | float):
        return float(node)
    value = getattr(node, "meta", {}).get("val")
    if value is None or not hasattr(value, "dim") or value.dim():
        return None
    known = _known(program, node)
    return None if known is None else float(known)


def _known(program: Any, node: Any) -> Any:
    import torch  # noqa: PLC0415

    if not isinstance(node, torch.fx.Node):
        return node
    if node.op == "placeholder":
        specs = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs}
        value = (program.state_dict | program.constants).get(specs[node.name])
        return None if value is None or value.is_meta else value
    arguments = [_known(program, a) for a in node.args]
    if node.op != "call_function" or any(a is None for a in arguments):
        return None
    target: Any = node.target
    return target(*arguments, **node.kwargs)
