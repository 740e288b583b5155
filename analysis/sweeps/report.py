"""All pictures of a sweep, as PNG files in its results folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes

from hyflexsim.analysis.run.report import save
from hyflexsim.analysis.sweeps.figures import (
    effects_plot,
    front_plot,
    multiples_plot,
    parallel_plot,
)
from hyflexsim.analysis.sweeps.swept import Swept, load_sweep

PICTURES: dict[str, Callable[[Swept], Axes]] = {
    "front.png": lambda swept: front_plot(swept)[0],
    "multiples.png": lambda swept: multiples_plot(swept)[0][0],
    "effects.png": lambda swept: effects_plot(swept)[0][0],
    "parallel.png": parallel_plot,
}
"""File name and what draws it."""


def draw_sweep(folder: Swept | str | Path) -> list[Path]:
    """Draw every picture of :data:`PICTURES` into the folder; return their paths.

    Equal points give equal bytes. Raises InputError where no point has answers.
    """
    swept = load_sweep(folder)
    return [save(draw(swept), swept.path / name) for name, draw in PICTURES.items()]
