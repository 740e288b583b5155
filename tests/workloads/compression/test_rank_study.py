"""Methods side by side: shares that can be counted again, the same study after an interruption."""

import json
from functools import partial

import pyarrow.parquet as pq
import pytest

from hyflexsim.analysis import rank_table
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import rank_study
from hyflexsim.workloads.compression.rank_study import variant

study = partial(rank_study.study, workers=0)
METHODS = ("tanh", "uniform", "fwsvd")


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    return tiny_recipe(compress={"steps": 2}, data={"train_limit": 64})


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    return study(recipe, METHODS, (0.5,), 2, tmp_path_factory.mktemp("studies") / "whole")


def table(folder, name):
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def test_a_row_for_every_method_budget_and_seed(finished):
    keys = [(row["method"], row["budget"], row["seed"]) for row in table(finished, "study")]
    assert keys == [(method, 0.5, seed) for method in METHODS for seed in (0, 1)]
    assert len(rank_table(finished)) == len(METHODS)


def test_shares_are_those_of_the_table_of_ranks(finished, vit_config):
    wide, inner = vit_config["hidden_size"], vit_config["intermediate_size"]
    sizes = {}
    for row in table(finished, "ranks"):
        name = row["matrix"].rpartition(".")[2]
        m, n = {"fc1": (wide, inner), "fc2": (inner, wide)}.get(name, (wide, wide))
        sizes[row["matrix"]] = (m, n)
        assert row["full"] == m * n // (m + n)
    assert len(sizes) == 12
    dense = sum(m * n for m, n in sizes.values())
    for row in table(finished, "study"):
        key = (row["method"], row["budget"], row["seed"])
        mine = [r for r in table(finished, "ranks") if (r["method"], r["budget"], r["seed"]) == key]
        assert {r["matrix"] for r in mine} == sizes.keys()
        kept = sum(
            r["rank"] * sum(sizes[r["matrix"]]) if r["rank"] else dense_of(sizes, r) for r in mine
        )
        assert row["linears_share"] == pytest.approx(kept / dense)
        assert row["linears_share"] == pytest.approx(0.5, rel=0.02)
        assert row["linears_share"] <= 0.5
        assert row["linears_share"] < row["total_share"] < 1
        assert 0 < row["macs_share"] < 1


def dense_of(sizes, row):
    m, n = sizes[row["matrix"]]
    return m * n


def test_what_a_study_says_of_itself(finished, recipe):
    info = json.loads((finished / "study.json").read_text())
    assert info["recipe"] == recipe.resolved()
    assert (info["title"], info["data"], info["slc_rate"]) == ("tiny", "digits", 1.0)
    assert 0 <= info["dense"] <= 1
    rows = table(finished, "study")
    assert len({row["dense_latency_ps"] for row in rows}) == 1  # one dense chip for all
    assert all(row["arrays"] > 0 for row in rows)


def test_an_interrupted_study_ends_as_another(finished, recipe, tmp_path, monkeypatch):
    measured, calls = rank_study._measured, []

    def counted(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measured(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rank_study, "_measured", counted)
        study(recipe, METHODS, (0.5,), 2, tmp_path / "whole")
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(rank_study, "_measured", lambda *a: calls.append(1) or measured(*a))
        cut = study(recipe, METHODS, (0.5,), 2, tmp_path / "whole")
    assert len(calls) == 3
    for name in ("study.parquet", "ranks.parquet", "study.json"):
        assert (cut / name).read_bytes() == (finished / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_variants(recipe):
    name, trial = variant(recipe, "tanh rounded", 0.25, 3)
    assert name == "tanh rounded"
    assert (trial.seed, trial.compress.method, trial.compress.budget) == (3, "tanh", 0.25)
    assert trial.compress.round == 64
    assert variant(recipe, "tanh", 0.25, 3)[1].compress.round == 0
    assert trial.train == recipe.train


@pytest.mark.parametrize(
    ("methods", "budgets", "seeds", "rate", "message"),
    [
        (("svd",), (0.5,), 1, 1.0, "--method must be of tanh, shrinkage, sigmoid, uniform"),
        (("tanh",), (0.0,), 1, 1.0, "--budget must be shares above 0 and up to 1; got 0"),
        (("tanh",), (1.1,), 1, 1.0, "--budget must be shares above 0 and up to 1; got 1.1"),
        (("tanh",), (float("nan"),), 1, 1.0, "--budget must be shares above 0 and up to 1"),
        (("tanh",), (0.5,), 0, 1.0, "a study needs a method, a budget and a seed"),
        ((), (0.5,), 1, 1.0, "a study needs a method, a budget and a seed"),
        (("tanh",), (0.5,), 1, 1.5, "--slc-rate must be from 0 to 100 per cent; got 150"),
    ],
)
def test_refusals_come_before_any_work(recipe, tmp_path, methods, budgets, seeds, rate, message):
    with pytest.raises(InputError) as caught:
        study(recipe, methods, budgets, seeds, tmp_path / "s", slc_rate=rate)
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []
