"""A scenario that names a checkpoint: how fast, how much and how right, in one run."""

import json
import shutil

import pytest
import torch

from hyflexsim.models.cells.on_chip import Device, on_chip
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise
from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import Scenario, simulate
from hyflexsim.workloads.cli import main as cli
from hyflexsim.workloads.compression.judged_models import open_checkpoint, score
from hyflexsim.workloads.compression.judged_run import check
from hyflexsim.workloads.compression.protection import rank_scores_of
from hyflexsim.workloads.run import run
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.run.summary import NOTES
from hyflexsim.workloads.scenario.checkpoints import read_about

TEXT = """
[model]
checkpoint = "tiny"
[mapping]
slc_rate = 0.25
[accuracy]
sigma = [0.4]
seeds = 2
limit = 30
[workload]
kind = "tokens"
tokens = 5
requests = 2
"""
QUERY = "layers.0.attention.q_proj"


@pytest.fixture
def scenario(checkpoint, tmp_path):
    """A scenario of the checkpoint, beside a copy of it, with changes."""
    shutil.copytree(checkpoint, tmp_path / "tiny")
    path = tmp_path / "run.toml"
    path.write_text(TEXT)
    return lambda *changes: Scenario.load(path, changes)


def top(chip, scores, rates):
    """The top share of the ranks; of U they begin a row tile of 64, which takes in all others."""
    masks = {}
    for path, size in chip.sizes.items():
        best = scores[path].sort(descending=True, stable=True).indices[: int(rates[path] * size)]
        mask = torch.zeros(size, dtype=torch.bool)
        mask[best] = True
        masks[path] = [mask, torch.full((size,), len(best) > 0)]
    return masks


def test_accuracy_stands_beside_latency_and_energy(scenario, checkpoint):
    summary = simulate(scenario()).summary
    assert summary["latency_ps"]["p50"] > 0
    assert summary["energy_per_request_pj"] > 0
    found = summary["accuracy"]
    assert found["metric"] == read_about(checkpoint)["metric"]
    (row,) = found["noise"]
    assert (row["value"], row["name"], len(row["scores"])) == (0.4, "given", 2)
    assert row["mean"] == pytest.approx(sum(row["scores"]) / 2)
    assert row["half_width"] is not None
    assert set(found["references"]) == {"fine-tuned"}  # of the same 30 items
    assert NOTES[0] not in summary["notes"]
    opened = open_checkpoint(checkpoint)
    scores = rank_scores_of(opened.model, checkpoint, "gradient")
    for seed, expected in enumerate(row["scores"]):
        with on_chip(opened.model, Device(MultiplicativeNoise(0.4)), seed) as chip:
            chip.protect(top(chip, scores, dict.fromkeys(chip.sizes, 0.25)))
            assert score(opened.model, opened.task, 30)["accuracy"] == expected


def test_without_a_judge_a_run_says_that_it_does_not_know(scenario):
    summary = run.simulate(scenario()).summary
    assert "accuracy" not in summary
    assert NOTES[0] in summary["notes"]


def test_what_is_exact_for_the_scores_but_in_mlc_is_said(scenario):
    assert not any("MLC" in note for note in simulate(scenario()).summary["accuracy"]["notes"])
    whole = scenario('mapping.slc_rates={"*"=0.5}')
    assert any(
        "placed in MLC cells, but computed exactly for the scores: " in note
        and "classifier" in note
        for note in simulate(whole).summary["accuracy"]["notes"]
    )


def test_without_limit_the_references_are_those_of_the_checkpoint(scenario, checkpoint):
    scene = scenario("accuracy.seeds=1")
    scene = scene.model_copy(update={"accuracy": scene.accuracy.model_copy(update={"limit": None})})
    found = simulate(scene).summary["accuracy"]
    about = read_about(checkpoint)
    assert found["references"] == {n: f["accuracy"] for n, f in about["scores"].items()}
    assert found["noise"][0]["half_width"] is None  # one seed has no interval
    json.dumps(found, allow_nan=False)


def test_the_same_scenario_gives_the_same_summary(scenario, tmp_path):
    for name in ("one", "two"):
        simulate(scenario()).save(tmp_path / name / "run")
    one, two = (tmp_path / name / "run/summary.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    seconds = json.loads((tmp_path / "one/run/host.json").read_text())["seconds"]
    assert "accuracy" in seconds


def test_the_chip_has_the_ranks_of_the_checkpoint(scenario, checkpoint):
    placement = prepare(scenario()).placement
    layers = read_ranks(checkpoint)["layers"]
    ranks = {weight.ops[0]: weight.rank for weight in placement.weights.values()}
    assert {op: rank for op, rank in ranks.items() if rank is not None} == {
        path.removeprefix("vit."): layer["rank"] for path, layer in layers.items()
    }


def arrays(placement, op):
    rows = [row for row in placement.rows() if row["op"] == op]
    return sum(row["arrays_slc"] for row in rows), sum(row["arrays_mlc"] for row in rows)


def test_what_is_computed_exactly_is_in_single_level_cells(scenario):
    placement = prepare(scenario("mapping.slc_rate=0.0", "mapping.copies=1")).placement
    for op in ("classifier", "embeddings.patch_embeddings.projection"):
        slc, mlc = arrays(placement, op)
        assert slc > 0
        assert mlc == 0
    slc, mlc = arrays(placement, QUERY)
    assert slc == 0
    assert mlc > 0
    changed = scenario("mapping.slc_rate=0.0", "mapping.slc_rates.classifier=0.0")
    assert arrays(prepare(changed).placement, "classifier")[0] == 0  # the scenario says so


def test_rates_of_single_ops_act_on_accuracy_too(scenario, checkpoint):
    rate = f'mapping.slc_rates."{QUERY}"=1.0'
    found = simulate(scenario("mapping.slc_rate=0.0", "accuracy.sigma=[1.0]", rate)).summary
    opened = open_checkpoint(checkpoint)
    scores = rank_scores_of(opened.model, checkpoint, "gradient")
    expected = []
    for seed in range(2):
        with on_chip(opened.model, Device(MultiplicativeNoise(1.0)), seed) as chip:
            rates = {path: float(path == f"vit.{QUERY}") for path in chip.sizes}
            assert sum(rates.values()) == 1
            chip.protect(top(chip, scores, rates))
            expected.append(score(opened.model, opened.task, 30)["accuracy"])
    assert found["accuracy"]["noise"][0]["scores"] == expected
    all_slc = simulate(scenario('mapping.slc_rates."layers.*"=1.0', "accuracy.sigma=[1.0]"))
    with on_chip(opened.model, Device(noise=None), 0):
        quiet = score(opened.model, opened.task, 30)["accuracy"]
    assert all_slc.summary["accuracy"]["noise"][0]["scores"] == [quiet] * 2


def test_the_command_prints_it(scenario, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scenario()
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", "run.toml", "--no-plots"])
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    for word in ("latency p50", "energy per request", "accuracy (higher is better)", "noise given"):
        assert word in out


def test_a_checkpoint_without_gradients_cannot_be_placed_by_them(scenario, tmp_path):
    entry = json.loads((tmp_path / "tiny/ranks.json").read_text())
    for layer in entry["layers"].values():
        layer["scores"] = {"other": layer["scores"]["gradient"]}
    (tmp_path / "tiny/ranks.json").write_text(json.dumps(entry))
    with pytest.raises(InputError, match="has no scores 'gradient' of"):
        simulate(scenario())
    assert simulate(scenario("accuracy.select=rank")).summary["accuracy"]["noise"]


def test_what_changes_the_cells_changes_the_score_with_the_energy(scenario):
    """One chip gives all three answers; each parameter apart: test_values_of_chips.py."""
    plain = simulate(scenario('accuracy.sigma=["chip"]')).summary
    for change in ("analog.weight_bits=2", "adc.mlc_bits=2"):
        found = simulate(scenario('accuracy.sigma=["chip"]', change)).summary
        assert found["accuracy"]["noise"][0]["mean"] < plain["accuracy"]["noise"][0]["mean"]
        assert found["energy_per_request_pj"] < plain["energy_per_request_pj"]


def test_a_selection_without_factors_is_placed_without_factors(scenario):
    """By magnitude the model is multiplied out: the chip that is timed holds whole matrices."""
    placement = simulate(scenario("accuracy.select=magnitude")).placement
    assert all(weight.rank is None for weight in placement.weights.values())


def test_refusals(scenario, tmp_path, monkeypatch):
    scenario()
    for change, message in (
        ("model.checkpoint=none", "checkpoint must be a folder made by hyflexsim compress"),
        ("accuracy.sigma=[loud]", "accuracy.sigma must be a list of chip, released"),
        ('accuracy.sigma=["loud"]', "sigma must be chip, released, calibrated"),
        ("accuracy.sigma=[1e308]", "sigma must be a number from 0 to 10; got 1e+308"),
        ('trace.components=["nosuch"]', "trace.components: 'nosuch' matches nothing; names are"),
        ("trace.first=5000", "trace.first must be below 2 (trace.stop, and the requests); got"),
        ("workload.tokens=6", "workload.tokens must be 5: "),
    ):
        path = tmp_path / "run.toml"
        with pytest.raises(InputError) as caught:
            check(Scenario.load(path, [change]))  # what validate does
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        monkeypatch.setattr(run.engines, "play", lambda *_, **__: pytest.fail("plays"))
        with pytest.raises(InputError) as again:
            simulate(Scenario.load(path, [change]))
        assert str(again.value) == str(caught.value)


@pytest.mark.parametrize("harm", ["n", "layer", "weights"])
def test_validate_reads_the_checkpoint(scenario, tmp_path, capsys, harm):
    scenario()
    file = tmp_path / "tiny" / "ranks.json"
    entry = json.loads(file.read_text())
    first = next(iter(entry["layers"]))
    if harm == "n":
        entry["layers"][first]["n"] = -5
    elif harm == "layer":
        del entry["layers"][first]
    else:
        (tmp_path / "tiny" / "model.safetensors").write_bytes(b"\0" * 100)
    file.write_text(json.dumps(entry))
    with pytest.raises(SystemExit) as stop:
        cli.main(["validate", str(tmp_path / "run.toml")])
    err = capsys.readouterr().err
    assert (stop.value.code, err.count("\n")) == (2, 1)
    assert str(tmp_path / "tiny") in err


def test_check_prepares_what_the_run_plays(scenario):
    ready, result = check(scenario()), simulate(scenario())
    assert ready.plan.components == result.plan.components
    assert ready.placement.pus_used == result.placement.pus_used
