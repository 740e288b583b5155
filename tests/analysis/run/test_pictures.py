"""Every other picture: Axes back, the right bars, no text on text, equal bytes."""

import dataclasses
import re

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from analysis_synthetic import encoder, place
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from hyflexsim import analysis
from hyflexsim.analysis.run.folding import fold
from hyflexsim.analysis.run.placement import shares
from hyflexsim.analysis.style import kind_colours, si, significant, time_scale
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.graph import add_op, connect, new_graph

FILES = ["timeline.png", "timeline_request.png", "energy.png", "utilisation.png"]
FILES += ["latency_cdf.png", "queue.png"]


@pytest.fixture(scope="module")
def jets(jets_dir):
    return analysis.load(jets_dir)


def ticks_overlap(ax):
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        boxes = [t.get_window_extent(renderer) for t in labels if t.get_text()]
        if any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]):
            return True
    return False


@pytest.mark.parametrize(
    "draw",
    [
        analysis.energy_breakdown,
        analysis.energy_plot,
        analysis.utilisation_plot,
        analysis.latency_cdf,
        analysis.latency_vs_tokens,
        analysis.queue_plot,
    ],
)
def test_axes_out_and_ticks_apart(draw, jets, bank_dir):
    for run in (jets, analysis.load(bank_dir)):
        ax = draw(run)
        assert isinstance(ax, Axes)
        assert not ticks_overlap(ax)
        assert ax.get_xlabel()


def test_energy_bars_add_up(jets):
    ax = analysis.energy_breakdown(jets)
    whole = [b for b in ax.patches if isinstance(b, Rectangle) and b.get_height() > 1]
    unit = float(re.search(r"\((.)J\)", ax.get_xlabel())[1] == "µ") * 1e-6 or 1e-9
    total = jets.energy.energy_pj.sum() * 1e-12 / 60
    assert sum(b.get_width() for b in whole) * unit == pytest.approx(total)
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    share = analysis.energy_by(jets, "kind").share["bank"]
    assert f"RRAM bank {100 * share:.0f} %" in labels


def test_cdf_marks_quantiles_and_labels(jets):
    ax = analysis.latency_cdf(jets)
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels[-1] == "all (60)"
    assert [label[:3] for label in labels[:-1]] == ["QCD", "top"]
    p50 = analysis.latency_quantiles(jets).p50_ps["all"]
    assert f"p50 {p50 / 1e6:.4g}"[:8] in ax.get_legend().get_title().get_text()
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    unit = 1e6 if "µs" in ax.get_xlabel() else 1e3
    assert dots[0].get_xdata()[0] == pytest.approx(p50 / unit)


def test_cdf_says_who_keeps_the_deadline(jets):
    deadline = int(jets.requests["latency_ps"].quantile(0.25, interpolation="lower"))
    stream = jets.summary["stream"] | {"deadline_ps": deadline}
    late = dataclasses.replace(jets, summary=jets.summary | {"stream": stream})
    ax = analysis.latency_cdf(late)
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels[-1] == "deadline (25 % in time)"
    assert ax.get_xlim()[0] <= deadline / time_scale(late.requests["latency_ps"].max()).factor


def test_the_queue_holds_all_latency(jets):
    """The area under the curve is the sum of all latencies (Little's law, for this run)."""
    ax = analysis.queue_plot(jets)
    values, edges, _ = ax.patches[0].get_data()
    unit = time_scale(jets.summary["makespan_ps"]).factor
    area = (values * np.diff(edges)).sum() * unit
    assert area == pytest.approx(jets.requests["latency_ps"].sum())


def test_the_queue_says_what_is_wrong(jets):
    stream = jets.summary["stream"] | {"offered_per_s": 7.5e5, "served_at_most_per_s": 5.07e5}
    summary = jets.summary | {"stream": stream, "lost_by": {"queue": 12}}
    ax = analysis.queue_plot(dataclasses.replace(jets, summary=summary))
    said = ax.get_legend().get_title().get_text().splitlines()
    assert said == [
        "grows without bound:",
        "750 k/s come,",
        "507 k/s are served",
        "12 found the queue full",
    ]


def test_placement_map_and_shares():
    _, classes, pus = encoder(3, 1)
    frame = place(pus, classes, pus_per_layer=2)
    table = shares(frame)
    # six matrices of 300 + 500 arrays, twice, on a PU of 12,288
    assert table.slc.tolist() == [1800 / 12288] * 6
    assert table.copies.tolist() == [4800 / 12288] * 6
    np.testing.assert_allclose(table.sum(axis=1), 1)
    ax = analysis.placement_map(frame)
    texts = [t.get_text() for t in ax.texts]
    assert texts.count("layer.2") == 2
    assert texts.count("chip 0") == 1
    assert sum(text.isdigit() for text in texts) == 6  # those in use
    assert "… 18 unused" in texts
    filled = [p for p in ax.patches if p.get_linewidth() == 0]
    assert len(filled) == 6 * 3
    cell = next(p for p in ax.patches if p.get_linewidth() > 0).get_height()
    assert filled[0].get_height() / cell == pytest.approx(1800 / 12288)


def test_placement_in_memory_is_drawn_by_bytes():
    """Two layers of 300 and 100 of 1,000 bytes; nothing is in arrays, nothing is copied."""
    frame = place({"a": 0, "b": 0}, {"a": "gemv", "b": "gemv"})
    frame = frame.assign(bytes=[300, 100], copies=1, arrays_slc=0, arrays_mlc=0, arrays_total=0)
    ax = analysis.placement_map(frame, arrays_per_pu=1000, pus_per_chip=1)
    cell = next(p for p in ax.patches if p.get_linewidth() > 0).get_height()
    filled = [p.get_height() / cell for p in ax.patches if p.get_linewidth() == 0]
    assert filled == pytest.approx([0.3, 0.1])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["weights", "free"]


def test_a_filling_too_flat_to_see_is_a_number():
    frame = place({"a": 0}, {"a": "gemv"}).assign(bytes=10, arrays_slc=0, arrays_mlc=0)
    ax = analysis.placement_map(frame.assign(arrays_total=0), arrays_per_pu=1000, pus_per_chip=1)
    assert "1.0 % in use" in [t.get_text() for t in ax.texts]


def test_a_map_of_many_pus_shows_the_first():
    frame = place({"a": 0}, {"a": "gemv"})
    many = pd.concat([frame.assign(pu=pu, chip=pu // 300) for pu in range(400)])
    texts = [t.get_text() for t in analysis.placement_map(many, pus_per_chip=512, most=20).texts]
    assert sum(text.isdigit() for text in texts) == 20
    assert "… 280 more in use and 212 unused" in texts
    assert "… and 1 more chips in use" in texts


def test_a_small_map_holds_its_legend(recwarn, tmp_path):
    ax = analysis.placement_map(place({"a": 0}, {"a": "gemv"}), pus_per_chip=1)
    analysis.save(ax, tmp_path / "map.png")
    assert not recwarn.list
    figure = ax.figure
    box = ax.get_legend().get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_links_of_any_name_have_colours_of_their_own():
    names = ["mesh", "tile_bus", "hyper_transport", "ring"]
    colours = kind_colours([*names, "adc", "pu_bus"])
    assert len(set(colours.values())) == 6
    assert colours["adc"] == kind_colours(["adc"])["adc"]


def test_the_legend_of_energies_stays_inside(jets):
    table = jets.energy.copy()
    kinds = [f"a_link_with_a_long_name_{i}" for i in range(14)]
    table["kind"] = [kinds[i % 14] for i in range(len(table))]
    ax = analysis.energy_breakdown(dataclasses.replace(jets, energy=table))
    ax.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent()
    assert box.x1 <= ax.figure.bbox.x1


def test_placement_column_missing():
    frame = place({"a": 0}, {"a": "gemv"}).drop(columns="copies")
    with pytest.raises(InputError) as caught:
        analysis.placement_map(frame)
    assert str(caught.value) == "placement: column 'copies' is missing"


def blocks(count):
    g = new_graph("stack", causal=False)
    add_op(g, "in", "input", layer="stem", width=4)
    last = "in"
    for i in range(count):
        for op, kind in (("norm", "norm"), ("act", "pointwise")):
            name = f"blocks.{i}.{op}"
            extra = {"function": "gelu"} if kind == "pointwise" else {}
            add_op(g, name, kind, layer=f"blocks.{i}", width=4, elements=4, **extra)
            connect(g, last, name, "all" if op == "norm" else "stream")
            last = name
    add_op(g, "out", "output", layer="head", width=4)
    connect(g, last, "out")
    return g


def test_graph_folds_equal_layers():
    folded = fold(blocks(24))
    assert folded.repeats == {"stem": 1, "blocks.0": 24, "head": 1}
    assert nx.is_directed_acyclic_graph(folded.graph)
    assert set(folded.graph.edges) == {
        ("in", "blocks.0.norm"),
        ("blocks.0.norm", "blocks.0.act"),
        ("blocks.0.act", "out"),
    }


def test_graph_is_drawn_folded():
    ax = analysis.draw_graph(blocks(24))
    texts = [t.get_text() for t in ax.texts]
    assert len([p for p in ax.patches if isinstance(p, FancyBboxPatch)]) == 4
    assert "blocks.0  ×24" in texts
    assert "all" in texts
    ax = analysis.draw_graph(blocks(24), layer="blocks.3")
    assert len([p for p in ax.patches if isinstance(p, FancyBboxPatch)]) == 4  # two are neighbours
    with pytest.raises(InputError, match=r"^layer must be of stem, blocks\.0, .*; got 'x'$"):
        analysis.draw_graph(blocks(2), layer="x")


def test_compare(jets_dir, bert_dir):
    table = analysis.compare([jets_dir, bert_dir])
    assert list(table.columns) == ["unit", "jets", "bert", "bert / jets"]
    runs = [analysis.load(d) for d in (jets_dir, bert_dir)]
    a, b = (r.summary["latency_ps"]["p50"] for r in runs)
    assert table.loc["latency p50", "unit"] == "µs"
    assert table.loc["latency p50", "bert"] == pytest.approx(b / 1e6)
    assert table.loc["latency p50", "bert / jets"] == pytest.approx(b / a)
    assert table.loc["energy bank", "jets"] > 0
    assert list(analysis.compare([jets_dir, jets_dir]).columns)[2] == "jets (2)"
    with pytest.raises(InputError) as caught:
        analysis.compare([])
    assert str(caught.value) == "compare: at least one run directory is needed"


def test_compare_plot(jets_dir, bert_dir, bank_dir):
    ax = analysis.compare_plot([jets_dir, bert_dir, bank_dir])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["bert", "bank"]
    assert not ticks_overlap(ax)


def test_all_pictures_twice_give_equal_bytes(jets_dir):
    first = [(p.name, p.read_bytes()) for p in analysis.draw_all(jets_dir)]
    second = [(p.name, p.read_bytes()) for p in analysis.draw_all(jets_dir)]
    assert [name for name, _ in first] == FILES
    assert first == second
    assert all(data.startswith(b"\x89PNG") and b"Software" not in data for _, data in first)
    assert not list(jets_dir.glob(".*partial*"))


def test_numbers_as_text():
    assert si(4.2e-7, "s") == "420 ns"
    assert si(0, "J") == "0 J"
    assert significant(0.000123) == "0.000123"
    assert time_scale(3_000_000).unit == "µs"
    assert time_scale(900_000).unit == "ns"
