"""How the learning rate moves over a training: a share of the highest one, step by step.

Each begins with a linear warm-up and then

- ``linear``: falls evenly to zero at the end;
- ``constant``: stays, so that a training may be as long as patience lasts;
- ``cosine``: falls to zero along half a cosine (SGDR without restarts, arXiv 1608.03983 eq. 5);
- ``restarts``: the same again and again, `cycle` steps each (SGDR; cycles do not grow);
- ``flat-decay``: stays for 70 % of the steps, then falls exponentially to 1 % (the rule of
  weaver-core's ``flat+decay``, which trained the published ParTs; there in stairs).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from hyflexsim.models.errors import ModelError

Name = Literal["linear", "constant", "cosine", "restarts", "flat-decay"]
NAMES: tuple[str, ...] = get_args(Name)
FLAT, LAST = 0.7, 0.01  # of flat-decay: share of the steps, share of the rate at the end

Schedule = Callable[[int], float]
"""Step from 0 -> share of the highest rate, 0 ... 1."""


def schedule(name: str, steps: int, warmup: float = 0.1, cycle: int | None = None) -> Schedule:
    """The shares of a schedule over so many steps; `warmup` is a share of them.

    Raises ModelError for an unknown name, and for restarts without a `cycle` of at least 1.

    >>> [round(schedule("cosine", 4, warmup=0)(t), 2) for t in range(4)]
    [1.0, 1.0, 0.75, 0.25]
    >>> [schedule("restarts", 100, 0, cycle=2)(t) for t in (1, 2, 3, 4)]
    [1.0, 0.5, 1.0, 0.5]
    """
    if name not in NAMES:
        raise ModelError(f"schedule must be one of {', '.join(NAMES)}; got {name!r}")
    if name == "restarts" and (cycle is None or cycle < 1):
        raise ModelError(f"schedule restarts needs a cycle of at least 1 step; got {cycle}")
    ramp = max(1, math.ceil(warmup * steps))
    rest = max(1, steps - ramp)

    def share(t: int) -> float:
        if t < ramp:  # the last step of the ramp is at the full rate
            return (t + 1) / ramp
        done = t - ramp
        if name == "linear":
            return (steps - t) / rest
        if name == "constant":
            return 1.0
        if name == "flat-decay":
            return float(LAST ** max(0.0, (done / rest - FLAT) / (1 - FLAT)))
        part = done / rest if name == "cosine" else done % (cycle or 1) / (cycle or 1)
        return (1 + math.cos(math.pi * part)) / 2

    return share
