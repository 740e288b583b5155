"""The timeline of one request, in which one can zoom and point at a visit.

Drawn by Bokeh, whose scripts go into the page (BSD-3-Clause, https://bokeh.org): rows and colours
are those of :mod:`hyflexsim.analysis.run.timeline`.
"""

from __future__ import annotations

import numpy as np

from hyflexsim.analysis.run.measures import typical_request
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.run.timeline_rows import arrange
from hyflexsim.analysis.run.visits import CLASSES, Visits, select
from hyflexsim.analysis.style import CLASS_COLOURS, short
from hyflexsim.sim.errors import InputError

MOST = 30_000
"""Visits that a page holds: 2 MB, and a browser moves them without a jerk."""


def zoomable_timeline(run: Run) -> tuple[str, str]:
    """Heading and markup, scripts included. Raises InputError where Bokeh is not installed."""
    try:
        from bokeh.embed import components  # noqa: PLC0415
        from bokeh.models import ColumnDataSource, HoverTool  # noqa: PLC0415
        from bokeh.plotting import figure  # noqa: PLC0415
        from bokeh.resources import Resources  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "a report's timeline needs Bokeh: pip install 'hyflexsim[report]'"
        ) from None
    request = typical_request(run)
    visits = select(run, request=request)
    rows = arrange(run, visits, None, 120)
    labels = [
        row.label if rows.group == "layer" else f"{short(row.layer)} {row.label}"
        for row in rows.rows
    ]
    unique = [f"{label}{' ' * labels[:i].count(label)}" for i, label in enumerate(labels)]
    plot = figure(
        y_range=unique[::-1],
        height=14 * len(unique) + 150,
        sizing_mode="stretch_width",
        tools="xpan,xwheel_zoom,xbox_zoom,reset",
        active_scroll="xwheel_zoom",
        output_backend="webgl",
        x_axis_label="time after the arrival (µs)",
        background_fill_color="white",
    )
    shown = _first(visits)
    for number in np.unique(visits.op_class[shown]).tolist():
        mine = shown[visits.op_class[shown] == number]
        bars = plot.hbar(
            y="row",
            left="start",
            right="end",
            height=0.8,
            fill_color=CLASS_COLOURS[CLASSES[number]],
            line_color=None,
            legend_label=CLASSES[number],
            source=ColumnDataSource(_columns(run, visits, mine, rows.of, unique, request)),
        )
        plot.add_tools(
            HoverTool(
                renderers=[bars],
                tooltips=[
                    ("component", "@component"),
                    ("token", "@token"),
                    ("from", "@start{0.000} µs"),
                    ("for", "@lasts{0,0} ps"),
                ],
            )
        )
    plot.add_layout(plot.legend[0], "below")
    plot.legend.ncols = 4
    plot.legend.click_policy = "hide"
    plot.yaxis.major_label_text_font_size = "10px"
    plot.toolbar.logo = None
    script, div = components(plot)
    left = len(visits) - len(shown)
    said = f"<p>The first {len(shown):,} of {len(visits):,} visits.</p>" if left else ""
    hint = "<p>Drag to move, roll to zoom, point at a bar, click the legend to hide.</p>"
    library = Resources(mode="inline", components=["bokeh", "bokeh-gl"]).render_js()
    return f"Request {request}, zoomable", f"{library}{hint}{said}{div}{script}"


def _first(visits: Visits) -> np.ndarray:
    """Places of the first :data:`MOST` visits to start."""
    order: np.ndarray = np.argsort(visits.start, kind="stable")[:MOST]
    return order


def _columns(
    run: Run, visits: Visits, mine: np.ndarray, of: np.ndarray, labels: list[str], request: int
) -> dict[str, list[object] | np.ndarray]:
    arrival = int(run.requests.loc[run.requests["request"] == request, "arrival_ps"].iloc[0])
    components = visits.component[mine]
    return {
        "row": [labels[row] for row in of[components].tolist()],
        "component": [visits.components[number] for number in components.tolist()],
        "token": visits.token[mine],
        "start": (visits.start[mine] - arrival) * 1e-6,
        "end": (visits.end[mine] - arrival) * 1e-6,
        "lasts": visits.end[mine] - visits.start[mine],
    }
