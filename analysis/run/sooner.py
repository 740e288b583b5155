"""Runs that answer more tokens sooner than another answers fewer, and why that is no error.

Copies of a matrix take tokens in turn and meet on buses that serve whoever comes first. One token
more changes who meets whom, so that the last answer may come a little sooner (Graham, "Bounds on
multiprocessing timing anomalies", 1969). Without copies latency grows with every token.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

from hyflexsim.analysis.run.run import Run, read_scenario, read_summary

REASON = (
    "copies of a matrix take tokens in turn and meet on buses, and one token more changes who "
    "meets whom (with mapping.copies=none latency grows with every token)"
)
Told = tuple[str, dict[str, Any], dict[str, Any]]  # name, summary, scenario


def sooner(run_dirs: Iterable[Run | str | Path]) -> list[str]:
    """A line for each pair of runs that differ in tokens alone, where more of them take less.

    Raises InputError as :func:`~hyflexsim.analysis.run.run.load`.
    """
    runs = [told for run in run_dirs if (told := _told(run)) is not None]
    return [_line(less, more) for less, more in permutations(runs, 2) if _odd(less, more)]


def _told(run: Run | str | Path) -> Told | None:
    """What is compared; None of a directory that has no scenario any more."""
    if isinstance(run, Run):
        return run.path.name, run.summary, run.scenario
    path = Path(run)
    if not (path / "scenario.json").is_file():
        return None
    return path.resolve().name, read_summary(path), read_scenario(path)


def _odd(less: Told, more: Told) -> bool:
    (_, one, first), (_, two, second) = less, more
    return bool(
        one["tokens"] < two["tokens"]
        and two["latency_ps"]["max"] < one["latency_ps"]["max"]
        and _rest(first) == _rest(second)
        and first.get("mapping", {}).get("copies") != "none"
    )


def _rest(scenario: dict[str, Any]) -> dict[str, Any]:
    """A scenario without how many tokens a request has."""
    workload = scenario.get("workload", {})
    return scenario | {"workload": {k: v for k, v in workload.items() if k != "tokens"}}


def _line(less: Told, more: Told) -> str:
    (name, one, _), (other, two, _) = less, more
    return (
        f"{other} answers {two['tokens']:,} tokens sooner than {name} {one['tokens']:,}: {REASON}"
    )
