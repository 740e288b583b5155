"""Pictures and page of attention: every one is drawn, panels are full, bytes repeat."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from hyflexsim.analysis.attention.cost import cost_plot
from hyflexsim.analysis.attention.directory import load_attention
from hyflexsim.analysis.attention.heatmap import heat_maps
from hyflexsim.analysis.attention.pairs import edges, pair_graphs
from hyflexsim.analysis.attention.report import describe_attention
from hyflexsim.analysis.attention.style import typical_jet
from hyflexsim.sim.errors import InputError


@pytest.fixture(scope="module")
def described(attention_dir, tmp_path_factory):
    path = shutil.copytree(attention_dir, tmp_path_factory.mktemp("drawn") / "maps")
    return path, describe_attention(path)


def test_page_shows_every_picture(described):
    path, found = described
    page = (path / "index.html").read_text("utf-8")
    shown = set(re.findall(r'img src="pictures/([^"]+)"', page))
    assert shown == {file.name for file in (path / "pictures").iterdir()}
    for name in ("binary", "qk_over_u", "inter_subjet", "received", "pairs_Tbl", "heatmap_u"):
        assert f"{name}.png" in shown
    assert "http" not in page
    for name in ("rows", "received", "decades", "pairs"):
        assert len(pd.read_parquet(path / f"{name}.parquet"))
    assert found["trained"]["with U"]["share_50"] > found["untrained"]["with U"]["share_50"]
    assert found["trained"]["accuracy"] == 1


def test_same_directory_same_bytes(described, attention_dir, tmp_path):
    path, _ = described
    again = shutil.copytree(attention_dir, tmp_path / "maps")
    describe_attention(again)
    for file in [*(path / "pictures").iterdir(), path / "index.html", path / "summary.json"]:
        assert file.read_bytes() == (again / file.relative_to(path)).read_bytes()


def test_heat_map_has_a_panel_a_head_and_the_jets_numbers(attention_dir):
    run = load_attention(attention_dir)
    ax = heat_maps(run, 1)
    images = [a.images[0] for a in ax.figure.axes if a.images]
    assert len(images) == 6
    shown = np.stack([image.get_array() for image in images]).reshape(2, 3, 6, 6)
    np.testing.assert_allclose(shown, run.maps(1).weights)
    assert len({(i.norm.vmin, i.norm.vmax) for i in images}) == 1
    assert len([a for a in heat_maps(run, 1, "u").figure.axes if a.images]) == 3
    with pytest.raises(InputError, match=r"^what must be one of weights, scores, qk, u; got 'x'$"):
        heat_maps(run, 1, "x")


def test_pairs_draw_each_particle_and_the_strong_lines(attention_dir):
    run = load_attention(attention_dir)
    ax = pair_graphs(run, 1, layer=1)
    n = run.jets["particles"].iloc[1]
    assert sum(len(c.get_offsets()) for c in ax.collections if c.get_offsets().any()) >= n
    solid, dashed = ax.collections[:2]
    pairs, strength = edges(run.maps(1).weights[0, 0])
    assert len(solid.get_segments()) + len(dashed.get_segments()) == len(pairs)
    assert (strength >= 0.05 * strength.max()).all()
    subjet = run.of_jet(1)["subjet"].to_numpy()
    assert len(dashed.get_segments()) == (subjet[pairs[:, 0]] != subjet[pairs[:, 1]]).sum()
    with pytest.raises(InputError, match=r"^layer must be 1 \.\.\. 2; got 3$"):
        pair_graphs(run, 1, layer=3)


def test_typical_jet_is_right_and_of_median_size(attention_dir):
    run = load_attention(attention_dir)
    assert typical_jet(run, "Tbl") == 3  # sizes 6, 7, 8, 9: the lower median


def test_cost_plot():
    keys = [1, 2, 4, 8, 16, 128]
    accuracy = pd.DataFrame({"keys": keys, "how": "plain", "accuracy": np.linspace(0.5, 0.7, 6)})
    accuracy["accuracy_error"] = 0.01
    heads = pd.DataFrame(
        [
            {"layer": f"blocks.{i}", "head": h, "keys": 1, "divergence": 0.01 * (i + h)}
            for i in range(2)
            for h in range(3)
        ]
    )
    ax = cost_plot({"accuracy": accuracy, "heads": heads, "keys": heads.assign(keys=4)})
    texts = [t.get_text() for t in ax.figure.axes[1].texts]
    assert texts == ["0.0000", "0.0100", "0.0200", "0.0100", "0.0200", "0.0300"]
    assert [t.get_text() for t in ax.get_xticklabels()][-1] == "all"
