"""The tornado of a scenario's answer, run by run: a table and a picture in a folder.

Each run that is done is kept in ``<out>.work`` until all are, so that it may be interrupted. Scores
of checkpoints are not computed: parameters of cells and converters that act on values alone do not
move (``hyflexsim accuracy``, ``pareto``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest
from hyflexsim.workloads.points.done import Answers
from hyflexsim.workloads.points.study import computed
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.run import colocated, run
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.scenario.colocation import Colocation, load
from hyflexsim.workloads.sweeping.answers import answers_of
from hyflexsim.workloads.sweeping.sensitivity import (
    UNSURE,
    Move,
    Row,
    movable,
    moves,
    row_of,
)
from hyflexsim.workloads.terminal import Say

TABLE, PICTURE = "sensitivity.csv", "sensitivity.png"


@dataclass(frozen=True)
class Question:
    """What is asked: a number of summary.json, or that of a changed scenario over it.

    ``changes``, ``against``: as ``--set`` takes them; ``against``: those of the other scenario.
    """

    scenario: str
    answer: str
    changes: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    def __str__(self) -> str:
        ratio = f" with {', '.join(self.against)}, over that without" if self.against else ""
        said = f" ({', '.join(self.changes)})" if self.changes else ""
        return f"{self.scenario}{said}: {self.answer}{ratio}"

    def sides(self) -> list[tuple[str, ...]]:
        """Changes of the scenarios that are run: itself, then the other one."""
        return [self.changes, *([(*self.changes, *self.against)] if self.against else [])]

    def chips(self) -> list[Chip]:
        """The chips that they run on."""
        return [load(self.scenario, side).hardware() for side in self.sides()]


def sensitivity(
    question: Question,
    out: Path,
    *,
    statuses: Collection[str] = UNSURE,
    workers: int | None = None,
    fresh: bool = False,
    say: Say,
) -> tuple[list[Row], list[str]]:
    """Rows of the tornado (also in ``out/sensitivity.csv``), and parameters that are 0 and stay.

    `workers`: processes, as many as there are cores by default; 0: none beside this one.

    Raises InputError for an answer that runs do not have, that is no number, or 0.
    """
    from hyflexsim.analysis import save, tornado_plot  # noqa: PLC0415

    chips = question.chips()
    found, still = _moves(chips, statuses)
    listed = [None, *found]
    settings = {"question": str(question), "statuses": sorted(statuses)}
    with working(out, settings, fresh=fresh) as work:
        points = [_point(move) for move in listed]
        compute = partial(
            computed,
            work.rows(("parameter", "change")),
            function=sensitivity_point,
            common={"question": asdict(question)},
            say=say,
        )
        compute(points[:1], workers=0)  # refused before others begin
        done = compute(points, workers=workers)
        rows = [
            row_of(move, row["answer"])
            for move, row in zip(listed, done, strict=True)
            if row["answer"] is not None
        ]
        out.mkdir(parents=True, exist_ok=True)
        frame = pd.DataFrame(rows)
        frame.to_csv(out / TABLE, index=False, float_format="%.6g")
        base = float(rows[0]["answer"])
        relative = frame.assign(panel="", answer=frame["answer"] / base)
        axis = f"{question.answer}, 1 is {base:.5g}"
        picture = tornado_plot(relative, title=f"What moves {question}", axis=axis)
        save(picture[0], out / PICTURE)
    return rows, still


def _moves(chips: Iterable[Chip], statuses: Collection[str]) -> tuple[list[Move], list[str]]:
    """Of all chips, each parameter once."""
    found: dict[tuple[str, str], Move] = {}
    still: dict[str, None] = {}
    for chip in chips:
        ours, zero = moves(chip, statuses=statuses)
        new = {move.parameter for move in ours} - {name for name, _ in found}
        found |= {(m.parameter, str(m.setting)): m for m in ours if m.parameter in new}
        still |= dict.fromkeys(zero)
    return list(found.values()), list(still)


def _point(move: Move | None) -> dict[str, Any]:
    """What :func:`sensitivity_point` is told of a move."""
    if move is None:
        return {"parameter": "", "change": ""}
    return {"parameter": move.parameter, "change": str(move.setting), "setting": move.setting}


_KEPT = Kept()


def sensitivity_point(settings: Mapping[str, Any]) -> Answers:
    """The answer with a parameter moved; None where a chip refuses that.

    `settings`: ``question`` (fields); and of the point ``parameter``, ``setting`` (none: the base).
    """
    question = Question(**settings["question"])
    key = settings["parameter"]
    try:
        values = [
            _answer(question, [*side, *([f"{key}={settings['setting']}"] if key in known else [])])
            for side, known in zip(question.sides(), map(movable, question.chips()), strict=True)
        ]
    except InputError:
        if not key:
            raise
        return {"answer": None}
    return {"answer": values[-1] / values[0] if question.against else values[0]}


def _answer(question: Question, changes: Sequence[str]) -> float:
    scenario = load(question.scenario, changes)
    if isinstance(scenario, Colocation):
        found = colocated.simulate(scenario, kept=_KEPT)
    else:
        found = run.simulate(scenario, kept=_KEPT)
    answers = answers_of(found.summary)
    if question.answer not in answers:
        raise InputError(
            f"--of: no answer {question.answer!r}; {nearest(question.answer, answers)}"
        )
    value = answers[question.answer]
    if isinstance(value, str):
        raise InputError(f"--of must be a number; {question.answer} is {value!r}")
    if not value:
        raise InputError(f"--of must not be 0; {question.answer} is 0 in {question.scenario}")
    return float(value)
