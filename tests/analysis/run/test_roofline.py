"""Roofs of hand-made runs, where each is known, and a picture one can read."""

import dataclasses

import pandas as pd
import pytest

from hyflexsim.analysis import load, roofline_plot, roofs
from hyflexsim.sim.errors import InputError


@pytest.fixture
def run(bert_dir):
    """10^9 MACs in 1 ms: 10^12 a second. Two banks, of which one busy for half of the time; a bus
    that moved 10^6 bytes in a quarter of the time, so 4 GB/s at most."""
    whole = load(bert_dir)
    components = pd.DataFrame(
        {"kind": ["bank", "bank", "pu_bus", "sfu"], "utilisation": [0.1, 0.5, 0.25, 0.0]}
    )
    energy = pd.DataFrame(
        {"kind": ["pu_bus", "bank"], "action": ["pu_bus_bit", "array_read"], "count": [8e6, 5.0]}
    )
    summary = whole.summary | {"macs": 10**9, "makespan_ps": 10**9}
    return dataclasses.replace(
        whole, components=components, energy=energy.assign(layer="", op=""), summary=summary
    )


def test_a_roof_is_the_rate_over_the_share_of_the_busiest(run):
    table = roofs(run)
    assert list(table.index) == ["bank", "pu_bus"]  # what never worked bounds nothing
    assert table["macs_per_s"].tolist() == pytest.approx([2e12, 4e12])
    assert table.loc["pu_bus", ["bytes", "macs_per_byte"]].tolist() == [1e6, 1000]
    assert table.loc["pu_bus", "macs_per_s"] / table.loc["pu_bus", "macs_per_byte"] == 4e9
    assert table.loc[["bank"], "bytes"].isna().all()


def test_the_picture_has_a_line_a_roof_and_a_point_a_link(run):
    ax = roofline_plot(run)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "RRAM bank: 2.00 TMAC/s, 50 % of it reached",
        "PU bus: 4.00 GB/s, 25 % of it reached",
        f"{run.name}: 1.00 TMAC/s",
    ]
    slant = ax.lines[1]
    assert slant.get_ydata() / slant.get_xdata() == pytest.approx(4e9)
    assert ax.collections[0].get_offsets().tolist() == [[1000.0, 1e12]]


def test_two_runs_have_points_of_their_own(run):
    slower = dataclasses.replace(run, summary=run.summary | {"makespan_ps": 2 * 10**9})
    ax = roofline_plot([run, slower])
    points = [c.get_offsets()[0].tolist() for c in ax.collections]
    assert points == [[1000.0, 1e12], [1000.0, 5e11]]


def test_no_work_is_refused(run):
    idle = dataclasses.replace(run, summary=run.summary | {"macs": 0})
    with pytest.raises(InputError, match="needs multiply-accumulates; the run has none"):
        roofs(idle)


def test_it_is_legible(run, legible):
    legible(roofline_plot(run).figure)
