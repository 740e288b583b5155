"""The lessons of STAR-KV's history; every family through thresholds; budgets."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.checkpoint import load_compressed, save_compressed
from hyflexsim.models.lowrank.compress import counts, expand, fold, low_rank_layers, ranks
from hyflexsim.models.lowrank.layers import LowRankLinear
from hyflexsim.models.lowrank.rank_learning import (
    Schedule,
    budget_of,
    exp_penalty,
    fit_budget,
    freeze,
    learn,
    log_penalty,
    recover,
    round_ranks,
    soft_counts,
    soft_layers,
    soften,
    truncate,
)
from hyflexsim.models.lowrank.soft_threshold import set_rank
from hyflexsim.models.training import fine_tune

FORMS = ("tanh", "shrinkage", "sigmoid")


NO_DATA = "data must hold at least one batch; walk 1 gave none"


QUICK = Schedule(steps=150, lr=1e-3, alpha_lr=1e-2)


@pytest.fixture
def toy(new_toy):
    torch.manual_seed(0)
    return new_toy()


@pytest.fixture
def data(new_toy):
    torch.manual_seed(7)
    x = torch.randn(64, 48)
    with torch.no_grad():
        y = new_toy()(x)
    return DataLoader(TensorDataset(x, y), batch_size=16)


def outputs(model):
    x = torch.linspace(-1, 1, 3 * 48).reshape(3, 48)
    model.eval()
    with torch.no_grad():
        return model(x)


def close(a, b):
    return torch.allclose(a, b, atol=1e-5, rtol=1e-5)


def test_thresholds_in_every_family(family, tmp_path, families):
    name, model, run = family
    dense = run(model.double())  # in float32 the rounding of 14 factorised layers adds up to 1e-5
    soften(model, "shrinkage")  # at threshold 0: nothing is cut
    assert torch.allclose(run(model), dense, atol=1e-12, rtol=1e-12)
    freeze(model.float())
    for layer in soft_layers(model).values():
        set_rank(layer, max(1, layer.full_rank // 3))
    cut, promised = run(model), counts(model)
    assert not close(cut, dense.float())
    truncate(model)
    assert close(run(model), cut)
    assert counts(model) == promised
    save_compressed(model, tmp_path / "c")
    assert close(run(load_compressed(families[name]()[0].eval(), tmp_path / "c")), cut)


def test_regularisers(toy):
    soften(toy, sharpness=10.0)
    assert exp_penalty(toy).item() == pytest.approx(8.0)
    soft = soft_counts(toy).soft.item()
    assert log_penalty(toy, 9000).item() == pytest.approx(math.log(soft / 9000), rel=1e-5)
    assert log_penalty(toy, 10**6).item() == 0
    for penalty in (exp_penalty(toy), log_penalty(toy, 9000)):
        toy.zero_grad()
        penalty.backward()
        assert all(layer.alpha.grad < 0 for layer in soft_layers(toy).values())  # alpha is raised


# -- the lessons ----------------------------------------------------------------------------------


def test_lesson_1_frozen_thresholds_do_not_move(toy, data, loss):
    """A learning rate of 0 is undone by a scheduler; requires_grad = False is not."""
    freeze(soften(toy))
    for i, layer in enumerate(soft_layers(toy).values()):
        set_rank(layer, 20 + i)
    before = {p: (layer.alpha.item(), layer.rank) for p, layer in soft_layers(toy).items()}
    fine_tune(toy, data, loss, epochs=3, lr=1e-3, weight_decay=0.1)
    for path, layer in soft_layers(toy).items():
        assert not layer.alpha.requires_grad
        assert layer.alpha.grad is None
        assert layer.alpha.item() == before[path][0]
    truncated = truncate(toy)  # plain factors: ranks cannot move again
    pinned = [r.rank for r in ranks(truncated)]
    fine_tune(truncated, data, loss, epochs=2, lr=1e-2)
    assert [r.rank for r in ranks(truncated)] == pinned


@pytest.mark.parametrize("form", FORMS)
def test_lesson_2_truncation_uses_the_function_of_the_forward_pass(
    toy, data, form, tmp_path, new_toy, loss
):
    soften(toy, form)
    learned = learn(toy, data, budget_of(toy, 0.5), QUICK, loss)
    before = outputs(toy)
    assert not close(before, outputs(new_toy()))
    truncate(toy)
    assert close(outputs(toy), before)
    assert sum(layer.shipped for layer in low_rank_layers(toy).values()) <= learned.hard
    save_compressed(toy, tmp_path / "c")
    assert close(outputs(load_compressed(new_toy(), tmp_path / "c")), before)
    assert close(outputs(fold(toy)), before)
    assert close(outputs(expand(toy)), before)


def test_lesson_3_training_fills_in_nothing_that_the_export_drops():
    """Q, K and V of a fused projection have factors of their own: nothing to mask."""
    torch.manual_seed(0)
    special = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=20, n_positions=8, n_embd=32, n_layer=1, n_head=2, **special)
    config.attn_pdrop = config.embd_pdrop = config.resid_pdrop = 0.0
    model = soften(GPT2LMHeadModel(config), floor=2)
    ids = torch.randint(0, 20, (4, 8))
    data = [{"input_ids": ids, "labels": ids}]
    learn(model, data, budget_of(model, 0.5), Schedule(steps=60, lr=1e-3))
    truncate(model.eval())
    with torch.no_grad():
        before = model(ids).logits
        split = model.transformer.h[0].attn.c_attn
        x = torch.randn(2, 32)
        each = [part(x) for part in split.parts()]
        assert all(part.out_features == 32 for part in split.parts())
        for p in split.q.parameters():
            p.mul_(1.5)  # whatever happens to Q leaves K and V alone
        after = [part(x) for part in split.parts()]
        assert torch.equal(each[1], after[1])
        assert torch.equal(each[2], after[2])
        for p in split.q.parameters():
            p.div_(1.5)
        assert torch.allclose(expand(model)(ids).logits, before, atol=1e-5)


def test_lesson_4_count_what_ships(toy):
    """Nothing is saved until r < m n / (m + n); counts are those of the tensors after export."""
    freeze(soften(toy))
    for layer in soft_layers(toy).values():
        set_rank(layer, 30)  # break-even is 24
    assert soft_counts(toy).hard == soft_counts(toy).dense == 8 * 48 * 48
    for i, layer in enumerate(soft_layers(toy).values()):
        set_rank(layer, 30 if i == 0 else 10)
    promised, hard = counts(toy), soft_counts(toy).hard
    fold(truncate(toy))
    assert isinstance(toy.blocks[0], nn.Linear)  # dense fallback
    assert isinstance(toy.blocks[1], LowRankLinear)
    assert promised == counts(toy)
    assert sum(p.numel() for p in toy.parameters()) == promised.total
    assert promised.linears == hard == 48 * 48 + 7 * 10 * 96


def test_lesson_5_no_layer_falls_below_its_floor(toy, data, new_toy, loss):
    soften(toy, floor=5)
    for layer in soft_layers(toy).values():
        layer.alpha.data.fill_(5.0)
        assert layer.rank == 5
        layer.alpha.data.zero_()
    least = 8 * 5 * 96
    learned = learn(toy, data, least, QUICK, loss)
    assert learned.hard == least
    with pytest.raises(ModelError, match=f"budget must be at least {least}, the floors' ranks"):
        learn(soften(new_toy(), floor=5), data, least - 1, QUICK, loss)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("up", [16, 16, 32, 32, 48]),
        ("down", [16, 16, 16, 32, 48]),
        ("nearest", [16, 16, 32, 32, 48]),
    ],
)
def test_lesson_6_ranks_become_multiples_of_the_tile_before_recovery(toy, how, expected):
    toy.blocks = toy.blocks[:5]
    freeze(soften(toy))
    for layer, rank in zip(soft_layers(toy).values(), (3, 16, 24, 32, 48), strict=True):
        set_rank(layer, rank)
    assert list(round_ranks(toy, 16, how).values()) == expected
    before = outputs(toy)
    truncate(toy)
    assert close(outputs(toy), before)
    assert [r.rank for r in ranks(toy)] == [r if r <= 24 else None for r in expected]


def test_lesson_7_checkpoints_are_compared_after_the_budget_only(toy, data, loss):
    with pytest.raises(ModelError, match="thresholds must be truncated before recovery"):
        recover(soften(toy), data, loss, score=lambda m: 0.0)
    learn(toy, data, budget_of(toy, 0.5), QUICK, loss)
    truncate(toy)
    values, states = iter([0.1, 0.5, 0.9, 0.3]), []

    def score(model):
        assert not model.training
        states.append({k: v.clone() for k, v in model.state_dict().items()})
        return next(values)

    scores = recover(toy, data, loss, score=score, epochs=3, lr=1e-3)
    assert scores == [0.1, 0.5, 0.9, 0.3]
    assert all(torch.equal(v, states[2][k]) for k, v in toy.state_dict().items())


# -- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("regulariser", ["exp", "log"])
@pytest.mark.parametrize("reading", ["linears", "total"])
def test_budget_is_met_within_a_percent(toy, data, regulariser, reading, loss):
    share = 0.5 if reading == "linears" else 0.6
    soften(toy)
    budget = budget_of(toy, share, reading)
    schedule = Schedule(steps=150, lr=1e-3, regulariser=regulariser)
    learned = learn(toy, data, budget, schedule, loss)
    assert 0.99 * budget <= learned.hard <= budget
    assert learned.met == "learned" or regulariser == "log"
    truncate(toy)
    found = counts(toy)
    kept = (
        found.linears / found.linears_dense
        if reading == "linears"
        else found.total / found.total_dense
    )
    assert share * 0.99 <= kept <= share


def test_budget_is_met_although_steps_run_out(toy, data, loss):
    soften(toy)
    budget = budget_of(toy, 0.5)
    learned = learn(toy, data, budget, Schedule(steps=2, lr=1e-3), loss)
    assert learned.met == "shifted"
    assert len(learned.history) == 2
    assert 0.99 * budget <= learned.hard <= budget


def test_ranks_follow_what_matters(data, new_toy, loss):
    """Layers that hardly matter lose more ranks, where a uniform cut gives all the same."""
    torch.manual_seed(0)
    toy = new_toy()
    fine_tune(toy, data, loss, epochs=10, lr=3e-3)
    soften(toy)
    schedule = Schedule(steps=150, lr=1e-3, alpha_lr=1e-2, sharpness=(20, 50), strength=0.01)
    learn(toy, data, budget_of(toy, 0.5), schedule, loss)
    found = [layer.rank for layer in soft_layers(toy).values()]
    assert sum(found[0::2]) > 3 * sum(found[1::2])
    truncate(toy)
    losses = recover(toy, data, loss, epochs=5, lr=1e-3)
    assert losses[-1] < losses[0]


def test_learning_is_repeatable(data, new_toy, loss):
    ends = []
    for _ in range(2):
        torch.manual_seed(3)
        model = soften(new_toy())
        learn(model, data, budget_of(model, 0.4), QUICK, loss)
        ends.append([layer.rank for layer in soft_layers(model).values()])
    assert ends[0] == ends[1]


def test_annealing():
    schedule = Schedule(steps=11, sharpness=(10, 1000))
    assert [round(schedule.sharpness_at(t), 6) for t in (0, 5, 10, 99)] == [10, 100, 1000, 1000]
    assert Schedule(steps=1).sharpness_at(0) == 10


@pytest.mark.parametrize("reading", ["linears", "total"])
@pytest.mark.parametrize("include", [None, ["embed"], ["embed", "blocks.0", "blocks.1"]])
def test_a_budget_is_the_same_before_and_after_softening(toy, reading, include):
    """Also of layers outside the blocks, which count as linears once they have factors."""
    soft = soften(copy.deepcopy(toy), include=include)
    for fraction in (0.95, 1.0):
        expected = budget_of(soft, fraction, reading)
        assert budget_of(toy, fraction, reading, include=include) == expected


def test_a_failure_restores_the_mode(toy, data, loss):
    soften(toy.eval())
    with pytest.raises(ModelError, match="loss must be one finite number"):
        learn(toy, data, 9000, QUICK, lambda m, b: loss(m, b) * float("nan"))
    assert not toy.training
    assert not soft_layers(toy)["blocks.0"].frozen


def test_refusals(toy, data, tmp_path, new_toy, loss):
    soft = soften(new_toy())
    for act, message in (
        (lambda: soft_layers(toy), "Toy has no thresholded layers; soften it first"),
        (lambda: soften(nn.Conv2d(1, 1, 1)), "Conv2d has no linear layers to compress"),
        (lambda: soften(new_toy(), floor=0), "floor must be at least 1; got 0"),
        (lambda: budget_of(toy, 0), "fraction must be above 0 and at most 1; got 0"),
        (lambda: budget_of(toy, 0.5, "all"), "reading must be 'linears' or 'total'; got 'all'"),
        (
            lambda: budget_of(toy, 0.1, "total"),
            "fraction 0.1 of total cannot be reached: what is not compressed holds 2736 of "
            "21168 values",
        ),
        (lambda: learn(soften(new_toy()), [], 9000, QUICK, loss), NO_DATA),
        (lambda: fit_budget(soft, 1), "budget must be at least 768, the floors' ranks; got 1"),
        (lambda: Schedule(lr=0), "Schedule.lr must be above 0; got 0"),
        (lambda: Schedule(steps=0), "Schedule.steps must be at least 1; got 0"),
        (
            lambda: Schedule(regulariser="l1"),
            "Schedule.regulariser must be exp or log; got 'l1'",
        ),
        (
            lambda: truncate(soft),
            "blocks.0: thresholds must be frozen before the model is truncated",
        ),
        (lambda: round_ranks(soft), "blocks.0: thresholds must be frozen before ranks are rounded"),
        (lambda: round_ranks(soft, 0), "multiple must be at least 1; got 0"),
        (
            lambda: soften(new_toy(), "hard"),
            "form must be one of tanh, shrinkage, sigmoid; got 'hard'",
        ),
        (lambda: fold(soft), "a threshold must be truncated before sigma is folded into V"),
        (
            lambda: save_compressed(soft, tmp_path / "c"),
            "blocks.0: its threshold must be truncated before it can be saved",
        ),
        (
            lambda: learn(freeze(soften(new_toy())), data, 9000, QUICK, loss),
            "thresholds are frozen: ranks were learned already",
        ),
    ):
        with pytest.raises(ModelError) as caught:
            act()
        assert str(caught.value) == message
