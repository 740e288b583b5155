"""Weights in other formats are refused with what converts them, and that converts them."""

import pickle
import shlex

import pytest
import torch
from safetensors.torch import load_file

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction.unpickle import unpickle
from hyflexsim.workloads.extraction.weight_formats import check_weights, looks_like_weights


def refused(path):
    with pytest.raises(InputError) as caught:
        check_weights(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pickled_shards_are_refused_with_the_command_that_converts_them(tmp_path):
    state = {"a.weight": torch.ones(2, 3).T, "b": torch.zeros(2)}
    for number, name in enumerate(state, start=1):
        torch.save({name: state[name]}, tmp_path / f"pytorch_model-0000{number}-of-00002.bin")
    torch.save({}, tmp_path / "training_args.bin")
    says = refused(tmp_path)
    _, python, command = says.partition("python -m hyflexsim.workloads.extraction.unpickle ")
    assert python
    files = [tmp_path.__class__(word) for word in shlex.split(command)]
    out = unpickle(files)
    assert out == tmp_path / "model.safetensors"
    found = load_file(out)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    with pytest.raises(InputError, match="is there already"):
        unpickle(files)
    assert "must hold config.json beside its weights" in refused(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert check_weights(tmp_path) == tmp_path


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    file = tmp_path / "mine.pt"
    file.write_bytes(pickle.dumps({"a": Harmful()}, protocol=2))
    with pytest.raises(InputError, match=r"mine.pt: cannot be read as weights alone"):
        unpickle([file])
    torch.save([1], file)
    with pytest.raises(InputError, match="must hold tensors by name"):
        unpickle([file])
    torch.save({"model": {"a": torch.ones(1)}}, file)
    assert load_file(unpickle([file])).keys() == {"a"}
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine.pt", f"python -m hyflexsim.workloads.extraction.unpickle {'{}'}"),
        ("x.Q4.gguf", "GGUF is not read; convert it by: python -c 'import sys, transformers as t"),
        ("model.onnx", "ONNX is not read; weights must be .safetensors"),
        ("model.safetensors", "give the folder, which holds config.json beside it"),
    ],
)
def test_files_of_other_formats(tmp_path, name, says):
    file = tmp_path / name
    assert refused(file) == f"{file}: no such file"
    file.touch()
    assert says.format(file) in refused(file)


def test_what_is_no_weights(tmp_path):
    assert refused(tmp_path / "none") == f"{tmp_path / 'none'}: no such folder"
    says = refused(tmp_path)
    assert says.endswith("must hold model.safetensors, or shards with an index, and config.json")
    assert looks_like_weights(str(tmp_path))
    assert not looks_like_weights("minilm-cola")
