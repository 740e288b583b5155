"""Lookahead over RAdam: against RAdam and the papers' algorithm written out."""

import torch

from hyflexsim.models.lookahead import LookaheadRAdam


def walk(make, steps, resume_at=None):
    """Weights after each step down a bowl."""
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = make([weight])
    seen = []
    for step in range(steps):
        if step == resume_at:
            state = optimiser.state_dict()
            optimiser = make([weight])
            optimiser.load_state_dict(state)
        optimiser.zero_grad()
        (weight**2).sum().backward()
        optimiser.step()
        seen.append(weight.detach().clone())
    return seen


def radam(params):
    return torch.optim.RAdam(
        params, 0.1, betas=(0.95, 0.999), eps=1e-5, decoupled_weight_decay=True
    )


def test_fast_weights_are_radams_until_they_are_pulled_back():
    plain = walk(radam, 3)
    pulled = walk(lambda p: LookaheadRAdam(p, 0.1, every=3, pull=0.25), 3)
    assert torch.equal(plain[1], pulled[1])
    start = torch.tensor([1.0, -2.0])
    assert torch.allclose(pulled[2], start + 0.25 * (plain[2] - start))


def test_pulling_all_the_way_is_radam():
    for plain, pulled in zip(
        walk(radam, 9), walk(lambda p: LookaheadRAdam(p, 0.1, every=2, pull=1.0), 9), strict=True
    ):
        assert torch.equal(plain, pulled)


def test_a_resumed_walk_takes_the_same_steps():
    def make(params):
        return LookaheadRAdam(params, 0.1, every=4)

    whole, resumed = walk(make, 10), walk(make, 10, resume_at=6)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_what_has_no_gradient_stays():
    weight = torch.nn.Parameter(torch.ones(2))
    LookaheadRAdam([weight]).step()
    assert torch.equal(weight, torch.ones(2))
