"""Devices from chips: every parameter arrives, names of noises, refusals."""

import pytest

from hyflexsim.models.cells.crossbar import CrossbarConfig
from hyflexsim.models.cells.on_chip import Device
from hyflexsim.models.cells.rram_noise import ConductanceModel, MultiplicativeNoise, StuckCells
from hyflexsim.sim.chip.load import presets
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.compression.devices import (
    device_of,
    noise_named,
    noises_of,
    settings_from,
)
from hyflexsim.workloads.compression.protection import SELECTS


def device(preset="hyflexpim", clip="max", **changes):
    chip = load_chip(preset, {key.replace("__", "."): value for key, value in changes.items()})
    (noise,) = noises_of(chip, settings_from({"sigma": ["chip"]}))
    return device_of(chip, noise, clip)


def test_the_device_is_the_chips():
    assert device() == Device(MultiplicativeNoise(0.025))
    changed = device(
        clip="second-signed",
        mlc_sigma=0.2,
        slc_sigma=0.1,
        analog__rows=128,
        adc__range="scale",
        sign="biased",
        weight_bits=6,
        analog__mlc_bits=3,
        input_bits=5,
    )
    assert changed == Device(
        noise=MultiplicativeNoise(0.2),
        slc_noise=MultiplicativeNoise(0.1),
        # twice the rows and a bit more a cell: converters follow by rule
        crossbar=CrossbarConfig(128, 7, 1, 3, 6, 9, "scale", "biased"),
        clip="second-signed",
        input_bits=5,
    )


def test_rows_of_pairs_are_half_the_inputs():
    assert device(sign="differential-rows", analog__rows=64).crossbar.rows == 32


def test_conductances_are_the_chips_in_both_modes():
    changes = {
        "on_resistance": "10 kohm",
        "on_off": 20,
        "program_sigma": "3 uS",
        "program_sigma_rel": 0.1,
        "read_sigma_rel": 0.2,
        "drift": 0.3,
        "drift_sigma": 0.4,
        "drift_start": "2 s",
        "age": "86400 s",
    }
    found = device(cells__noise="conductance", **changes)
    model = ConductanceModel(10, 20, 3, 0.1, 0.2, 0.3, 0.4, 2, 86400)
    assert found.noise == found.slc_noise == model


def test_stuck_cells_are_stuck_whatever_the_noise():
    found = device(stuck_on=0.01, stuck_off=0.02)
    assert found.noise == StuckCells(MultiplicativeNoise(0.025), 0.01, 0.02)
    assert found.slc_noise == StuckCells(None, 0.01, 0.02)


def test_an_error_rate_is_a_sigma():
    found = device(cells__noise="error-rate", slc_error_rate=0.01)
    assert found.noise.sigma == pytest.approx(0.112, abs=5e-4)  # 4.04 % of 2-bit cells
    assert found.slc_noise.sigma > found.noise.sigma  # 1 % of cells that hold 0 or 1
    assert device(cells__noise="none").noise is None


def test_digital_units_have_exact_products_of_their_widths():
    exact = device("non-pim")
    assert (exact.converters, exact.noise, exact.input_bits) == (False, None, 8)
    assert exact.crossbar.weight_bits == 8


@pytest.mark.parametrize("preset", presets())
def test_every_chip_is_a_device_or_says_why_not(preset):
    if preset == "asadi":
        with pytest.raises(InputError) as caught:
            device(preset)
        line = "asadi: analog.weight_bits must be from 2 to 8 bit to compute values; got 24"
        assert str(caught.value) == line
    else:
        assert isinstance(device(preset), Device)


def test_noises_by_name():
    assert noise_named("released").value == 0.025
    # hyflexpim.md 5.4: 4.04 % wrong cells at 0.112, wrong bits at 0.14 ... 0.17
    assert noise_named("calibrated").value == pytest.approx(0.112, abs=5e-4)
    assert 0.14 < noise_named("calibrated-bit").value < 0.17
    assert noise_named("calibrated", 3).value < noise_named("calibrated").value
    assert noise_named(0).name == "given"
    assert all(noise_named(s).report for s in ("released", "calibrated", 0.1))


def test_noises_are_compared_once_each():
    chip = load_chip("hyflexpim")
    found = noises_of(chip, settings_from({"sigma": ["chip", "released", 0.025, "calibrated"]}))
    assert [noise.name for noise in found] == ["chip", "calibrated"]
    with pytest.raises(InputError, match="sigma must be chip, released, calibrated"):
        noises_of(chip, settings_from({"sigma": ["loud"]}))


@pytest.mark.parametrize("select", SELECTS)
def test_every_selection_may_be_set(select):
    assert settings_from({"select": select}).select == select


def test_settings_from_the_command_line():
    assert settings_from({"seeds": 3}, ["seeds=4"]).seeds == 4
    for change, message in (
        ("seed=4", "--set: unknown key 'seed'; nearest: seeds"),
        ("sign=biased", "accuracy: accuracy.sign is sign, a parameter of the chip's analog unit"),
        ("seeds=0", "--set: seeds must be an integer from 1 to 1000; got 0"),
    ):
        with pytest.raises(InputError) as caught:
            settings_from({}, [change])
        assert str(caught.value).startswith(message)
