"""How much work the tokens of a request are, where that follows from its values.

Which keys a query keeps, or at which bit a key drops out, no closed form says: it is found by
computing the values first, and enters a simulation as a table, one row a token and op, that both
engines read. Never is an average put in the place of a distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hyflexsim.sim.errors import InputError


@dataclass(frozen=True, eq=False)
class Work:
    """Sizes of a request's tokens, by name of op: int64 arrays (tokens,), none below 0.

    Requests share one only if they are the same (two tables are never equal). Ops that are not
    named have the size that the plan gives them, which counts every key.

    >>> Work({"blocks.0.attn.pv": np.array([2, 3, 2])}).sizes["blocks.0.attn.pv"].tolist()
    [2, 3, 2]
    """

    sizes: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        for name, sizes in self.sizes.items():
            if sizes.ndim != 1 or sizes.dtype != np.int64 or (len(sizes) and sizes.min() < 0):
                raise InputError(f"work of {name} must be int64 sizes from 0, one a token")
