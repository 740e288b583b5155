"""Noise against theory: mean and variance, protected ranks, conductances, seeds, and its cost."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hyflexsim.models.cells.quantization import fake_quantize, quantize
from hyflexsim.models.cells.rram_noise import (
    SIGMA_RELEASED,
    ConductanceModel,
    MultiplicativeNoise,
    StuckCells,
    noise_std,
    noisy_codes,
    noisy_factors,
    noisy_weight,
)
from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.redistribution import select


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_noise_mean_and_variance(bits):
    draws = 4000
    codes = torch.tensor([-128, -75, -1, 0, 1, 64, 127], dtype=torch.int16)
    many = codes.expand(draws, -1)
    noisy = noisy_codes(many, MultiplicativeNoise(0.1), bits, seeded()).double()
    std = noise_std(codes, 0.1, bits).double()
    assert bool(((noisy.mean(0) - codes).abs() <= 5 * std / math.sqrt(draws)).all())
    assert bool((noisy[:, 3] == 0).all())  # a code of 0 has no noise
    torch.testing.assert_close(noisy.std(0), std, rtol=0.06, atol=1e-9)


def test_released_procedure_by_the_letter():
    """W̃ = Σ slice · (1 + σ n) · 4^i with the masks on the code, same draws."""
    w = torch.randn(6, 5, generator=seeded(1))
    q = quantize(w, "second-signed")
    code = q.codes.int()
    draw, expected = seeded(7), torch.zeros(6, 5)
    for mask in (0x03, 0x0C, 0x30, 0xC0):
        part = code & mask
        part = torch.where(part >= 128, part - 256, part).float()
        expected += part * (1 + SIGMA_RELEASED * torch.randn(6, 5, generator=draw))
    got = noisy_weight(w, clip="second-signed", noise=MultiplicativeNoise(), generator=seeded(7))
    torch.testing.assert_close(got, expected * q.scale, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rate", [0, 0.05, 0.3, 0.5, 1])
def test_protected_ranks_are_untouched_bit_for_bit(rate):
    k = 20
    down, up = torch.randn(k, 9, generator=seeded(1)), torch.randn(7, k, generator=seeded(2))
    mask = select({"w": torch.rand(k, generator=seeded(3))}, rate)["w"]
    assert int(mask.sum()) == round(k * rate)
    noisy = noisy_factors(down, up, mask, noise=MultiplicativeNoise(0.1), generator=seeded())
    for got, exact, axis in zip(
        noisy, (fake_quantize(down), fake_quantize(up)), (0, 1), strict=True
    ):
        places = mask.nonzero()[:, 0]
        others = (~mask).nonzero()[:, 0]
        assert torch.equal(got.index_select(axis, places), exact.index_select(axis, places))
        changed = got.index_select(axis, others) != exact.index_select(axis, others)
        assert not changed.numel() or float(changed.float().mean()) > 0.95


def test_slc_noise_of_its_own():
    w, mask = torch.randn(50, 40, generator=seeded()), torch.arange(40) < 20
    got = noisy_weight(w, mask, slc_noise=MultiplicativeNoise(0.1), generator=seeded())
    changed = got != fake_quantize(w)
    assert not bool(changed[:, 20:].any())
    assert float(changed[:, :20].float().mean()) > 0.9
    error = (got - fake_quantize(w))[:, :20]
    q = quantize(w)
    std = noise_std(q.codes, 0.1, 1)[:, :20] * q.scale
    ratio = (error / std)[std > 0]
    assert float(ratio.std()) == pytest.approx(1, abs=0.1)


def test_seeds_repeat_and_noise_is_the_same_at_every_rate():
    w = torch.randn(8, 8, generator=seeded())
    noise = MultiplicativeNoise(0.1)
    first = noisy_weight(w, noise=noise, generator=seeded(5))
    assert torch.equal(first, noisy_weight(w, noise=noise, generator=seeded(5)))
    assert not torch.equal(first, noisy_weight(w, noise=noise, generator=seeded(6)))
    mask = torch.arange(8) < 3
    half = noisy_weight(w, mask, noise=noise, generator=seeded(5))
    assert torch.equal(half[:, 3:], first[:, 3:])


def test_gradient_is_straight_through():
    w = torch.randn(4, 3, generator=seeded(), requires_grad=True)
    noisy_weight(w, noise=MultiplicativeNoise(0.1), generator=seeded()).sum().backward()
    assert torch.equal(w.grad, torch.ones(4, 3))
    with torch.no_grad():
        assert not noisy_weight(w, noise=MultiplicativeNoise(0.1)).requires_grad


def test_clipped_weights_get_no_gradient_whatever_their_cells():
    """second-signed clips at 1: the gradient's mask is that of the clip, in SLC and MLC alike."""
    w = torch.tensor([[2.0, 1.0, -3.0, 0.5], [0.1, 0.2, 0.3, 0.4]], requires_grad=True)
    for mask in (False, True, torch.tensor([[True], [False]])):
        noise = MultiplicativeNoise(0.1)
        noisy = noisy_weight(
            w, mask, noise=noise, slc_noise=noise, clip="second-signed", generator=seeded()
        )
        (grad,) = torch.autograd.grad(noisy.sum(), w)
        assert grad.tolist() == [[0.0, 1.0, 0.0, 1.0], [1.0] * 4]


class Passes(TorchDispatchMode):
    """Counts passes over memory: operations that write a tensor of `size` or more elements."""

    def __init__(self, size):
        super().__init__()
        self.size, self.draws, self.others = size, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        view = func.is_view or not isinstance(out, torch.Tensor)
        if not view and out.numel() >= self.size:
            drawn = func.overloadpacket in (torch.ops.aten.randn, torch.ops.aten.normal_)
            self.draws += drawn
            self.others += not drawn
        return out


@pytest.mark.parametrize(("cells", "most"), [(MultiplicativeNoise(), 32), (ConductanceModel(), 56)])
def test_random_numbers_dominate_the_cost(cells, most):
    """Time depends on what else the machine does, so passes over memory stand for it.

    On an idle core the four draws of a 576 x 1536 matrix take 12 ms, all of it 16 ms (conductances:
    24 ms). It was 20 and 44 ms with 42 and 82 passes.
    """
    codes = torch.randint(-128, 128, (24, 36), generator=seeded(), dtype=torch.int16)
    with Passes(codes.numel()) as passes:
        noisy_codes(codes, cells, 2, seeded())
    assert passes.draws == 4
    assert passes.others <= most


IDEAL = {"program_sigma_us": 0.0}


def test_conductance_levels():
    model = ConductanceModel(**IDEAL)
    assert model.g_on_us / model.g_off_us == pytest.approx(150)
    g = model.target(torch.arange(4.0), 2)
    torch.testing.assert_close(g.diff(), torch.full((3,), model.step_us(2)))
    assert float(g[-1]) == pytest.approx(1000 / 6)
    codes = torch.arange(-128, 128, dtype=torch.int16)
    for bits in (1, 2, 3, 4):
        torch.testing.assert_close(
            noisy_codes(codes, model, bits), codes.float(), atol=1e-3, rtol=0
        )


def test_conductance_error_against_theory():
    n, level = 100_000, 2
    model = ConductanceModel(program_sigma_us=2.0, program_sigma_rel=0.03, read_sigma_rel=0.04)
    levels = torch.full((n,), float(level))
    g = model.program_us(levels, 2, seeded())
    target = float(model.target(torch.tensor(float(level)), 2))
    assert float(g.mean()) == pytest.approx(target, rel=1e-3)
    assert float(g.std()) == pytest.approx(math.hypot(2.0, 0.03 * target), rel=0.02)
    read = model.read_std(torch.tensor([float(level)]), 2, 0)
    assert float(read[0]) == pytest.approx(0.04 * target / model.step_us(2), rel=1e-5)
    total = noisy_codes(torch.full((n,), level), model, 2, seeded(1)) - level
    # four slices of levels 0, 0, 0 + 2 (top slice) and 2 hold noise; the code's spread adds them
    worth = {1: 2, 4: 0, 16: 0, 64: 2}
    variance = 0.0
    for weight, stored in worth.items():
        g0 = float(model.target(torch.tensor(float(stored)), 2))
        std = math.hypot(2.0, 0.03 * g0, 0.04 * g0) / model.step_us(2)
        if stored == 0:  # conductance below zero is cut, so theory holds for stored levels only
            continue
        variance += (weight * std) ** 2
    assert float(total.var()) == pytest.approx(variance, rel=0.05)


def test_drift():
    day = 86400.0
    drifted = ConductanceModel(**IDEAL, drift_nu=0.05, time_s=day)
    fresh = ConductanceModel(**IDEAL)
    levels = torch.arange(4.0)
    ratio = drifted.program_us(levels, 2, None) / fresh.program_us(levels, 2, None)
    torch.testing.assert_close(ratio, torch.full((4,), day**-0.05))
    spread = ConductanceModel(**IDEAL, drift_nu=0.05, drift_nu_sigma=0.01, time_s=day)
    logs = spread.program_us(torch.full((50_000,), 3.0), 2, seeded()).log()
    assert float(logs.std()) == pytest.approx(0.01 * math.log(day), rel=0.03)


@pytest.mark.parametrize("noise", [None, ConductanceModel(**IDEAL), MultiplicativeNoise(0.0)])
def test_stuck_cells(noise):
    """Shares of cells at the top level and at none; of a signed column at its lowest."""
    stuck = StuckCells(noise, on=0.1, off=0.2)
    held = stuck.program(torch.ones(100_000), 2, 0, seeded())
    for level, share in ((0.0, 0.2), (1.0, 0.7), (3.0, 0.1)):
        assert float(((held - level).abs() < 1e-4).float().mean()) == pytest.approx(share, abs=0.01)
    signed = stuck.program(torch.zeros(1000), 2, -2, seeded())
    assert {round(float(level)) for level in signed.unique()} == {-2, 0, 1}


def test_no_cell_is_stuck_at_a_rate_of_zero():
    levels = torch.arange(4.0).repeat(100)
    assert torch.equal(StuckCells(None).program(levels, 2, 0, seeded()), levels)


def test_offset_without_reference():
    model = ConductanceModel(**IDEAL, cancel_offset=False)
    held = model.program(torch.zeros(1), 2, 0, None)
    assert float(held) == pytest.approx(3 / 149)  # g_off over a step of (g_on - g_off) / 3


def test_a_noise_of_the_user():
    class Off:
        def program(self, levels, bits, lowest, generator):
            return torch.full_like(levels, float(lowest))

        def read_std(self, levels, bits, lowest):
            return None

    assert noisy_codes(torch.tensor([5, -7]), Off(), 2).tolist() == [-128.0, -128.0]


W = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: MultiplicativeNoise(-0.1),
            "sigma must be finite and not negative; got -0.1",
        ),
        (
            lambda: noisy_weight(torch.full((2,), math.nan)),
            "weight must be finite; got NaN or infinity in 2 of 2",
        ),
        (
            lambda: noisy_weight(W, bits_per_cell=9),
            "bits_per_cell must be an integer from 1 to 8; got 9",
        ),
        (
            lambda: noisy_weight(W, torch.zeros(2, dtype=torch.bool)),
            "protected must broadcast to the weight's shape (2, 3); got (2,)",
        ),
        (lambda: noisy_weight(W, torch.ones(3)), "protected must be boolean; got torch.float32"),
        (
            lambda: noisy_factors(W, W, torch.zeros(2, dtype=torch.bool)),
            "down (k, in), up (out, k) and protected (k,) must share k; got (2, 3), (2, 3), (2,)",
        ),
        (lambda: ConductanceModel(on_off=1.0), "on_off must be above 1; got 1.0"),
        (
            lambda: ConductanceModel(time_s=0.5),
            "time_s must be at least drift_t0_s=1.0, which must be above 0; got 0.5",
        ),
        (
            lambda: StuckCells(None, on=0.75, off=0.5),
            "on + off must be from 0 to 1; got 1.25",
        ),
    ],
)
def test_bad_input_in_one_line(call, message):
    with pytest.raises(ModelError) as error:
        call()
    assert str(error.value) == message
