"""Accuracy against cost: every point once, resumable, and what a point rests on."""

import json

import pyarrow.parquet as pq
import pytest

from hyflexsim.analysis import confidence, pareto_front
from hyflexsim.models.lowrank.layers import break_even
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import cost_on_chip
from hyflexsim.workloads.compression import pareto as module
from hyflexsim.workloads.compression.devices import settings_from
from hyflexsim.workloads.compression.machines import Machine, machines_from
from hyflexsim.workloads.compression.pareto import pareto

BUDGETS, RATES = (0.5, 1.0), (0.0, 1.0)
NAMES = ("pareto.parquet", "pareto.json")


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    return tiny_recipe(data={"train_limit": 64})


@pytest.fixture(scope="module")
def settings():
    return settings_from({"sigma": [0.3], "seeds": 2, "limit": 30})


@pytest.fixture(scope="module")
def finished(recipe, settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("pareto") / "whole"
    return pareto(recipe, "uniform", BUDGETS, RATES, settings, out)


def rows_of(folder):
    return pq.read_table(folder / "pareto.parquet").to_pylist()


def test_a_row_for_every_budget_rate_and_noise(finished):
    rows = rows_of(finished)
    assert [(r["budget"], r["slc_rate"], r["sigma"]) for r in rows] == [
        (budget, rate, 0.3) for budget in BUDGETS for rate in RATES
    ]
    assert {row["seeds"] for row in rows} == {2}
    by_point = {(r["budget"], r["slc_rate"]): r for r in rows}
    for budget in BUDGETS:  # multi-level cells are fewer
        assert by_point[budget, 0.0]["arrays"] < by_point[budget, 1.0]["arrays"]
        assert by_point[budget, 1.0]["half_width"] == 0.0  # nothing random in SLC
    for rate in RATES:
        assert by_point[0.5, rate]["arrays"] <= by_point[1.0, rate]["arrays"]
    assert len(pareto_front(finished, "energy_pj")) >= 1
    info = json.loads((finished / "pareto.json").read_text())
    assert info["method"] == "uniform"
    assert info["accuracy"]["seeds"] == 2


def test_a_point_costs_what_its_ranks_cost(finished, recipe, vit_config):
    wide, inner = 32, 64
    hard = {}
    for layer in range(2):
        block = f"vit.layers.{layer}"
        for part in "qkvo":
            hard[f"{block}.attention.{part}_proj"] = break_even(wide, wide)
        hard[f"{block}.mlp.fc1"] = break_even(wide, inner)
        hard[f"{block}.mlp.fc2"] = break_even(inner, wide)
    graph = cost_on_chip.ranked(recipe.name, vit_config | {"num_labels": 10}, hard)
    cost, _ = cost_on_chip.cost(recipe, graph, 0.0)
    row = next(r for r in rows_of(finished) if (r["budget"], r["slc_rate"]) == (1.0, 0.0))
    for name in ("latency_ps", "energy_pj", "area_mm2", "arrays", "throughput_per_s"):
        assert row[name] == pytest.approx(getattr(cost, name), rel=1e-12)


def test_an_interrupted_study_ends_as_another(finished, recipe, settings, tmp_path, monkeypatch):
    scores, calls = module.scores_on_chips, []

    def counted(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return scores(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "scores_on_chips", counted)
        pareto(recipe, "uniform", BUDGETS, RATES, settings, tmp_path / "whole")
    cut = pareto(recipe, "uniform", BUDGETS, RATES, settings, tmp_path / "whole")
    for name in NAMES:
        assert (cut / name).read_bytes() == (finished / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_without_recovery_importance_is_measured(tiny_recipe, settings, tmp_path):
    recipe = tiny_recipe(data={"train_limit": 32}, train={"epochs": 0}, recover={"epochs": 0})
    out = pareto(recipe, "uniform", (0.5,), (0.5,), settings, tmp_path / "p")
    (row,) = rows_of(out)
    assert row["score"] == pytest.approx(confidence([row["score"]]).mean)
    assert 0 <= row["score"] <= 1


def test_chips_are_compared_by_their_own_converters(tiny_recipe, settings, tmp_path):
    """Three bits instead of seven are cheaper and smaller."""
    recipe = tiny_recipe(data={"train_limit": 64})
    machines = machines_from(Machine(), ["adc.mlc_bits=3"])
    chosen = settings.model_copy(update={"seeds": 1})
    out = pareto(recipe, "uniform", (1.0,), (0.0,), chosen, tmp_path / "p", machines=machines)
    own, small = rows_of(out)
    assert (own["chip"], small["chip"]) == ("hyflexpim", "adc.mlc_bits=3")
    assert small["energy_pj"] < own["energy_pj"]
    assert small["area_mm2"] < own["area_mm2"]
    assert small["arrays"] == own["arrays"]


@pytest.mark.parametrize(
    ("method", "budgets", "rates", "message"),
    [
        ("tanh", (0.5,), (1.01,), "--slc-rate must be from 0 to 100 per cent; got 101"),
        ("tanh", (0.5,), (), "--slc-rate and --budget must have a value each; got none"),
        ("svd", (0.5,), (0.5,), "--method must be of tanh"),
        ("tanh", (2.0,), (0.5,), "--budget must be shares above 0 and up to 1; got 2"),
    ],
)
def test_refusals_come_before_any_work(recipe, settings, tmp_path, method, budgets, rates, message):
    with pytest.raises(InputError) as caught:
        pareto(recipe, method, budgets, rates, settings, tmp_path / "p")
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []
