"""Experts: what a router and the matrices of many experts become (see read_ops.py).

A block with experts is a router (a matrix, element-wise work on its scores, the choice of the
largest) and, for every expert, its own matrices as ops that run for the tokens sent to it
(``sim/routing.py``). Where a token's experts meet, one op adds up their weighted results. Each
expert is a unit of placement of its own, ``layers.0.experts.3``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyflexsim.workloads.extraction.flowing import Const, Flow
from hyflexsim.workloads.extraction.read_export import FUNCTIONS, Reader
from hyflexsim.workloads.extraction.read_wires import shape_of


def _experts(reader: Reader, node: Any, args: list[Any]) -> Any:
    x, index, weights, up, down, up_bias, down_bias, act, clamped = args
    count, wide, inner = shape_of(node, 3)
    if not all(isinstance(each, Flow) for each in (x, index, weights)):
        raise reader.refusal(node, "needs tokens on one axis, sent by a router")
    if inner != shape_of(node)[-1] or list(shape_of(node, 4)) != [count, inner, wide // 2]:
        raise reader.refusal(node, "needs experts' matrices as (experts, out, in), gate beside up")
    path = reader.short(reader.module(node))
    layer = reader.layer(reader.module(node), [x])
    chosen = int(shape_of(node, 1)[-1])
    seed = sum(op.name.endswith(".mix") for op in reader.ops)  # one after the other, by block
    results = []
    for expert in range(count):
        own = {"expert": expert, "experts": count, "chosen": chosen, "seed": seed}
        at = _Expert(reader, node, f"{path}.{expert}", f"{layer}.experts.{expert}", own)
        hidden = at.matrix("up", "gate_up_proj", [x, index], (up, up_bias), inner, wide)
        if clamped is not None:
            hidden = at.pointwise("clamp", "clamp", [hidden], wide)
        active = at.pointwise("act", _function(act), [hidden], wide // 2)
        gated = at.pointwise("gate", "mul", [hidden, active], wide // 2)
        results.append(at.matrix("down", "down_proj", [gated], (down, down_bias), wide // 2, inner))
    for constant in (up, down, up_bias, down_bias):
        if isinstance(constant, Const):
            reader.count(constant)  # rows, cols and bias say it
    reader.notes.append(
        "which experts a token goes to is drawn, each as likely unless model.router_skew says "
        "else; every request sends its tokens alike"
    )
    mixed: Flow = reader.emit(
        "pointwise",
        node,
        [*results, index, weights],
        name=f"{path}.mix",
        width=inner,
        axis=(x.axis, x.extra),
        function="mix",
        elements=chosen * inner,
    )
    mixed.op.stage = "mix"
    return mixed


class _Expert:
    """Makes the ops of one expert. Its stages are ``up`` (the first matrix, perhaps ``clamp``),
    ``act`` (the function of half of it), ``gate`` (their product) and ``down``; where experts
    meet, the stage is ``mix``.
    """

    def __init__(self, reader: Reader, node: Any, name: str, layer: str, routed: dict[str, Any]):
        self.reader, self.node = reader, node
        self.name, self.layer, self.routed = name, layer, routed

    def matrix(
        self, stage: str, part: str, flows: list[Flow], held: tuple[Any, Any], rows: int, cols: int
    ) -> Flow:
        """One matrix of the stack (E, out, in), with its bias (E, out) or None."""
        weight, bias = held
        if not isinstance(weight, Const) or weight.weight is None:
            raise self.reader.refusal(self.node, "needs experts' matrices as parameters")
        key = f"{self.reader.short(weight.weight)}[{self.routed['expert']}]"
        shape = {"rows": rows, "cols": cols, "columns": [0, cols], "whole": True}
        biased = isinstance(bias, Const)
        return self._op("gemv", stage, part, flows, cols, weight=key, bias=biased, **shape)

    def pointwise(self, stage: str, function: str, flows: list[Flow], width: int) -> Flow:
        """An element-wise op on the expert's tokens."""
        more = {"function": function, "elements": width}
        return self._op("pointwise", stage, function, flows, width, **more)

    def _op(
        self, kind: str, stage: str, part: str, flows: list[Flow], width: int, **attributes: Any
    ) -> Flow:
        flow: Flow = self.reader.emit(
            kind,
            self.node,
            flows,
            name=f"{self.name}.{part}",
            width=width,
            routed=self.routed,
            **attributes,
        )
        flow.op.layer, flow.op.stage = self.layer, stage
        return flow


def _function(act: str) -> str:
    name = act.lower().removesuffix("activation")
    return FUNCTIONS.get(name, name)


def _topk(reader: Reader, node: Any, args: list[Any]) -> Any:
    """The largest of a token's scores: their values, and which they are."""
    chosen = int(node.meta["val"][0].shape[-1])
    width = args[0].width * chosen // int(shape_of(node)[-1])
    name = f"{reader.short(reader.module(node))}.topk"
    options: dict[str, Any] = {"function": "topk", "elements": args[0].width, "width": width}
    flow = reader.emit("pointwise", node, [args[0]], name=name, **options)
    return [flow, flow]


def _picked(reader: Reader, node: Any, args: list[Any]) -> Any:
    """Gathering or marking a few of a token's scores."""
    flows = [each for each in args if isinstance(each, Flow)]
    name = f"{reader.short(reader.module(node))}.{reader.operator(node)}"
    return reader.emit("pointwise", node, flows, name=name, function=reader.operator(node))


EXPERTS: dict[str, Callable[[Reader, Any, list[Any]], Any]] = {
    "experts": _experts,
    "topk": _topk,
    "gather": _picked,
    "scatter": _picked,
}
"""Operators by name."""
