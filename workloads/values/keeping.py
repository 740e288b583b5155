"""Which keys a query keeps, in numbers: exact ways and approximations, and what each leaves out.

All tensors are (Q, K, H): queries, keys, heads. Scores are those the softmax would get (with U
where there is one); minus infinity marks keys that are hidden anyway, which are never kept. Of
equal scores the earlier key is taken. A row that is not known altogether (NaN) keeps everything,
so that what a plan should have waited for stays visible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.selector import CHOICES

MASK, UPPER = "mask", "upper bits"
BEFORE = ("bias", MASK, UPPER)
"""Ways that choose before scores are made, each by what it has instead of them: U, how far a key is
from its query (ASADI's diagonals), or products with the upper half of each key's bits (SPRINT)."""


@dataclass(frozen=True)
class Choice:
    """How keys are chosen.

    ``by``: of ``CHOICES`` (sim/units/selector.py), or ``mask`` or ``upper bits``, which no unit
    here computes: for accuracy alone. ``keys``: by layer, keys of each head (H,);
    layers that are not named keep all. ``within``: instead, by scores: keys whose score is at most
    so much below the largest of their row (nats: with 3 a weight of 5 % of the largest one stays).
    """

    by: str
    keys: Mapping[str, Sequence[int]]
    within: float | None = None

    def __post_init__(self) -> None:
        known = tuple(dict.fromkeys((*CHOICES, *BEFORE)))
        if self.by not in known:
            raise InputError(f"keys are chosen by one of {', '.join(known)}; got {self.by!r}")
        if self.within is not None and (self.by != "scores" or not self.within >= 0):
            raise InputError(f"within goes with scores, from 0; got {self.within} by {self.by}")
        few = [layer for layer, keys in self.keys.items() if min(keys, default=0) < 1]
        if few:
            raise InputError(f"keys of {few[0]} must be at least 1 a head; got {self.keys[few[0]]}")

    def kept(self, layer: str, scores: Tensor) -> Tensor | None:
        """Which keys stay, by scores (or the bias, where that is what chooses); None: all."""
        if layer not in self.keys:
            return None
        if self.within is not None:
            return near_the_largest(scores, self.within)
        return largest(scores, self.keys[layer])


def largest(scores: Tensor, keys: Sequence[int]) -> Tensor:
    """The ``keys[h]`` largest of each row of head h.

    >>> largest(torch.tensor([[[1.0], [3.0], [0.5], [3.0]]]), [2])[0, :, 0].tolist()
    [False, True, False, True]
    """
    limit = torch.tensor(list(keys))
    order = scores.argsort(dim=1, descending=True, stable=True)  # of equal ones the earlier first
    rank = torch.empty_like(order).scatter_(1, order, _places(order))
    return _known(scores, rank < limit)


def nearness(queries: int, keys: int, heads: int) -> Tensor:
    """(Q, K, H): minus how many places a key is from its query."""
    apart = (torch.arange(queries)[:, None] - torch.arange(keys)).abs()
    return -apart[:, :, None].expand(-1, -1, heads).double()


def upper_half(codes: Tensor, bits: int) -> Tensor:
    """Codes of which only the upper half of the bits is known: the middle of what they may be.

    >>> upper_half(torch.tensor([0.0, 5.0, 127.0, -1.0]), 8).tolist()
    [7.5, 7.5, 119.5, -8.5]
    """
    step = 2 ** (bits // 2)
    middle: Tensor = torch.floor(codes / step) * step + (step - 1) / 2
    return middle


def near_the_largest(scores: Tensor, within: float) -> Tensor:
    """Keys at most ``within`` below the largest of their row."""
    return _known(scores, scores >= scores.amax(1, keepdim=True) - within)


def _places(order: Tensor) -> Tensor:
    return torch.arange(order.shape[1])[None, :, None].expand_as(order)


def _known(scores: Tensor, kept: Tensor) -> Tensor:
    """What is hidden is never kept; of a row with unknown scores everything is."""
    unknown = scores.isnan().any(1, keepdim=True)
    return (kept & ~torch.isneginf(scores)) | unknown


def bits_until_dropped(
    queries: Tensor,
    keys: Tensor,
    scores: Callable[[Tensor], Tensor],
    limit: Sequence[int],
    bits: int,
) -> Tensor:
    """Bits of each key that are multiplied until it cannot be among the largest any more.

    ``queries`` (H, Q, D) and ``keys`` (H, K, D): codes of ``bits``. ``scores``: what the softmax
    gets for products (H, Q, K), as (Q, K, H); it must keep their order. ``limit``: (H,) keys that
    stay. Returns (Q, K, H), 1 ... bits.

    Keys are in two's complement, most significant bit first. After b bits the rest of a key is
    0 ... 2^(bits-b) - 1 in each element, so a product, and its score, lies between two bounds. A
    key drops out when as many others as are kept surely have larger scores.
    So those that stay are the largest, whatever the bits to come: exact.
    """
    up, down = queries.clamp(min=0).sum(2), queries.clamp(max=0).sum(2)  # (H, Q)
    heads, count = keys.shape[:2]
    spent = torch.full((queries.shape[1], count, heads), bits, dtype=torch.int64)
    alive = torch.ones_like(spent, dtype=torch.bool)
    best = torch.tensor(list(limit)).clamp(max=count)
    for done in range(1, bits):
        rest = 2 ** (bits - done) - 1
        known = torch.floor(keys / (rest + 1)) * (rest + 1)
        product = queries @ known.transpose(1, 2)
        low = scores(product + rest * down[:, :, None])
        high = scores(product + rest * up[:, :, None])
        sure = low.sort(1, descending=True).values  # the k-th of these is reached by k keys
        border = sure.gather(1, (best - 1)[None, None, :].expand(len(low), 1, heads))
        out = alive & (high < border)
        spent[out] = done
        alive &= ~out
    return spent
