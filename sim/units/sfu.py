"""Special function unit: softmax, norms, GELU, sums, in FP16; one per digital module.

256 inputs per cycle and unit; the units of a PU work on one token together. How often softmax
and norms pass over a row and how deep the pipeline is, is not public: 1 and 0, assumed.

Source: HyFlexPIM §3.1, §5.3, Table 2.
"""

from __future__ import annotations

from hyflexsim.sim.chip.hardware import Hardware
from hyflexsim.sim.units.service import Action, Service, cycles


def apply(hw: Hardware, kind: str, elements: int, pus: int) -> Service:
    """Process ``elements`` per unit of size; ``kind`` is the op class (softmax, norm, pointwise).

    >>> hw = Hardware.load("hyflexpim")
    >>> apply(hw, "softmax", elements=16, pus=1).rate.ps(128)      # 16 heads x 128 keys
    1000
    """
    passes = {"softmax": hw.sfu.softmax_passes, "norm": hw.sfu.norm_passes}.get(kind, 1)
    lanes = hw.sfu.lanes * hw.pu.digital_modules * pus
    return Service(
        cycles(hw.sfu.clock_period, passes * elements, lanes, hw.sfu.depth),
        (Action("sfu_element", 0, passes * elements),),
    )
