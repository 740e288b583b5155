"""Low-rank changes beside dense layers: equal to the merged weight, through a folder and back."""

import copy
import json

import pytest
import torch
from torch import nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.adapted import AdaptedLinear, adapt, adapted_ranks
from hyflexsim.models.lowrank.checkpoint import load_compressed, read_ranks, save_compressed
from hyflexsim.models.lowrank.compress import compress, counts, linear_targets, low_rank_layers
from hyflexsim.models.lowrank.layers import linear_weight


def test_by_hand():
    """W = [[1, 2]], A = [[3, 4]], B = [[10]]: y = x1 + 2 x2 + 5 + 10 (3 x1 + 4 x2)."""
    layer = AdaptedLinear(nn.Linear(2, 1), 1)
    values = {"base.weight": [[1, 2]], "base.bias": [5], "down.weight": [[3, 4]]}
    values |= {"up.weight": [[10]]}
    layer.load_state_dict({name: torch.tensor(v).float() for name, v in values.items()})
    assert layer(torch.tensor([1.0, -1.0])).tolist() == [1 - 2 + 5 + 10 * (3 - 4)]
    assert layer.weight.tolist() == [[31, 42]]
    assert layer.rank == 1


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "mamba", "part"])
def test_a_change_equals_the_merged_weight(families, family):
    made = families[family]()
    model, run = made[0].eval(), made[1]
    paths = [target.path for target in linear_targets(model)]
    plain, merged = run(model), copy.deepcopy(model)
    adapt(model, dict.fromkeys(paths, 2))
    assert adapted_ranks(model) == dict.fromkeys(paths, 2)
    assert torch.equal(run(model), plain)  # zero, until it is trained
    for path in paths:
        nn.init.normal_(model.get_submodule(path).down.weight, std=0.3)
        nn.init.normal_(model.get_submodule(path).up.weight, std=0.3)
    changed = run(model)
    assert not torch.allclose(changed, plain, atol=1e-3)
    with torch.no_grad():
        for path in paths:
            merged.get_submodule(path).weight.copy_(model.get_submodule(path).weight)
    assert torch.allclose(run(merged), changed, atol=1e-4, rtol=1e-4)


def test_through_a_folder(families, tmp_path):
    model, run = families["gpt2"]()[:2]
    model.eval()
    paths = [target.path for target in linear_targets(model)][:2]  # c_attn and c_proj
    compress(model, 4, exclude=paths)
    adapt(model, dict.fromkeys(paths, 3))
    for path in paths:
        nn.init.normal_(model.get_submodule(path).up.weight)
        nn.init.normal_(model.get_submodule(path).down.weight)
    save_compressed(model, tmp_path / "c")
    assert read_ranks(tmp_path / "c")["adapted"] == dict.fromkeys(paths, 3)
    again = load_compressed(families["gpt2"]()[0].eval(), tmp_path / "c")
    assert torch.equal(run(again), run(model))
    assert set(low_rank_layers(again)) == set(low_rank_layers(model))


def test_a_model_of_changes_alone_and_what_it_holds(families, tmp_path):
    model = families["llama"]()[0]
    target = linear_targets(model)[0]
    n, m = linear_weight(target.layer).shape
    before = counts(model)
    adapt(model, {target.path: 2})
    after = counts(model)
    assert after.total == before.total + 2 * (m + n) == after.total_dense
    save_compressed(model, tmp_path / "c")
    assert read_ranks(tmp_path / "c")["layers"] == {}


@pytest.mark.parametrize("rank", [0, 99, 1.0, True])
def test_ranks_that_are_none(rank):
    with pytest.raises(ModelError, match=r"rank beside x must be an integer from 1 to 3; got"):
        AdaptedLinear(nn.Linear(4, 3), rank, "x")


def test_what_cannot_be_adapted(families, tmp_path):
    model = families["bert"]()[0]
    with pytest.raises(ModelError, match=r"has no layer 'none' to adapt"):
        adapt(model, {"none": 1})
    with pytest.raises(ModelError, match=r"must be a Linear or Conv1D layer; got Embedding"):
        adapt(model, {"bert.embeddings.word_embeddings": 1})
    path = linear_targets(model)[0].path
    adapt(model, {path: 2})
    save_compressed(model, tmp_path / "c")
    for value, says in (({"x": 2}, "no dense linear layer 'x'"), ({path: "2"}, "from 1 to")):
        entry = json.loads((tmp_path / "c" / "ranks.json").read_text())
        entry["adapted"] = value
        (tmp_path / "c" / "ranks.json").write_text(json.dumps(entry))
        with pytest.raises(ModelError, match=says):
            load_compressed(families["bert"]()[0], tmp_path / "c")
