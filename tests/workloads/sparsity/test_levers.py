"""Levers: costs in closed form against runs, scores of a tiny model, the greedy rule."""

import math
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch

from hyflexsim.models.part.checkpoint import PartSpec, save_part
from hyflexsim.models.part.transformer import PART_CONFIGS
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.workloads.sparsity import lever_study
from hyflexsim.workloads.sparsity.best_levers import LIMIT, greedy, merit
from hyflexsim.workloads.sparsity.lever_costs import (
    Cost,
    busiest,
    cost_of,
    graph_of,
    ranks_of,
    step_loads,
)
from hyflexsim.workloads.sparsity.lever_scores import FewerPairs, Subject, _of_rank
from hyflexsim.workloads.sparsity.levers import Lever, Setting, levers

TITLES = ("as it is", "pair weights of 4 bits", "SLC rate 0.2")
UNTRAINED = {"shape": {"num_layers": 1}}


@pytest.mark.parametrize("in_turn", [False, True])
def test_loads_are_those_of_a_run(plan_of_lanes, in_turn):
    """Six requests on three copies: in turn all are dealt alike, by token as the run says."""
    plan = replace(plan_of_lanes, in_turn=in_turn)
    tokens = [4, 1, 4, 4, 1, 4] if not in_turn else [4] * 6
    played = engines.play(plan, [Request(0, n) for n in tokens])
    served = played.tally.component_served_ps / len(tokens)
    assert busiest(plan, step_loads(plan, tokens)) == served.max()


@pytest.fixture(scope="module")
def plan_of_lanes():
    """A step of one component before one of three copies."""
    from hyflexsim.sim.chip.service import Rate  # noqa: PLC0415
    from hyflexsim.sim.plan.plan import Component, Group, Plan, Step  # noqa: PLC0415

    first = Step("a", "a", "bank", "l", lanes=(0,), rate=Rate(fixed=2))
    second = Step("b", "b", "bank", "l", lanes=(1, 2, 3), rate=Rate(fixed=9), inputs=(Group(0),))
    names = (Component(name, "bank") for name in "abcd")
    return Plan((first, second), tuple(names), frozenset({1}))


@pytest.fixture(scope="module")
def graph():
    return graph_of("part-small", Setting())


def test_what_levers_of_pairs_leave(graph):
    """U in each of four blocks is three more; pairs of 4 of 8 particles are 10 of 36."""
    start, four, anew = (
        cost_of("part-small", Setting(copies="none").changed(change), 8, graph)
        for change in ({}, {"pairs": 4}, {"anew": True})
    )
    assert (four.latency_us, four.area_mm2) == (start.latency_us, start.area_mm2)
    assert math.isnan(anew.latency_us)
    pairs = (anew.energy_uj - start.energy_uj) / 3
    assert start.energy_uj - four.energy_uj == pytest.approx(pairs * 26 / 36)
    assert four.pace_per_s > start.pace_per_s > anew.pace_per_s


def test_ranks_are_shares_of_the_break_even_rank(graph):
    setting = Setting(ranks={"*.fc1": 0.5}, pair_rank=4)
    found = ranks_of(graph, setting)
    assert found["blocks.0.fc1"] == 25  # 64 * 256 / 320 = 51.2, half of 51
    assert {name: rank for name, rank in found.items() if "pair" in name} == {
        "pair_embed.embed.4": 4  # the first (4 x 16) and last (16 x 4) are worth 3 at most
    }


def test_u_is_zero_but_between_leading_particles():
    pairs = FewerPairs(torch.nn.Identity(), 2)
    kept = pairs(torch.ones(1, 1, 3, 3))
    assert kept.tolist() == [[[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]]
    assert (FewerPairs(torch.nn.Identity(), 9)(torch.ones(1, 1, 3, 3)) == 1).all()


def test_a_weight_of_a_rank_keeps_its_shape_and_is_itself_at_full_rank():
    weight = torch.randn(5, 4, 1, dtype=torch.float64)
    assert torch.allclose(_of_rank(weight, 4), weight)
    assert torch.linalg.matrix_rank(_of_rank(weight, 2).flatten(1)) == 2


def test_greedy_pulls_what_gains_most_and_keeps_accuracy():
    """Halving the energy counts, unless accuracy goes; one of a kind; then nothing gains."""
    own = [
        Lever("start", "", {}),
        Lever("good", "a", {"pair_bits": 4}),
        Lever("better, but wrong", "b", {"pair_bits": 2}),
        Lever("of the same kind", "a", {"pair_bits": 6}),
        Lever("another", "c", {"pair_rank": 3}),
        Lever("untrained", "d", UNTRAINED),
    ]

    def spent(setting):
        if setting.shape:
            return Cost(1, 1, 1e9, 1)
        saved = {None: 1, 6: 0.9, 4: 0.5, 2: 0.1}[setting.pair_bits]
        return Cost(10, 100 * saved * (0.8 if setting.pair_rank else 1), 1e5, 1)

    def lost(setting):
        return 2 * LIMIT if setting.pair_bits == 2 else LIMIT

    pulled = list(greedy(own, spent, lost))
    assert [lever.title for lever, _ in pulled] == ["good", "another"]
    assert (pulled[-1][1].pair_bits, pulled[-1][1].pair_rank) == (4, 3)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_merit_is_a_geometric_mean(ratio):
    start = Cost(10.0, 20.0, 1e6, 1.0)
    other = Cost(10.0 * ratio, 20.0, 1e6 / ratio, 5.0)
    assert merit(other, start) == pytest.approx(prod([ratio, 1, ratio]) ** (1 / 3))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Three levers on random weights that read 8 particles, two jets of each class."""
    torch.manual_seed(5)
    config = PART_CONFIGS["part-small"] | {"num_classes": 5}
    classes = ("QCD", "Hbb", "Wqq", "Tbqq", "Tbl")
    spec = PartSpec(config, "full", 8, classes)
    file = tmp_path_factory.mktemp("levers") / "model.safetensors"
    save_part(file, spec.build(), spec)
    own = [lever for lever in levers("part-small") if lever.title in TITLES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lever_study, "cost_of", lambda *_: Cost(1.0, 1.0, 1.0, 1.0))
        patch.setattr(lever_study, "greedy", lambda own, *_: [(own[2], Setting(slc_rate=0.2))])
        study = lever_study.Study(Subject(file, None, 1))
        return study.rows("part-small", own) + study.best(own, ["part-small"]), study.subject


def test_rows(rows):
    found, subject = rows
    assert tuple(row["lever"] for row in found[:3]) == TITLES
    assert found[0]["change"] == found[0]["change_error"] == 0
    assert {row["jets"] for row in found[:3]} == {len(subject)} == {10}
    (last,) = found[3:]
    assert (last["lever"], last["kind"], last["jets"]) == ("+ SLC rate 0.2", lever_study.BEST, 5)


def test_half_of_the_jets_of_each_class_choose(rows):
    _, subject = rows
    assert subject.chosen_on.tolist() == [False, True] * 5
    assert np.unique(subject.data(4).offsets.diff().numpy()).max() == 4
