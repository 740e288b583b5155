"""The exported program as something to compute with: real weights, one node after the other.

An op of the graph is the result of one exported node (:class:`Source`). What lies between the
results of ops are wires: views, choices, masks, tables of sines. :meth:`Program.value` evaluates a
node from the results of the ops it reads, in float64, so that rounding happens where the caller
puts it and nowhere else.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction.extract import Extracted
from hyflexsim.workloads.extraction.flowing import Flow, Op, is_scores

Given = Callable[[Any], Any]
"""The value of an exported node that is some op's result, None for any other node: a tensor, or of
a node with several results (the largest scores and which they are) a tuple.
"""

PRODUCTS = ("linear", "addmm", "mm", "matmul", "bmm", "conv1d", "conv2d", "experts")


@dataclass(frozen=True)
class Layout:
    """Where the tokens of an exported tensor are: ``axis`` counts them, None: there is one.

    ``squares``: the axis and the one after it, rows and columns of an image's patches. ``side``:
    of a patch in pixels, where the tensor is the image itself.
    """

    axis: int | None
    squares: bool = False
    side: int = 0

    def rows(self, tensor: Tensor) -> Tensor:
        """(tokens, elements): the batch of one goes, other axes keep their order."""
        if self.side:
            return functional.unfold(tensor, self.side, stride=self.side)[0].T.contiguous()
        if self.axis is None:
            return tensor.reshape(1, -1)
        if self.squares:
            tensor = tensor.flatten(self.axis, self.axis + 1)
        return tensor.movedim(self.axis, 0).flatten(1).contiguous()

    def tensor(self, rows: Tensor, shape: Iterable[int]) -> Tensor:
        """The opposite; ``shape`` may have any size along the axis."""
        sizes = list(shape)
        if self.side:
            return functional.fold(rows.T[None], (sizes[2], sizes[3]), self.side, stride=self.side)
        if self.axis is None:
            return rows.reshape(sizes)
        rest = [size for i, size in enumerate(sizes) if i - self.axis not in (0, self.squares)]
        whole = rows.reshape([len(rows), *rest]).movedim(0, self.axis)
        return whole.reshape(sizes) if self.squares else whole


class Program:
    """An exported model with weights; see the head of this file.

    ``ops``: by name, as extraction made them. ``owners``: of an exported node, the ops whose
    results it holds: one, or the parts of a fused projection, or class token and sequence.
    """

    def __init__(self, extracted: Extracted):
        self.graph = extracted.graph
        self.ops: dict[str, Op] = extracted.ops
        self.exported = extracted.program
        self.output = extracted.output
        self.leaving = extracted.leaving
        self.sizes = extracted.sizes
        self.sources = extracted.sources
        self.owners: dict[Any, list[str]] = {}
        last: dict[Any, str] = {}
        for name, op in self.ops.items():
            if op.stage:
                last[op.nodes[-1]] = name  # of ops that make a node together the last one
            else:
                self.owners.setdefault(op.nodes[-1], []).append(name)
        self.owners |= {node: [name] for node, name in last.items()}
        self._constants: dict[str, Any] = {}
        self._memo: dict[Any, Any] = {}
        self._depends: dict[Any, tuple[str, ...]] = {}
        self._reads: dict[Any, tuple[str, ...]] = {}
        self.start({})

    def start(self, inputs: dict[str, Tensor]) -> None:
        """Take other inputs, by name of the argument of ``forward``; shapes follow from them."""
        self._constants = self._known(inputs)
        lengths = {key: x.shape[-1] for key, x in inputs.items()}
        own = [n for key, n in lengths.items() if key not in self.sources]
        beside = [n for key, n in lengths.items() if key in self.sources]
        self.tokens = self.sizes.fixed or next(iter(own), 0)
        self.source = self.sizes.fixed_source or next(iter(beside), 0)
        self._memo = {}

    # --- values ------------------------------------------------------------------------------

    def value(self, node: Any, given: Given) -> Any:
        """What an exported node computes from the results of ops, which ``given`` knows."""
        found: dict[Any, Any] = {}
        return self._value(node, given, found, top=True)

    def depends(self, node: Any) -> tuple[str, ...]:
        """The ops whose results a node reads, through wires; its own op is left out."""
        if node not in self._depends:
            names: dict[str, None] = {}
            seen: set[Any] = set()
            stack = list(node.all_input_nodes)
            while stack:
                each = stack.pop(0)
                if each in seen or operator_of(each) == "sym_size":
                    continue  # a shape is known before a token arrives
                seen.add(each)
                if each in self.owners:
                    names |= dict.fromkeys(self.owners[each])
                else:
                    stack += each.all_input_nodes
            self._depends[node] = tuple(names)
        return self._depends[node]

    def reads(self, node: Any) -> tuple[str, ...]:
        """The ops that a node's value is made of: of a fused projection only the parts that it has.

        A node that is itself some op's result reads that op. Which parts reach it is found by
        asking what becomes of NaN in them.
        """
        if node not in self._reads:
            own = self.owners.get(node, ())
            names = tuple(own) or self.depends(node)
            parts = [name for name in names if self.ops[name].share is not None]
            idle = {name for name in parts if not own and not self._reaches(node, name)}
            self._reads[node] = tuple(name for name in names if name not in idle)
        return self._reads[node]

    def _reaches(self, node: Any, name: str) -> bool:
        def given(other: Any) -> Any:
            sizes = self.shape(other)
            tensor = torch.zeros(sizes, dtype=torch.float64)
            if name not in self.owners[other]:
                return together(other, [tensor for _ in tensors_of(other)])
            layout = self.layout_of(name)
            rows = layout.rows(tensor)
            every = torch.arange(rows.numel()).reshape(rows.shape)
            rows.view(-1)[self.place(name, every).flatten()] = torch.nan
            return layout.tensor(rows, sizes)

        return bool(self.value(node, given).isnan().any())

    def _value(self, node: Any, given: Given, found: dict[Any, Any], top: bool = False) -> Any:
        if node in found:
            return found[node]
        if node in self._memo:
            return self._memo[node]
        value = None if top or node not in self.owners else given(node)
        if value is None:
            value = self._compute(node, given, found)
        if node.op != "placeholder" and not self.depends(node) and node not in self.owners:
            self._memo[node] = value  # a constant
        else:
            found[node] = value
        return value

    def _compute(self, node: Any, given: Given, found: dict[Any, Any]) -> Any:
        if node.op == "placeholder":
            return self._constants[node.name]
        if operator_of(node) == "sym_size":
            return self._constants[node.args[0].name].shape[node.args[1]]
        if node.op == "get_attr":
            return getattr(self.exported.graph_module, node.target)
        arguments = torch.fx.node.map_arg(node.args, lambda n: self._value(n, given, found))
        options = torch.fx.node.map_arg(node.kwargs, lambda n: self._value(n, given, found))
        if node.target is operator.getitem:
            return arguments[0][arguments[1]]
        name = getattr(getattr(node.target, "_schema", None), "name", str(node.target))
        if name == "hyflexsim::pair_features":
            return _pair_features(*arguments)
        if "wrap_with" in name:  # a part under autocast or without gradient
            at = next(i for i, a in enumerate(arguments) if isinstance(a, torch.nn.Module))
            return arguments[at](*arguments[at + 1 :])
        if name.endswith("_") and isinstance(arguments[0], Tensor):
            arguments = (arguments[0].clone(), *arguments[1:])
        return node.target(*_double(arguments), **_double(options))

    def _known(self, inputs: dict[str, Tensor]) -> dict[str, Any]:
        """Values of placeholders: parameters and tables as the program has them, and inputs."""
        state = self.exported.state_dict | self.exported.constants
        known: dict[str, Any] = {}
        for spec in self.exported.graph_signature.input_specs:
            name = str(getattr(spec.arg, "name", ""))
            if spec.target is not None and spec.target in state:
                value = state[spec.target].detach()
                known[name] = value.double() if value.is_floating_point() else value
            elif name in inputs:
                known[name] = inputs[name]
            else:
                known[name] = getattr(spec.arg, "value", None)
        return known

    def shape(self, node: Any) -> list[int]:
        """Shape of an exported tensor for the inputs that the program was started with."""
        sizes = tensors_of(node)[0].shape
        return [self.sizes.at(size, self.tokens, self.source) for size in sizes]

    def finished(self, rows: Tensor) -> Tensor:
        """Results of the last op as they leave: numbers that follow it scale and shift them."""
        last = self.output.op.nodes[-1]
        if self.leaving is last:
            return rows
        ends = []
        for fill in (0.0, 1.0):
            start = torch.full(self.shape(last), fill, dtype=torch.float64)
            value = self._value(self.leaving, lambda n: None, {last: start}, top=True)
            ends.append(value.flatten()[0])
        shift, both = ends
        finished: Tensor = rows * (both - shift) + shift
        return finished

    # --- layouts -----------------------------------------------------------------------------

    def layout(self, node: Any, count: int) -> Layout:
        """Layout of a tensor of ``count`` tokens (at the token count of :class:`Sizes`)."""
        shape = tensors_of(node)[0].shape
        axes = self.sizes.token_axes(shape, count) if count > 1 else []
        if count > 1 and not axes and len(shape) == 4 and shape[2] * shape[3] == count:
            return Layout(2, squares=True)
        return Layout(axes[0] if axes else None)

    def layout_of(self, name: str) -> Layout:
        """Layout of the node that an op's result is in."""
        op = self.ops[name]
        node = op.nodes[-1]
        if op.kind == "input" and node.meta["val"].dim() == 4:
            return Layout(2, side=self._patches(node))
        if operator_of(node) == "attention":  # (1, heads, tokens, elements), however many each is
            return Layout(2)
        size = self.sizes.count(self._other(op) if op.half == "single" else op)
        return self.layout(node, size + (op.half != ""))

    def is_scores(self, name: str) -> bool:
        """Whether an op's results are a number for each token that its own looks at."""
        op = self.ops[name]
        return is_scores(Flow(op, op.width, op.axis))

    @staticmethod
    def _patches(image: Any) -> int:
        """Side of the patches that an image is cut into."""
        while operator_of(image) != "conv2d":  # through casts
            image = next(iter(image.users))
        return int(image.args[1].meta["val"].shape[-1])

    def _count(self, op: Op) -> int:
        if op.axis == "pair":
            return self.tokens * (self.tokens + 1) // 2
        if op.axis == "source":
            return self.source + op.extra
        if op.axis == "table":
            return op.extra
        return 1 if op.axis == "single" else self.tokens + op.extra

    def _other(self, op: Op) -> Op:
        return next(
            other
            for other in self.ops.values()
            if other.nodes[-1] is op.nodes[-1] and other.half == "rest"
        )

    def place(self, name: str, rows: Tensor) -> Tensor:
        """The rows of an op within all tokens and columns of its node."""
        op = self.ops[name]
        if op.half:
            rows = rows[:1] if op.half == "single" else rows[1:]
        rows = rows[: self._count(op)]  # a causal convolution pads at both ends
        if op.share is not None:
            rows = rows[:, share(op, rows.shape[1])]
        return rows


def share(op: Op, width: int) -> Tensor:
    """Which of the columns of a fused projection an op has: (width of the op,), int64."""
    part = op.share
    columns = torch.arange(width)
    if part is None:
        return columns
    at = columns % part.period if part.period else columns
    return columns[(at >= part.first) & (at < part.last)]


def operator_of(node: Any) -> str:
    """Name of an exported operator without namespace and overload: ``linear``, ``attention``."""
    if node.op != "call_function":
        return ""
    packet = str(getattr(node.target, "overloadpacket", node.target))
    return packet.rsplit(".", maxsplit=1)[-1]


def tensors_of(node: Any) -> list[Any]:
    """What an exported node makes: one tensor, or the largest scores and which they are."""
    value = node.meta["val"]
    return list(value) if isinstance(value, list | tuple) else [value]


def labels_of(node: Any) -> tuple[str, ...]:
    """What of an op's results each of these tensors is."""
    return ("values", "which")[: len(tensors_of(node))]


def together(node: Any, values: list[Tensor]) -> Any:
    """The value of a node that makes these; whole numbers that are not known are 0."""
    dtypes = [each.dtype for each in tensors_of(node)]
    held = [
        value if dtype.is_floating_point else torch.nan_to_num(value).to(dtype)
        for value, dtype in zip(values, dtypes, strict=True)
    ]
    return held[0] if len(held) == 1 else tuple(held)


@dataclass(frozen=True)
class Product:
    """A static product in the program: which operand is data, and the matrix (out, in).

    ``patches``: side of the squares of an image that it is of. ``taps``: of a convolution over
    tokens, how many, from one token to the next, and zeros at both ends.
    """

    data: Any
    channel: int
    matrix: Tensor
    bias: Tensor | None
    patches: int = 0
    taps: tuple[int, int, int] | None = None

    def rows(self, x: Tensor) -> Tensor:
        """The data, one vector a token: (tokens, in)."""
        if self.patches:  # disjoint squares of an image
            return Layout(2, side=self.patches).rows(x)
        if self.taps is not None:
            taps, stride, padding = self.taps
            windows = functional.pad(x, (padding, padding)).unfold(2, taps, stride)
            return windows[0].transpose(0, 1).flatten(1)
        return x.movedim(self.channel, -1).flatten(0, -2)


def product_of(program: Program, name: str) -> Product:
    """How the program computes an op of class gemv. Raises InputError for another operator."""
    op = program.ops[name]
    node = next((n for n in op.nodes if operator_of(n) in PRODUCTS), None)
    if node is None:
        raise InputError(f"op {name!r}: no matrix product among its exported nodes")
    kind, args = operator_of(node), list(node.args)

    def constant(argument: Any) -> Any:
        return None if argument is None else program.value(argument, lambda n: None)

    if kind == "linear":
        bias = args[2] if len(args) > 2 else None
        return Product(args[0], -1, constant(args[1]), constant(bias))
    if kind == "experts":
        return _expert(program, name, args, constant)
    if kind == "addmm":
        return Product(args[1], -1, constant(args[2]).T, constant(args[0]))
    if kind in ("conv1d", "conv2d"):
        weight = constant(args[1])
        patches = weight.shape[-1] if weight.dim() == 4 and weight.shape[-1] > 1 else 0
        bias = constant(args[2]) if len(args) > 2 else None
        taps = None
        if weight.dim() == 3 and weight.shape[-1] > 1:
            stride, padding = (
                [*args[3:5], [1], [0]][:2]
                if len(args) > 4
                else (args[3] if len(args) > 3 else [1], [0])
            )
            taps = (weight.shape[-1], int(stride[0]), int(padding[0]))
        return Product(args[0], 1, weight.flatten(1), bias, patches, taps)
    if not program.depends(args[0]) and args[0] not in program.owners:
        return Product(args[1], -2, constant(args[0]).reshape(args[0].meta["val"].shape[-2:]), None)
    return Product(args[0], -1, constant(args[1]).reshape(args[1].meta["val"].shape[-2:]).T, None)


def _expert(program: Program, name: str, args: list[Any], constant: Any) -> Product:
    """A matrix of one expert; what the second one works on is the result of an op, not a node."""
    first = program.ops[name].stage == "up"
    expert = program.graph.nodes[name]["routed"]["expert"]
    matrices, biases = (constant(args[at if first else at + 1]) for at in (3, 5))
    bias = None if biases is None else biases[expert]
    return Product(args[0] if first else None, -1, matrices[expert], bias)


def folded(program: Program, name: str, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scale and shift (in, then out) that are folded into a matrix; each a vector.

    Found by asking the folded nodes for what they make of zeros and of ones.
    """
    op = program.ops[name]
    product = product_of(program, name)
    at = next(i for i, n in enumerate(op.nodes) if operator_of(n) in PRODUCTS)
    rows = product.matrix.shape[1]
    one_in, none_in = torch.ones(rows).double(), torch.zeros(rows).double()
    if op.before:
        norm = op.before[-1]
        one_in, none_in = _affine(program, norm, norm.args[0], rows)
    one_out, none_out = torch.ones(width).double(), torch.zeros(width).double()
    if len(op.nodes) > at + 1:
        one_out, none_out = _affine(program, op.nodes[-1], op.nodes[at], width)
    return one_in, none_in, one_out, none_out


def _affine(program: Program, end: Any, start: Any, width: int) -> tuple[Tensor, Tensor]:
    """Scale and shift by column of element-wise nodes from ``start`` (left out) to ``end``."""
    shape = start.meta["val"].shape
    sizes = [program.sizes.pair(size)[0] for size in shape]
    axes = [
        i for i, size in enumerate(sizes) if size == width and not program.sizes.varies(shape[i])
    ]
    results = []
    for fill in (0.0, 1.0):
        probe = torch.full(sizes, fill, dtype=torch.float64)
        found = {start: probe}
        value = program._value(end, lambda n: None, found, top=True)
        results.append(value.movedim(axes[-1], -1).reshape(-1, width)[0])
    shift, both = results
    return both - shift, shift


def _pair_features(i: Tensor, j: Tensor) -> Tensor:
    """ParT's four features of pairs, in float32 as the host computes them."""
    from hyflexsim.models.part.pairs import pair_features  # noqa: PLC0415

    return pair_features(i.float(), j.float()).double()


def _double(arguments: Any) -> Any:
    """Arguments of an operator with float64 for every narrower format."""
    narrow = (torch.float32, torch.float16, torch.bfloat16)
    if isinstance(arguments, dict):
        return {key: _double(value) for key, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return type(arguments)(_double(value) for value in arguments)
    return (
        torch.float64 if isinstance(arguments, torch.dtype) and arguments in narrow else arguments
    )


def attention_scale(node: Any) -> float:
    """What scores are multiplied by: as the model says, else 1 / sqrt(D)."""
    scale = node.args[6] if len(node.args) > 6 else None
    return float(scale) if scale is not None else 1 / math.sqrt(node.args[0].meta["val"].shape[-1])
