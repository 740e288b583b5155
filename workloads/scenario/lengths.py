"""How long requests are: tokens of inputs, prompts and answers, the same in every run.

=========  =========================================================================================
fixed      all of the length that stands beside: ``tokens``, ``prefill``, ``decode``
uniform    each length from ``least`` to ``most`` as likely as another
geometric  1, 2, ... with a fixed probability to go on; ``mean``
lognormal  logarithms are normal; ``mean``, and ``variation``, deviation over mean: a long tail
trace      those of a file (trace_file.py), by default that of the arrivals
=========  =========================================================================================

Drawn numbers are rounded up to whole tokens; what is longer than ``most`` is cut there, as a
context window cuts. ``multiple`` rounds every length up to a multiple, as padding does; fewer
lengths are also planned faster.

>>> from hyflexsim.workloads.scenario.schema import Fixed, Uniform
>>> lengths("prompts", Fixed(), 128, 3)
[128, 128, 128]
>>> sorted(set(lengths("prompts", Uniform(least=1, most=64, multiple=32), 128, 99)))
[32, 64]
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.schema import (
    Arrivals,
    Fixed,
    FromTrace,
    Geometric,
    Lengths,
    Lognormal,
    TraceFile,
    Uniform,
)
from hyflexsim.workloads.scenario.trace_file import ANSWERS, PROMPTS, read_trace

STREAMS = ("lengths", "prompts", "answers")
"""Keys of a workload: each draws numbers of its own."""


def lengths(
    key: str,
    given: Lengths,
    fixed: int,
    count: int,
    seed: int = 0,
    arrivals: Arrivals | None = None,
) -> list[int]:
    """``count`` lengths in tokens; ``key``: whose, ``fixed``: where they are all alike.

    ``seed`` is used where the lengths have none. Raises :class:`InputError` for a file that cannot
    be read, is too short or has no such column.
    """
    if isinstance(given, Fixed):
        return [fixed] * count
    if isinstance(given, FromTrace):
        drawn = np.array(_traced(key, given, count, arrivals))
    else:
        own = seed if given.seed is None else given.seed
        random = np.random.default_rng([own, 1 + STREAMS.index(key)])
        drawn = np.clip(_drawn(given, count, random), 1, given.most)
    whole = np.ceil(drawn).astype(np.int64)
    padded: list[int] = (-(-whole // given.multiple) * given.multiple).tolist()
    return padded


def _drawn(
    given: Uniform | Geometric | Lognormal, count: int, random: np.random.Generator
) -> np.ndarray:
    match given:
        case Uniform(least=least, most=most):
            return random.integers(least, most + 1, count)
        case Geometric(mean=mean):
            return random.geometric(1 / mean, count)
        case Lognormal(mean=mean, variation=variation):
            spread = np.log1p(variation**2)  # of the logarithm: its variance
            return random.lognormal(np.log(mean) - spread / 2, np.sqrt(spread), count)


def _traced(key: str, given: FromTrace, count: int, arrivals: Arrivals | None) -> list[int]:
    file, model = given.file, None
    if file is None and isinstance(arrivals, TraceFile):
        file, model = arrivals.file, arrivals.model
    if file is None:
        raise InputError(
            f"workload.{key}.file must name a trace, since workload.arrivals are of none; "
            "got nothing"
        )
    trace = read_trace(Path(file), count, model=model)
    found = trace.answers if key == "answers" else trace.prompts
    if found is None:
        known = ANSWERS if key == "answers" else PROMPTS
        raise InputError(f"{file}: must have a column {' or '.join(known)} for workload.{key}")
    return found
