"""Sweeps of scenarios: every point is what a run of its own says."""

import pandas as pd
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import Scenario, simulate, sweep
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.scenario.colocation import load
from hyflexsim.workloads.sweeping import sweep as module
from hyflexsim.workloads.sweeping.answers import answers_of
from hyflexsim.workloads.sweeping.estimate import estimate
from hyflexsim.workloads.sweeping.scenario_point import scenario_of, scenario_point
from hyflexsim.workloads.sweeping.sweep_file import Sweep

JETS = {
    "scenario": "part-jets",
    "set": {"workload.count": 2},
    "vary": {
        "adc.per_array": [1, 2],
        "workload.arrivals.rate_per_s": {"from": 1e5, "to": 1e6, "steps": 2},
        "run.seed": [1, 2],
    },
}


def table(folder):
    return pd.read_parquet(folder / "points.parquet")


@pytest.mark.parametrize("workers", [0, 2])
def test_points_are_what_runs_say(tmp_path, workers):
    rows = table(sweep(JETS, tmp_path / "jets", workers=workers))
    assert len(rows) == 8
    for _, row in rows.iterrows():
        changes = {key: row[key] for key in JETS["vary"]} | JETS["set"]
        alone = simulate(Scenario.load("part-jets", {k: _plain(v) for k, v in changes.items()}))
        answers = answers_of(alone.summary)
        assert {name: row[name] for name in answers} == answers
        assert row["error"] is None or pd.isna(row["error"])


def _plain(value):
    return value.item() if hasattr(value, "item") else value


def test_plans_that_are_kept_change_nothing():
    kept = Kept(most=2)
    dead = "faults.names=['pu0']"
    for changes in (["run.seed=1"], [dead], ["adc.per_array=2"], ["run.seed=2"]):
        scenario = Scenario.load("part-jets", ["workload.count=3", *changes])
        assert simulate(scenario, kept=kept).summary == simulate(scenario).summary


def test_every_key_that_a_plan_may_read_makes_another():
    """Sections of a scenario count unless they are of what comes after the plan."""
    from hyflexsim.workloads.run.prepare import plan_key  # noqa: PLC0415

    def key(*changes):
        return plan_key(Scenario.load("part-jets", changes), 48, 99)

    for change in (
        "faults.arrays=0.1",
        "mapping.spare_arrays=1",
        "chip.chips=2",
        "run.overlap=layer-serial",
    ):
        assert key(change) != key(), change
    assert key("run.seed=3", "accuracy.seeds=1", "trace.every=2") == key()


def test_a_plan_is_made_once_for_points_that_differ_in_arrivals(monkeypatch):
    from hyflexsim.workloads.run import prepare  # noqa: PLC0415

    made = []
    real = prepare.build_plan
    monkeypatch.setattr(prepare, "build_plan", lambda *a, **k: made.append(1) or real(*a, **k))
    kept = Kept()
    for seed in range(3):
        scenario = Scenario.load("bert-base", {"workload.requests": 1, "run.seed": seed})
        simulate(scenario, kept=kept)
    assert len(made) == 1


TWO = {
    "scenario": "jets-and-mlp",
    "set": {"models.mlp.workload.requests": 30, "models.tagger.workload.count": 2},
    "vary": {
        "models.tagger.workload.arrivals.rate_per_s": [1e4, 1e5],
        "models.tagger.pus": [12, 23],
        "models.mlp.mapping.copies": ["none", "fill"],
    },
}


def test_several_models_are_swept_as_one(tmp_path, monkeypatch):
    from hyflexsim.workloads.run import prepare  # noqa: PLC0415

    made = []
    real = prepare.build_plan
    monkeypatch.setattr(prepare, "build_plan", lambda *a, **k: made.append(1) or real(*a, **k))
    rows = table(sweep(TWO, tmp_path / "two", workers=0))
    assert len(made) == 2 + 2  # of the MLP with copies and without, of ParT on 12 PUs and on 23
    assert len(rows) == 8
    for _, row in rows.iterrows():
        changes = {key: _plain(row[key]) for key in TWO["vary"]} | TWO["set"]
        answers = answers_of(simulate(load("jets-and-mlp", changes)).summary)
        assert {name: row[name] for name in answers} == answers
    assert set(rows["models.tagger.pus"]) == {12, 23}


def test_a_point_that_fails_has_an_error_line(tmp_path):
    vary = {"vary": {"workload.count": [1, 10**6]}, "set": {}}
    rows = table(sweep(JETS | vary, tmp_path / "jets", workers=0))
    assert pd.isna(rows["error"][0])
    assert rows["error"][1].startswith("workload.count must be at most ")
    assert pd.isna(rows["makespan_ps"][1])


def test_a_sweep_goes_on_where_it_was(tmp_path, monkeypatch):
    calls = []

    def stopping(settings):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(settings)
        return scenario_point(settings)

    monkeypatch.setattr(module, "scenario_point", stopping)
    with pytest.raises(KeyboardInterrupt):
        sweep(JETS, tmp_path / "jets", workers=0)
    monkeypatch.setattr(module, "scenario_point", lambda s: calls.append(s) or scenario_point(s))
    rows = table(sweep(JETS, tmp_path / "jets", workers=0))
    assert len(calls) == len(rows) == 8
    sweep(JETS, tmp_path / "jets", workers=0)
    assert len(calls) == 8  # all there


def test_failed_points_are_computed_again_when_asked_for(tmp_path, monkeypatch):
    def broken(settings):
        raise OSError("the file server is away")

    monkeypatch.setattr(module, "scenario_point", broken)
    rows = table(sweep(JETS, tmp_path / "jets", workers=0))
    assert set(rows["error"]) == {"OSError: the file server is away"}
    monkeypatch.undo()
    assert table(sweep(JETS, tmp_path / "jets", workers=0))["error"].notna().all()
    assert table(sweep(JETS, tmp_path / "jets", workers=0, retry=True))["error"].isna().all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vary": {"adc.per_arrya": [1, 2]}}, "unknown key 'adc.per_arrya'"),
        ({"vary": {"mapping.slc_rate": [0.5, 2.0]}}, "mapping.slc_rate must be a number from 0"),
        ({"vary": {"adc.slc_bits": [6, 99]}}, "adc.slc_bits must be"),
        ({"set": {"workload.tokens": 3}}, "workload.tokens goes with workload.kind tokens"),
        ({"scenario": "part-jet"}, "nearest names: part-jets"),
        (
            {"objectives": {"latency_ps.p9": "min"}},
            "no answer 'latency_ps.p9'; nearest: latency_ps",
        ),
        ({"objectives": {"bound.kind": "min"}}, "an objective must be a number"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(tmp_path, changes, words):
    with pytest.raises(InputError) as refused:
        sweep(JETS | changes, tmp_path / "jets", workers=0)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_counts_and_scales():
    found = estimate(Sweep.of(JETS), workers=0)
    assert (found.points, found.workers, found.error) == (8, 1, None)
    assert found.total_s == 8 * found.seconds
    assert found.memory_mb == found.peak_mb > 10


def test_the_scenario_itself_can_vary():
    assert scenario_of({"scenario": "bert-base", "workload.requests": 3}).workload.requests == 3
    varied = Sweep.of({"scenario": "part-jets", "vary": {"scenario": ["part-jets", "bert-base"]}})
    names = {scenario_of({**varied.common, **point}).name for point in varied.points()}
    assert names == {"part-jets", "bert-base"}
