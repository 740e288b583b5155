"""The floor of a chip: its processing units (PUs), coloured by how busy or how worn they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.patches import Rectangle

from hyflexsim.analysis import style
from hyflexsim.analysis.run.pu_grid import ROOM, pu_grid
from hyflexsim.analysis.run.run import Run
from hyflexsim.sim.errors import InputError

WRITE = "cell_write"
"""The action that wears a cell."""


class Measure(NamedTuple):
    """What colours mean."""

    about: str
    of: Any  # (run) -> Series by (chip, pu)
    text: Any  # value -> text in the square


def busiest(run: Run) -> pd.Series:
    """Mean utilisation of the busiest kind of component in each PU, by ``chip``, ``pu``."""
    table = run.components[run.components["pu"] >= 0]
    kinds = table.groupby(["chip", "pu", "kind"])["utilisation"].mean()
    return kinds.groupby(["chip", "pu"]).max()


def cells_written(run: Run) -> pd.Series:
    """Cells written a request in each PU, by ``chip``, ``pu``: those of its layers.

    A layer that several PUs hold writes evenly in them: which is the mean, not the worst of them.
    """
    written = run.energy[run.energy["action"] == WRITE].groupby(["kind", "layer"])["count"].sum()
    places = run.components[run.components["pu"] >= 0]
    places = places.assign(layer=places["layer"].str.split("+")).explode("layer")
    places = places[["chip", "pu", "kind", "layer"]].drop_duplicates()
    shared = places.groupby(["kind", "layer"])["pu"].transform("size")
    keys = pd.MultiIndex.from_frame(places[["kind", "layer"]])
    places["written"] = written.reindex(keys, fill_value=0).to_numpy() / shared
    return places.groupby(["chip", "pu"])["written"].sum() / max(len(run.requests), 1)


MEASURES = {
    "utilisation": Measure("busy share of its busiest kind", busiest, style.percent),
    "writes": Measure("cells written a request", cells_written, lambda n: style.si(n, "", 2)),
}
"""By what a floor may be coloured."""


def floor_plan(run: Run, by: str = "utilisation", *, ax: Axes | None = None) -> Axes:
    """PUs in use, dark where busy (``by="utilisation"``) or often written (``"writes"``).

    Raises InputError for another ``by``, for a run whose components sit in no PU, and for writes
    where a request writes nothing.
    """
    if by not in MEASURES:
        raise InputError(f"by must be one of {', '.join(MEASURES)}; got {by!r}")
    measure = MEASURES[by]
    values: pd.Series = measure.of(run)
    if values.empty or not values.max() > 0:
        raise InputError(f"{run.path}: no {measure.about} in any PU")
    most, blues = float(values.max()), colormaps["Blues"]
    names = run.placement.groupby(["chip", "pu"])["layer"].unique()

    def draw(ax: Axes, corner: tuple[float, float], chip: int, pu: int) -> None:
        value = float(values.get((chip, pu), 0.0))
        colour = to_hex(blues(value / most))
        layers = [str(name) for name in names.get((chip, pu), ())]
        _square(ax, corner, (pu, style.short("+".join(layers), 12)), measure.text(value), colour)

    with style.context():
        ax = pu_grid([(int(c), int(p)) for c, p in values.index], draw, ax=ax)
        shade = ScalarMappable(Normalize(0, most), blues)
        bar = ax.figure.colorbar(shade, ax=ax, orientation="horizontal", pad=0.02, aspect=40)
        bar.set_label(measure.about)
        bar.outline.set_linewidth(0.4)
        bar.ax.xaxis.set_major_formatter(lambda x, _: measure.text(x))
    return ax


def _square(
    ax: Axes, corner: tuple[float, float], name: tuple[int, str], value: str, colour: str
) -> None:
    """One PU: its number, its value, the layers it holds."""
    x, y = corner
    tall = ROOM * 0.92
    outline = "#404040"
    ax.add_patch(Rectangle((x, y), ROOM, tall, facecolor=colour, edgecolor=outline, linewidth=0.6))
    ink = style.ink(colour)
    ax.text(x + 0.05, y + 0.05, str(name[0]), fontsize=5.5, color=ink, va="top")
    ax.text(x + ROOM / 2, y + tall / 2, value, fontsize=7, color=ink, ha="center", va="center")
    ax.text(x + ROOM / 2, y + tall + 0.02, name[1], ha="center", va="top", fontsize=5.5)
