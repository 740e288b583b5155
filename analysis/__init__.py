"""From a run directory to tables, numbers and pictures.

>>> from hyflexsim import analysis
>>> run = analysis.load("runs/part-jets")                             # doctest: +SKIP
>>> analysis.latency_quantiles(run)                                   # doctest: +SKIP
>>> ax = analysis.timeline(run, layer="layer.0", tokens=(0, 8))       # doctest: +SKIP
>>> analysis.save(ax, "timeline.png")                                 # doctest: +SKIP

Accuracy studies (scores under noise, ranks, Pareto points) are directories too:

>>> analysis.slc_rate_needed("runs/mrpc-accuracy")                    # doctest: +SKIP
>>> analysis.draw_study("runs/mrpc-accuracy")                         # doctest: +SKIP

So are sweeps:

>>> analysis.load_sweep("runs/latency-area").table()                    # doctest: +SKIP

Tables are pandas frames with documented columns (:class:`Run`); numbers are plain functions of
them; pictures take ``ax=`` and return it, and make a figure of their own without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyflexsim.analysis.reports.report import write_report
    from hyflexsim.analysis.reproduction.beside import beside_paper
    from hyflexsim.analysis.run.compare import compare, compare_plot
    from hyflexsim.analysis.run.energy_flow import energy_flow, sankey_plot
    from hyflexsim.analysis.run.figures import (
        energy_breakdown,
        energy_plot,
        latency_cdf,
        latency_vs_tokens,
        utilisation_plot,
    )
    from hyflexsim.analysis.run.floor_plan import floor_plan
    from hyflexsim.analysis.run.graphs import draw_graph
    from hyflexsim.analysis.run.measures import (
        energy_by,
        latency_quantiles,
        layer_spans,
        typical_request,
        utilisation,
    )
    from hyflexsim.analysis.run.over_time import (
        busy_map,
        power_by_kind,
        power_plot,
        waiting_by_kind,
        waiting_plot,
    )
    from hyflexsim.analysis.run.placement import placement_map
    from hyflexsim.analysis.run.queue import queue_plot
    from hyflexsim.analysis.run.report import draw_all, draw_more, save
    from hyflexsim.analysis.run.roofline import roofline_plot, roofs
    from hyflexsim.analysis.run.run import COLUMNS, Run, load
    from hyflexsim.analysis.run.timeline import timeline
    from hyflexsim.analysis.studies.accuracy import (
        accuracy_table,
        confidence,
        pareto_front,
        rank_table,
        slc_rate_needed,
    )
    from hyflexsim.analysis.studies.accuracy_figures import (
        accuracy_plot,
        adc_plot,
        importance_plot,
        selection_plot,
    )
    from hyflexsim.analysis.studies.chips_figure import chips_plot
    from hyflexsim.analysis.studies.dominance import on_front
    from hyflexsim.analysis.studies.pareto_figures import pareto_plot
    from hyflexsim.analysis.studies.rank_figures import quality_plot, recovery_plot, speedup_plot
    from hyflexsim.analysis.studies.rank_map import ranks_plot
    from hyflexsim.analysis.studies.report import draw_study
    from hyflexsim.analysis.studies.studies import INFO, STUDIES, Study, load_study
    from hyflexsim.analysis.sweeps.figures import (
        effects_plot,
        front_plot,
        multiples_plot,
        parallel_plot,
    )
    from hyflexsim.analysis.sweeps.report import draw_sweep
    from hyflexsim.analysis.sweeps.swept import Swept, load_sweep
    from hyflexsim.analysis.sweeps.tornado import tornado_plot

__all__ = [
    "COLUMNS",
    "INFO",
    "STUDIES",
    "Run",
    "Study",
    "Swept",
    "accuracy_plot",
    "accuracy_table",
    "adc_plot",
    "beside_paper",
    "busy_map",
    "chips_plot",
    "compare",
    "compare_plot",
    "confidence",
    "draw_all",
    "draw_graph",
    "draw_more",
    "draw_study",
    "draw_sweep",
    "effects_plot",
    "energy_breakdown",
    "energy_by",
    "energy_flow",
    "energy_plot",
    "floor_plan",
    "front_plot",
    "importance_plot",
    "latency_cdf",
    "latency_quantiles",
    "latency_vs_tokens",
    "layer_spans",
    "load",
    "load_study",
    "load_sweep",
    "multiples_plot",
    "on_front",
    "parallel_plot",
    "pareto_front",
    "pareto_plot",
    "placement_map",
    "power_by_kind",
    "power_plot",
    "quality_plot",
    "queue_plot",
    "rank_table",
    "ranks_plot",
    "recovery_plot",
    "roofline_plot",
    "roofs",
    "sankey_plot",
    "save",
    "selection_plot",
    "slc_rate_needed",
    "speedup_plot",
    "timeline",
    "tornado_plot",
    "typical_request",
    "utilisation",
    "utilisation_plot",
    "waiting_by_kind",
    "waiting_plot",
    "write_report",
]

_FILES = {
    "reports.report": "write_report",
    "reproduction.beside": "beside_paper",
    "run.compare": "compare compare_plot",
    "run.energy_flow": "energy_flow sankey_plot",
    "run.figures": "energy_breakdown energy_plot latency_cdf latency_vs_tokens utilisation_plot",
    "run.floor_plan": "floor_plan",
    "run.graphs": "draw_graph",
    "run.measures": "energy_by latency_quantiles layer_spans typical_request utilisation",
    "run.placement": "placement_map",
    "run.over_time": "busy_map power_by_kind power_plot waiting_by_kind waiting_plot",
    "run.queue": "queue_plot",
    "run.report": "draw_all draw_more save",
    "run.roofline": "roofline_plot roofs",
    "run.run": "COLUMNS Run load",
    "run.timeline": "timeline",
    "studies.accuracy": "accuracy_table confidence pareto_front rank_table slc_rate_needed",
    "studies.accuracy_figures": "accuracy_plot adc_plot importance_plot selection_plot",
    "studies.chips_figure": "chips_plot",
    "studies.dominance": "on_front",
    "studies.pareto_figures": "pareto_plot",
    "studies.rank_figures": "quality_plot recovery_plot speedup_plot",
    "studies.rank_map": "ranks_plot",
    "studies.report": "draw_study",
    "studies.studies": "INFO STUDIES Study load_study",
    "sweeps.figures": "effects_plot front_plot multiples_plot parallel_plot",
    "sweeps.report": "draw_sweep",
    "sweeps.swept": "Swept load_sweep",
    "sweeps.tornado": "tornado_plot",
}
_HOME = {name: file for file, names in _FILES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """A file is loaded when something of it is asked for: pictures of runs need a third of all."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found
    return found
