"""The figures of the paper, one after the other: tables, pictures, page.

What a figure gave is kept until all are done: a command that was interrupted goes on with the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest
from hyflexsim.workloads.points.done import Answers
from hyflexsim.workloads.points.study import computed
from hyflexsim.workloads.reproduction.accuracy_figures import fig11, fig12, fig13
from hyflexsim.workloads.reproduction.claims import Figure
from hyflexsim.workloads.reproduction.end_to_end import fig15
from hyflexsim.workloads.reproduction.fractional_copies import fractional_copies
from hyflexsim.workloads.reproduction.headline import headline
from hyflexsim.workloads.reproduction.linear_energy import fig14
from hyflexsim.workloads.reproduction.operations import fig2
from hyflexsim.workloads.reproduction.page import page
from hyflexsim.workloads.reproduction.reviewers import reviewers
from hyflexsim.workloads.reproduction.scaling import fig17
from hyflexsim.workloads.reproduction.silicon import silicon
from hyflexsim.workloads.reproduction.table2 import table2
from hyflexsim.workloads.reproduction.throughput import fig16
from hyflexsim.workloads.reproduction.unknowns import sensitivity
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.terminal import Say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES: dict[str, Callable[[Say], Figure]] = {
    "headline": headline,
    "sensitivity": sensitivity,
    "table2": table2,
    "fig2": fig2,
    "fig11": fig11,
    "fig12": fig12,
    "fig13": fig13,
    "fig14": fig14,
    "fig15": fig15,
    "fig16": fig16,
    "copies": fractional_copies,
    "fig17": fig17,
    "reviewers": reviewers,
    "silicon": silicon,
}
"""By the name that the command takes."""
PAGE = "reproduction.md"


def names_of(wanted: Iterable[str]) -> list[str]:
    """Figures in the paper's order; ``all`` is each of them.

    >>> names_of(["fig14", "table2"])
    ['table2', 'fig14']
    """
    asked = set(wanted)
    for name in asked - {"all"} - set(FIGURES):
        raise InputError(f"no figure {name!r}; {nearest(name, ['all', *FIGURES])}")
    return [name for name in FIGURES if name in asked or "all" in asked]


def is_whole(names: Iterable[str]) -> bool:
    """Whether these are all figures, so that there is a page."""
    return set(names_of(names)) == set(FIGURES)


def reproduce(
    names: Iterable[str], out: Path, *, say: Say, fresh: bool = False, workers: int | None = None
) -> list[Figure]:
    """Compute figures; write tables into ``out/results``, pictures into ``out/pictures``.

    The page ``out/reproduction.md`` is written where all figures are asked for. ``workers``:
    processes, as many as there are cores by default, where there are several; 0: none beside this.
    """
    from hyflexsim.analysis import save  # noqa: PLC0415

    names = names_of(names)

    def here(settings: Mapping[str, Any]) -> Answers:
        return figure_point(settings, say)  # with the progress of the figure itself

    with working(out / "reproduction", {"figures": names}, fresh=fresh) as work:
        several = len(names) > 1 and workers != 0
        made = computed(
            work.rows(("figure",)),
            [{"figure": name} for name in names],
            figure_point if several else here,
            common={},
            workers=workers if several else 0,
            say=say,
        )
        figures = [Figure.from_json(row["made"]) for row in made]
        for folder in ("results", "pictures"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        for i, figure in enumerate(figures):
            say("drawing", i, len(figures))
            stem = f"reproduction-{figure.name}"
            figure.table.to_csv(out / "results" / f"{stem}.csv", index=False, float_format="%.5g")
            save(_drawn(figure), out / "pictures" / f"{stem}.png")
        if is_whole(names):
            (out / PAGE).write_text(page(figures), encoding="utf-8")
    return figures


def figure_point(settings: Mapping[str, Any], say: Say = lambda *_: None) -> Answers:
    """A figure as plain values; ``settings``: ``figure``, its name."""
    return {"made": FIGURES[settings["figure"]](say).as_json()}


def _drawn(figure: Figure) -> Axes:
    from hyflexsim.analysis import beside_paper, tornado_plot  # noqa: PLC0415

    if figure.picture == "tornado":
        return tornado_plot(figure.table, title=figure.title, axis=figure.axes[1])[0]
    return beside_paper(
        figure.table,
        title=figure.title,
        axes=figure.axes,
        log=figure.log,
        theirs=figure.theirs,
    )[0]
