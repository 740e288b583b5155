"""A configuration is checked before anything is built of it."""

import json

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.config_limits import check_config, check_keys, read_config
from hyflexsim.workloads.extraction.extract import extract

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
"""1,627,392 parameters, on paper:

embeddings and head 2 · 1000 · 256; in each of two layers q and o 2 · 256², k and v 2 · 256 · 64,
gate, up and down 3 · 256 · 512, two norms of 256; one norm at the end.
"""
PART = {
    "model_type": "part",
    "input_dim": 7,
    "num_classes": 2,
    "num_layers": 2,
    "num_cls_layers": 1,
}


@pytest.fixture
def file(tmp_path):
    """Writes a configuration and returns its path."""

    def write(config):
        folder = tmp_path / "m"
        folder.mkdir()
        path = folder / "config.json"
        path.write_bytes(config if isinstance(config, bytes) else json.dumps(config).encode())
        return path

    return write


def test_the_configuration_that_is_changed_below_is_right(file):
    matrices = 2 * 256**2 + 2 * 256 * 64 + 3 * 256 * 512 + 2 * 256
    assert g.parameters(extract(file(LLAMA), cache=False)) == 2 * 1000 * 256 + 2 * matrices + 256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": -1}, "num_hidden_layers must be an integer from 1 to 1000; got -1"),
        ({"num_hidden_layers": 65536}, "must be an integer from 1 to 1000; got 65536"),
        ({"num_hidden_layers": 2.5}, "must be an integer from 1 to 1000; got 2.5"),
        ({"num_labels": 10**30}, "num_labels must be an integer from 0 to 1000000; got 1000000000"),
        ({"hidden_size": 2**40}, "hidden_size must be a number from -134217728 to 134217728"),
        ({"x": {"y": [1, float("nan")]}}, "x.y must be a number from"),
        (
            {"num_key_value_heads": 3},
            "num_key_value_heads must divide num_attention_heads (8); got 3",
        ),
        (
            {"num_key_value_heads": 0},
            "num_key_value_heads must divide num_attention_heads (8); got 0",
        ),
        (
            {"model_type": ["llama"]},
            "key 'model_type' must be a model type such as 'bert'; got ['l",
        ),
        (
            {"architectures": "LlamaModel"},
            "architectures must be a list of names; got 'LlamaModel'",
        ),
        ({"architectures": [[]]}, "architectures must be a list of names; got [[]]"),
    ],
)
def test_a_value_that_no_model_has(file, change, message):
    path = file(LLAMA | change)
    with pytest.raises(InputError) as caught:
        model_zoo.config_of(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    with pytest.raises(InputError):
        model_zoo.build("m", LLAMA | change)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not a JSON file"),
        (b"[" * 100_000, "not a JSON file"),
        (b"[]", "must hold an object; got list"),
        (
            b'{"model_type": "llama", "a": ' + b"[" * 20 + b"]" * 20 + b"}",
            "must be at most 16 deep",
        ),
    ],
)
def test_a_file_that_is_no_configuration(file, content, message):
    path = file(content)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_name_that_no_file_may_have():
    with pytest.raises(InputError, match=r"^model: 'x+…x+': File name too long$"):
        model_zoo.config_of("x" * 300)


def test_a_misspelt_key_is_told_from_one_of_another_tool():
    config = {key: value for key, value in LLAMA.items() if key != "num_hidden_layers"}
    with pytest.raises(
        InputError, match="m: unknown key 'num_hidden_layer'; nearest: num_hidden_l"
    ):
        model_zoo.build("m", config | {"num_hidden_layer": 2})
    kept = model_zoo.build("m", LLAMA | {"num_hidden_layer": 7, "made_by": "me"})
    assert kept.config.num_hidden_layers == 2  # nothing is missing that could have been meant


def test_names_that_a_family_maps_are_known():
    small = {"model_type": "gpt2", "n_head": 2, "vocab_size": 10}
    for names in ({"n_layer": 1, "n_embd": 8}, {"num_hidden_layers": 1, "hidden_size": 8}):
        assert len(model_zoo.build("m", small | names).h) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_cls_layers": 0}, "num_cls_layers must be an integer from 1 to 1000; got 0"),
        ({"trim": True}, "unknown key 'trim'; known: activation, "),
        ({"num_layer": 1}, "unknown key 'num_layer'; known: "),
        (
            {"published": "part-ful"},
            "published must be a model; got 'part-ful'; nearest: part-full",
        ),
        ({"published": ["part-full"]}, "published must be a model; got ['part-full']"),
    ],
)
def test_particle_transformers(change, message):
    with pytest.raises(InputError) as caught:
        model_zoo.build("m", PART | change)
    assert str(caught.value).startswith("m: ")
    assert message in str(caught.value)


def test_the_particle_transformer_that_is_changed_is_right(file):
    assert g.parameters(extract(file(PART), cache=False)) == 743_318


def test_every_known_model_is_within_the_limits():
    for name, config in model_zoo.ZOO.items():
        check_config(name, config)


def test_known_keys_pass():
    check_keys("at", {"a": 1}, {"a", "b"}, others=False)
