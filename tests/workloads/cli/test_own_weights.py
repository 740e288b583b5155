"""``hyflexsim compress FOLDER``: what it prints and writes, and refusals in one line."""

import json

import numpy as np
import pytest
import torch

from hyflexsim.models.lowrank.compress import linear_targets
from hyflexsim.workloads.extraction import model_zoo
from tests.models.packing import Matrix, write_packed

BERT = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 30}
BERT |= {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
BERT |= {"intermediate_size": 32, "max_position_embeddings": 16}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with a tiny BERT in ``mine``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    torch.manual_seed(0)
    model_zoo.build("mine", BERT, empty=False).save_pretrained(tmp_path / "mine")
    return tmp_path


def test_compress_a_folder_then_run_it(hyflexsim, folder):
    code, out, err = hyflexsim(
        *("compress", "mine", "--set", "compress.method=uniform", "--set", "compress.steps=9")
    )
    assert (code, err) == (0, "")
    assert "factors keep least of" in out
    assert "% of the blocks' linear weights, " in out
    assert "note: method uniform does not read compress.steps" in out
    assert out.splitlines()[-1] == "written to runs/mine"
    names = {path.name for path in (folder / "runs/mine").iterdir()}
    assert {"ranks.json", "host.json", "model.safetensors.index.json"} < names
    code, out, err = hyflexsim(
        *("validate", "bert-base", "--set", "model.checkpoint=runs/mine"),
        *("--set", "workload.tokens=8"),
    )
    assert (code, err) == (0, "")
    assert "requests for mine" in out


def test_what_quantised_weights_come_from_is_said(hyflexsim, folder):
    model, rng = model_zoo.build("mine", BERT, empty=False), np.random.default_rng(0)
    shapes = {target.path: target.layer.weight.shape for target in linear_targets(model)}
    packed = {path: Matrix(rng, tuple(shape), group=8) for path, shape in shapes.items()}
    rest = {n: v for n, v in model.state_dict().items() if n.removesuffix(".weight") not in packed}
    how = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 8}}
    write_packed(folder / "codes", packed, rest, BERT | how)
    code, out, err = hyflexsim("compress", "codes")
    assert (code, err) == (0, "")
    assert "note: weights come from codes of 4 bits (gptq), each output with a scale and a " in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mine", "--set", "compress.metod=tanh"], "--set: unknown key 'compress.metod'"),
        (["mine", "--set", "train.epochs=1"], "--set: unknown key 'train'; known: compress"),
        (["mine", "--set", "compress.method=tanh"], "compress.method must be hard-threshold, "),
        (["mine", "--mapping", "none.toml"], "none.toml: No such file or directory"),
        (["mine", "--adapter", "none"], "none/adapter_config.json: No such file or directory"),
        (["mine", "--keep-adapter"], "--keep-adapter goes with --adapter DIR"),
        (["vit-digits", "--mapping", "x.toml"], "--mapping goes with a folder of weights"),
        (["mine.gguf"], "mine.gguf: no such file"),
        (["mine", "--out", "mine"], "mine: must be a new folder or a checkpoint to replace"),
        (["runs"], "runs: must hold model.safetensors, or shards with an index, and config.json"),
    ],
)
def test_refusals_are_one_line(hyflexsim, folder, arguments, says):
    (folder / "runs").mkdir()
    code, out, err = hyflexsim("compress", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_misspelt_key_of_the_configuration_is_named(hyflexsim, folder):
    config = json.loads((folder / "mine/config.json").read_text())
    config["num_hidden_layer"] = config.pop("num_hidden_layers")
    (folder / "mine/config.json").write_text(json.dumps(config))
    code, _, err = hyflexsim("compress", "mine")
    assert code == 2
    assert "unknown key 'num_hidden_layer'; nearest: num_hidden_layers" in err
