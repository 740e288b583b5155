"""Accuracy against cost: every point once, resumable, and what a point rests on."""

import json
from functools import partial

import pyarrow.parquet as pq
import pytest
import torch

from hyflexsim.analysis import confidence, draw_study, pareto_front
from hyflexsim.models.cells.on_chip import matrices
from hyflexsim.models.lowrank.layers import break_even
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.compression import cost_on_chip
from hyflexsim.workloads.compression import pareto as study
from hyflexsim.workloads.compression import pareto_point as module
from hyflexsim.workloads.compression.devices import device_of, noise_named, settings_from
from hyflexsim.workloads.compression.judged_models import open_checkpoint
from hyflexsim.workloads.compression.machines import Machine, machines_from
from hyflexsim.workloads.compression.subjects import OfCheckpoint, OfRecipe

pareto = partial(study.pareto, workers=0)
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
    return pareto(OfRecipe(recipe, "uniform", BUDGETS), RATES, settings, out)


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
    assert info["subject"]["method"] == "uniform"
    assert info["reference"]["name"] == "dense"
    assert info["chips"] == {"hyflexpim": {}}
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
        pareto(OfRecipe(recipe, "uniform", BUDGETS), RATES, settings, tmp_path / "whole")
    cut = pareto(OfRecipe(recipe, "uniform", BUDGETS), RATES, settings, tmp_path / "whole")
    for name in NAMES:
        assert (cut / name).read_bytes() == (finished / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_processes_give_the_same_bytes(finished, recipe, settings, tmp_path):
    subject = OfRecipe(recipe, "uniform", BUDGETS)
    out = study.pareto(subject, RATES, settings, tmp_path / "whole", workers=2)
    for name in NAMES:
        assert (out / name).read_bytes() == (finished / name).read_bytes()


def test_without_recovery_importance_is_measured(tiny_recipe, settings, tmp_path):
    recipe = tiny_recipe(data={"train_limit": 32}, train={"epochs": 0}, recover={"epochs": 0})
    out = pareto(OfRecipe(recipe, "uniform", (0.5,)), (0.5,), settings, tmp_path / "p")
    (row,) = rows_of(out)
    assert row["score"] == pytest.approx(confidence([row["score"]]).mean)
    assert 0 <= row["score"] <= 1


GRID = ["adc.slc_bits:adc.mlc_bits=2:3,6:7", "adc.model=doubling,survey"]


@pytest.fixture(scope="module")
def grid(checkpoint, settings, tmp_path_factory):
    """Two resolutions by two models of converters: the preset's own is one of the four."""
    calls = []

    def counted(*arguments):
        calls.append(arguments[2])  # the device
        return scores(*arguments)

    scores = module.scores_on_chips
    out = tmp_path_factory.mktemp("grid") / "chips"
    machines = machines_from(Machine(), GRID)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "scores_on_chips", counted)
        pareto(OfCheckpoint(checkpoint), RATES, settings, out, machines=machines)
    return out, calls


def test_chips_are_compared_and_the_preset_is_one_of_them(grid):
    rows = rows_of(grid[0])
    names = list(dict.fromkeys(row["chip"] for row in rows))
    assert names == [
        "hyflexpim",
        "adc.slc_bits=2, adc.mlc_bits=3, adc.model=doubling",
        "adc.slc_bits=2, adc.mlc_bits=3, adc.model=survey",
        "adc.slc_bits=6, adc.mlc_bits=7, adc.model=survey",
    ]
    chips = json.loads((grid[0] / "pareto.json").read_text())["chips"]
    assert list(chips) == names
    assert chips["hyflexpim"] == {
        "analog.adc.slc_bits": 6,
        "analog.adc.mlc_bits": 7,
        "analog.adc.model": "doubling",
    }
    own, small = (next(r for r in rows if r["chip"] == name) for name in names[:2])
    assert small["energy_pj"] < own["energy_pj"]
    assert small["area_mm2"] < own["area_mm2"]
    assert small["arrays"] == own["arrays"]
    assert small["score"] < own["score"]


def test_what_computes_alike_is_scored_once(grid):
    out, devices = grid
    scores = {(r["chip"], r["slc_rate"]): r["score"] for r in rows_of(out)}
    assert len(scores) == 8
    # a model of converters acts on cost alone: two devices, each at two rates
    assert len(devices) == len(set(devices)) == 4
    assert sum(device.noise is None for device in devices) == 2  # all in SLC
    for rate in RATES:
        assert (
            scores["hyflexpim", rate]
            == scores["adc.slc_bits=6, adc.mlc_bits=7, adc.model=survey", rate]
        )


def test_with_all_ranks_in_slc_multi_level_cells_do_not_matter(checkpoint, settings):
    """What :func:`module.as_read` takes away is not read: equal scores with and without it."""
    opened = open_checkpoint(checkpoint)
    masks = {
        path: [torch.ones(layer.rank, dtype=torch.bool)] * 2
        for path, layer in matrices(opened.model).items()
    }
    once = settings.model_copy(update={"seeds": 1})
    device = device_of(load_chip("hyflexpim", {"analog.adc.mlc_bits": 2}), noise_named(0.3))
    read = module.as_read(device, in_slc=True)
    assert read.noise is None
    assert read.crossbar.mlc_adc_bits == 6
    both = [
        module.scores_on_chips(opened.model, opened, each, masks, once) for each in (device, read)
    ]
    assert both[0] == both[1]
    assert module.as_read(device, in_slc=False) is device


def test_the_front_is_of_score_and_all_costs(grid):
    rows = rows_of(grid[0])

    def costs(row):  # to three places, as tables print them
        found = [float(f"{row[cost]:.2e}") for cost in study.COSTS]
        return [-row["score"], *found]

    for row in rows:
        beaten = any(
            all(a <= b for a, b in zip(costs(other), costs(row), strict=True))
            and costs(other) != costs(row)
            for other in rows
        )
        assert row["front"] is not beaten
    assert len({row["front"] for row in rows}) == 2


def test_noise_by_name_differs_from_chip_to_chip(checkpoint, tmp_path):
    """4 % wrong cells are another sigma in cells of three bits, and the same noise."""
    machines = machines_from(Machine(), ["analog.mlc_bits=3"])
    chosen = settings_from({"sigma": ["calibrated"], "seeds": 1, "limit": 10})
    out = pareto(OfCheckpoint(checkpoint), (0.0,), chosen, tmp_path / "p", machines=machines)
    own, dense = rows_of(out)
    assert (own["noise"], dense["noise"]) == ("calibrated", "calibrated")
    assert dense["sigma"] < own["sigma"]
    assert [path.name for path in draw_study(out)] == ["pareto.png"]


@pytest.mark.parametrize(
    ("method", "budgets", "rates", "message"),
    [
        ("tanh", (0.5,), (1.01,), "--slc-rate must be from 0 to 100 per cent; got 101"),
        ("tanh", (0.5,), (), "--slc-rate must have a value; got none"),
        ("tanh", (), (0.5,), "--budget must have a value; got none"),
        ("svd", (0.5,), (0.5,), "--method must be of tanh"),
        ("tanh", (2.0,), (0.5,), "--budget must be shares above 0 and up to 1; got 2"),
    ],
)
def test_refusals_come_before_any_work(recipe, settings, tmp_path, method, budgets, rates, message):
    with pytest.raises(InputError) as caught:
        pareto(OfRecipe(recipe, method, budgets), rates, settings, tmp_path / "p")
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []
