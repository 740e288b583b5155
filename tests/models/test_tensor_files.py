"""Tensors of a folder: one file or shards, read one at a time, refused in one line."""

import json

import pytest
import torch
from safetensors.torch import save_file

from hyflexsim.models.errors import ModelError
from hyflexsim.models.tensor_files import INDEX_FILE, TensorFiles, write_shards

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.ones(3, dtype=torch.bfloat16),
    "c.d": torch.tensor([1, 2]),
}


@pytest.fixture
def shards(tmp_path):
    """A folder of two shards."""
    write_shards(tmp_path, ({k: TENSORS[k] for k in part} for part in (["a", "c.d"], ["b"])), 2)
    return tmp_path


def refused(folder):
    with pytest.raises(ModelError) as caught:
        TensorFiles(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shards_and_a_single_file_give_the_same_tensors(shards, tmp_path_factory):
    single = tmp_path_factory.mktemp("single")
    save_file(TENSORS, single / "model.safetensors")
    for folder, files in ((shards, 2), (single, 1)):
        found = TensorFiles(folder)
        assert set(found.names) == set(TENSORS)
        assert len(found.files) == files
        for name, tensor in TENSORS.items():
            assert name in found
            assert found.shape(name) == tuple(tensor.shape)
            assert found.read(name).dtype == tensor.dtype
            assert torch.equal(found.read(name), tensor)
    index = json.loads((shards / INDEX_FILE).read_text())
    assert index["weight_map"]["b"] == "model-00002-of-00002.safetensors"
    assert index["metadata"] == {"total_size": 24 + 6 + 16}


def test_a_folder_without_weights_is_refused(tmp_path):
    assert refused(tmp_path).endswith("no such file (pickled checkpoints are not read)")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    assert "not a safetensors file" in refused(tmp_path)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("{", "must be JSON with an object weight_map"),
        ("[]", "must be JSON with an object weight_map"),
        ('{"weight_map": {}}', "weight_map must be an object, of files by tensor"),
        ('{"weight_map": {"a": "../x"}}', "weight_map.a must name a file of this folder"),
        ('{"weight_map": {"a": "x"}}', "x: no such file, though model.safetensors.index.json"),
        (
            '{"weight_map": {"b": "model-00001-of-00002.safetensors"}}',
            "model-00001-of-00002.safetensors: lacks b",
        ),
    ],
)
def test_an_index_that_does_not_fit_is_refused(shards, index, says):
    (shards / INDEX_FILE).write_text(index)
    assert says in refused(shards)


def test_shards_without_their_index_are_named(tmp_path):
    write_shards(tmp_path, [{"a": torch.zeros(2)}, {"b": torch.zeros(2)}], 2)
    (tmp_path / INDEX_FILE).unlink()
    message = f"{INDEX_FILE}: no such file, though there are shards such as model-00001-of-00002"
    with pytest.raises(ModelError, match=message):
        TensorFiles(tmp_path)


def test_a_pointer_of_git_lfs_is_called_one(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(ModelError, match="it is a pointer of Git LFS; `git lfs pull` brings"):
        TensorFiles(tmp_path)
