"""The selective scan: by the recurrence, by a closed form, by transformers' own code."""

import importlib.util

import pytest
import torch
from torch.nn import functional
from transformers.models.mamba import modeling_mamba

from hyflexsim.models.mamba_scan import install, selective_scan

BATCH, WIDTH, STATES, TOKENS = 2, 3, 4, 7


@pytest.fixture
def inputs():
    g = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64).requires_grad_()

    return {
        "u": draw(BATCH, WIDTH, TOKENS),
        "dt": draw(BATCH, WIDTH, TOKENS),
        "A": draw(WIDTH, STATES),
        "B": draw(BATCH, STATES, TOKENS),
        "C": draw(BATCH, STATES, TOKENS),
        "D": draw(WIDTH),
        "z": draw(BATCH, WIDTH, TOKENS),
        "delta_bias": draw(WIDTH),
    }


def recurrence(u, dt, A, B, C, D, z, delta_bias):
    """Equation by equation, a token at a time."""
    dt = functional.softplus(dt + delta_bias[:, None])
    h = torch.zeros(BATCH, WIDTH, STATES, dtype=u.dtype)
    outputs = []
    for t in range(u.shape[2]):
        step = dt[:, :, t, None]
        h = torch.exp(A * step) * h + step * B[:, None, :, t] * u[:, :, t, None]
        outputs.append((h * C[:, None, :, t]).sum(-1) + D * u[:, :, t])
    return torch.stack(outputs, dim=-1) * z * torch.sigmoid(z), h


def test_values_and_gradients_are_those_of_the_recurrence(inputs):
    weights = torch.linspace(-1, 1, BATCH * WIDTH * TOKENS, dtype=torch.float64)
    results = []
    for act in (
        lambda: selective_scan(**inputs, delta_softplus=True, return_last_state=True),
        lambda: recurrence(**inputs),
    ):
        y, state = act()
        grads = torch.autograd.grad((y.flatten() * weights).sum(), list(inputs.values()))
        results.append((y, state, *grads))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_constant_decay_sums_a_geometric_series():
    one = torch.ones(1, 1, 6, dtype=torch.float64)
    decay = 0.5
    a = torch.tensor([[decay]], dtype=torch.float64).log()
    y = selective_scan(one, one, a, one, one)
    assert y.flatten().tolist() == pytest.approx([2 * (1 - decay**n) for n in range(1, 7)])
    y, state = selective_scan(one, one, a, one, one, return_last_state=True)
    assert float(state) == pytest.approx(float(y[0, 0, -1]))


@pytest.fixture(scope="module")
def theirs():
    """The function of transformers, in a copy of its module where ours never took its place."""
    spec = importlib.util.find_spec("transformers.models.mamba.modeling_mamba")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.mamba_selective_scan is not selective_scan
    return module.mamba_selective_scan


def test_the_values_are_those_of_transformers(inputs, theirs):
    plain = {name: value.detach().float() for name, value in inputs.items()}
    for options in ({"delta_softplus": True}, {"z": None, "D": None}, {"return_last_state": True}):
        arguments = plain | options
        arguments["hidden_states"] = arguments["u"]
        expected = theirs(**{n: v for n, v in arguments.items() if n != "u"})
        ours = selective_scan(**{n: v for n, v in arguments.items() if n != "hidden_states"})
        if not isinstance(ours, tuple):
            ours, expected = (ours,), (expected,)
        for mine, other in zip(ours, expected, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_installed_a_model_uses_it_and_answers_the_same(families, theirs, monkeypatch):
    monkeypatch.setattr(modeling_mamba, "mamba_selective_scan", theirs)
    torch.manual_seed(0)
    model, run = families["mamba"]()
    model.eval()
    with torch.no_grad():
        expected = run(model)
        install()
        assert modeling_mamba.mamba_selective_scan is selective_scan
        torch.testing.assert_close(run(model), expected, rtol=1e-4, atol=1e-5)
