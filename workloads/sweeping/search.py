"""Points that Optuna proposes, from the answers that there are so far: hyflexsim[search].

Its tree-structured Parzen estimator, of one objective or several. What a sweep has finished is told
to it anew when the sweep goes on, so a search that was stopped knows all that it knew; with several
workers, which point it proposes depends on who finishes first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.done import Done
from hyflexsim.workloads.points.engine import Next
from hyflexsim.workloads.sweeping.axes import Axis
from hyflexsim.workloads.sweeping.results import Results, plain

STALE = 100
"""Proposals in a row that are all known: then there is nothing left to try."""


class _Asked(NamedTuple):
    trial: int
    settings: dict[str, Any]


class Search:
    """A :class:`~hyflexsim.workloads.points.engine.Source` of `points` points in all.

    `objectives`: answers, "min" or "max". Raises InputError where optuna is not installed.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        objectives: Mapping[str, str],
        points: int,
        seed: int,
        results: Results,
    ) -> None:
        optuna = _optuna()
        self.total = points
        self._axes, self._objectives = axes, list(objectives)
        self._failed = optuna.trial.TrialState.FAIL
        self._space = {axis.key: _distribution(optuna, axis) for axis in axes}
        self._study = optuna.create_study(
            directions=[f"{aim}imize" for aim in objectives.values()],
            sampler=optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True),
        )
        self._asked: dict[int, _Asked] = {}
        self._known: dict[str, list[float] | None] = {}
        self._next = 0
        for row in results.rows():
            self._learn(optuna, row)

    def next(self, group: str) -> Next | None:
        """See :class:`~hyflexsim.workloads.points.engine.Source`; it knows no groups."""
        if self._next >= self.total:
            return None
        for _ in range(STALE):
            trial = self._study.ask(self._space)
            settings = {axis.key: _value(axis, trial.params[axis.key]) for axis in self._axes}
            text = json.dumps(settings)
            if text not in self._known:
                self._known[text] = None
                point, self._next = self._next, self._next + 1
                self._asked[point] = _Asked(trial.number, settings)
                return Next(point, settings)
            self._say(trial.number, self._known[text])
        return None

    def tell(self, done: Done) -> None:
        """See :class:`~hyflexsim.workloads.points.engine.Source`."""
        asked = self._asked.pop(done.point)
        values = self._values(done.answers)
        self._known[json.dumps(asked.settings)] = values
        self._say(asked.trial, values)

    def _say(self, trial: int, values: list[float] | None) -> None:
        if values is None:
            self._study.tell(trial, state=self._failed)
        else:
            self._study.tell(trial, values)

    def _learn(self, optuna: Any, row: Mapping[str, Any]) -> None:
        """A point of an earlier day."""
        self._next = max(self._next, row["point"] + 1)
        params = {axis.key: _param(axis, row[axis.key]) for axis in self._axes}
        settings = {axis.key: _value(axis, params[axis.key]) for axis in self._axes}
        values = self._values(row)
        self._known[json.dumps(settings)] = values
        state = {"values": values} if values is not None else {"state": self._failed}
        self._study.add_trial(
            optuna.trial.create_trial(params=params, distributions=self._space, **state)
        )

    def _values(self, answers: Mapping[str, Any]) -> list[float] | None:
        """The objectives, if all have a number."""
        found = [answers.get(name) for name in self._objectives]
        values = [float(v) for v in found if isinstance(v, int | float) and math.isfinite(v)]
        return values if len(values) == len(found) else None


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415 (an extra)
    except ImportError:
        raise InputError(
            "design.kind = optuna needs Optuna: pip install 'hyflexsim[search]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(optuna: Any, axis: Axis) -> Any:
    """Of a value for a range, of a place in the list for all else."""
    kinds = optuna.distributions
    if axis.choices is None:
        kind = kinds.IntDistribution if axis.whole else kinds.FloatDistribution
        return kind(axis.low, axis.high, log=axis.log)
    places = range(len(axis.choices))
    if _in_order(axis):
        return kinds.IntDistribution(0, places[-1])
    return kinds.CategoricalDistribution(list(places))


def _in_order(axis: Axis) -> bool:
    """Whether neighbours in a list of choices are alike."""
    values = axis.choices or ()
    if isinstance(values, range) or axis.high > axis.low:
        return True
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return numbers and list(values) == sorted(values)


def _value(axis: Axis, param: Any) -> Any:
    return axis.written(param) if axis.choices is None else axis.choices[param]


def _param(axis: Axis, value: Any) -> Any:
    """What Optuna would have to propose for a value, as a table has it."""
    if axis.choices is not None:
        texts = [str(plain(choice)) for choice in axis.choices]
        return texts.index(str(value))
    number = float(str(value).removesuffix(axis.unit)) if axis.unit else value
    return int(number) if axis.whole else float(number)
