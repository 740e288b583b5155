"""Compressed models through a folder and back; files that do not fit are refused in one line."""

import json

import pytest
import torch

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.checkpoint import load_compressed, read_ranks, save_compressed
from hyflexsim.models.lowrank.compress import compress, fold, low_rank_layers, ranks


def close(a, b):
    return torch.allclose(a, b, atol=1e-5, rtol=1e-5)


def test_every_family_through_a_folder(family, families, tmp_path):
    name, model, run = family
    compress(model, "hard-threshold")
    compressed = run(model)
    save_compressed(model, tmp_path / "plain")
    fresh = families[name]()[0].eval()
    assert close(run(load_compressed(fresh, tmp_path / "plain")), compressed)
    assert ranks(fresh) == ranks(model)
    save_compressed(fold(model), tmp_path / "folded")
    fresh = families[name]()[0].eval()
    assert close(run(load_compressed(fresh, tmp_path / "folded")), compressed)


def test_tied_head_stays_tied_in_the_file(tmp_path, families):
    model = compress(families["llama"]()[0], 4)
    save_compressed(model, tmp_path / "c")
    assert read_ranks(tmp_path / "c")["tied"] == {"lm_head.weight": "model.embed_tokens.weight"}
    fresh = load_compressed(families["llama"]()[0], tmp_path / "c")
    assert fresh.lm_head.weight is fresh.model.embed_tokens.weight


def test_scores_and_notes_travel_with_the_ranks(families, tmp_path):
    model, folder = compress(families["bert"]()[0], 4), tmp_path / "c"
    name, other = list(low_rank_layers(model))[:2]
    save_compressed(model, folder)
    assert read_ranks(folder)["about"] == {}
    assert read_ranks(folder)["layers"][name]["scores"] == {}
    scores = {
        "gradient-last": {name: torch.tensor([4.0, 3.0, 2.0, 1.0])},
        "gradient-mean": {name: torch.tensor([0.1, 1e-30, 1 / 3, 3e8]), other: torch.arange(4.0)},
    }
    about = {"task": "sst2", "epochs": 3, "losses": [0.5, None], "more": {"ok": True}}
    save_compressed(model, folder, scores=scores, about=about)  # replaces
    entry = read_ranks(folder)
    assert entry["about"] == about
    assert entry["layers"][other]["scores"] == {"gradient-mean": [0, 1, 2, 3]}
    for score, values in entry["layers"][name]["scores"].items():
        assert torch.equal(torch.tensor(values), scores[score][name])  # nine digits are enough
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_what_cannot_be_saved(families, tmp_path):
    model, folder = compress(families["bert"]()[0], 4), tmp_path / "c"
    name = next(iter(low_rank_layers(model)))
    for options, message in (
        (
            {"scores": {"g": {name: torch.ones(3)}}},
            f"score g of {name} must be of a factorised layer, one value a rank; got shape (3,)",
        ),
        (
            {"scores": {"g": {"bert.pooler": torch.ones(4)}}},
            "score g of bert.pooler must be of a factorised layer, one value a rank; "
            "got shape (4,)",
        ),
        (
            {"scores": {"g": {name: torch.full((4,), float("nan"))}}},
            f"score g of {name} must be finite; it holds NaN or infinity",
        ),
        (
            {"about": {"tensor": torch.ones(1)}},
            "about must hold plain JSON values; Object of type Tensor is not JSON serializable",
        ),
    ):
        with pytest.raises(ModelError) as caught:
            save_compressed(model, folder, **options)
        assert str(caught.value) == message
        assert not folder.exists()
    with pytest.raises(ModelError, match="about must hold plain JSON values; Out of range float"):
        save_compressed(model, folder, about={"x": float("nan")})
    with pytest.raises(ModelError, match="compress it first"):
        save_compressed(families["bert"]()[0], folder)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ModelError, match="new folder or a checkpoint to replace"):
        save_compressed(model, tmp_path)
    torch.nn.init.constant_(model.bert.pooler.dense.weight, float("inf"))
    with pytest.raises(ModelError, match=r"bert\.pooler\.dense\.weight must be finite"):
        save_compressed(model, folder)


def test_pickles_are_refused_in_one_line(families, tmp_path):
    model, folder = families["bert"]()[0], tmp_path / "c"
    pickled = tmp_path / "model.pt"
    torch.save({}, pickled)
    with pytest.raises(ModelError) as caught:
        load_compressed(model, pickled)
    assert str(caught.value) == (
        f"{pickled}: must be a folder with model.safetensors and ranks.json (pickled checkpoints "
        "are not read)"
    )
    save_compressed(compress(families["bert"]()[0], 4), folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        load_compressed(model, folder)
    assert str(caught.value) == (
        f"{folder / 'model.safetensors'}: no such file (pickled checkpoints are not read)"
    )
    pickled.rename(folder / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        load_compressed(model, folder)
    assert str(caught.value).startswith(f"{folder / 'model.safetensors'}: not a safetensors file; ")
    assert "\n" not in str(caught.value)
    assert not low_rank_layers(model)


LAYER = "bert.encoder.layer.0.output.dense"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 0}, "from 1 to 32; got 0"),
        ({"rank": 5}, "must have shape"),
        ({"rank": None}, "broken entry; TypeError"),
        ({"rank": "four"}, "broken entry; ValueError"),
        ({"n": 33}, "is 64 x 33; the model has 64 x 32"),
        ({"scores": 3}, "scores must be an object"),
        ({"scores": {"g": [1, 2, 3]}}, r"g must be a list of finite numbers, one a rank \(4\)"),
        ({"scores": {"g": [1, 2, 3, "4"]}}, "must be a list of finite numbers"),
        ({"scores": {"g": [1, 2, 3, True]}}, "must be a list of finite numbers"),
        ({"scores": {"g": [1, 2, 3, float("nan")]}}, "must be a list of finite numbers"),
        ({"scores": {"g": "1234"}}, "must be a list of finite numbers"),
    ],
)
def test_broken_layers(families, tmp_path, change, message):
    folder = tmp_path / "c"
    save_compressed(compress(families["bert"]()[0], 4), folder)
    entry = read_ranks(folder)
    entry["layers"][LAYER] |= change
    if "rank" in change:
        entry["layers"][LAYER].pop("scores")
    (folder / "ranks.json").write_text(json.dumps(entry))
    model = families["bert"]()[0]
    with pytest.raises(ModelError, match=message) as caught:
        load_compressed(model, folder)
    assert "\n" not in str(caught.value)
    assert not low_rank_layers(model)


SPLIT = "transformer.h.0.attn.c_attn"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": [32, 32, 16]}, "has 80 outputs; the model 96"),
        ({"outputs": [32, 96, -32]}, "has 96 outputs; the model 96"),
        ({"outputs": [16, 48, 32]}, "is 32 x 32; the model has 32 x 16"),
        ({"names": ["q", "k"]}, "broken entry; ValueError"),
        ({"names": ["q", "k", "k"]}, "no dense linear layer"),
        ({"names": None}, "broken entry; TypeError"),
    ],
)
def test_broken_splits(families, tmp_path, change, message):
    folder = tmp_path / "c"
    save_compressed(compress(families["gpt2"]()[0], 4), folder)
    entry = read_ranks(folder)
    entry["split"][SPLIT] |= change
    (folder / "ranks.json").write_text(json.dumps(entry))
    model = families["gpt2"]()[0]
    with pytest.raises(ModelError, match=message):
        load_compressed(model, folder)
    assert not low_rank_layers(model)


def test_foreign_files(families, tmp_path):
    folder = tmp_path / "c"
    save_compressed(compress(families["bert"]()[0], 4), folder)
    with pytest.raises(ModelError, match="no dense linear layer"):
        load_compressed(families["vit"]()[0], folder)
    whole = read_ranks(folder)
    for entry, message in (
        (whole | {"split": 1}, "key 'split' must be an object"),
        (whole | {"about": []}, "key 'about' must be an object"),
        (whole | {"layers": {LAYER: 3}}, f"layers.{LAYER} must be an object"),
        (whole | {"tied": {"a": ["b"]}}, "lacks key"),
        ({}, "format must be"),
        (whole | {"format": "hyflexsim-lowrank-1"}, "format must be 'hyflexsim-lowrank-2'"),
        ([], "format must be"),
    ):
        (folder / "ranks.json").write_text(json.dumps(entry))
        with pytest.raises(ModelError, match=message):
            load_compressed(families["bert"]()[0], folder)
    (folder / "ranks.json").write_bytes(b"\x80\x04not json")
    with pytest.raises(ModelError, match="not a JSON file"):
        read_ranks(folder)
