"""Parameters that a forward pass does not reach: which modules hold them, and who may leave them.

A graph of half a model gives figures of half a model. So what is not in it is refused by module,
unless the caller names it (``leave_out``: patterns of module paths).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hyflexsim.sim.errors import InputError, shortened

TRAINING = ("*mask_token", "*mask_emb")
"""What only a training reads: the stand-in for patches or words that are hidden from a model."""
SEGMENTS = ("*.rel_attn.seg_embed", "*.rel_attn.r_s_bias")
"""What only a second text beside the first reads (XLNet)."""


def unreached(model: Any, program: Any, result: Any) -> dict[str, int]:
    """Outermost modules none of whose parameters ``result`` depends on, and how many they hold.

    ``result``: a node of the exported ``program``. Tied parameters are reached by any name.
    """
    placed = {
        spec.arg.name: spec.target
        for spec in program.graph_signature.input_specs
        if spec.kind.name == "PARAMETER"
    }
    named = dict(model.named_parameters(remove_duplicate=False))
    reached = {id(named[placed[node.name]]) for node in _before(result) if node.name in placed}
    left = {name: p for name, p in named.items() if id(p) not in reached}
    kept = {name for name in named if name not in left}
    found: dict[str, int] = {}
    counted: set[int] = set()
    for name, parameter in left.items():
        if id(parameter) not in counted:
            counted.add(id(parameter))
            module = _outermost(name, kept)
            found[module] = found.get(module, 0) + parameter.numel()
    return dict(sorted(found.items()))  # a kept graph keeps no order


def _before(result: Any) -> Iterator[Any]:
    """A node and all that it depends on."""
    seen, stack = {result}, [result]
    while stack:
        node = stack.pop()
        yield node
        new = [n for n in node.all_input_nodes if n not in seen]
        seen.update(new)
        stack += new


def _outermost(name: str, kept: set[str]) -> str:
    """The shortest path to a parameter below which nothing is kept."""
    parts = name.split(".")
    for length in range(1, len(parts)):
        path = ".".join(parts[:length])
        if not any(other.startswith(f"{path}.") for other in kept):
            return path
    return name


def named(modules: Iterable[str]) -> str:
    """The first few of them."""
    names = list(modules)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")


def refuse_unreached(name: str, left: dict[str, int], leave_out: Sequence[str]) -> None:
    """Raise InputError for modules that no pattern of ``leave_out`` names, and idle patterns."""
    for pattern in leave_out:
        if pattern != "*" and not any(fnmatchcase(module, pattern) for module in left):
            raise InputError(
                f"{name}: leave_out must name modules that the forward pass does not reach "
                f"({', '.join(left) or 'it reaches all'}); got {shortened(pattern)}"
            )
    known = (*leave_out, *TRAINING, *SEGMENTS)
    silent = [m for m in left if not any(fnmatchcase(m, pattern) for pattern in known)]
    if silent:
        count = sum(left[module] for module in silent)
        raise InputError(
            f"{name}: the forward pass does not reach {named(silent)} ({count:,} parameters); to "
            "run without, name what to leave out: model.leave_out, graph --leave-out or "
            "extract(leave_out=...)"
        )
