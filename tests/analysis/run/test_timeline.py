"""The timeline: what is drawn, how much of it, and that names do not touch."""

import dataclasses

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from hyflexsim import analysis
from hyflexsim.analysis.run.timeline_rows import rows_of
from hyflexsim.analysis.run.visits import select
from hyflexsim.analysis.style import short
from hyflexsim.sim.errors import InputError


@pytest.fixture(scope="module")
def bank(bank_dir):
    return analysis.load(bank_dir)


@pytest.fixture(scope="module")
def bert(bert_dir):
    return analysis.load(bert_dir)


@pytest.fixture(scope="module")
def jets(jets_dir):
    return analysis.load(jets_dir)


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def classes(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def boxes(ax):
    parts = [c for c in ax.collections if isinstance(c, PolyCollection)]
    return sum(len(c.get_paths()) for c in parts if not c.get_label().startswith("_"))


def overlaps(ax):
    """Pairs of visible texts whose boxes overlap."""
    figure = ax.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts, ax.title]
    texts += [ax.xaxis.label, ax.yaxis.label, ax._left_title]
    for legend in [*ax.artists, ax.get_legend()]:
        texts += legend.get_texts() if hasattr(legend, "get_texts") else []
    seen = [t for t in texts if t.get_visible() and t.get_text()]
    extents = [t.get_window_extent(renderer).shrunk(0.98, 0.8) for t in seen]
    return [
        (seen[i].get_text(), seen[j].get_text())
        for i in range(len(seen))
        for j in range(i)
        if extents[i].overlaps(extents[j])
    ]


def test_one_bank_shows_every_plane(bank):
    ax = analysis.timeline(bank)
    assert boxes(ax) == len(bank.trace) == 174
    assert [n for n in names(ax) if "bank" in n] == ["pu0.bank.0"]
    texts = [t.get_text() for t in ax.texts]
    assert texts.count("token 3") == 3  # bank, ADC, shift-and-add
    assert texts.count("7") >= 2 * 6  # planes of bank and ADC
    assert classes(ax) == ["gemv", "input", "output"]
    assert ax.get_xlabel() == "time (µs)"
    assert overlaps(ax) == []


def test_many_visits_are_aggregated(bert):
    ax = analysis.timeline(bert, max_rows=40)
    assert boxes(ax) < 200 < len(bert.trace)
    assert names(ax).count("RRAM bank ×12") == 4
    assert overlaps(ax) == []


def test_thin_rows_are_named_by_layer(bert):
    ax = analysis.timeline(bert, group="kind", ax=Figure(figsize=(5, 2.6)).add_subplot())
    assert "layer.3" in names(ax)
    assert "RRAM bank" in classes(ax)


def test_grouped_by_layer(bert):
    ax = analysis.timeline(bert, group="layer")
    assert names(ax) == ["shared", "layer.0", "layer.1", "layer.2", "layer.3", "head"]
    assert overlaps(ax) == []


def test_request_numbers_stand_above(bert):
    texts = [t.get_text() for t in analysis.timeline(bert).texts]
    assert [t for t in ("request", "0", "1", "2") if t in texts] == ["request", "0", "1", "2"]


def test_zoom_to_a_layer_and_tokens(bert):
    ax = analysis.timeline(bert, layer="layer.2", request=1, tokens=(3, 5))
    trace = bert.trace
    mine = trace[
        (trace.layer == "encoder.layer.2") & (trace.request == 1) & trace.token.isin([3, 4])
    ]
    own = [c for c in ax.collections if c.get_label() in ("gemv", "matmul", "softmax")]
    own += [c for c in ax.collections if c.get_label() in ("norm", "pointwise")]
    assert sum(len(c.get_paths()) for c in own) == len(mine)
    low, high = ax.get_xlim()
    span = (mine.end_ps.max() - mine.start_ps.min()) / 1e6
    assert high - low == pytest.approx(span)
    assert "layer.2 · request 1, 24 tokens" in ax.get_title(loc="left")
    assert "other requests" in classes(ax)
    assert overlaps(ax) == []


def test_window_and_components(bert):
    bank = "pu0.encoder.layer.0.q.bank.0"
    ax = analysis.timeline(bert, window=(2_000_000, 3_500_000), components=[bank])
    assert names(ax) == ["pu0.q.bank.0"]
    assert ax.get_xlim() == (2000, 3500)
    assert ax.get_xlabel() == "time (ns)"


def test_late_windows_count_from_their_start(bert):
    start = 30_000_000
    ax = analysis.timeline(bert, window=(start, start + 1_000_000))
    assert ax.get_xlim() == (0, 1000)
    assert ax.get_xlabel() == "time after 30.0000 µs (ns)"


def test_many_requests(jets):
    ax = analysis.timeline(jets)
    assert "60 arrivals" in [t.get_text() for t in ax.texts]
    assert overlaps(ax) == []


def test_one_request_is_marked(jets):
    ax = analysis.timeline(jets, request=5)
    texts = [t.get_text() for t in ax.texts]
    assert "arrives" in texts
    assert "done" in texts
    assert overlaps(ax) == []


def test_share_beside_a_row_is_its_utilisation(bert):
    ax = analysis.timeline(bert, group="kind", window=(0, bert.summary["makespan_ps"]))
    share = bert.components[
        (bert.components.kind == "bank") & (bert.components.layer == "encoder.layer.0")
    ].utilisation.mean()
    row = names(ax).index("RRAM bank ×12")
    said = next(t for t in ax.texts if t.get_position() == (1, row + 0.5)).get_text()
    assert float(said.removesuffix(" %")) == pytest.approx(100 * share, abs=0.5)


def test_draws_into_given_axes(bert):
    ax = Figure(figsize=(7, 4)).add_subplot()
    assert analysis.timeline(bert, ax=ax) is ax


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group": "pu"}, "group must be one of component, kind, layer; got 'pu'"),
        ({"request": 7}, "request must be of 0, 1, 2; got 7"),
        ({"tokens": (3, 3)}, "tokens must be (first, stop) with first < stop; got (3, 3)"),
        ({"max_rows": 0}, "max_rows must be positive; got 0"),
        (
            {"layer": "layer.9"},
            "layer must be of embed, encoder.layer.0, encoder.layer.1, encoder.layer.2, "
            "encoder.layer.3, head; got 'layer.9'",
        ),
    ],
)
def test_errors(bert, wrong, message):
    with pytest.raises(InputError) as caught:
        analysis.timeline(bert, **wrong)
    assert str(caught.value) == message


def test_nothing_selected(bert):
    with pytest.raises(InputError) as caught:
        analysis.timeline(bert, tokens=(500, 600))
    message = f"{bert.path}: no visit of that layer, request, token, component and time"
    assert str(caught.value) == message


def test_a_bar_is_as_high_as_its_share(bert):
    """One component in one bin of its whole time: the step has the height of the peak."""
    ax = analysis.timeline(bert, group="component", components=["pu1.sfu"], bins=10)
    heights = np.concatenate([p.vertices[:, 1] for c in ax.collections for p in c.get_paths()])
    assert heights.max() <= 1
    assert heights.min() >= 0


def test_a_pu_of_several_layers_is_named_after_all_of_them(bert):
    """Components that two blocks share stand in a band of their own, below both."""
    layers = sorted(n for n in bert.components["layer"].unique() if n[-1:].isdigit())[:2]
    joint = "+".join(layers)
    table = bert.components.assign(
        layer=bert.components["layer"].replace(dict.fromkeys(layers, joint))
    )
    rows = rows_of(dataclasses.replace(bert, components=table), select(bert), "kind")
    bands = [layer for layer, _, _ in rows.bands()]
    assert joint in bands
    assert short(joint) == "layer.0–1"
