"""All kinds of units, and chips made of them.

A kind of your own is a subclass of :class:`~hyflexsim.sim.chip.kind.Kind`, handed over beside ours:
``load_chip("mine.toml", kinds={"my_kind": MyKind()})``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hyflexsim.sim.chip import load
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.chip.kind import Kind
from hyflexsim.sim.units.adder import Adder
from hyflexsim.sim.units.analog_array import AnalogArray
from hyflexsim.sim.units.dram import Dram
from hyflexsim.sim.units.mac_array import MacArray
from hyflexsim.sim.units.near_bank import NearBank
from hyflexsim.sim.units.nor_pim import NorPim
from hyflexsim.sim.units.selector import Selector
from hyflexsim.sim.units.sfu import Sfu
from hyflexsim.sim.units.sram import Sram
from hyflexsim.sim.units.threshold import Mask, Threshold

_ALL: tuple[Kind, ...] = (
    AnalogArray(),
    NorPim(),
    Sfu(),
    Adder(),
    MacArray(),
    Sram(),
    Dram(),
    NearBank(),
    Threshold(),
    Mask(),
    Selector(),
)
KINDS = {kind.name: kind for kind in _ALL}
"""Kinds that come with hyflexsim, by the name that a chip's TOML gives."""


def load_chip(
    preset_or_path: str | Path,
    overrides: Mapping[str, object] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    *,
    source: str = "overrides",
) -> Chip:
    """The chip of a preset (``hyflexsim list``) or of a TOML file, with overrides on top.

    ``kinds``: kinds of units beside those of hyflexsim. ``source``: who gave the overrides. Raises
    :class:`~hyflexsim.sim.errors.InputError` in one line with file or source, key, what is allowed
    and given.

    >>> chip = load_chip("hyflexpim", {"adc.slc_bits": 5, "pu_bus.bandwidth": "2 TB/s"})
    >>> chip["analog.adc.slc_bits"], chip["pu_bus.bandwidth"], chip["analog.read_cycle"]
    (5, 2000.0, 100000)
    >>> chip.provenance["analog.adc.slc_bits"].source
    'override'
    >>> chip["analog.energy.adc_conversion_slc"]      # half of 0.78125 pJ: one bit less
    0.390625
    >>> chip.derived["analog.energy.adc_conversion_slc"]
    'converter_energy(analog.adc.model, analog.adc.slc_bits, analog.adc.rate)'
    """
    return load.load(preset_or_path, overrides, {**KINDS, **(kinds or {})}, source)
