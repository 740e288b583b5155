"""Keys left out of the reference's attention: which stay, how far the others are multiplied."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.values.attention import Attention, capped, hidden_keys, per_head
from hyflexsim.workloads.values.codes import codes_of, scale_of
from hyflexsim.workloads.values.keeping import (
    BEFORE,
    MASK,
    UPPER,
    Choice,
    bits_until_dropped,
    nearness,
    upper_half,
)
from hyflexsim.workloads.values.program import Program
from hyflexsim.workloads.values.widths import Widths


class Chooser:
    """Applies a choice to one computation; without one it changes nothing.

    ``tensor``: of an exported node, ``rounded``: as results between ops are. ``kept``: which keys
    stayed, ``seen``: of which there were to choose from, ``bits``: how far keys were multiplied;
    (Q, K, H) by the softmax's name.
    """

    def __init__(
        self,
        program: Program,
        widths: Widths | None,
        choice: Choice | None,
        tensor: Callable[[object], Tensor],
        rounded: Callable[[Tensor], Tensor],
    ):
        self.program, self.widths, self.choice = program, widths, choice
        self.tensor, self.rounded = tensor, rounded
        self.kept: dict[str, Tensor] = {}
        self.seen: dict[str, Tensor] = {}
        self.bits: dict[str, Tensor] = {}

    def before(self, a: Attention, scores: Tensor) -> Tensor:
        """Scores of keys that were chosen before; those of the others are not made."""
        if self.choice is None or self.choice.by not in BEFORE:
            return scores
        if self.choice.by == MASK:
            known = nearness(*scores.shape)
        elif self.choice.by == UPPER:
            known = self._rough(a)
        elif a.add is None:
            return scores
        else:
            known = self.rounded(self._bias(a))
        known = known.masked_fill(torch.isneginf(scores), -torch.inf)  # not to be looked at anyway
        return self._only(a, scores, self.choice.kept(self._layer(a), known))

    def after(self, a: Attention, scores: Tensor) -> Tensor:
        """Scores of the keys that are kept; all were made, or all but the last bits of some."""
        if self.choice is None or self.choice.by in BEFORE:
            return scores
        kept = self.choice.kept(self._layer(a), scores)
        if kept is not None and self.choice.by == "bits":
            self.bits[a.softmax] = self._bits(a, self.choice.keys[self._layer(a)])
        return self._only(a, scores, kept)

    def _only(self, a: Attention, scores: Tensor, kept: Tensor | None) -> Tensor:
        if kept is None:
            return scores
        self.kept[a.softmax], self.seen[a.softmax] = kept, ~torch.isneginf(scores)
        return scores.masked_fill(~kept, -torch.inf)

    def _layer(self, a: Attention) -> str:
        return str(self.program.graph.nodes[a.qk]["layer"])

    def _bias(self, a: Attention) -> Tensor:
        """U: (Q, K, H)."""
        return self.tensor(a.operands[3])[0].permute(1, 2, 0)

    def _operands(self, a: Attention) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor], int]:
        """Codes of queries and keys, what makes scores (with U) of products, and bits of a code."""
        if self.widths is None or self.widths.values is None:
            raise InputError(f"{a.qk}: only integer products have bits of keys")
        bits, queries = self.widths.values, self.tensor(a.operands[0])[0]
        keys = per_head(self.tensor(a.operands[1]), len(queries))
        sq, sk = scale_of(queries, bits), scale_of(keys, bits)

        hidden = hidden_keys(a, queries.shape[1], keys.shape[1])[:, :, None]

        def scores(product: Tensor) -> Tensor:
            made = self.rounded(product * sq * sk.transpose(1, 2) * a.scale).permute(1, 2, 0)
            made = made if a.cap is None else self.rounded(capped(made, a.most))
            made = made if a.add is None else self.rounded(made + self._bias(a))
            return made.masked_fill(hidden, -torch.inf)

        return codes_of(queries, sq, bits), codes_of(keys, sk, bits), scores, bits

    def _rough(self, a: Attention) -> Tensor:
        """Scores as far as the upper bits of the keys say them."""
        queries, keys, scores, bits = self._operands(a)
        return scores(queries @ upper_half(keys, bits).transpose(1, 2))

    def _bits(self, a: Attention, limit: Sequence[int]) -> Tensor:
        """How far each key is multiplied; see bits_until_dropped. Not at all, if nobody looks."""
        queries, keys, scores, bits = self._operands(a)
        spent = bits_until_dropped(queries, keys, scores, limit, bits)
        return spent.masked_fill(hidden_keys(a, *spent.shape[:2])[:, :, None], 0)
