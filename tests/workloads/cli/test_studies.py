"""Commands on compression and accuracy: what they print and write, and refusals in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hyflexsim.workloads.compression import stages
from hyflexsim.workloads.compression.recipe import shipped
from hyflexsim.workloads.scenario import checkpoints

RECIPE = """
title = "tiny"
[model]
config = { model_type = "vit", architectures = ["ViTForImageClassification"], image_size = 8, \
patch_size = 4, num_channels = 1, hidden_size = 32, num_hidden_layers = 2, \
num_attention_heads = 2, intermediate_size = 64, hidden_dropout_prob = 0.1 }
[data]
name = "digits"
train_limit = 64
test_limit = 30
[compress]
steps = 2
[recover]
batch = 32
[workload]
kind = "tokens"
tokens = 5
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with a recipe ``tiny.toml``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    torch.set_num_threads(1)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def _noise(study):
    noise = json.loads((study / "accuracy.json").read_text())["noise"]
    return {entry["sigma"]: entry for entry in noise}


def test_compress_then_accuracy(hyflexsim, folder):
    code, out, err = hyflexsim("compress", "tiny.toml")
    assert (code, err) == (0, "")
    for word in ("dense INT8", "truncated", "fine-tuned", "floor (nothing learned)", "parameters:"):
        assert word in out
    assert out.splitlines()[-1] == "written to runs/tiny"
    about = json.loads((folder / "runs/tiny/ranks.json").read_text())["about"]
    assert f"{about['scores']['fine-tuned']['accuracy']:.4f}" in out
    code, out, err = hyflexsim(
        *("accuracy", "runs/tiny", "--slc-rate", "0,50,100", "--sigma", "released,0.3"),
        *("--workers", 0),
        *("--select", "gradient,rank", "--seeds", 2, "--limit", 20, "--adc", "0,8"),
    )
    assert (code, err) == (0, "")
    for word in ("fine-tuned", "released", "given", "half_width", "runs/tiny-accuracy/adc.png"):
        assert word in out
    assert "sigma 0.3 in 2-bit cells: wrong cells " in out
    own = _noise(folder / "runs/tiny-accuracy")[0.3]["own_wrong_cells"]
    assert f"(of this model's own cells {100 * own:.3g} %)" in out
    drawn = {path.name for path in (folder / "runs/tiny-accuracy").iterdir()}
    assert {"accuracy.parquet", "accuracy.json", "accuracy.png", "importance.png"} <= drawn
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["tiny", "tiny-accuracy"]


def test_an_interrupted_compression_goes_on_or_starts_anew(hyflexsim, folder, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages, "_factorised", stop)
        assert hyflexsim("compress", "tiny.toml")[0] == 130
    assert (folder / "runs/tiny.work").is_dir()
    code, _, err = hyflexsim("compress", "tiny.toml", "--set", "recover.lr=1e-3")
    assert code == 2
    assert "another recover.lr; finish that one, or start anew with --fresh" in err
    assert hyflexsim("compress", "tiny.toml", "--set", "recover.lr=1e-3", "--fresh")[0] == 0
    assert not (folder / "runs/tiny.work").exists()


def test_ranks_and_pareto(hyflexsim, folder):
    code, out, err = hyflexsim(
        *("ranks", "tiny.toml", "--method", "uniform, tanh", "--budget", "0.5", "--seeds", 2)
    )
    assert (code, err) == (0, "")
    for word in ("uniform", "tanh", "linears_share", "runs/tiny-ranks/recovery.png"):
        assert word in out
    code, out, err = hyflexsim(
        *("pareto", "tiny.toml", "--method", "uniform", "--budget", "0.5,1", "--workers", 0),
        *("--slc-rate", "0,100", "--seeds", 2, "--sigma", "0.2"),
    )
    assert (code, err) == (0, "")
    for word in ("budget", "latency_ps", "runs/tiny-pareto/pareto.png"):
        assert word in out
    assert (folder / "runs/tiny-pareto/pareto.parquet").is_file()


def test_pareto_of_chips_and_a_checkpoint(hyflexsim, folder, checkpoint):
    code, out, err = hyflexsim(
        *("pareto", checkpoint, "--compressed", "--slc-rate", 100, "--seeds", 1, "--limit", 20),
        *("--workers", 0),
        *("--vary", "adc.slc_bits:adc.mlc_bits=2:3,6:7", "--out", "runs/chips"),
    )
    assert (code, err) == (0, "")
    assert "2 of 2 points of 2 chips are on the front" in out
    own = next(line for line in out.splitlines() if line.startswith("own"))
    assert own.split()[:3] == ["own", "front", "6:7"]
    other = next(line for line in out.splitlines() if line.startswith("front"))
    assert "2:3" in other
    assert other.split()[-2:][1] == "mm²"
    assert "written to runs/chips/pareto.png" in out


GUESS = "note: scores are a guess: brightness of 100.0% of the pictures is outside of -9 to -8, wh"


def test_scores_of_pictures_unlike_those_of_the_training_are_said_by_feature(
    hyflexsim, folder, dark_checkpoint
):
    few = ("--slc-rate", 100, "--seeds", 1, "--limit", 20, "--workers", 0)
    for command in ("pareto", "accuracy"):
        more = ("--compressed",) * (command == "pareto")
        code, out, _ = hyflexsim(command, dark_checkpoint, *more, *few, "--out", f"runs/{command}")
        assert code == 0
        assert out.count(GUESS) == 1
        assert "note: all scores, also of the reference, are of the first 20 held-out items" in out
        assert hyflexsim("report", f"runs/{command}")[0] == 0
        assert GUESS.removeprefix("note: ") in Path(f"runs/{command}/report.html").read_text()


def test_data_lists_what_there_is(hyflexsim, checkpoint, monkeypatch):
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", checkpoint.parent)
    code, out, _ = hyflexsim("data")
    assert code == 0
    for name in (*shipped(), "minilm", "smollm2", "stories260k", "glue/mrpc", "digits", "pydoc"):
        assert name in out
    about = checkpoints.read_about(checkpoint)
    assert f"{about['scores']['fine-tuned']['accuracy']:.4g}" in out


# -- refusals ------------------------------------------------------------------------------------

ACCURACY = ("accuracy", "mine", "--seeds", "1")
BAD = {
    "unknown recipe": ("compress", "tinny.toml"),
    "unknown recipe name": ("compress", "vit-digit"),
    "unknown data": ("compress", "tiny.toml", "--set", "data.name=digitz"),
    "unknown option": ("compress", "tiny.toml", "--set", "data.color=1"),
    "unknown key": ("compress", "tiny.toml", "--set", "train.speed=1"),
    "wrong kind of option": ("compress", "tiny.toml", "--set", "data.train_limit=few"),
    "no recovery rate": ("compress", "tiny.toml", "--set", "recover.lr=0"),
    "no budget": ("compress", "tiny.toml", "--set", "compress.budget=0"),
    "unknown weights": ("compress", "weights.toml"),
    "no linear layers": ("compress", "resnet.toml"),
    "nowhere to write": ("compress", "tiny.toml", "--out", "."),
    "file in the way": ("compress", "tiny.toml", "--out", "tiny.toml"),
    "no checkpoint": ("accuracy", "none"),
    "pickled checkpoint": ("accuracy", "model.pt"),
    "pickled folder": ("accuracy", "pickled"),
    "rate": (*ACCURACY, "--slc-rate", "101"),
    "negative rate": (*ACCURACY, "--slc-rate=-1"),
    "no rate": (*ACCURACY, "--slc-rate", "few"),
    "rate nan": (*ACCURACY, "--slc-rate", "nan"),
    "sigma": (*ACCURACY, "--sigma", "loud"),
    "negative sigma": (*ACCURACY, "--sigma=-0.1"),
    "select": (*ACCURACY, "--select", "best"),
    "adc": (*ACCURACY, "--adc", "17"),
    "half a bit": (*ACCURACY, "--adc", "6.5"),
    "adc nan": (*ACCURACY, "--adc", "nan"),
    "seeds": ("accuracy", "mine", "--seeds", "0"),
    "limit": (*ACCURACY, "--limit", "0"),
    "setting": (*ACCURACY, "--set", "clip=min"),
    "foreign target": (*ACCURACY, "--out", "pickled"),
    "method": ("ranks", "tiny.toml", "--method", "svd"),
    "budget": ("ranks", "tiny.toml", "--budget", "50"),
    "ranks rate": ("ranks", "tiny.toml", "--slc-rate", "101"),
    "no seeds": ("ranks", "tiny.toml", "--seeds", "0"),
    "pareto rate": ("pareto", "tiny.toml", "--slc-rate", "0,101"),
    "pareto vary": ("pareto", "tiny.toml", "--vary", "adc.mlc_bits=6,many"),
    "pareto chip": ("pareto", "mine", "--compressed", "--chip", "adc.slc_bits=99"),
    "a chip's bits": (*ACCURACY, "--set", "adc.slc_bits=99"),
    "converters": (*ACCURACY, "--adc", "6,99"),
    "pareto together": ("pareto", "tiny.toml", "--vary", "adc.slc_bits:adc.mlc_bits=6"),
    "pareto budget": ("pareto", "mine", "--compressed", "--budget", "0.5"),
    "pareto recipe": ("pareto", "tiny", "--compressed"),
    "pareto limit": ("pareto", "mine", "--compressed", "--limit", "0"),
    "pareto sigma": ("pareto", "tiny.toml", "--sigma", "loud"),
}
MESSAGES = {
    "unknown data": "data.name: no data set 'digitz'; nearest: digits",
    "unknown weights": "model.weights: no weights 'minilmm' and no such folder; nearest: minilm",
    "no linear layers": "has no linear layers to compress",
    "pickled checkpoint": "checkpoint must be a folder made by hyflexsim compress",
    "pickled folder": "pickled checkpoints are not read",
    "rate": "slc_rate must be from 0 to 100 per cent; got 101",
    "half a bit": "--adc must be integers with commas between; got '6.5'",
    "seeds": "seeds must be an integer from 1 to 1000; got 0",
    "pareto vary": "--vary: analog.adc.mlc_bits must be a whole number from 1 to 16",
    "pareto chip": "hyflexsim: --chip: analog.adc.slc_bits must be a whole number from 1 to 16",
    "a chip's bits": "hyflexsim: --set: analog.adc.slc_bits must be a whole number from 1 to 16",
    "converters": "hyflexsim: --adc: analog.adc.mlc_bits must be a whole number from 1 to 16",
    "pareto together": "--vary adc.slc_bits:adc.mlc_bits: must be 2 values, one a parameter, with",
    "pareto budget": "--budget goes with a recipe; --compressed takes a checkpoint as it is",
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(hyflexsim, folder, checkpoint, case):
    shutil.copytree(checkpoint, folder / "mine")
    torch.save({}, folder / "model.pt")
    (folder / "pickled").mkdir()
    torch.save({}, folder / "pickled" / "pytorch_model.bin")
    (folder / "weights.toml").write_text(
        '[model]\nweights = "minilmm"\n[data]\nname = "glue/mrpc"\n'
    )
    (folder / "resnet.toml").write_text(
        '[model]\nconfig = { model_type = "resnet", num_channels = 1, embedding_size = 8, '
        'architectures = ["ResNetForImageClassification"], hidden_sizes = [8], depths = [1] }\n'
        '[data]\nname = "digits"\n[train]\nepochs = 99\n'
    )
    before = sorted(folder.rglob("*"))
    code, out, err = hyflexsim(*BAD[case])
    assert (code, out) == (2, "")
    assert MESSAGES.get(case, "") in err
    assert err.startswith("hyflexsim: ")
    assert err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("broken", ["rank 0", "NaN", "infinity in a score", "format"])
def test_broken_checkpoints_are_refused_by_every_command(hyflexsim, folder, checkpoint, broken):
    mine = folder / "mine"
    shutil.copytree(checkpoint, mine)
    entry = json.loads((mine / "ranks.json").read_text())
    path, layer = next(iter(entry["layers"].items()))
    if broken == "rank 0":
        layer |= {"rank": 0, "scores": {}}
    elif broken == "infinity in a score":
        layer["scores"]["gradient"][0] = float("inf")
    elif broken == "format":
        entry["format"] = "hyflexsim-lowrank-0"
    (mine / "ranks.json").write_text(json.dumps(entry))
    if broken == "NaN":
        state = load_file(mine / "model.safetensors")
        state[f"{path}.u"][0, 0] = np.nan
        save_file(state, mine / "model.safetensors")
    (folder / "run.toml").write_text(
        '[model]\ncheckpoint = "mine"\n[workload]\nkind = "tokens"\ntokens = 5\n'
    )
    before = sorted(folder.rglob("*"))
    for arguments in (("accuracy", "mine", "--seeds", 1), ("run", "run.toml")):
        code, out, err = hyflexsim(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("hyflexsim: ")
        assert err.count("\n") == 1
        assert sorted(folder.rglob("*")) == before


def test_nan_weights_to_compress_are_refused(hyflexsim, folder, capsys):
    from hyflexsim.workloads.extraction import model_zoo  # noqa: PLC0415

    torch.manual_seed(0)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 256}
    config |= {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    model = model_zoo.build("x", config, empty=False)
    torch.nn.init.constant_(model.model.layers[0].mlp.up_proj.weight, float("nan"))
    model.save_pretrained(folder / "broken")
    (folder / "nan.toml").write_text(
        '[model]\nweights = "broken"\n[data]\nname = "pydoc"\nwindow = 16\n'
        "train_windows = 8\ntest_windows = 4\n"
    )
    before = sorted(folder.iterdir())
    capsys.readouterr()
    code, _, err = hyflexsim("compress", "nan.toml")
    assert code == 2
    assert err == (
        "hyflexsim: model.weights: model.layers.0.mlp.up_proj.weight of broken must be finite; "
        "it holds NaN or infinity\n"
    )
    assert sorted(folder.iterdir()) == before
