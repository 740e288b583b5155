"""From an exported program to ops and flows: the reader.

The reader walks the program once, in order. Views, casts, dropout, masks and position arithmetic
pass their value on; an operator with a cost becomes an ``Op`` (flowing.py);
everything else is refused by name. What an operator becomes is decided in this order:

1. all operands constant: a constant;
2. inside a module known by its class (norms, activations): one op for the whole module, because
   Llama's RMSNorm is five operators and GPT-2's GELU eight;
3. a handler of read_ops.py: products, attention, scans, slices, lookups;
4. wires (:data:`PASS`): the value of the operand;
5. an element-wise function (:data:`POINTWISE`);
6. refused: InputError with the aten operator and the module's path.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction.attention_capture import Exported
from hyflexsim.workloads.extraction.flowing import (
    Const,
    Flow,
    Joined,
    Op,
    Sizes,
    is_scores,
    operator_name,
)

Value = Flow | Joined

PASS = frozenset(
    {"view", "reshape", "_unsafe_view", "view_as", "flatten", "unflatten", "squeeze", "unsqueeze"}
    | {"transpose", "permute", "t", "numpy_T", "movedim", "swapaxes", "expand", "expand_as"}
    | {"contiguous", "repeat_interleave", "repeat"}
    | {"to", "_to_copy", "type_as", "float", "clone", "alias", "detach", "lift_fresh"}
    | {"dropout", "native_dropout", "feature_dropout", "masked_fill"}
)
"""Operators that move, cast or mask elements: wires on a chip."""

POINTWISE = frozenset(
    {"add", "sub", "rsub", "mul", "div", "neg", "abs", "reciprocal", "square", "pow", "sqrt"}
    | {"rsqrt", "exp", "log", "cos", "sin", "clamp", "clamp_min", "clamp_max", "maximum"}
    | {"minimum", "gelu", "silu", "relu", "relu6", "leaky_relu", "elu", "tanh", "sigmoid"}
    | {"log_sigmoid", "softplus", "mish", "hardtanh", "hardswish", "hardsigmoid"}
)
"""Element-wise functions; the name is the ``function`` of the op."""

ZEROS = frozenset({"zeros", "zeros_like", "new_zeros"})
ONES = frozenset({"ones", "ones_like", "new_ones"})
LIKE = ZEROS | {"ones_like", "full_like", "new_ones", "new_full", "new_empty", "empty_like"}
"""Operators that take no more than the shape of a tensor."""


STARTS = frozenset({"embedding", "linear"})
"""Operators whose result is data even of constants: a row by position, a learned query."""

NORM = re.compile(r"(RMS|Layer|Group|Scale|L2)Norm\w*$|RMSNorm")
"""Classes of modules that are one norm. BatchNorm is read by its operator: it can fold."""

FUNCTIONS = {
    "newgelu": "gelu",
    "pytorchgelutanh": "gelu",
    "fastgelu": "gelu",
    "accurategelu": "gelu",
}


class Reader:
    """Reads one exported program; the result is ``ops`` (in order) and ``outputs``."""

    def __init__(self, exported: Exported, model: Any, prefix: str, handlers: dict[str, Any]):
        self.program = exported.program
        self.sources = exported.sources
        self.prefix = prefix
        self.handlers = handlers
        self.sizes = sizes_of(exported)
        self.ops: list[Op] = []
        self.outputs: list[Value] = []
        self.leaving: list[Any] = []  # the nodes of these
        self.inputs: list[Op] = []
        self.notes: list[str] = []
        self.values: dict[Any, Any] = {}
        self.placeholders: dict[str, Any] = {}  # nodes of parameters, by name
        self.lookups: dict[str, Flow] = {}
        self.tables_read: dict[Any, Flow] = {}  # whole, by their nodes
        self.positional: set[Op] = set()  # made of positions and parameters alone
        named = list(model.named_parameters(remove_duplicate=False))
        self.identity = {name: id(p) for name, p in named}  # tied parameters share it
        self.numel = {id(p): p.numel() for _, p in named}
        self.uncounted = dict(self.numel)
        self.classes = {path: type(m) for path, m in model.named_modules()}
        self.tables = {p: m for p, m in model.named_modules() if hasattr(m, "padding_idx")}
        self.positions: dict[str, int] = {}  # that a table of them has, by axis
        self.blocks = _block_paths(model)
        self._group: tuple[str, Value] | None = None

    def read(self) -> None:
        """Walk the program."""
        parameters = {
            spec.arg.name: spec
            for spec in self.program.graph_signature.input_specs
            if hasattr(spec.arg, "name")
        }
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node, parameters[node.name])
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "output":
                for leaving in _flatten(node.args):
                    value = self._value(leaving)
                    if isinstance(value, Flow | Joined):
                        self.outputs.append(value)
                        self.leaving.append(leaving)

    # -- what a node becomes ------------------------------------------------------------------

    def _placeholder(self, node: Any, spec: Any) -> Any:
        kind = spec.kind.name
        if kind == "PARAMETER":
            self.placeholders[spec.target] = node
            return Const((spec.target,), spec.target)
        value = node.meta.get("val")
        if kind != "USER_INPUT" or not hasattr(value, "shape"):
            return Const()
        axis = "source" if node.name in self.sources else "sequence"
        count = self.sizes.count(Op("input", node.name, "input", "", axis, 0, 1, {}))
        width = max(1, self.sizes.numel(value.shape) // count)
        op = Op("input", node.name, "input", "", axis, 0, width, {}, nodes=[node])
        self.ops.append(op)
        self.inputs.append(op)
        return Flow(op, width, axis)

    def _call(self, node: Any) -> Any:
        args = [self._value(a) for a in node.args]
        args += [self._value(a) for a in node.kwargs.values() if isinstance(a, type(node))]
        if node.target is operator.getitem:
            return args[0][args[1]] if isinstance(args[0], list) else args[0]
        name = self.operator(node)
        flat = _flatten(args)
        flows = [v for v in flat if isinstance(v, Flow | Joined)]
        handler: Callable[..., Any] | None = self.handlers.get(name)
        if not flows:
            rows = _row_groups(node, name, args)
            if rows:
                return rows
            constant = _merge(node, name, args)
            starts = handler is not None and name in STARTS and constant.params
            return handler(self, node, args) if handler and starts else constant
        if name in LIKE:
            return Const(zero=name in ZEROS)
        if not _floating(node) and name not in PASS:
            return Const()  # position arithmetic on token ids, masks
        module = self._known_module(node)
        if module is not None and name not in PASS:
            return self._whole_module(node, *module, flat)
        if handler is not None:
            return handler(self, node, args)
        if name in PASS:
            return flows[0]
        if name in POINTWISE:
            return self.pointwise(node, name, flat)
        raise self.refusal(node)

    def _value(self, argument: Any) -> Any:
        if isinstance(argument, list | tuple):
            return [self._value(a) for a in argument]
        if isinstance(argument, self._node_type):
            return self.values.get(argument, Const())
        return argument

    @property
    def _node_type(self) -> type:
        return type(next(iter(self.program.graph.nodes)))

    operator = staticmethod(operator_name)

    def refusal(
        self, node: Any, reason: str = "is outside the vocabulary (sim/vocabulary.py)"
    ) -> InputError:
        """The error for an operator that no op class describes."""
        name = str(node.target)
        return InputError(f"module {self.module(node) or '(top)'!r}: operator {name} {reason}")

    # -- where a node is ----------------------------------------------------------------------

    def stack(self, node: Any) -> list[tuple[str, str]]:
        """(call, module path) from the outermost module to the innermost."""
        stack = node.meta.get("nn_module_stack") or {}
        return [(k, p.split("@")[0]) for k, (p, _) in stack.items() if "_empty_nn" not in k]

    def module(self, node: Any) -> str:
        """Path of the innermost module."""
        stack = self.stack(node)
        return stack[-1][1] if stack else ""

    def short(self, path: str) -> str:
        """A path or parameter name without the prefix of the base model."""
        if path + "." == self.prefix:
            return ""
        return path.removeprefix(self.prefix)

    def layer(self, path: str, flows: Iterable[Value] = ()) -> str:
        """Unit of placement: the indexed block, else the child of the top module."""
        for block in self.blocks:
            if path == block or path.startswith(block + "."):
                return self.short(block)
        child = self.short(path).split(".")[0]
        if child:
            return child
        for flow in flows:
            op = flow.rest.op if isinstance(flow, Joined) else flow.op
            if op.kind != "input":
                return op.layer
        return "input"

    # -- making ops ---------------------------------------------------------------------------

    def emit(
        self,
        kind: str,
        node: Any,
        operands: Iterable[Any],
        *,
        name: str | None = None,
        width: int | None = None,
        axis: tuple[str, int] | None = None,
        **attributes: Any,
    ) -> Any:
        """Make an op (two, where an operand is joined) that reads the flows among ``operands``.

        ``width``: elements of a result token, by default those of the node's tensor. Parameters
        among the operands are counted here unless another op did.
        """
        operands = list(operands)
        flows: list[Any] = [v for v in operands if isinstance(v, Flow | Joined)]
        path = self.module(node)
        name = name or self.short(path) or kind
        if any(isinstance(v, Joined) for v in flows):
            rest = [v.rest if isinstance(v, Joined) else v for v in operands]
            single = [v.single if isinstance(v, Joined) else v for v in operands]
            if width is None:
                joined = next(v for v in flows if isinstance(v, Joined))
                width = self.sizes.numel(node.meta["val"].shape) // self.sizes.count(joined)
            options: dict[str, Any] = {"width": width} | attributes
            first = self.emit(kind, node, rest, name=name, **options)
            second = self.emit(kind, node, single, name=name + "@cls", **options)
            first.op.half, second.op.half = "rest", "single"
            return Joined(second, first)
        where = axis or _axis(flows)
        op = Op(kind, name, self.layer(path, flows), path, *where, 0, dict(attributes))
        op.inputs = [(v, v.rule) for v in flows]
        square = self._square(node, flows)
        if square is not None and kind != "cat":
            op.attributes["side"], op.attributes["wide"] = square
        op.nodes = [node]
        op.constant = any(isinstance(v, Const) and not v.params for v in operands)
        if width is None:
            tokens = self.sizes.count(op)
            width = max(1, self.sizes.numel(node.meta["val"].shape) // tokens)
        op.width = width
        if kind in ("norm", "pointwise"):
            op.attributes.setdefault("elements", width)
        op.parameters = sum(self.count(v) for v in operands if isinstance(v, Const))
        self.ops.append(op)
        return Flow(op, width, *where, square=square if kind == "cat" else None)

    def _square(self, node: Any, flows: list[Flow]) -> tuple[int, int] | None:
        """Side and row of the squares of an image's tokens that the tokens of flows are made of."""
        for flow in flows:
            if flow.square is None or flow.op.kind == "cat":
                continue
            side, _ = flow.square
            if self.sizes.count(flow.op) != side**2 * self.sizes.count(flow):
                raise self.refusal(node, "takes oblongs of an image's tokens (allowed: squares)")
        return next((flow.square for flow in flows if flow.square), None)

    def limit_positions(self, axis: str, node: Any, rows: int) -> None:
        """A table of positions of so many rows: some models keep the first few for padding."""
        path = self.module(node)
        if not re.search(r"pos|wpe", path.rpartition(".")[2]):
            return  # of token types, known beforehand as well
        module = self.tables[path]
        spared = getattr(module, "offset", 0)
        if module.padding_idx is not None and not spared:
            spared = module.padding_idx + 1
        self.positions[axis] = min(rows - spared, self.positions.get(axis, rows))

    def count(self, constant: Const) -> int:
        """Values of the parameters in a constant that are not counted yet; now they are."""
        return sum(self.uncounted.pop(self.identity[name], 0) for name in constant.params)

    def pointwise(self, node: Any, function: str, operands: list[Any]) -> Any:
        """An element-wise op. A number as second operand folds into the neighbouring scale."""
        tensors = [v for v in operands if isinstance(v, Flow | Joined | Const)]
        tensors = [self._looked_up(v) for v in tensors]
        if function == "mul":  # a mask of what is padding, of which there is none
            tensors = [v for v in tensors if not (isinstance(v, Const) and v.one)]
        flows = [v for v in tensors if isinstance(v, Flow | Joined)]
        if len(tensors) == 1 and function in ("add", "sub", "mul", "div"):
            return flows[0]
        joined = any(isinstance(v, Joined) for v in flows)
        if joined and any(isinstance(v, Flow) for v in flows):
            raise self.refusal(node, "mixes the class token with a sequence without it")
        leaf = self.short(self.module(node))
        name = f"{leaf}.{function}" if leaf else function
        options: dict[str, Any] = {"function": function}
        if any(is_scores(v) for v in flows):
            if len(tensors) == 2 and self._is_number(node.args[1]):
                return flows[0]  # a scale of the product, as that of attention
            options |= self._by_key(node)
        return self.emit("pointwise", node, tensors, name=name, **options)

    def _is_number(self, operand: Any) -> bool:
        """Whether a node is a constant without dimensions."""
        constant = isinstance(self._value(operand), Const)
        return constant and not operand.meta["val"].dim()

    def _by_key(self, node: Any) -> dict[str, Any]:
        """Element-wise work on scores: so many elements a key."""
        shape = node.meta["val"].shape
        if not self.sizes.varies(shape[-1]):
            raise self.refusal(node, "works on scores of positions that are not gathered by key")
        heads = self.sizes.numel(shape) // self.sizes.tokens**2
        return {"width": heads, "elements": heads, "context": "all"}

    def _looked_up(self, value: Any) -> Any:
        """The lookup of a parameter that is used as data elsewhere (class token)."""
        alone = isinstance(value, Const) and len(value.params) == 1
        return self.lookups.get(value.params[0], value) if alone else value

    def _known_module(self, node: Any) -> tuple[str, str, str, str] | None:
        """(call, path, kind, function) of the outermost enclosing module known by its class.

        The place to recognise further classes: a factorised linear layer, for instance, as one
        gemv with a rank.
        """
        for call, path in self.stack(node):
            cls = self.classes.get(path)
            if cls is None:
                continue
            if NORM.search(cls.__name__):
                return call, path, "norm", ""
            where = cls.__module__
            if where == "transformers.activations" or (
                where == "torch.nn.modules.activation" and "Attention" not in cls.__name__
            ):
                function = cls.__name__.lower().removesuffix("activation").removesuffix("function")
                return call, path, "pointwise", FUNCTIONS.get(function, function)
        return None

    def _whole_module(
        self, node: Any, call: str, path: str, kind: str, function: str, operands: list[Any]
    ) -> Any:
        flows = [v for v in operands if isinstance(v, Flow | Joined)]
        if self._group is not None and self._group[0] == call:
            value = self._group[1]
            own = (value.rest.op, value.single.op) if isinstance(value, Joined) else (value.op,)
            for op in own:
                op.nodes.append(node)
            for flow in flows:
                if isinstance(flow, Joined) or flow.op in own:
                    continue
                if flow not in [f for f, _ in own[0].inputs]:
                    own[0].inputs.append((flow, flow.rule))
            own[0].parameters += sum(self.count(v) for v in operands if isinstance(v, Const))
            return value
        options: dict[str, Any] = {"function": function} if kind == "pointwise" else {}
        width = flows[0].rest.width if isinstance(flows[0], Joined) else flows[0].width
        tensors = [v for v in operands if isinstance(v, Flow | Joined | Const)]
        value = self.emit(kind, node, tensors, name=self.short(path), width=width, **options)
        self._group = (call, value)
        return value


def sizes_of(exported: Exported) -> Sizes:
    """How many tokens there are: symbols of the inputs' shapes, else what the first attention sees.

    Of an encoder beside a decoder that is the encoder's first.
    """
    symbols: dict[bool, set[Any]] = {False: set(), True: set()}
    seen: int | None = None
    for node in exported.program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder":
            own = symbols[node.name in exported.sources]
            for size in getattr(value, "shape", ()):
                own |= set() if isinstance(size, int) else size.node.expr.free_symbols
        elif seen is None and node.op == "call_function" and "attention" in str(node.target):
            seen = value.shape[-2]
    fixed = None if symbols[False] else int(seen or 1)
    beside = bool(exported.sources) and not symbols[True]
    return Sizes(fixed, frozenset(symbols[True]), int(seen or 1) if beside else None)


def _block_paths(model: Any) -> list[str]:
    """Paths of repeated blocks, outermost first: children of a ModuleList, or of a Sequential
    whose members all have children."""
    from torch import nn  # noqa: PLC0415

    found: list[str] = []
    for path, module in model.named_modules():
        if any(path.startswith(block + ".") for block in found):
            continue
        members = list(module.children())
        deep = isinstance(module, nn.Sequential) and all(
            any(True for _ in m.children()) for m in members
        )
        if isinstance(module, nn.ModuleList) or (deep and members):
            found += [f"{path}.{name}" if path else name for name, _ in module.named_children()]
    return found


def _axis(flows: list[Any]) -> tuple[str, int]:
    rank = {"single": 0, "table": 1, "source": 2, "sequence": 3, "pair": 4}
    best = max(flows, key=lambda f: (rank[f.axis], f.extra))
    return best.axis, best.extra


def _flatten(values: Any) -> list[Any]:
    if isinstance(values, list | tuple):
        return [v for value in values for v in _flatten(value)]
    return [values]


def _floating(node: Any) -> bool:
    value = node.meta.get("val")
    value = value[0] if isinstance(value, list | tuple) and value else value
    return bool(value.dtype.is_floating_point) if hasattr(value, "dtype") else False


def _row_groups(node: Any, name: str, args: list[Any]) -> list[Const]:
    """The rows of one parameter, cut along its first dimension (a fused projection's)."""
    whole = args[0] if args else None
    along = node.kwargs.get("dim", args[2] if len(args) > 2 else 0)
    cuts = name in ("split", "split_with_sizes", "chunk") and along == 0
    if not (cuts and isinstance(whole, Const) and whole.weight and whole.rows is None):
        return []
    groups, start = [], 0
    for piece in node.meta["val"]:
        stop = start + piece.shape[0]
        groups.append(Const(whole.params, whole.weight, (start, stop)))
        start = stop
    return groups


def _merge(node: Any, name: str, args: list[Any]) -> Const:
    """The constant that an operator makes of constants; rows of a parameter stay known."""
    constants = [v for v in _flatten(args) if isinstance(v, Const)]
    params = tuple(dict.fromkeys(p for v in constants for p in v.params))
    first = constants[0] if constants else Const()
    rows = name == "slice" and first.weight and len(args) > 1 and args[1] == 0
    if rows and first.rows is None and isinstance(args[2], int | None):
        start, size = args[2] or 0, node.meta["val"].shape[0]
        return Const(params, first.weight, (start, start + size))
    keeps = name in PASS and name not in ("masked_fill", "expand")
    zero = name in ZEROS or (name in (*PASS, "add") and all(v.zero for v in constants))
    zero = zero and bool(constants or name in ZEROS) and name != "masked_fill"
    one = name in ONES or (name in (*PASS, "mul") and all(v.one for v in constants))
    one = one and bool(constants or name in ONES) and name != "masked_fill"
    rows = first.rows if keeps else None
    return Const(params, first.weight if keeps else None, rows, zero=zero, one=one)
