"""Bands of the energy's flow: nothing is lost between columns, and one can read them."""

import dataclasses

import pandas as pd
import pytest
from matplotlib.patches import PathPatch, Rectangle

from hyflexsim.analysis import energy_by, energy_flow, load, sankey_plot
from hyflexsim.analysis.run.energy_flow import OTHERS, THIN


@pytest.fixture(params=["bank_dir", "bert_dir", "jets_dir"])
def run(request):
    return load(request.getfixturevalue(request.param))


@pytest.mark.parametrize("column", ["class", "kind", "layer"])
def test_each_column_adds_up_to_the_run(run, column):
    flow = energy_flow(run)
    assert flow["energy_pj"].sum() == pytest.approx(run.energy["energy_pj"].sum(), rel=1e-12)
    known = energy_by(run, column)["energy_pj"]
    for name, pj in flow.groupby(column)["energy_pj"].sum().items():
        if name != OTHERS:
            assert pj == pytest.approx(known[name], rel=1e-12)


def test_several_thin_ones_are_one_and_a_single_one_keeps_its_name(bert_dir):
    run = load(bert_dir)
    names = ["a", "b", "c", "d"]
    energy = pd.DataFrame({"layer": "l", "op": "o", "kind": names, "energy_pj": [96.0, 2, 1, 1]})
    two = energy_flow(dataclasses.replace(run, energy=energy))
    assert dict(zip(two["kind"], two["energy_pj"], strict=True)) == {"a": 96, "b": 2, OTHERS: 2}
    one = energy_flow(dataclasses.replace(run, energy=energy[:3]))
    assert set(one["kind"]) == {"a", "b", "c"}
    assert THIN > 1 / 99


def test_bands_are_as_wide_as_their_energy(run):
    ax = sankey_plot(run)
    bands = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    wide = [band.get_path().vertices[-2, 1] - band.get_path().vertices[0, 1] for band in bands]
    assert sum(wide) == pytest.approx(2.0)  # the whole, between three columns
    assert sum(bar.get_height() for bar in bars) == pytest.approx(3.0)


def test_it_is_legible(run, legible):
    legible(sankey_plot(run).figure)
