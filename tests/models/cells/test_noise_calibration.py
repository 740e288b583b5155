"""Calibration by Monte Carlo and by hand."""

import math

import pytest
import torch

from hyflexsim.models.cells.noise_calibration import (
    BIT_ERROR_RATE,
    calibrate_sigma,
    error_rate,
    noise_report,
    simulate_error_rate,
    wrong_cells,
)
from hyflexsim.models.cells.rram_noise import SIGMA_RELEASED, MultiplicativeNoise
from hyflexsim.models.errors import ModelError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("reading", ["cell", "bit"])
@pytest.mark.parametrize("saturate", [False, True])
def test_calibrated_sigma_gives_the_rate_in_monte_carlo(bits, reading, saturate):
    sigma = calibrate_sigma(BIT_ERROR_RATE, bits, reading, saturate=saturate)
    got = simulate_error_rate(
        sigma, bits, reading, saturate=saturate, cells=400_000, generator=seeded(bits)
    )
    print(f"{bits} bit, {reading}, saturate={saturate}: sigma {sigma:.4f}, rate {got:.4%}")
    assert error_rate(sigma, bits, reading, saturate=saturate) == pytest.approx(BIT_ERROR_RATE)
    deviation = math.sqrt(BIT_ERROR_RATE / 400_000)  # of one binomial share, an upper bound
    assert abs(got - BIT_ERROR_RATE) < 5 * deviation


def test_sigmas_of_two_bit_cells():
    """The four readings of 4.04 %; the released 0.025 is none of them."""
    found = {
        (r, s): round(calibrate_sigma(reading=r, saturate=s), 3)
        for r in ("cell", "bit")
        for s in (False, True)
    }
    assert found == {
        ("cell", False): 0.112,
        ("cell", True): 0.132,
        ("bit", False): 0.143,
        ("bit", True): 0.173,
    }
    assert error_rate(SIGMA_RELEASED) == pytest.approx(6.5e-12, rel=0.02)


def test_one_bit_cells_by_hand():
    """Level 0 is never wrong; level 1 is wrong outside 0.5 ... 1.5, saturated below 0.5."""
    sigma = 0.25
    tail = 0.5 * math.erfc(2 / math.sqrt(2))
    assert error_rate(sigma, 1) == pytest.approx(tail)
    assert error_rate(sigma, 1, saturate=True) == pytest.approx(tail / 2)
    assert error_rate(0.0) == 0.0


def test_report_names_sigma_and_rates():
    """Saturating spares the upper tail of level 3, a quarter of the cells: 4.04 - 1.70 %."""
    assert noise_report(calibrate_sigma()).startswith(
        "sigma 0.111847 in 2-bit cells: wrong cells 4.04 % (saturating 2.34 %), wrong bits 2.02 %"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: error_rate(-0.1), "sigma must be finite and not negative; got -0.1"),
        (lambda: calibrate_sigma(0.0), "bit_error_rate must be between 0 and 1; got 0.0"),
        (
            lambda: calibrate_sigma(0.9, 1),
            "bit_error_rate must be below 0.479, the rate at sigma 9.4, for 1-bit cells; got 0.9",
        ),
        (lambda: error_rate(0.1, 2, "word"), "reading must be cell or bit; got 'word'"),
        (lambda: simulate_error_rate(0.1, cells=3), "cells must be at least 4; got 3"),
    ],
)
def test_bad_input_in_one_line(call, message):
    with pytest.raises(ModelError) as error:
        call()
    assert str(error.value) == message


def test_wrong_cells_of_given_levels():
    even = torch.arange(4).repeat(3)
    assert wrong_cells(even, 0.112) == pytest.approx(error_rate(0.112), rel=1e-12)
    assert wrong_cells(torch.zeros(5), 0.5) == 0.0  # an empty cell has nothing to err by
    assert wrong_cells(torch.tensor([-2, 2]), 0.3) == pytest.approx(math.erfc(0.5 / 0.6 / 2**0.5))
    assert wrong_cells(even, 0.0) == 0.0
    with pytest.raises(ModelError, match="sigma must be finite and not negative"):
        wrong_cells(even, -0.1)


def test_wrong_cells_by_monte_carlo():
    held = torch.tensor([0, 0, 0, 1, 3, -2, -1]).repeat(40_000)
    read = MultiplicativeNoise(0.2).program(held.double(), 2, -2, torch.Generator().manual_seed(5))
    share = float(((read + 0.5).floor() != held).double().mean())
    expected = wrong_cells(held, 0.2)
    # five standard errors of a share of 280,000 cells
    assert abs(share - expected) <= 5 * (expected * (1 - expected) / len(held)) ** 0.5
