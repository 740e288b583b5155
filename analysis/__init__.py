"""From a run directory to tables, numbers and pictures.

>>> from hyflexsim import analysis
>>> run = analysis.load("runs/part-jets")                             # doctest: +SKIP
>>> analysis.latency_quantiles(run)                                   # doctest: +SKIP
>>> ax = analysis.timeline(run, layer="layer.0", tokens=(0, 8))       # doctest: +SKIP
>>> analysis.save(ax, "timeline.png")                                 # doctest: +SKIP

Tables are pandas frames with documented columns (:class:`Run`); numbers are plain functions of
them; pictures take ``ax=`` and return it, and make a figure of their own without it.
"""

from hyflexsim.analysis.compare import compare, compare_plot
from hyflexsim.analysis.figures import (
    energy_breakdown,
    energy_plot,
    latency_cdf,
    latency_vs_tokens,
    utilisation_plot,
)
from hyflexsim.analysis.graphs import draw_graph
from hyflexsim.analysis.measures import (
    energy_by,
    latency_quantiles,
    layer_spans,
    typical_request,
    utilisation,
)
from hyflexsim.analysis.placement import placement_map
from hyflexsim.analysis.report import draw_all, save
from hyflexsim.analysis.run import COLUMNS, Run, load
from hyflexsim.analysis.timeline import timeline

__all__ = [
    "COLUMNS",
    "Run",
    "compare",
    "compare_plot",
    "draw_all",
    "draw_graph",
    "energy_breakdown",
    "energy_by",
    "energy_plot",
    "latency_cdf",
    "latency_quantiles",
    "latency_vs_tokens",
    "layer_spans",
    "load",
    "placement_map",
    "save",
    "timeline",
    "typical_request",
    "utilisation",
    "utilisation_plot",
]
