"""All pictures of a run, as PNG files in its directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyflexsim.analysis.run.energy_flow import sankey_plot
from hyflexsim.analysis.run.figures import energy_breakdown, latency_cdf, utilisation_plot
from hyflexsim.analysis.run.floor_plan import WRITE, floor_plan
from hyflexsim.analysis.run.measures import typical_of, typical_request
from hyflexsim.analysis.run.over_time import busy_map, power_plot, waiting_plot
from hyflexsim.analysis.run.queue import queue_plot
from hyflexsim.analysis.run.roofline import roofline_plot
from hyflexsim.analysis.run.run import COLUMNS, Run, load, visits_in
from hyflexsim.analysis.run.timeline import EXACT, timeline
from hyflexsim.analysis.style import DPI
from hyflexsim.analysis.whole_file import whole
from hyflexsim.sim.errors import InputError

PICTURES: dict[str, Callable[[Run], Axes]] = {
    "timeline.png": timeline,
    "timeline_request.png": lambda run: timeline(run, request=typical_request(run)),
    "energy.png": energy_breakdown,
    "utilisation.png": utilisation_plot,
    "latency_cdf.png": latency_cdf,
    "queue.png": queue_plot,
}
"""File name and what draws it; ``timeline_request`` shows the request of median latency."""

MORE: dict[str, Callable[[Run], Axes]] = {
    "power.png": power_plot,
    "waiting.png": waiting_plot,
    "busy.png": busy_map,
    "energy_flow.png": sankey_plot,
    "floor.png": floor_plan,
    "wear.png": lambda run: floor_plan(run, "writes"),
    "roofline.png": roofline_plot,
}
"""Pictures that are drawn when asked for."""

WHOLE = ("timeline.png",)
"""Those that show the whole trace."""

OF_TABLES = ("utilisation.png", "latency_cdf.png", "queue.png")
"""Those that show nothing of the trace; all others show one request, or the order of layers."""

_UNUSED = ("step", "kind", "arrival_ps")
_OF_ONE = ("token", "plane")  # written where visits are drawn one by one


def draw_all(run_dir: str | Path) -> list[Path]:
    """Draw every picture of :data:`PICTURES` into the run directory; return their paths.

    Equal runs give equal bytes: neither dates nor versions are written into the files.
    """
    return [*draw_whole(run_dir), *draw_part(run_dir), *draw_tables(run_dir)]


def possible(run: Run) -> list[str]:
    """Those of :data:`MORE` that a run has something to show for."""
    lacking = set()
    if len(run.trace) != run.summary["visits"]:
        lacking.add("power.png")
    if WRITE not in set(run.energy["action"]):
        lacking.add("wear.png")
    if not run.summary["macs"]:
        lacking.add("roofline.png")
    return [name for name in MORE if name not in lacking]


def draw_more(run: Run, names: Iterable[str]) -> list[Path]:
    """Some pictures of :data:`MORE` into a run's directory, as PNG or by the suffix SVG or PDF.

    Raises InputError for a name that is none, and for a picture that the run has nothing for.
    """
    drawn = []
    for name in names:
        path = Path(name)
        key = f"{path.stem}.png"
        if key not in MORE or path.suffix not in ("", ".png", ".svg", ".pdf"):
            known = ", ".join(each.removesuffix(".png") for each in MORE)
            raise InputError(f"picture must be one of {known}, or with .svg or .pdf; got {name!r}")
        drawn.append((key, run.path / (name if path.suffix else key)))
    return [save(MORE[key](run), path) for key, path in drawn]


def draw_whole(run_dir: str | Path) -> list[Path]:
    """The pictures of :data:`WHOLE`."""
    few = visits_in(run_dir) <= EXACT
    columns = [n for n in COLUMNS["trace"] if n not in _UNUSED and (few or n not in _OF_ONE)]
    return _draw(load(run_dir, trace_columns=columns), WHOLE)


def draw_part(run_dir: str | Path) -> list[Path]:
    """The pictures that are neither of :data:`WHOLE` nor of :data:`OF_TABLES`."""
    columns = [name for name in COLUMNS["trace"] if name not in _UNUSED]
    rest = [name for name in PICTURES if name not in (*WHOLE, *OF_TABLES)]
    return _draw(load(run_dir, trace_columns=columns, around=typical_of), rest)


def draw_tables(run_dir: str | Path) -> list[Path]:
    """The pictures of :data:`OF_TABLES`, for which the trace need not be there."""
    return _draw(load(run_dir, trace_columns=()), OF_TABLES)


def _draw(run: Run, names: Sequence[str]) -> list[Path]:
    return [save(PICTURES[name](run), run.path / name) for name in names]


def save(ax: Axes, path: str | Path) -> Path:
    """Write the figure of ``ax`` as a PNG (or by the suffix, PDF or SVG) that does not change."""
    path = Path(path)
    figure = ax.figure.get_figure(root=True)
    assert isinstance(figure, Figure)
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Producer": None}}
    metadata |= {".svg": {"Date": None, "Creator": None}}
    with whole(path) as made:
        figure.savefig(made, dpi=DPI, facecolor="white", metadata=metadata.get(path.suffix))
    return path
