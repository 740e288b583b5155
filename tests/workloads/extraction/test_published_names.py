"""Folders as transformers writes them: every tensor of the model is found, value by value."""

import pytest
import torch
from safetensors.torch import save_file

from hyflexsim.models.tensor_files import TensorFiles
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.own_names import OwnWeights
from hyflexsim.workloads.compression.own_weights import compress_folder
from hyflexsim.workloads.compression.recipe import Compress
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.families import FAMILIES
from hyflexsim.workloads.extraction.published_names import PublishedFiles

NAMES = [name for name in FAMILIES if name != "part"]


def saved(name, folder):
    torch.manual_seed(0)
    model = model_zoo.build(name, dict(FAMILIES[name].configs[0]), empty=False)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_what_transformers_wrote_is_what_the_model_has(name, tmp_path):
    whole = saved(name, tmp_path)
    empty = model_zoo.build(name, dict(FAMILIES[name].configs[0]))
    weights = OwnWeights(empty, PublishedFiles(TensorFiles(tmp_path), empty), ())
    state = whole.state_dict()
    assert {*weights.dense, *weights.tied} == {*state}
    for each in weights.dense:
        assert torch.equal(weights.read(each), state[each]), each


def test_gamma_and_beta_of_older_files_are_weight_and_bias(tmp_path):
    whole = saved("deberta-v2", tmp_path)
    files = TensorFiles(tmp_path)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = {}
    for name in files.names:
        end = next((end for end in old if name.endswith(end)), "")
        tensors[name.removesuffix(end) + old.get(end, "")] = files.read(name)
    assert any(name.endswith("gamma") for name in tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    named = PublishedFiles(TensorFiles(tmp_path), whole)
    weights = OwnWeights(whole, named, ())
    for name, value in whole.state_dict().items():
        assert torch.equal(weights.read(name), value), name


@pytest.mark.parametrize("name", ["mixtral", "swin"])
def test_a_folder_of_published_names_is_factorised(name, tmp_path):
    saved(name, tmp_path / name)
    out = tmp_path / "out"
    compress_folder(tmp_path / name, out, Compress(method="uniform", budget=0.5))
    assert (out / "ranks.json").is_file()


def refusal(folder, change):
    """What is said of a folder of Mixtral whose tensors were changed."""
    saved("mixtral", folder)
    files = TensorFiles(folder)
    tensors = {name: files.read(name) for name in files.names}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    model = model_zoo.build("mixtral", dict(FAMILIES["mixtral"].configs[0]))
    with pytest.raises(InputError) as caught:
        PublishedFiles(TensorFiles(folder), model)
    return str(caught.value)


EXPERT = "model.layers.0.block_sparse_moe.experts.1.w1.weight"
GATE = "model.layers.0.block_sparse_moe.gate.weight"


def test_experts_of_other_shapes_are_refused_by_name(tmp_path):
    said = refusal(tmp_path, lambda tensors: tensors.update({EXPERT: torch.zeros(3, 3)}))
    assert said.startswith(f"{tmp_path}: model.layers.0.block_sparse_moe.experts.0.w1.weight and ")
    assert "do not make model.layers.0.mlp.experts.gate_up_proj: " in said
    assert "\n" not in said


def test_two_tensors_of_one_name_are_refused(tmp_path):
    new = "model.layers.0.mlp.gate.weight"
    said = refusal(tmp_path, lambda tensors: tensors.update({new: tensors[GATE].clone()}))
    assert said == f"{tmp_path}: {GATE} and {new} are both {new} of the model"


def test_a_missing_expert_is_refused(tmp_path):
    """Merged, there is one expert less in one matrix of two."""
    said = refusal(tmp_path, lambda tensors: tensors.pop(EXPERT))
    assert "do not make model.layers.0.mlp.experts.gate_up_proj: " in said
