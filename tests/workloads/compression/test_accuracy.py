"""Sweeps over SLC rates, noises and converters: complete, repeatable, resumable."""

import json
import shutil
from functools import partial

import pyarrow.parquet as pq
import pytest
import torch

from hyflexsim.analysis import accuracy_table
from hyflexsim.models.cells.on_chip import Device, on_chip
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise
from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.models.lowrank.redistribution import rank_scores
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import accuracy, accuracy_point
from hyflexsim.workloads.compression.accuracy import Grid
from hyflexsim.workloads.compression.devices import settings_from
from hyflexsim.workloads.compression.judged_models import open_checkpoint, score
from hyflexsim.workloads.compression.machines import Machine, machine_from
from hyflexsim.workloads.compression.protection import prepared, rank_scores_of
from hyflexsim.workloads.scenario.checkpoints import read_about

sweep = partial(accuracy.sweep, workers=0)
KEYS = ["select", "sigma", "slc_rate", "adc_bits", "seed"]
GRID = Grid((0.0, 0.5, 1.0), ("gradient",), (0,))


def settings(**changes):
    return settings_from({"sigma": [0.3], "seeds": 2, "limit": 40} | changes)


def rows_of(folder):
    return pq.read_table(folder / "accuracy.parquet").to_pylist()


def info_of(folder):
    return json.loads((folder / "accuracy.json").read_text())


def interrupted(*_, **__):
    raise KeyboardInterrupt


def key_of(row):
    return tuple(row[name] for name in KEYS)


# -- rows ----------------------------------------------------------------------------------------


def test_rows_are_complete_and_unique(checkpoint, tmp_path):
    grid = Grid((0.0, 0.5, 1.0), ("gradient", "rank", "magnitude"), (0,))
    out = sweep(checkpoint, settings(sigma=[0.3, "released"]), grid, tmp_path / "a")
    rows = rows_of(out)
    expected = {
        (select, sigma, rate, 0, seed)
        for select in grid.selects
        for sigma in (0.3, 0.025)
        for rate in (0.0, 0.5)
        for seed in (0, 1)
    } | {(select, 0.3, 1.0, 0, 0) for select in grid.selects}
    assert {key_of(row) for row in rows} == expected
    assert len(rows) == len(expected)
    by_key = {key_of(row): row["score"] for row in rows}
    # without a rank in SLC it does not matter how they would have been chosen
    for seed in (0, 1):
        assert by_key["gradient", 0.3, 0.0, 0, seed] == by_key["rank", 0.3, 0.0, 0, seed]
    assert by_key["gradient", 0.3, 1.0, 0, 0] == by_key["rank", 0.3, 1.0, 0, 0]
    table = accuracy_table(out)
    quiet = table[table["slc_rate"] == 1]
    assert set(quiet["n"]) == {1}
    assert set(quiet["select"]) == set(grid.selects)


def test_a_score_is_that_of_one_programmed_chip(checkpoint, tmp_path):
    out = sweep(checkpoint, settings(limit=None), GRID, tmp_path / "a")
    by_key = {key_of(row): row["score"] for row in rows_of(out)}
    opened = open_checkpoint(checkpoint)
    exact = Device(MultiplicativeNoise(0.3), converters=False)
    with on_chip(opened.model, exact, seed=1) as chip:
        assert score(opened.model, opened.task)["accuracy"] == by_key["gradient", 0.3, 0.0, 0, 1]
        layers = read_ranks(checkpoint)["layers"]
        masks = {}
        for path, size in chip.sizes.items():
            values = layers[path]["scores"]["gradient"]
            best = sorted(range(size), key=lambda i, v=values: -v[i])[: size // 2]
            half = torch.tensor([i in best for i in range(size)])
            # of U these ranks begin a row tile of 64, which takes in all others
            masks[path] = [half, torch.ones(size, dtype=torch.bool)]
        chip.protect(masks)
        assert score(opened.model, opened.task)["accuracy"] == by_key["gradient", 0.3, 0.5, 0, 1]
    with on_chip(opened.model, Device(noise=None, converters=False), seed=0):
        assert score(opened.model, opened.task)["accuracy"] == by_key["gradient", 0.3, 1.0, 0, 0]


def test_the_same_sweep_gives_the_same_bytes_and_seeds_matter(checkpoint, tmp_path):
    for name in ("one", "two"):
        sweep(checkpoint, settings(), GRID, tmp_path / name)
    for file in ("accuracy.parquet", "accuracy.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    few = sweep(checkpoint, settings(seeds=1), GRID, tmp_path / "few")
    many = {key_of(row): row["score"] for row in rows_of(tmp_path / "one")}
    assert all(many[key_of(row)] == row["score"] for row in rows_of(few))
    loud = sweep(checkpoint, settings(seeds=6, sigma=[1.0]), Grid((0.0,), ("rank",), (0,)), few)
    assert len({row["score"] for row in rows_of(loud)}) > 1


def test_processes_give_the_same_bytes(checkpoint, tmp_path):
    grid = Grid((0.0, 0.5, 1.0), ("gradient", "magnitude"), (0,))
    for name, workers in (("here", 0), ("there", 1)):
        accuracy.sweep(checkpoint, settings(), grid, tmp_path / name, workers=workers)
    for file in ("accuracy.parquet", "accuracy.json"):
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "there" / file).read_bytes()


@pytest.mark.parametrize("after", [1, 3, 4])
def test_an_interrupted_sweep_ends_as_another(checkpoint, tmp_path, monkeypatch, after):
    whole = sweep(checkpoint, settings(), GRID, tmp_path / "whole")
    calls = []

    def counted(*arguments):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return score(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(accuracy_point, "score", counted)
        sweep(checkpoint, settings(), GRID, tmp_path / "cut")
    assert (tmp_path / "cut.work").is_dir()
    with pytest.raises(InputError, match="of an unfinished job with another seeds"):
        sweep(checkpoint, settings(seeds=3), GRID, tmp_path / "cut")
    cut = sweep(checkpoint, settings(), GRID, tmp_path / "cut")
    for file in ("accuracy.parquet", "accuracy.json"):
        assert (whole / file).read_bytes() == (cut / file).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "whole"]


def test_a_checkpoint_that_changed_is_no_longer_the_same_job(checkpoint, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    shutil.copytree(checkpoint, mine)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            accuracy, "computed", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        sweep(mine, settings(), GRID, tmp_path / "a")
    text = (mine / "ranks.json").read_text()
    (mine / "ranks.json").write_text(text.replace('"title": "tiny"', '"title": "other"'))
    with pytest.raises(InputError, match="another content of the checkpoint"):
        sweep(mine, settings(), GRID, tmp_path / "a")


# -- what a row may vary -------------------------------------------------------------------------


def test_converters_have_a_column(checkpoint, tmp_path):
    grid = Grid((0.0, 1.0), ("gradient",), (0, 8, 2))
    out = sweep(checkpoint, settings(limit=6, seeds=1, sigma=[0.0]), grid, tmp_path / "a")
    by_key = {(row["adc_bits"], row["slc_rate"]): row["score"] for row in rows_of(out)}
    assert len(by_key) == 6
    # 8 bits for 2-bit cells lose nothing, so without noise no score changes
    assert by_key[8, 0.0] == by_key[0, 0.0] == by_key[0, 1.0]


def test_without_a_word_the_converters_are_the_chips(checkpoint, tmp_path):
    chosen = settings(limit=6, seeds=1, sigma=["chip"])
    own = rows_of(sweep(checkpoint, chosen, Grid((0.0,), ("rank",)), tmp_path / "a"))
    assert [(row["adc_bits"], row["sigma"]) for row in own] == [(7, 0.025)]
    eight = Machine(changes={"analog.adc.mlc_bits": 8})
    chosen = settings(limit=6, seeds=1, sigma=[0.0])
    loose = sweep(checkpoint, chosen, Grid((0.0,), ("rank",)), tmp_path / "b", machine=eight)
    exact = sweep(checkpoint, chosen, Grid((0.0,), ("rank",), (0,)), tmp_path / "c")
    assert rows_of(loose)[0]["score"] == rows_of(exact)[0]["score"]
    assert info_of(loose)["chip"]["analog.adc.mlc_bits"] == 8


def test_slc_cells_may_be_noisy_too(checkpoint, tmp_path):
    machine = machine_from("hyflexpim", ["slc_sigma=0.5"])
    out = sweep(checkpoint, settings(seeds=3), GRID, tmp_path / "a", machine=machine)
    ones = [row for row in rows_of(out) if row["slc_rate"] == 1]
    assert [row["seed"] for row in ones] == [0, 1, 2]  # nothing is certain any more


def test_a_conductance_model_is_a_noise_of_its_own(checkpoint, tmp_path):
    changes = ["cells.noise=conductance", "program_sigma=30 uS"]
    machine = machine_from("hyflexpim", changes)
    out = sweep(checkpoint, settings(sigma=["chip"]), GRID, tmp_path / "a", machine=machine)
    assert {row["sigma"] for row in rows_of(out)} == {0.0}
    assert len(rows_of(out)) == 3 * 2  # cells in SLC are conductances too
    (noise,) = info_of(out)["noise"]
    assert noise["report"].startswith("ConductanceModel(")
    assert "program_sigma_us=30.0" in noise["report"]


# -- selection -----------------------------------------------------------------------------------


def test_scores_by_which_ranks_are_chosen(checkpoint):
    opened = open_checkpoint(checkpoint)
    layers = read_ranks(checkpoint)["layers"]
    for select in ("gradient", "gradient-last"):
        found = rank_scores_of(opened.model, checkpoint, select)
        for path, layer in layers.items():
            assert found[path].tolist() == pytest.approx(layer["scores"][select])
    by_rank = rank_scores_of(opened.model, checkpoint, "rank")
    saliency = rank_scores_of(opened.model, checkpoint, "saliency")
    for path, values in rank_scores(opened.model).items():
        assert torch.equal(by_rank[path], values)
        # sigma times |dL/dsigma|; a folded layer holds sigma in the columns of V
        v = opened.model.get_submodule(path).v
        expected = v.norm(dim=0) * torch.tensor(layers[path]["scores"]["gradient"])
        torch.testing.assert_close(saliency[path], expected)
    with prepared(opened.model, "magnitude") as dense:
        found = rank_scores_of(dense, checkpoint, "magnitude")
        assert found.keys() == layers.keys()
        for path, layer in layers.items():
            weight = dense.get_submodule(path).weight
            assert weight.shape == (layer["n"], layer["m"])
            assert found[path].tolist() == pytest.approx(weight.norm(dim=1).tolist())
    with prepared(opened.model, "rank") as same:
        assert same is opened.model
    assert score(dense, opened.task) == pytest.approx(score(opened.model, opened.task))


# -- references ----------------------------------------------------------------------------------


def test_references_are_of_the_items_that_were_scored(checkpoint, tmp_path):
    about = read_about(checkpoint)
    whole = info_of(sweep(checkpoint, settings(limit=None), GRID, tmp_path / "whole"))
    assert whole["references"] == [
        {"name": name, "score": figures["accuracy"]} for name, figures in about["scores"].items()
    ]
    assert whole["notes"] == []
    part = info_of(sweep(checkpoint, settings(limit=7), GRID, tmp_path / "part"))
    opened = open_checkpoint(checkpoint)
    assert part["references"] == [
        {"name": "fine-tuned", "score": score(opened.model, opened.task, 7)["accuracy"]}
    ]
    (note,) = part["notes"]
    assert "first 7 held-out items" in note
    assert whole["importance"] == about["importance"]
    assert (whole["title"], whole["data"]) == ("tiny", "digits")
    assert (whole["chip"]["name"], whole["chip"]["analog.input_bits"]) == ("hyflexpim", 8)


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "changes", "message"),
    [
        (Grid((1.01,), ("rank",), (0,)), {}, "slc_rate must be from 0 to 100 per cent; got 101"),
        (Grid((-0.1,), ("rank",), (0,)), {}, "slc_rate must be from 0 to 100 per cent; got -10"),
        (Grid((float("nan"),), ("rank",), (0,)), {}, "slc_rate must be from 0 to 100 per cent"),
        (
            Grid((0.0,), ("best",), (0,)),
            {},
            "select must be of gradient, gradient-last, rank, saliency, magnitude; got 'best'",
        ),
        (Grid((), ("rank",), (0,)), {}, "a sweep needs an SLC rate and a selection; got none"),
        (
            Grid((0.0,), ("rank",), (0,)),
            {"sigma": ["loud"]},
            "sigma must be chip, released, calibrated, calibrated-bit or a number from 0; got",
        ),
        (Grid((0.0,), ("rank",), (17,)), {}, "analog.adc.mlc_bits must be a whole number from 1"),
        (Grid((0.0,), ("rank",), (-1,)), {}, "analog.adc.mlc_bits must be a whole number from 1"),
        (Grid((0.0,), ("rank",), (0,)), {"sigma": [-0.1]}, "sigma must be finite and not negativ"),
    ],
)
def test_bad_sweeps_leave_nothing_behind(checkpoint, tmp_path, grid, changes, message):
    with pytest.raises((InputError, ModelError)) as caught:
        sweep(checkpoint, settings(**changes), grid, tmp_path / "deep" / "a")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_folder_is_not_written_over(checkpoint, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="must be a new folder"):
        sweep(checkpoint, settings(), GRID, tmp_path)


def test_a_checkpoint_without_the_scores_asked_for(checkpoint, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(checkpoint, mine)
    entry = json.loads((mine / "ranks.json").read_text())
    for layer in entry["layers"].values():
        layer["scores"].pop("gradient-last")
    (mine / "ranks.json").write_text(json.dumps(entry))
    with pytest.raises(InputError, match=r"ranks\.json has no scores 'gradient-last' of vit"):
        sweep(mine, settings(), Grid((0.5,), ("gradient-last",), (0,)), tmp_path / "a")
