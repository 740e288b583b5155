"""When requests arrive: a list of integer picoseconds, ascending, the same in every run.

========  ==========================================================================================
at-once   all at time zero: measures the chip alone (batch; latency contains the queue)
interval  every so often, the first at time zero: a synchronous source
poisson   independent exponential gaps, the first one before the first request: triggered events
gamma     the same with gamma-distributed gaps, whose standard deviation is ``variation`` times
          their mean: bunched above 1, more even below, Poisson at 1
trace     times from a text file: one time with its unit a line (``12.5 us``), ascending; ``#``
          starts a comment, empty lines are skipped; lines beyond the last request are not read
========  ==========================================================================================

Gaps are drawn from numpy's PCG64 and rounded to whole picoseconds one by one, so the list does not
depend on how many requests follow.

>>> from hyflexsim.workloads.scenario.schema import Interval
>>> times(Interval(interval="25 ns"), 3)
[0, 25000, 50000]
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hyflexsim.sim.chip import measure
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.schema import AtOnce, Gamma, Interval, Poisson, TraceFile

PS_PER_S = 10**12
LATEST = 2**62  # ps: 53 days, and int64 still has room for the run after it


def times(
    arrivals: AtOnce | Interval | Poisson | Gamma | TraceFile, count: int, seed: int = 0
) -> list[int]:
    """Arrival times of ``count`` requests in ps; ``seed`` is used where the arrivals have none.

    Raises :class:`InputError` for a trace file that cannot be read or is too short, and for
    times that no run can hold.
    """
    match arrivals:
        case AtOnce():
            result = [0] * count
        case Interval(interval=text):
            step = int(measure.read(text, "ps"))
            result = [index * step for index in range(count)]
        case Poisson(rate_per_s=rate, seed=own):
            random = np.random.default_rng(seed if own is None else own)
            result = _after(random.standard_exponential(count), rate)
        case Gamma(rate_per_s=rate, variation=variation, seed=own):
            random = np.random.default_rng(seed if own is None else own)
            shape = variation**-2  # of a mean of 1: its deviation is 1 / sqrt(shape)
            result = _after(random.standard_gamma(shape, count) / shape, rate)
        case TraceFile(file=file):
            result = _read(Path(file), count)
    return result


def _after(gaps: np.ndarray, rate: float) -> list[int]:
    """Times after gaps with a mean of 1 at so many requests a second."""
    gaps = gaps * (PS_PER_S / rate)
    if float(gaps.sum()) > LATEST:
        raise InputError(
            f"workload.arrivals.rate_per_s is too small: {len(gaps)} requests at {rate} per "
            f"second take longer than {LATEST // PS_PER_S} s"
        )
    return [int(time) for time in np.cumsum(np.rint(gaps).astype(np.int64))]


def _read(path: Path, count: int) -> list[int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    result: list[int] = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text or len(result) == count:
            continue
        try:
            time = measure.read(text, "ps")
        except InputError as error:
            raise InputError(f"{path}: line {number} {error}") from None
        earliest = result[-1] if result else 0
        if time.denominator != 1 or not earliest <= time <= LATEST:
            raise InputError(
                f"{path}: line {number} must be a whole number of ps, not before the line above "
                f"it; got {text!r}"
            )
        result.append(int(time))
    if len(result) < count:
        raise InputError(f"{path}: must have {count} times, one a request; got {len(result)}")
    return result
