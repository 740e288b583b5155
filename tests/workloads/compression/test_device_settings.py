"""Devices from settings: every key arrives, names of sigmas, refusals."""

import pytest

from hyflexsim.models.cells.on_chip import Device
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.accuracy import SELECTS
from hyflexsim.workloads.compression.device_settings import device_of, settings_from, sigma_of


def test_settings_reach_the_device():
    chosen = settings_from(
        {
            "activation_bits": 0,
            "clip": "second-signed",
            "bits_per_cell": 3,
            "slc_sigma": 0.1,
            "exact": ["*.1"],
        }
    )
    sigma = sigma_of(0.2, 3)
    assert device_of(chosen, sigma, 0) == Device(
        noise=MultiplicativeNoise(0.2),
        slc_noise=MultiplicativeNoise(0.1),
        bits_per_cell=3,
        clip="second-signed",
        activation_bits=None,
        exact=("*.1",),
    )
    crossbar = device_of(settings_from({"adc_mode": "scale", "sign": "biased"}), sigma, 7).crossbar
    assert (crossbar.slc_adc_bits, crossbar.mlc_adc_bits) == (6, 7)
    assert (crossbar.adc_mode, crossbar.sign, crossbar.mlc_bits) == ("scale", "biased", 2)


def test_sigmas_by_name():
    assert sigma_of("released").value == 0.025
    # hyflexpim.md 5.4: 4.04 % wrong cells at 0.112, wrong bits at 0.14 ... 0.17
    assert sigma_of("calibrated").value == pytest.approx(0.112, abs=5e-4)
    assert 0.14 < sigma_of("calibrated-bit").value < 0.17
    assert sigma_of("calibrated", 3).value < sigma_of("calibrated").value
    assert sigma_of(0).name == "given"
    assert all(sigma_of(s).report for s in ("released", "calibrated", 0.1))


@pytest.mark.parametrize("select", SELECTS)
def test_every_selection_may_be_set(select):
    assert settings_from({"select": select}).select == select


def test_settings_from_the_command_line():
    assert settings_from({"seeds": 3}, ["seeds=4", "clip=second-signed"]).seeds == 4
    found = settings_from({}, ["device=conductance", "conductance.read_sigma_rel=0.01"])
    assert found.conductance == {"read_sigma_rel": 0.01}
    for change, message in (
        ("seed=4", "--set: unknown key 'seed'; nearest: seeds"),
        (
            "conductance.read_sigma_rel=0.01",
            'accuracy: accuracy.conductance needs accuracy.device = "conductance"; '
            "got 'multiplicative'",
        ),
        ("seeds=0", "--set: seeds must be an integer from 1 to 1000; got 0"),
    ):
        with pytest.raises(InputError) as caught:
            settings_from({}, [change])
        assert str(caught.value).startswith(message)
