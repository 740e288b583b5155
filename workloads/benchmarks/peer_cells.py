"""One matrix read through cells and converters, here and by CrossSim.

``python -m hyflexsim.workloads.benchmarks.peer_cells`` takes a matrix of INT8 codes in offset form,
in 2-bit cells, arrays of 64 rows, eight bit-planes and a 7-bit converter for each plane and slice,
and times reads of 512 inputs on one thread, CPU time. Beside it the product in float32, and what a
read costs by 32 columns, 64 rows and one bit-plane.

CrossSim is not on PyPI: ``pip install git+https://github.com/sandialabs/cross-sim``; without it
only ours is timed. Its configuration is its own for ISAAC, with these sizes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import torch

from hyflexsim.models.cells.crossbar import program_crossbar, read_crossbar
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise
from hyflexsim.workloads.benchmarks.bench_converters import one_thread

SIDE, INPUTS, ROWS, PLANES, SLICES, ADC_BITS = 384, 512, 64, 8, 4, 7
TURNS = 9


class Read(NamedTuple):
    """Seconds of CPU time of one read of all inputs, and of the product in float32."""

    what: str
    seconds: float
    product: float


def ours() -> Read:
    """Cells with the noise of HyFlexPIM's released code."""
    random = torch.Generator().manual_seed(0)
    weights = torch.randint(-127, 128, (SIDE, SIDE), generator=random)
    inputs = torch.randint(-127, 128, (INPUTS, SIDE), generator=random, dtype=torch.int8)
    noise = MultiplicativeNoise()
    cells = program_crossbar(weights, 2, rows=ROWS, sign="biased", noise=noise, generator=random)
    a, b = torch.rand(INPUTS, SIDE), torch.rand(SIDE, SIDE)
    return Read(
        "hyflexsim",
        _median(lambda: read_crossbar(inputs, cells, adc_bits=ADC_BITS, input_bits=PLANES)),
        _median(lambda: a @ b),
    )


def crosssim() -> Read:
    """The same sizes. Raises ImportError where CrossSim is not installed."""
    from simulator import AnalogCore, CrossSimParameters  # noqa: PLC0415

    settings: Any = CrossSimParameters.from_json(str(files("simulator") / "configs" / "ISAAC.json"))
    settings.core.rows_max, settings.core.cols_max = ROWS, 128
    settings.core.weight_bits = 8
    settings.core.bit_sliced.num_slices = SLICES
    for way in ("mvm", "vmm"):
        getattr(settings.xbar.dac, way).bits = PLANES
        getattr(settings.xbar.adc, way).bits = ADC_BITS
        span = getattr(settings.core.mapping.inputs, way)
        span.min, span.max = -1.0, 1.0
    random = np.random.default_rng(0)
    core = AnalogCore(random.standard_normal((SIDE, SIDE)), params=settings)
    inputs = random.uniform(-1, 1, (SIDE, INPUTS))
    a, b = random.random((SIDE, SIDE), np.float32), random.random((SIDE, INPUTS), np.float32)
    return Read("CrossSim", _median(lambda: core @ inputs), _median(lambda: a @ b))


def main() -> None:
    """Print a line a simulator."""
    print("simulator    read, ms  over the product  ns by 32 columns, 64 rows, a plane")
    steps = INPUTS * PLANES * SLICES * (SIDE // ROWS) * (SIDE // 32)
    for read in (ours, crosssim):
        try:
            with one_thread():
                found = read()
        except ImportError:
            print("CrossSim: skipped, not installed (see the head of this file)")
            continue
        over, each = found.seconds / found.product, found.seconds / steps * 1e9
        print(f"{found.what:<11}{1e3 * found.seconds:>10.1f}{over:>18.1f}{each:>14.1f}")


def _median(work: Callable[[], Any]) -> float:
    work()  # the first loads machine code
    times = []
    for _ in range(TURNS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
