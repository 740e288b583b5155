"""quantization_config: how codes are packed, or one line with what converts them; a note."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hyflexsim.models.packed_files import PackedFiles, Packing
from hyflexsim.models.tensor_files import TensorFiles
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction import model_zoo, weights
from hyflexsim.workloads.extraction.quantised_weights import packing_of, said_of, tensor_files
from tests.models.packing import Matrix, write_packed

GPT2 = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": 20,
    "n_positions": 8,
    "n_embd": 32,
    "n_layer": 1,
    "n_head": 2,
}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm", "zero_point": True}


def packing(tmp_path, how):
    return packing_of(tmp_path, {"architectures": ["GPT2LMHeadModel"], "quantization_config": how})


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (GPTQ, Packing("gptq", 4, 128, 1)),
        (GPTQ | {"bits": 3, "checkpoint_format": "gptq"}, Packing("gptq", 3, 128, 1)),
        (GPTQ | {"group_size": -1, "checkpoint_format": "gptq_v2"}, Packing("gptq", 4, 0)),
        (GPTQ | {"format": "gptq_v2"}, Packing("gptq", 4, 128)),
        (AWQ, Packing("awq", 4, 64)),
        (
            {"quant_method": "awq", "w_bit": 4, "q_group_size": 32, "version": "GEMM"},
            Packing("awq", 4, 32),
        ),
    ],
)
def test_what_files_say(tmp_path, how, expected):
    assert packing(tmp_path, how) == expected


def test_a_model_that_is_not_quantised(tmp_path):
    assert packing_of(tmp_path, {}) is None
    save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    assert type(tensor_files(tmp_path, {})) is TensorFiles


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("gptq", "quantization_config must be an object; got 'gptq'"),
        ({"quant_method": "hqq"}, "weights quantised by 'hqq' are not read; give the model's"),
        ({}, "weights quantised by None are not read; give the model's weights in 16 or 32 bits"),
        (GPTQ | {"bits": 5}, "bits must be 2, 3, 4, 8 of gptq; got 5"),
        (GPTQ | {"bits": True}, "bits must be 2, 3, 4, 8 of gptq; got True"),
        (AWQ | {"bits": 8}, "bits must be 4 of awq; got 8"),
        (GPTQ | {"group_size": 0}, "group_size must be -1 (all inputs) or an integer from 1 to"),
        ({"quant_method": "gptq", "bits": 4}, "group_size must be -1 (all inputs) or an integer"),
        (GPTQ | {"checkpoint_format": "marlin"}, "checkpoint_format must be gptq or gptq_v2 of"),
        (AWQ | {"version": "gemv"}, "version must be gemm of awq; got 'gemv'"),
        (AWQ | {"zero_point": False}, "zero_point must be true; got False"),
        (GPTQ | {"dynamic": {"x": {"bits": 8}}}, "dynamic: {'x': {'bits': 8}} is not read; give"),
        (GPTQ | {"is_marlin_format": True}, "is_marlin_format: True is not read"),
    ],
)
def test_what_is_not_read(tmp_path, how, says):
    with pytest.raises(InputError) as caught:
        packing(tmp_path, how)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: quantization_config")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "reading"),
    [
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            "t.GPT2LMHeadModel.from_pretrained(sys.argv[1]).dequantize()"
            ".save_pretrained(sys.argv[2], save_original_format=False)",
        ),
        (
            {"load_in_8bit": True},
            "t.GPT2LMHeadModel.from_pretrained(sys.argv[1]).dequantize()"
            ".save_pretrained(sys.argv[2], save_original_format=False)",
        ),
        (
            {"quant_method": "fp8"},
            "t.GPT2LMHeadModel.from_pretrained(sys.argv[1], quantization_config="
            "t.FineGrainedFP8Config(dequantize=True)).save_pretrained(sys.argv[2])",
        ),
    ],
)
def test_other_methods_come_with_the_command_that_converts(tmp_path, how, reading):
    with pytest.raises(InputError) as caught:
        packing(tmp_path, how)
    assert f"python -c 'import sys, transformers as t; {reading}' {tmp_path}" in str(caught.value)


def test_no_name_of_a_class_becomes_code(tmp_path):
    config = {"architectures": ["x'; import os"], "quantization_config": {"quant_method": "fp8"}}
    with pytest.raises(InputError, match=r"t.AutoModel.from_pretrained"):
        packing_of(tmp_path, config)


def test_packed_weights_of_which_nothing_is_said(tmp_path):
    write_packed(tmp_path, {"h": Matrix(np.random.default_rng(0), (32, 32))}, {}, {})
    with pytest.raises(InputError, match=r"must have quantization_config .* hold h.qweight"):
        tensor_files(tmp_path, {})


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (GPTQ, "weights come from codes of 4 bits (gptq), each output with a scale and a zero for "
               "every 128 inputs; the chip holds what they stand for in bits of its own "),
        (GPTQ | {"group_size": -1}, "a scale and a zero for all inputs;"),
        ({"quant_method": "hqq"}, "quantization_config is not read"),
    ],
)  # fmt: skip
def test_what_is_said_of_them(how, says):
    assert says in said_of(how)


def test_a_model_of_packed_weights_is_that_of_what_they_stand_for(tmp_path):
    """GPT-2 keeps its matrices transposed, and its codes are packed as those of others."""
    torch.manual_seed(0)
    model = model_zoo.build("x", GPT2, empty=False)
    rng = np.random.default_rng(0)
    paths = {name: p for name, p in model.named_modules() if type(p).__name__ == "Conv1D"}
    packed = {}
    for path, layer in paths.items():
        m, n = layer.weight.shape
        packed[path] = Matrix(rng, (n, m), group=16, act_order=True)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(packed[path].weight.T))
    more = {
        name: value.clone()
        for name, value in model.state_dict().items()
        if name.removesuffix(".weight") not in paths and name != "lm_head.weight"
    }
    how = {"quantization_config": GPTQ | {"group_size": 16}}
    write_packed(tmp_path / "gpt2", packed, more, GPT2 | how)
    loaded = weights.load(str(tmp_path / "gpt2"))
    expected = model.transformer.state_dict()
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert "quantization_config" not in loaded.config
    packed["h.9.x"] = Matrix(rng, (32, 32), group=16)
    write_packed(tmp_path / "gpt2", packed, more, GPT2 | how)
    with pytest.raises(InputError, match=r"has h.9.x.weight, which GPT2Model does not have"):
        weights.load(str(tmp_path / "gpt2"))
    (tmp_path / "gpt2" / "config.json").write_text(
        json.dumps(GPT2 | {"quantization_config": {"quant_method": "hqq"}})
    )
    with pytest.raises(InputError, match=r"weights quantised by 'hqq' are not read"):
        weights.load(str(tmp_path / "gpt2"))


def test_files_are_unpacked_by_the_configuration(tmp_path):
    made = Matrix(np.random.default_rng(0), (32, 64), "awq", group=64)
    write_packed(tmp_path, {"h": made}, {}, {})
    files = tensor_files(tmp_path, {"quantization_config": AWQ})
    assert isinstance(files, PackedFiles)
    assert files.read("h.weight").double().tolist() == made.weight.tolist()
