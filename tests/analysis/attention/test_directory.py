"""Reading a directory of attention maps: every jet gets its own numbers, damage is named."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hyflexsim.analysis.attention.directory import load_attention
from hyflexsim.sim.errors import InputError


def test_maps_of_every_jet(attention_dir):
    run = load_attention(attention_dir)
    assert run.models == ["trained", "untrained"]
    for model in run.models:
        for jet, maps in run.all_maps(model):
            n = run.jets["particles"].iloc[jet]
            assert maps.weights.shape == maps.qk.shape == (2, 3, n, n)
            assert maps.u.shape == (3, n, n)
            assert maps.cls.shape == (1, 3, n + 1)
            np.testing.assert_allclose(maps.weights.sum(-1), 1, atol=1e-5)
            np.testing.assert_allclose(maps.cls.sum(-1), 1, atol=1e-5)
            e = np.exp(maps.qk + maps.u)
            np.testing.assert_allclose(maps.weights, e / e.sum(-1, keepdims=True), rtol=1e-3)
            assert len(run.of_jet(jet)) == n
            assert (run.of_jet(jet)["jet"] == jet).all()


@pytest.fixture
def copy(attention_dir, tmp_path):
    return shutil.copytree(attention_dir, tmp_path / "maps")


def change(path, **values):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | values))


def test_damage_in_one_line(copy, tmp_path):
    with pytest.raises(InputError) as error:
        load_attention(tmp_path / "none")
    assert str(error.value) == f"{tmp_path / 'none'}: no such directory of attention maps"
    run = load_attention(copy)
    (copy / "trained" / "qk-00001.npy").unlink()
    with pytest.raises(InputError, match=r"qk-00001\.npy: cannot be read: No such file"):
        run.maps(4)
    for jet, model, message in [
        (8, "trained", "jet must be 0 ... 7; got 8"),
        (0, "best", "model must be one of trained, untrained; got 'best'"),
    ]:
        with pytest.raises(InputError) as error:
            run.maps(jet, model)
        assert str(error.value) == message
    change(copy, jets=9)
    with pytest.raises(InputError, match="9 jets and 72 particles are announced; 8 and 72 are"):
        load_attention(copy)
    change(copy, jets=8, format="other")
    with pytest.raises(InputError, match=r"format must be hyflexsim-attention-1; got 'other'$"):
        load_attention(copy)


def test_missing_column(copy):
    frame = pd.read_parquet(copy / "jets.parquet").drop(columns="tau21")
    frame.to_parquet(copy / "jets.parquet")
    with pytest.raises(InputError) as error:
        load_attention(copy)
    assert str(error.value) == f"{copy / 'jets.parquet'}: column 'tau21' is missing"
