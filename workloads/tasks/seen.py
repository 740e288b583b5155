"""What a checkpoint was trained on, feature by feature, and whether what scores it is like that.

Numbers (brightness of a picture, tokens of a sentence, features of a particle) have a range, which
holds all but one in a thousand at either end (models/part/feature_ranges.py). Tokens have no order:
of them it is known which the training text holds. Beside either stands which share of the own
held-out items is outside: only what is several times that is said. Left out: how features go
together, so other pictures that are as bright.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyflexsim.models.part.feature_ranges import FAR, TAIL

TIMES = FAR / (2 * TAIL)
"""How many times as much as of the checkpoint's own held-out items is far outside."""
GUESS = "scores are a guess"


class Items(NamedTuple):
    """Training or held-out items of a task. `unit`: what a number is of, as "pictures"."""

    unit: str
    numbers: Mapping[str, NDArray[Any]]  # by feature, (n,)
    tokens: NDArray[np.int64] | None = None  # (t,) ids; None where there are none


def seen(train: Items, test: Items) -> dict[str, Any]:
    """What a checkpoint says of its training: "ranges" by feature, and "tokens" for text.

    A range is low, high and the share of the held-out numbers beyond them. "tokens": "known", a bit
    an id (hexadecimal, the lowest id first), and "new", the share of those held out.

    >>> pictures = Items("pictures", {"brightness": np.linspace(-1, 1, 2001)})
    >>> seen(pictures, pictures)
    {'ranges': {'brightness': [-0.998, 0.998, 0.001999]}}
    >>> seen(Items("texts", {}, np.array([0, 9])), Items("texts", {}, np.array([9, 1])))
    {'ranges': {}, 'tokens': {'known': '8040', 'new': 0.5}}
    """
    ranges = {}
    for name, values in train.numbers.items():
        low, high = map(_short, np.quantile(values, (TAIL, 1 - TAIL), method="nearest"))
        ranges[name] = [low, high, _short(_beyond(test.numbers[name], low, high))]
    found: dict[str, Any] = {"ranges": ranges}
    if train.tokens is not None and test.tokens is not None:
        known = np.bincount(train.tokens) > 0
        found["tokens"] = {
            "known": np.packbits(known).tobytes().hex(),
            "new": _short(_new(test.tokens, known)),
        }
    return found


def far_outside(items: Items, known: Mapping[str, Any] | None) -> list[str]:
    """A line for each feature in which items are unlike what was trained on; none if not known.

    ``known``: what :func:`seen` gave; features that only one side has are passed over.
    """
    known = known or {}
    said = []
    for name, (low, high, usual) in known.get("ranges", {}).items():
        share = _beyond(items.numbers.get(name, np.zeros(0)), low, high)
        if share > max(FAR, TIMES * usual):
            said.append(
                f"{GUESS}: {name} of {share:.1%} of the {items.unit} is outside of {low:.3g} to "
                f"{high:.3g}, where 99.8 % of those lie that the weights were trained on"
            )
    tokens = known.get("tokens")
    if tokens and items.tokens is not None:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(tokens["known"]), dtype=np.uint8))
        share = _new(items.tokens, bits > 0)
        if share > max(FAR, TIMES * tokens["new"]):
            said.append(
                f"{GUESS}: {share:.1%} of the tokens are nowhere in the text that the weights were "
                f"trained on ({tokens['new']:.1%} of those held out then)"
            )
    return said


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _beyond(values: NDArray[Any], low: float, high: float) -> float:
    """Share of the values outside of a range."""
    return float(((values < low) | (values > high)).mean()) if len(values) else 0.0


def _new(tokens: NDArray[np.int64], known: NDArray[np.bool_]) -> float:
    """Share of the tokens whose id is not known."""
    inside = tokens < len(known)
    return 1 - float((known[np.where(inside, tokens, 0)] & inside).mean())
