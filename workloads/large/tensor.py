"""Tensor parallel: every layer cut over some chips, which add up their results twice a layer.

As Megatron-LM cuts a decoder (Shoeybi et al., arXiv 1909.08053 §3): query, key, value, gate and up
by columns, output and down by rows, so heads, inner width and the vocabulary's words are shared
out; norms and routers are on every chip. What one of the chips computes is a smaller decoder, whose
configuration says so, and is placed, planned and played like any.

The sums after output and down projection go around a ring (reduce-scatter, then all-gather): each
of T chips sends 2 (T - 1) pieces of a T-th of a token, of all chips at once. In closed form, not in
the plan: a token waits for its own sums, and where a chip's link is busy longer with a token than
any part of the chip, the prompt goes at the link's pace.

Left out: gathering the parts of an embedding and of the scores of words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.routes import link_service

FAMILIES = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe")
"""Decoders whose configurations name what is shared out by :data:`SHARED`."""
SHARED = (
    *("num_attention_heads", "num_key_value_heads", "intermediate_size"),
    *("moe_intermediate_size", "vocab_size"),
)
SUMS_A_LAYER = 2


def part_of(name: str, config: Mapping[str, Any], ways: int) -> dict[str, Any]:
    """The configuration of what one of ``ways`` chips computes.

    Raises InputError for a family that is not cut here, and for what cannot be shared out evenly.

    >>> whole = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 8}
    >>> part_of("tiny", whole, 2)["num_attention_heads"], part_of("tiny", whole, 2)["head_dim"]
    (4, 8)
    """
    if config["model_type"] not in FAMILIES:
        raise InputError(
            f"{name}: tensor parallel knows {', '.join(FAMILIES)}; got {config['model_type']}"
        )
    heads = config["num_attention_heads"]
    whole = {"head_dim": config["hidden_size"] // heads, "num_key_value_heads": heads}
    whole |= config
    part = dict(whole)
    for key in SHARED:
        if key in whole:
            if whole[key] % ways:
                raise InputError(f"{name}: {key} must be a multiple of {ways}; got {whole[key]}")
            part[key] = whole[key] // ways
    return part


class Ring(NamedTuple):
    """One sum of a token over ``ways`` chips: time, and bytes over all links of the ring."""

    time_ps: int
    bytes: int

    def energy_pj(self, chip: Chip) -> float:
        """Of the bits on the links."""
        return 8 * self.bytes * float(chip[f"{chip.need_link('chip', 'chip').name}.energy.bit"])


def all_reduce(chip: Chip, width: int, ways: int) -> Ring:
    """The sum of ``width`` results, as wide as results are, over a ring of the chip's links.

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> all_reduce(load_chip("hyflexpim"), 4096, 4)  # 6 times 1,024 B at 128 B a ns
    Ring(time_ps=48000, bytes=24576)
    """
    piece = -(-width * chip.vector_bits // (8 * ways))
    turns = 2 * (ways - 1)
    link = chip.need_link("chip", "chip")
    return Ring(turns * link_service(link, piece).rate.ps(1), turns * ways * piece)
