"""LoRA adapters merged: W + s B A in closed form, also of a transposed layer, or refused."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from hyflexsim.models.lowrank.compress import linear_targets
from hyflexsim.models.tensor_files import TensorFiles
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.lora import Adapter
from hyflexsim.workloads.compression.own_names import OwnWeights
from hyflexsim.workloads.compression.own_weights import compress_folder
from hyflexsim.workloads.extraction import model_zoo

GPT2 = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": 20,
    "n_positions": 8,
    "n_embd": 8,
    "n_layer": 1,
    "n_head": 2,
}
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "bias": "none", "fan_in_fan_out": True}
ATTENTION, MLP = "transformer.h.0.attn.c_attn", "transformer.h.0.mlp.c_proj"


@pytest.fixture
def base(tmp_path):
    """(model, folder) of a tiny GPT-2, whose matrices lie transposed."""
    torch.manual_seed(0)
    model = model_zoo.build("base", GPT2, empty=False)
    model.save_pretrained(tmp_path / "base")
    return model, tmp_path / "base"


@pytest.fixture
def lora(tmp_path):
    """Write an adapter folder; returns it."""

    def write(config=CONFIG, **tensors):
        folder = tmp_path / "lora"
        folder.mkdir(exist_ok=True)
        shapes = {ATTENTION: (24, 8), MLP: (8, 32)}
        torch.manual_seed(1)
        made = {
            f"base_model.model.{path}.lora_{which}.weight": torch.randn(*size)
            for path, (n, m) in shapes.items()
            for which, size in (("A", (2, m)), ("B", (n, 2)))
        }
        save_file(made | tensors, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return folder

    return write


def merged(base, folder):
    model = model_zoo.build("base", GPT2)
    files = TensorFiles(base)
    return OwnWeights(model, files, linear_targets(model), adapter=Adapter(folder))


@pytest.mark.parametrize(
    ("more", "scale"),
    [
        ({}, {ATTENTION: 3, MLP: 3}),
        ({"use_rslora": True}, {ATTENTION: 6 / math.sqrt(2), MLP: 6 / math.sqrt(2)}),
        ({"alpha_pattern": {"mlp.c_proj": 1}}, {ATTENTION: 3, MLP: 0.5}),
    ],
)
def test_weights_get_b_a_times_a_scale(base, lora, more, scale):
    model, folder = base
    adapter = lora(CONFIG | more)
    weights = merged(folder, adapter)
    tensors = TensorFiles(adapter, "adapter_model.safetensors")
    for name, value in model.state_dict().items():
        path = name.removesuffix(".weight")
        if name in weights.tied:
            continue
        expected = value
        if path in scale:
            a, b = (
                tensors.read(f"base_model.model.{path}.lora_{which}.weight").double()
                for which in "AB"
            )
            expected = (value.double() + scale[path] * (b @ a).T).float()
        assert torch.equal(weights.read(name), expected)


def test_a_merged_model_is_compressed(base, lora, tmp_path):
    about = compress_folder(base[1], tmp_path / "out", adapter=lora())
    assert about["origin"] == "folder base with lora merged"
    with pytest.raises(InputError, match=r"holds changes to another model.*; give that model's"):
        compress_folder(lora(), tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "tensors", "says"),
    [
        ({"peft_type": "IA3"}, {}, 'peft_type must be "LORA"; got'),
        ({"use_dora": True}, {}, "use_dora must be null or false; got"),
        ({"bias": "all"}, {}, 'bias must be null or "none"; got'),
        ({"modules_to_save": ["lm_head"]}, {}, "modules_to_save must be null or []; got"),
        ({"lora_alpha": "x"}, {}, "lora_alpha must be a number; got"),
        ({"alpha_pattern": {"(": 1}}, {}, "alpha_pattern must be an object of numbers by pattern"),
        ({"alpha_pattern": [1]}, {}, "alpha_pattern must be an object of numbers by pattern"),
        ({}, {"more": torch.ones(2)}, "must hold lora_A.weight and lora_B.weight of matrices"),
        (
            {},
            {"h.lora_A.weight": torch.ones(2), "h.lora_B.weight": torch.ones(2)},
            "h.lora_A.weight and h.lora_B.weight must be matrices; got ((2,), (2,))",
        ),
        ({}, {"h.lora_A.weight": torch.ones(2, 2)}, "lacks h.lora_B.weight, though it has"),
        (
            {},
            {"h.lora_A.weight": torch.ones(1, 2), "h.lora_B.weight": torch.ones(2, 1)},
            "changes h, which is no dense matrix of GPT2LMHeadModel alone",
        ),
        (
            {},
            {f"base_model.model.{MLP}.lora_A.weight": torch.ones(2, 31)},
            f"lora_A and lora_B of {MLP} must be (r, 32) and (8, r); got (2, 31) and (8, 2)",
        ),
    ],
)
def test_refusals(base, lora, change, tensors, says):
    with pytest.raises(InputError) as caught:
        merged(base[1], lora(CONFIG | change, **tensors))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
