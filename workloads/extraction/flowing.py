"""What flows along the edges while an exported program is read (see read_export.py).

An exported program is a list of operators on tensors. Reading it means to replace each tensor by
one of four values::

    Const    made of parameters and positions only: known before a token arrives, costs nothing
    Flow     the result of one op, a token at a time; perhaps only some of its columns
    Joined   class token and sequence, concatenated: the same op works on both, each on its axis
    list     several of them (chunk, split)

Shapes of an exported program hold symbols. They are put to two numbers, :data:`SMALL` and
:data:`LARGE`, which tells N, N + 1, N (N + 1) / 2 and N squared apart without algebra. The symbols
of an encoder's input beside a decoder are put to two numbers of their own, :data:`SOURCES`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SMALL, LARGE = 10, 24
SOURCES = (14, 33)


@dataclass(frozen=True)
class Const:
    """A tensor that does not depend on the input.

    ``params``: names of the parameters in it. ``weight``: the one parameter it is, whole or rows
    ``first`` to ``last`` of its first dimension; None if it was computed. ``zero``, ``one``: all of
    it is 0 or 1.
    """

    params: tuple[str, ...] = ()
    weight: str | None = None
    rows: tuple[int, int] | None = None
    zero: bool = False
    one: bool = False


@dataclass(eq=False)
class Op:
    """An op of the graph to be; ``inputs`` are the flows it reads, each with its firing rule.

    ``kind`` is one of :data:`hyflexsim.sim.graph.KINDS` or "cat", which is only wires and
    vanishes at the end. ``constant``: it has an operand such as a table of sines.

    Where it comes from: ``nodes`` of the exported program that it computes, its result last;
    ``stage`` of a node that several ops make together (attention, scan); ``half`` of a class token
    and sequence (``single``, ``rest``); ``share``: columns of a fused projection; ``before``: nodes
    whose scale is folded into its weights from the side of the inputs.
    """

    kind: str
    name: str
    layer: str
    module: str
    axis: str
    extra: int
    width: int
    attributes: dict[str, Any]
    inputs: list[tuple[Flow, str]] = field(default_factory=list)
    parameters: int = 0
    constant: bool = False
    nodes: list[Any] = field(default_factory=list)
    stage: str = ""
    half: str = ""
    share: Part | None = None
    before: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """Columns ``first`` to ``last - 1`` of an op's result.

    ``period``: 0, or the columns repeat after so many (heads that hold their own q, k, v).
    """

    first: int
    last: int
    period: int = 0

    def __str__(self) -> str:
        return f"[{self.first}:{self.last}]" + (f" of each {self.period}" if self.period else "")


@dataclass(frozen=True)
class Flow:
    """Result of ``op``, ``width`` elements a token, on an axis; ``rule`` is how a reader waits.

    ``parts``: the cuts that chose its columns, widest first; empty for all columns. ``square``: of
    what is made of squares of an image's tokens, their side and tokens in a row of the image.
    """

    op: Op
    width: int
    axis: str
    extra: int = 0
    parts: tuple[Part, ...] = ()
    rule: str = "stream"
    square: tuple[int, int] | None = None

    @property
    def part(self) -> Part | None:
        """The columns it has; None for all."""
        return self.parts[-1] if self.parts else None


@dataclass(frozen=True)
class Joined:
    """The class token followed by the sequence, along the token axis."""

    single: Flow
    rest: Flow


def is_scores(value: Any) -> bool:
    """Whether a flow has a number for each token that its own looks at, as bias of scores."""
    if not isinstance(value, Flow):
        return False
    op = value.op
    if not op.attributes.get("context") or op.axis == "single":
        return False
    return op.kind in ("pointwise", "cat") or (op.kind == "matmul" and not op.stage)


def operator_name(node: Any) -> str:
    """Name of an operator without overload and in-place mark: aten.add_.Tensor -> add."""
    packet = getattr(node.target, "overloadpacket", node.target)
    name = str(packet).rsplit(".", maxsplit=1)[-1] if "." in str(packet) else str(node.target)
    return name.rstrip("_") if not name.startswith("_") else name


class Sizes:
    """Evaluates symbolic shapes; ``fixed`` is the token count of a model without symbols.

    ``symbols``: those that count the tokens of an encoder beside a decoder; where there are none,
    ``source`` is their number (None: there is no such encoder).
    """

    def __init__(
        self, fixed: int | None, symbols: frozenset[Any] = frozenset(), source: int | None = None
    ):
        self.fixed = fixed
        self.symbols = symbols
        self.fixed_source = source
        self._known: dict[Any, tuple[int, int]] = {}

    def pair(self, size: Any) -> tuple[int, int]:
        """A size for N = SMALL and N = LARGE tokens."""
        if isinstance(size, int):
            return size, size
        expression = size.node.expr
        if expression not in self._known:
            small, large = (
                int(expression.subs({s: other if s in self.symbols else n for s in symbols}))
                for symbols in [expression.free_symbols]
                for n, other in zip((SMALL, LARGE), SOURCES, strict=True)
            )
            self._known[expression] = (small, large)
        return self._known[expression]

    def at(self, size: Any, tokens: int, source: int) -> int:
        """A size for so many tokens, and so many of the encoder's input."""
        if isinstance(size, int):
            return size
        expression = size.node.expr
        known = {s: source if s in self.symbols else tokens for s in expression.free_symbols}
        return int(expression.subs(known))

    @property
    def tokens(self) -> int:
        """The token count at which shapes are evaluated."""
        return SMALL if self.fixed is None else self.fixed

    @property
    def source(self) -> int:
        """The token count of the encoder's input at which shapes are evaluated."""
        return SOURCES[0] if self.fixed_source is None else self.fixed_source

    def count(self, value: Flow | Joined | Op) -> int:
        """Tokens of a flow where shapes are evaluated; of class token and sequence, both."""
        if isinstance(value, Joined):
            return 1 + self.count(value.rest)
        if value.axis == "pair":
            return self.tokens * (self.tokens + 1) // 2
        if value.axis == "table":
            return value.extra
        if value.axis == "source":
            return self.source + value.extra
        return 1 if value.axis == "single" else self.tokens + value.extra

    def axis_of(self, shape: Any) -> str:
        """The axis that a tensor of these dimensions has tokens on: sequence, source or single."""
        varying = [size for size in shape if self.varies(size)]
        if varying:
            of_source = set(varying[0].node.expr.free_symbols) <= self.symbols
            return "source" if of_source else "sequence"
        if self.fixed_source in shape:
            return "source"
        return "sequence" if self.fixed is not None and self.fixed in shape else "single"

    def numel(self, shape: Any) -> int:
        """Elements of a tensor of ``tokens`` tokens."""
        total = 1
        for size in shape:
            total *= self.pair(size)[0]
        return total

    def varies(self, size: Any) -> bool:
        """Whether a size grows with the token count."""
        small, large = self.pair(size)
        return small != large

    def token_axes(self, shape: Any, count: int) -> list[int]:
        """Dimensions that count tokens: symbolic ones, or of size ``count`` where it is fixed."""
        varying = [i for i, size in enumerate(shape) if self.varies(size)]
        if self.is_image(shape, count):
            return []
        return varying or [i for i, size in enumerate(shape) if size == count > 1][:1]

    def is_image(self, shape: Any, count: int) -> bool:
        """Whether a tensor (1, rows, columns, channels) has so many tokens in its rows."""
        if len(shape) != 4 or any(self.varies(size) for size in shape):
            return False
        return bool(min(shape[1:3]) > 1 and shape[1] * shape[2] == count)

    def sequence_axes(self, shape: Any) -> list[int]:
        """The same of whatever has the tokens of the sequence."""
        return self.token_axes(shape, self.tokens if self.fixed is not None else 1)
