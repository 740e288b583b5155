"""The device that a chip is: its cells, converters and signs, as models/cells wants them.

The chip's own parameters say all of it. Beside its own noise a study may compare others by name,
"released" (σ = 0.025, HyFlexPIM's code) or "calibrated" (4.04 % wrong cells, §5.2;
"calibrated-bit": wrong bits), or any σ: these stand in for the noise of multi-level cells alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from hyflexsim.models.cells.converter_errors import ConverterErrors
from hyflexsim.models.cells.crossbar import CrossbarConfig
from hyflexsim.models.cells.noise_calibration import calibrate_sigma, noise_report
from hyflexsim.models.cells.on_chip import Device
from hyflexsim.models.cells.quantization import Clip
from hyflexsim.models.cells.rram_noise import (
    SIGMA_RELEASED,
    CellNoise,
    ConductanceModel,
    MultiplicativeNoise,
    StuckCells,
)
from hyflexsim.sim.chip import measure
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.chip.formats import FORMATS
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.analog_parameters import AnalogValues, Cells
from hyflexsim.workloads.scenario.overrides import put
from hyflexsim.workloads.scenario.refusals import refusal
from hyflexsim.workloads.scenario.schema import Accuracy

CODES = (2, 8)
"""Bits of weights and inputs whose values can be computed."""


class Noise(NamedTuple):
    """A noise of multi-level cells: its σ (0: it has none), its name, what error rates it means.

    ``cells``: the noise itself; None: cells are exact.
    """

    value: float
    name: str
    report: str
    cells: CellNoise | None


def settings_from(values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Accuracy:
    """Settings from plain values and overrides ``key=value``.

    Raises InputError, naming the key and what it allows.
    """
    content = dict(values)
    changed = put(content, overrides)
    try:
        return Accuracy.model_validate(content)
    except ValidationError as error:
        raise refusal(Accuracy, "accuracy", error, changed) from None


MOST_SIGMA = 10.0
"""Of a noise relative to the value (assumed); from 1 on a cell's value says nothing."""


def noises_of(chip: Chip, settings: Accuracy) -> list[Noise]:
    """The noises that the settings compare, each once.

    Raises InputError for an unknown name, ModelError for a σ that is negative or infinite.
    """
    found: dict[tuple[float, str], Noise] = {}
    for given in settings.sigma:
        noise = _own(chip) if given == "chip" else noise_named(given, _mlc_bits(chip))
        found.setdefault((noise.value, type(noise.cells).__name__), noise)
    return list(found.values())


def noise_named(given: float | str, bits_per_cell: int = 2) -> Noise:
    """A multiplicative noise by name or σ, no unit; cells of `bits_per_cell` bits (1 ... 8).

    Raises InputError for another name, ModelError for a negative or infinite value.

    >>> round(noise_named("calibrated").value, 4), noise_named(0.1).name
    (0.1118, 'given')
    """
    if isinstance(given, str):
        readings = {"calibrated": "cell", "calibrated-bit": "bit"}
        if given == "released":
            value = SIGMA_RELEASED
        elif given in readings:
            value = calibrate_sigma(bits_per_cell=bits_per_cell, reading=readings[given])  # type: ignore[arg-type]
        else:
            raise InputError(
                "sigma must be chip, released, calibrated, calibrated-bit or a number from 0; "
                f"got {given!r}"
            )
        return _multiplicative(value, given, bits_per_cell)
    if MOST_SIGMA < given < math.inf:
        raise InputError(f"sigma must be a number from 0 to {MOST_SIGMA:g}; got {given:g}")
    return _multiplicative(float(given), "given", bits_per_cell)


def device_of(chip: Chip, noise: Noise, clip: Clip = "max") -> Device:
    """The device that computes a chip's matrices, with a noise of its multi-level cells.

    ``clip``: where weights are clipped before they become codes (mapping.weight_clip). Units that
    multiply digitally have exact products of inputs and weights of their own width.

    Raises InputError for widths outside 2 to 8 bits, which have no codes here.
    """
    gemv = chip.served_by("gemv")
    unit = chip.units[gemv.unit]
    if not isinstance(unit.values, AnalogValues):
        return _digital(chip, clip)
    module, name = unit.values, unit.name
    for key in ("weight_bits", "input_bits"):
        _check_codes(chip, f"{name}.{key}", getattr(module, key))
    adc = module.adc
    crossbar = CrossbarConfig(
        rows=module.rows // 2 if module.sign == "differential-rows" else module.rows,
        slc_bits=module.slc_bits,
        mlc_bits=module.mlc_bits,
        weight_bits=module.weight_bits,
        slc_adc_bits=adc.slc_bits,
        mlc_adc_bits=adc.mlc_bits,
        adc_mode=adc.range,  # type: ignore[arg-type]
        sign=module.sign,  # type: ignore[arg-type]
    )
    return Device(
        noise=_stuck(module.cells, noise.cells),
        slc_noise=_stuck(module.cells, _cell_noise(module.cells, "slc", module.slc_bits)),
        crossbar=crossbar,
        errors=ConverterErrors(adc.offset, adc.gain, module.columns, adc.per_array),
        clip=clip,
        input_bits=module.input_bits,
    )


def without_converters(device: Device) -> Device:
    """The same cells read by converters that lose nothing."""
    return replace(device, converters=False)


def describe(chip: Chip) -> dict[str, Any]:
    """The chip's parameters that act on values, as numbers in canonical units."""
    return {key: chip[key] for key, one in chip.parameters.items() if "values" in one.acts}


def _own(chip: Chip) -> Noise:
    values = chip.unit("gemv").values
    if not isinstance(values, AnalogValues):
        return Noise(0.0, "chip", "digital products: no cells that err", None)
    cells = _cell_noise(values.cells, "mlc", values.mlc_bits)
    if isinstance(cells, MultiplicativeNoise):
        return _multiplicative(cells.sigma, "chip", values.mlc_bits)
    return Noise(0.0, "chip", repr(cells) if cells else "cells are exact", cells)


def _cell_noise(cells: Cells, mode: str, bits: int) -> CellNoise | None:
    """The noise that a chip's cells of a mode have."""
    if cells.noise == "conductance":
        return _conductance(cells)
    sigma = 0.0
    if cells.noise == "sigma":
        sigma = getattr(cells, f"{mode}_sigma")
    elif cells.noise == "error-rate" and getattr(cells, f"{mode}_error_rate"):
        sigma = calibrate_sigma(getattr(cells, f"{mode}_error_rate"), bits)
    return MultiplicativeNoise(sigma) if sigma else None


def _stuck(cells: Cells, noise: CellNoise | None) -> CellNoise | None:
    """The same with the share of cells that a chip has stuck, whatever the noise of the others."""
    if not cells.stuck_on + cells.stuck_off:
        return noise
    return StuckCells(noise, cells.stuck_on, cells.stuck_off)


def _conductance(cells: Cells) -> ConductanceModel:
    second = 1 / float(measure.convert(1, "s", "ps"))
    return ConductanceModel(
        r_on_kohm=cells.on_resistance * 1e-3,
        on_off=cells.on_off,
        program_sigma_us=cells.program_sigma,
        program_sigma_rel=cells.program_sigma_rel,
        read_sigma_rel=cells.read_sigma_rel,
        drift_nu=cells.drift,
        drift_nu_sigma=cells.drift_sigma,
        drift_t0_s=cells.drift_start * second,
        time_s=cells.age * second,
    )


def _digital(chip: Chip, clip: Clip) -> Device:
    gemv = chip.served_by("gemv")
    if gemv.format and FORMATS[gemv.format].exponent:  # floating point
        return Device(noise=None, converters=False, input_bits=None, weights=False)
    for key, bits in (("weights", chip.weight_bits), ("inputs", chip.vector_bits)):
        _check_codes(chip, f"serves.gemv: {key} of {gemv.unit}", bits)
    crossbar = CrossbarConfig(weight_bits=chip.weight_bits)
    return Device(
        noise=None, crossbar=crossbar, converters=False, clip=clip, input_bits=chip.vector_bits
    )


def _check_codes(chip: Chip, what: str, bits: int) -> None:
    low, high = CODES
    if not low <= bits <= high:
        raise InputError(
            f"{chip.name}: {what} must be from {low} to {high} bit to compute values; got {bits}"
        )


def _mlc_bits(chip: Chip) -> int:
    values = chip.unit("gemv").values
    return values.mlc_bits if isinstance(values, AnalogValues) else 1


def _multiplicative(sigma: float, name: str, bits: int) -> Noise:
    noise = MultiplicativeNoise(sigma)  # refuses what it does not allow
    return Noise(sigma, name, noise_report(sigma, bits), noise)
