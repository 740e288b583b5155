"""What top-k costs: tables agree with each other and with the model; the choice of keys."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.models.part.checkpoint import PartSpec, save_part
from hyflexsim.models.part.transformer import PART_CONFIGS
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.part.attention_cost import KEYS, attention_cost, keys_for, read_keys


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cost")
    torch.manual_seed(2)
    model = PART_CONFIGS["part-small"] | {"num_layers": 2, "num_classes": 2}
    spec = PartSpec(model, "full", 20, ("QCD", "Tbqq"))
    built = spec.build()
    with torch.no_grad():
        for block in built.blocks:
            block.attn.in_proj.weight[:64] *= 20  # sharp enough for k to matter
    file = save_part(folder / "model.safetensors", built, spec)
    out = folder / "cost"
    return out, file, attention_cost(out, file, per_class=20, tolerance=0.05)


def test_tables(found):
    out, _, cost = found
    rows = pd.read_parquet(out / "accuracy.parquet").set_index(["how", "keys"])
    assert rows.loc[("plain", 128), "divergence"] == 0
    assert rows.loc[("plain", 128), "same_decision"] == 1
    assert rows.loc[("plain", 1), "divergence"] > 0
    assert rows.loc[("plain", 128), "accuracy"] == cost["accuracy"]
    assert ("without U", 128) in rows.index
    heads = pd.read_parquet(out / "heads.parquet")
    assert len(heads) == 2 * 4 * 5
    assert set(heads["layer"]) == {"blocks.0", "blocks.1"}
    first = cost["first_to_cut"]
    assert [h["divergence"] for h in first] == sorted(h["divergence"] for h in first)
    assert cost["joint"]["change"] >= -0.05


def test_keys_are_read_back(found):
    out, _, cost = found
    table = np.array(read_keys(out / "keys.parquet"))
    assert table.shape == (2, 4)
    assert set(table.ravel()) <= set(KEYS)
    assert table.mean() == cost["mean_keys"] == cost["joint"]["keys"]
    with pytest.raises(InputError, match=r"accuracy\.parquet: must be a keys\.parquet; "):
        read_keys(out / "accuracy.parquet")


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_looser_limit_never_keeps_more(seed, limit):
    divergence = np.random.default_rng(seed).random((2, 3, len(KEYS)))
    divergence[..., -1] = 0
    tight, loose = keys_for(divergence, limit / 2), keys_for(divergence, limit)
    assert (loose <= tight).all()
    for (layer, head), k in np.ndenumerate(loose):
        assert (divergence[layer, head, KEYS.index(k) :] <= limit).all()


def test_fine_tuning_adds_a_row(found, tmp_path):
    _, file, _ = found
    out = tmp_path / "tuned"
    cost = attention_cost(out, file, per_class=5, tune_steps=2, tune_keys=(2,))
    assert [r["keys"] for r in cost["rows"] if r["how"] == "tuned"] == [2]
    assert (out / "tuned-k02" / "model.safetensors").is_file()


def test_bad_orders(found, tmp_path):
    _, file, _ = found
    with pytest.raises(InputError, match=r"^--tolerance must be a share .*; got 1$"):
        attention_cost(tmp_path / "x", file, tolerance=1)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match=r"must be a new folder or one of this command"):
        attention_cost(tmp_path, file)
