"""The devices that the section ``accuracy`` of a scenario means.

Multiplicative noise has a σ by name, "released" (0.025, HyFlexPIM's code) or "calibrated" (4.04 %
wrong cells, §5.2; "calibrated-bit": wrong bits), or any number; a conductance model has parameters
of its own and is one noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from pydantic import ValidationError

from hyflexsim.models.cells.crossbar import CrossbarConfig
from hyflexsim.models.cells.noise_calibration import calibrate_sigma, noise_report
from hyflexsim.models.cells.on_chip import Device
from hyflexsim.models.cells.rram_noise import SIGMA_RELEASED, ConductanceModel, MultiplicativeNoise
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest
from hyflexsim.workloads.scenario.overrides import put
from hyflexsim.workloads.scenario.refusals import refusal
from hyflexsim.workloads.scenario.schema import Accuracy


class Sigma(NamedTuple):
    """A size of the multiplicative noise, what it is called, and the error rates it means."""

    value: float
    name: str
    report: str


def sigma_of(given: float | str, bits_per_cell: int = 2) -> Sigma:
    """A σ by name or value, no unit; cells of `bits_per_cell` bits (1 ... 8).

    Raises InputError for another name, ModelError for a negative or infinite value.

    >>> round(sigma_of("calibrated").value, 4), sigma_of(0.1).name
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
                "sigma must be released, calibrated, calibrated-bit or a number from 0; "
                f"got {given!r}"
            )
        return Sigma(value, given, noise_report(value, bits_per_cell))
    return Sigma(float(given), "given", noise_report(float(given), bits_per_cell))


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


def sigmas_of(settings: Accuracy) -> list[Sigma]:
    """The noises of the settings; a conductance model has no σ and is one noise of its own.

    Raises InputError and ModelError as :func:`sigma_of`, and for parameters of conductances that
    are unknown or not allowed.
    """
    if settings.device == "conductance":
        return [Sigma(0.0, "conductance", repr(_conductance(settings)))]
    return [sigma_of(given, settings.bits_per_cell) for given in settings.sigma]


def device_of(settings: Accuracy, sigma: Sigma, adc_bits: int) -> Device:
    """The device of a row of a sweep; `adc_bits` of MLC columns, 0: exact products.

    ADCs of SLC columns have one bit less (HyFlexPIM §3.2). Raises ModelError for values that a
    device does not allow, InputError as :func:`sigmas_of`.
    """
    bits = settings.activation_bits or None
    crossbar = None
    if adc_bits:
        crossbar = CrossbarConfig(
            slc_adc_bits=max(1, adc_bits - 1),
            mlc_adc_bits=adc_bits,
            mlc_bits=settings.bits_per_cell,
            adc_mode=settings.adc_mode,
            sign=settings.sign,
        )
    conductance = settings.device == "conductance"
    return Device(
        noise=_conductance(settings) if conductance else MultiplicativeNoise(sigma.value),
        slc_noise=MultiplicativeNoise(settings.slc_sigma) if settings.slc_sigma else None,
        bits_per_cell=settings.bits_per_cell,
        clip=settings.clip,
        sign=settings.sign,
        activation_bits=bits,
        crossbar=crossbar,
        exact=tuple(settings.exact),
    )


def _conductance(settings: Accuracy) -> ConductanceModel:
    try:
        return ConductanceModel(**settings.conductance)  # type: ignore[arg-type]
    except TypeError:
        known = {field.name for field in fields(ConductanceModel)}
        unknown = next(key for key in settings.conductance if key not in known)
        raise InputError(
            f"accuracy.conductance: unknown key {unknown!r}; {nearest(unknown, known)}"
        ) from None
