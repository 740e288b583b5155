"""Forms against closed forms and finite differences; the lessons of STAR-KV's history; budgets."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank import (
    LowRankLinear,
    compress,
    counts,
    expand,
    factorise,
    fold,
    load_compressed,
    low_rank_layers,
    ranks,
    save_compressed,
)
from hyflexsim.models.redistribution import fine_tune
from hyflexsim.models.soft_threshold import (
    Schedule,
    SoftThresholdLinear,
    baseline_ranks,
    budget_of,
    cut_below,
    exp_penalty,
    fisher_row_weights,
    fit_budget,
    freeze,
    learn,
    log_penalty,
    recover,
    round_ranks,
    set_rank,
    soft_counts,
    soft_layers,
    soft_threshold,
    soften,
    truncate,
)

torch.set_num_threads(1)
FORMS = ("tanh", "shrinkage", "sigmoid")
NO_DATA = "data must hold at least one batch; walk 1 gave none"
QUICK = Schedule(steps=150, lr=1e-3, alpha_lr=1e-2)


class Toy(nn.Module):
    """Eight square layers; the odd ones matter little, so learned ranks should differ."""

    def __init__(self, width=48, depth=8):
        super().__init__()
        self.embed = nn.Linear(width, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x):
        x = self.embed(x)
        for i, block in enumerate(self.blocks):
            x = x + (0.02 if i % 2 else 1.0) * torch.tanh(block(x))
        return x


def loss(model, batch):
    x, y = batch
    return (model(x) - y).square().mean()


@pytest.fixture
def toy():
    torch.manual_seed(0)
    return Toy()


@pytest.fixture
def data():
    torch.manual_seed(7)
    x = torch.randn(64, 48)
    with torch.no_grad():
        y = Toy()(x)
    return DataLoader(TensorDataset(x, y), batch_size=16)


def outputs(model):
    x = torch.linspace(-1, 1, 3 * 48).reshape(3, 48)
    model.eval()
    with torch.no_grad():
        return model(x)


def close(a, b):
    return torch.allclose(a, b, atol=1e-5, rtol=1e-5)


# -- the function ---------------------------------------------------------------------------------


def test_published_values_of_the_tanh_form():
    """STAR-KV, alpha 1, sharpness 50: S and dS/dalpha just above the threshold."""
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    s = 1 + torch.tensor([0.01, 0.02, 0.05, 0.10], dtype=torch.float64)
    assert soft_threshold(s, a).tolist() == pytest.approx([0.467, 0.777, 1.036, 1.100], abs=5e-4)
    slopes = [torch.autograd.grad(soft_threshold(x, a), a)[0].item() for x in s]
    assert slopes[0] == pytest.approx(-39.7, abs=0.05)
    assert slopes[2] == pytest.approx(-1.4, abs=0.05)
    assert slopes[3] == pytest.approx(-0.01, abs=0.005)


@pytest.mark.parametrize("c", [0.0, 2.0])
def test_gradients_of_the_tanh_form_in_closed_form(c):
    k = 20.0
    s = torch.tensor([0.1, 0.29, 0.31, 0.5], dtype=torch.float64, requires_grad=True)
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    ds = torch.autograd.grad(soft_threshold(s, a, "tanh", k, c).sum(), s)[0]
    t = torch.tanh(k * (s - a))
    above = t + k * s * (1 - t**2)
    assert torch.allclose(ds, torch.where(s > a, above, -c * k * (1 - t**2)))


@pytest.mark.parametrize("form", FORMS)
def test_gradients_agree_with_finite_differences(form):
    s = torch.tensor([0.1, 0.25, 0.35, 0.9], dtype=torch.float64, requires_grad=True)
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, a: soft_threshold(s, a, form, 20.0, 0.5), (s, a))


def test_only_shrinkage_biases_large_values():
    s, a = torch.tensor([1.0]), torch.tensor(0.3)
    assert [round(float(soft_threshold(s, a, form)), 6) for form in FORMS] == [1.0, 0.7, 1.0]


def test_threshold_between_singular_values():
    s = torch.tensor([4.0, 2.0, 2.0, 1.0, 0.0])
    for r in (1, 3, 4, 5):
        assert int((s > cut_below(s, r)).sum()) == r
    assert int((s > cut_below(s, 2)).sum()) == 3  # equals stay


# -- layers and counts ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_counts_by_hand(form):
    """12 x 6: break-even at 4. Soft counts gates, hard what ships."""
    torch.manual_seed(0)
    layer = SoftThresholdLinear(factorise(nn.Linear(12, 6), 6), form, sharpness=1000.0)
    with torch.no_grad():
        layer.sigma.copy_(torch.tensor([2.0, 1.6, -1.2, 0.8, 0.4, 0.2]))
        layer.sigma_1.fill_(2.0)
    model = nn.ModuleList([layer])
    for alpha, rank, hard in ((0.05, 6, 72), (0.3, 4, 72), (0.5, 3, 54), (0.7, 2, 36)):
        layer.alpha.data.fill_(alpha)
        assert layer.rank == rank
        found = soft_counts(model)
        assert (found.hard, found.dense) == (hard, 72)
        assert found.soft.item() == pytest.approx(rank * 18, rel=1e-3)
    freeze(model)
    assert layer.diagonal()[2:].abs().sum() == 0
    assert torch.all(layer.diagonal()[:2] > 0)


def test_sign_of_sigma_is_kept():
    layer = SoftThresholdLinear(factorise(nn.Linear(4, 4), 4))
    with torch.no_grad():
        layer.sigma.copy_(torch.tensor([1.0, -0.9, 0.1, 0.1]))
        layer.sigma_1.fill_(1.0)
        layer.alpha.fill_(0.5)
    assert layer.diagonal().tolist() == pytest.approx([1.0, -0.9, 0, 0])


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


def test_lesson_1_frozen_thresholds_do_not_move(toy, data):
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
def test_lesson_2_truncation_uses_the_function_of_the_forward_pass(toy, data, form, tmp_path):
    soften(toy, form)
    learned = learn(toy, data, budget_of(toy, 0.5), QUICK, loss)
    before = outputs(toy)
    assert not close(before, outputs(Toy()))
    truncate(toy)
    assert close(outputs(toy), before)
    assert sum(layer.shipped for layer in low_rank_layers(toy).values()) <= learned.hard
    save_compressed(toy, tmp_path / "c")
    assert close(outputs(load_compressed(Toy(), tmp_path / "c")), before)
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


def test_lesson_5_no_layer_falls_below_its_floor(toy, data):
    soften(toy, floor=5)
    for layer in soft_layers(toy).values():
        layer.alpha.data.fill_(5.0)
        assert layer.rank == 5
        layer.alpha.data.zero_()
    least = 8 * 5 * 96
    learned = learn(toy, data, least, QUICK, loss)
    assert learned.hard == least
    with pytest.raises(ModelError, match=f"budget must be at least {least}, the floors' ranks"):
        learn(soften(Toy(), floor=5), data, least - 1, QUICK, loss)


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


def test_lesson_7_checkpoints_are_compared_after_the_budget_only(toy, data):
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
def test_budget_is_met_within_a_percent(toy, data, regulariser, reading):
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


def test_budget_is_met_although_steps_run_out(toy, data):
    soften(toy)
    budget = budget_of(toy, 0.5)
    learned = learn(toy, data, budget, Schedule(steps=2, lr=1e-3), loss)
    assert learned.met == "shifted"
    assert len(learned.history) == 2
    assert 0.99 * budget <= learned.hard <= budget


def test_ranks_follow_what_matters(data):
    """Layers that hardly matter lose more ranks, where a uniform cut gives all the same."""
    torch.manual_seed(0)
    toy = Toy()
    fine_tune(toy, data, loss, epochs=10, lr=3e-3)
    soften(toy)
    schedule = Schedule(steps=150, lr=1e-3, alpha_lr=1e-2, sharpness=(20, 50), strength=0.01)
    learn(toy, data, budget_of(toy, 0.5), schedule, loss)
    found = [layer.rank for layer in soft_layers(toy).values()]
    assert sum(found[0::2]) > 3 * sum(found[1::2])
    truncate(toy)
    losses = recover(toy, data, loss, epochs=5, lr=1e-3)
    assert losses[-1] < losses[0]


def test_learning_is_repeatable(data):
    ends = []
    for _ in range(2):
        torch.manual_seed(3)
        model = soften(Toy())
        learn(model, data, budget_of(model, 0.4), QUICK, loss)
        ends.append([layer.rank for layer in soft_layers(model).values()])
    assert ends[0] == ends[1]


def test_annealing():
    schedule = Schedule(steps=11, sharpness=(10, 1000))
    assert [round(schedule.sharpness_at(t), 6) for t in (0, 5, 10, 99)] == [10, 100, 1000, 1000]
    assert Schedule(steps=1).sharpness_at(0) == 10


# -- baselines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uniform", "energy", "global"])
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_baselines_meet_the_budget(toy, kind, fraction):
    for i, block in enumerate(toy.blocks):  # spectra that differ
        with torch.no_grad():
            u, s, v = torch.linalg.svd(block.weight)
            block.weight.copy_(u @ torch.diag(s * torch.linspace(1, 0, 48) ** (i / 3)) @ v)
    budget = budget_of(toy, fraction)
    found = baseline_ranks(toy, budget, kind)
    compress(toy, found)
    assert 0.98 * budget <= counts(toy).linears <= budget
    if kind == "uniform":
        assert max(found.values()) - min(found.values()) <= 1
    else:
        assert found.get("blocks.0", 48) > found["blocks.7"]  # not named: dense


def test_the_threshold_rules_by_hand():
    model = nn.Module()
    model.blocks = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(2))
    for layer, values in zip(model.blocks, ([8.0, 1, 1, 1], [8.0, 8, 1, 1]), strict=True):
        layer.weight = nn.Parameter(torch.diag(torch.tensor(values)))
    # a threshold between 1/8 and 1 keeps 1 and 2 ranks: 8 + 16 values, and 16 are the matrix itself
    assert baseline_ranks(model, 24, "global") == {"blocks.0": 1}
    assert baseline_ranks(model, 16, "energy") == {"blocks.0": 1, "blocks.1": 1}


def test_fisher_weights_by_hand():
    """y = W x, loss = sum of y: the gradient of W is x in every row, so inputs weigh as |x|."""
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Linear(3, 2)])
    batch = torch.tensor([1.0, 2.0, 3.0])
    weights = fisher_row_weights(model, [batch], lambda m, x: m.blocks[0](x).sum())
    assert weights["blocks.0"].tolist() == pytest.approx([0.5, 1.0, 1.5])
    compress(model, 1, row_weights=weights)


def test_fisher_weights_help_where_inputs_differ():
    torch.manual_seed(0)
    scale = torch.logspace(-2, 0, 48)
    x = torch.randn(64, 48) * scale

    def task(model, batch):
        y = batch[0] @ teacher.T
        return (model.blocks[0](batch[0]) - y).square().mean()

    def made():
        model = nn.Module()
        model.blocks = nn.ModuleList([nn.Linear(48, 48, bias=False)])
        model.blocks[0].weight = nn.Parameter(teacher + 0.01 * torch.randn(48, 48))
        return model

    teacher, errors = torch.randn(48, 48), []
    data = [(x[i : i + 8],) for i in range(0, 64, 8)]
    for weighted in (False, True):
        torch.manual_seed(1)
        model = made()
        weights = fisher_row_weights(model, data, task) if weighted else None
        compress(model, 12, row_weights=weights)
        errors.append(float(task(model, (x,)).detach()))
    assert errors[1] < 0.5 * errors[0]


# -- refusals -------------------------------------------------------------------------------------


def test_refusals(toy, data, tmp_path):
    soft = soften(Toy())
    for act, message in (
        (
            lambda: soft_threshold(torch.ones(1), torch.ones(()), "hard"),
            "form must be one of tanh, shrinkage, sigmoid; got 'hard'",
        ),
        (lambda: soft_layers(toy), "Toy has no thresholded layers; soften it first"),
        (lambda: soften(nn.Conv2d(1, 1, 1)), "Conv2d has no linear layers to compress"),
        (lambda: soften(Toy(), floor=0), "floor must be at least 1; got 0"),
        (lambda: budget_of(toy, 0), "fraction must be above 0 and at most 1; got 0"),
        (lambda: budget_of(toy, 0.5, "all"), "reading must be 'linears' or 'total'; got 'all'"),
        (
            lambda: budget_of(toy, 0.1, "total"),
            "fraction 0.1 of total cannot be reached: what is not compressed holds 2736 of "
            "21168 values",
        ),
        (lambda: learn(soften(Toy()), [], 9000, QUICK, loss), NO_DATA),
        (lambda: fit_budget(soft, 1), "budget must be at least 768, the floors' ranks; got 1"),
        (lambda: Schedule(lr=0), "Schedule.lr must be above 0; got 0"),
        (lambda: Schedule(steps=0), "Schedule.steps must be at least 1; got 0"),
        (
            lambda: Schedule(regulariser="l1"),
            "Schedule.regulariser must be 'exp' or 'log'; got 'l1'",
        ),
        (
            lambda: truncate(soft),
            "blocks.0: thresholds must be frozen before the model is truncated",
        ),
        (lambda: round_ranks(soft), "blocks.0: thresholds must be frozen before ranks are rounded"),
        (lambda: round_ranks(soft, 0), "multiple must be at least 1; got 0"),
        (
            lambda: set_rank(soft.blocks[0], 0),
            "rank must be from 1 to 48 (floor, full); got 0",
        ),
        (lambda: fold(soft), "a threshold must be truncated before sigma is folded into V"),
        (
            lambda: save_compressed(soft, tmp_path / "c"),
            "blocks.0: its threshold must be truncated before it can be saved",
        ),
        (
            lambda: baseline_ranks(toy, 1),
            "budget must be from 768 to 18432 weight values; got 1",
        ),
        (
            lambda: baseline_ranks(toy, 9000, "best"),
            "kind must be one of uniform, energy, global; got 'best'",
        ),
    ):
        with pytest.raises(ModelError) as caught:
            act()
        assert str(caught.value) == message
