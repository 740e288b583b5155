"""The results folder of a sweep, finished or not: its points, which are settings and which answers.

Left out: what made the points. A folder holds ``sweep.json`` and ``points.parquet``, or ``parts/``
while the sweep goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyflexsim.analysis.run.run import read_json
from hyflexsim.analysis.shown import Shown
from hyflexsim.analysis.studies.dominance import non_dominated
from hyflexsim.sim.errors import InputError

BLOCK = 500
KEYS = ("format", "title", "settings", "linear", "answers", "objectives", "points")


@dataclass(frozen=True, eq=False)
class Swept(Shown):
    """A sweep: ``points`` has a row for each point that is over, in their order.

    Columns: ``point``, those of ``settings``, answers, ``seconds``, ``peak_mb``, ``error`` (None
    where all went well). ``linear``: settings whose values are evenly spaced. ``objectives``:
    answers that are to be small or large ("min", "max"). ``answers``: those of the table.
    """

    SHOWN: ClassVar[str] = "sweeps.shown"

    title: str
    settings: tuple[str, ...]
    linear: tuple[str, ...]
    answers: tuple[str, ...]
    objectives: Mapping[str, str]
    points: pd.DataFrame
    path: Path

    @property
    def good(self) -> pd.DataFrame:
        """Points without an error, with a number for every objective."""
        fine = self.points[self.points["error"].isna()]
        return fine.dropna(subset=list(self.objectives)).reset_index(drop=True)

    def front(self) -> NDArray[np.bool_]:
        """Which of the good points no other beats in all objectives."""
        signs = [1 if aim == "min" else -1 for aim in self.objectives.values()]
        return front_of(self.good[list(self.objectives)].to_numpy(float) * signs)

    def table(self) -> pd.DataFrame:
        """The good points: ``front`` (* or nothing), ``point``, settings, answers; best first."""
        good = self.good
        columns = ["point", *self.settings, *(a for a in self.answers if a in good.columns)]
        table = good[columns].copy()
        table.insert(0, "front", np.where(self.front(), "*", ""))
        first, aim = next(iter(self.objectives.items()))
        return table.sort_values(
            ["front", first], ascending=[False, aim == "min"], ignore_index=True, kind="stable"
        )

    def errors(self) -> dict[str, int]:
        """What went wrong, whatever was given, and at how many points."""
        said = self.points["error"].dropna().astype(str)
        return dict(Counter(error.partition("; got ")[0] for error in said).most_common())


def front_of(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of many points (n, d) no other beats, less being better: a mask (n,).

    Block by block first: whom a neighbour beats need not be held against all others.
    """
    left = np.arange(len(points))
    before = len(left) + 1
    while BLOCK < len(left) < before:
        before = len(left)
        blocks = np.array_split(left, -(-before // BLOCK))
        left = np.concatenate([block[non_dominated(points[block])] for block in blocks])
    mask = np.zeros(len(points), bool)
    mask[left[non_dominated(points[left])]] = True
    return mask


def load_sweep(folder: Swept | str | Path) -> Swept:
    """Read a results folder; a sweep already loaded is passed through.

    Raises InputError: no such folder, a file or column is missing, no point is over.
    """
    if isinstance(folder, Swept):
        return folder
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{path}: no such directory")
    info = read_json(path / "sweep.json", KEYS)
    points = _points(path)
    settings, objectives = list(info["settings"]), dict(info["objectives"])
    for name in ("point", *settings, "error"):
        if name not in points.columns:
            raise InputError(f"{path}: column {name!r} of its points is missing")
    points["error"] = points["error"].astype(object).where(points["error"].notna(), None)
    for name in (*objectives, *info["answers"]):
        if name not in points.columns and points["error"].isna().any():
            raise InputError(f"{path}: no answer is called {name!r}; {_known(points, settings)}")
    for name in objectives:
        if name not in points.columns:  # every point has failed
            points[name] = np.nan
        if not pd.api.types.is_numeric_dtype(points[name]):
            raise InputError(f"{path}: an objective must be a number; {name!r} is a text")
    return Swept(
        title=str(info["title"]),
        settings=tuple(settings),
        linear=tuple(info["linear"]),
        answers=tuple(info["answers"]),
        objectives=objectives,
        points=points,
        path=path,
    )


def _points(path: Path) -> pd.DataFrame:
    files = [path / "points.parquet"]
    if not files[0].is_file():
        files = sorted((path / "parts").glob("*.parquet"))
    if not files:
        raise InputError(f"{path}: no point of this sweep is over yet")
    try:
        found = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: its points cannot be read: {error}") from None
    return found.drop_duplicates("point").sort_values("point", ignore_index=True)


def _known(points: pd.DataFrame, settings: list[str]) -> str:
    own: set[Any] = {"point", "seconds", "peak_mb", "error", *settings}
    return f"known: {', '.join(name for name in points.columns if name not in own)}"
