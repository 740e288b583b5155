"""All pictures of an accuracy study, as PNG files in its directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes

from hyflexsim.analysis.run.report import save
from hyflexsim.analysis.studies.accuracy_figures import (
    accuracy_plot,
    adc_plot,
    default_select,
    importance_plot,
    selection_plot,
)
from hyflexsim.analysis.studies.chips_figure import chips_plot
from hyflexsim.analysis.studies.pareto_figures import pareto_plot
from hyflexsim.analysis.studies.rank_figures import quality_plot, recovery_plot, speedup_plot
from hyflexsim.analysis.studies.rank_map import ranks_plot
from hyflexsim.analysis.studies.studies import Study, load_study, study_kinds

Picture = tuple[str, Callable[[], Axes | list[Axes]]]


def draw_study(study_dir: str | Path) -> list[Path]:
    """Draw all that a directory's kinds allow as PNG files into it; return their paths.

    accuracy: ``accuracy``; ``selection_<σ>`` for each σ above 0 with two selections; ``adc`` if
    the resolution of converters varies; ``importance`` if it was recorded. study: ``quality``
    of several budgets, ``recovery``, ``speedup``, ``ranks``. pareto: ``pareto``, or
    ``pareto_<noise>`` for each of several. Equal directories give equal bytes.
    """
    path = Path(study_dir)
    studies = [load_study(path, kind) for kind in study_kinds(path)]
    drawn = []
    for study in studies:
        for name, draw in PICTURES[study.kind](study):
            axes = draw()
            drawn.append(save(axes[0] if isinstance(axes, list) else axes, path / name))
    return drawn


def _accuracy(study: Study) -> Iterator[Picture]:
    table = study.table
    yield "accuracy.png", partial(accuracy_plot, study)
    for sigma in sorted(set(table.loc[table["sigma"] > 0, "sigma"].tolist())):
        if table.loc[table["sigma"] == sigma, "select"].nunique() > 1:
            yield f"selection_{sigma:g}.png", partial(selection_plot, study, sigma=sigma)
    drawn = table[table["select"] == default_select(table)]
    if (drawn.groupby(["sigma", "slc_rate"])["adc_bits"].nunique() > 1).any():
        yield "adc.png", partial(adc_plot, study)
    if study.info["importance"] is not None:
        yield "importance.png", partial(importance_plot, study)


def _ranks(study: Study) -> Iterator[Picture]:
    if study.table["budget"].nunique() > 1:
        yield "quality.png", partial(quality_plot, study)
    yield "recovery.png", partial(recovery_plot, study)
    yield "speedup.png", partial(speedup_plot, study)
    yield "ranks.png", partial(ranks_plot, study)


def _pareto(study: Study) -> Iterator[Picture]:
    noises = list(dict.fromkeys(study.table["noise"]))
    draw = pareto_plot if study.table["chip"].nunique() == 1 else chips_plot
    for noise in noises:
        name = "pareto.png" if len(noises) == 1 else f"pareto_{noise}.png"
        yield name, partial(draw, study, noise=noise)


PICTURES: dict[str, Callable[[Study], Iterator[Picture]]] = {
    "accuracy": _accuracy,
    "study": _ranks,
    "pareto": _pareto,
}
"""File names and what draws them, for each kind of study."""
