"""Compressed checkpoints by name or path, and what they say of themselves.

How a checkpoint is opened and scored: compression/judged_models.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError, shortened
from hyflexsim.workloads.extraction.config_limits import check_config

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
"""Those that come with hyflexsim."""

STATES = ("before", "svd", "tuned")
"""Of one layer's outputs or ranks, in which their importance was recorded."""


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The folder of a checkpoint: one that comes with hyflexsim, by name, or a path.

    Raises InputError for neither, naming those that come with hyflexsim.
    """
    if is_shipped(str(name_or_path)):
        return CHECKPOINTS / str(name_or_path)
    path = Path(name_or_path)
    if not path.is_dir():
        names = ", ".join(shipped()) or "none, since none comes with this version"
        raise InputError(
            f"checkpoint must be a folder made by hyflexsim compress, or one of {names}; "
            f"got {str(name_or_path)!r}"
        )
    return path


def shipped() -> tuple[str, ...]:
    """Names of the checkpoints that come with hyflexsim."""
    return tuple(sorted(path.parent.name for path in CHECKPOINTS.glob("*/ranks.json")))


def is_shipped(name: str) -> bool:
    """Whether a checkpoint of that name comes with hyflexsim."""
    return (CHECKPOINTS / name / "ranks.json").is_file()


def is_compressed(name_or_path: str | Path) -> bool:
    """Whether there is a checkpoint made by ``compress`` of this name or at this path."""
    return is_shipped(str(name_or_path)) or (Path(name_or_path) / "ranks.json").is_file()


def is_scored(path: Path) -> bool:
    """Whether a checkpoint has scores: it was compressed by a recipe, not from weights alone.

    Raises InputError as :func:`read_about`.
    """
    return "scores" in read_about(path, scored=False)


def read_about(path: Path, *, scored: bool = True) -> dict[str, Any]:
    """What a checkpoint says of itself; ``scored``: whether it must have scores.

    Raises InputError for one not made by ``compress``, and for what scores and pictures could not
    be made of, in one line with file, key, value and what is allowed.
    """
    from hyflexsim.models.lowrank.checkpoint import read_ranks  # noqa: PLC0415 (torch)

    about: dict[str, Any] = read_ranks(path)["about"]
    needed: tuple[str, ...] = ("recipe", "config", "counts", "origin")
    if scored and "scores" not in about and all(key in about for key in needed):
        raise InputError(
            f"{path}: has no scores, since it was made of weights alone; compress by a recipe with "
            "model.weights and data to have them"
        )
    needed += ("scores", "metric") if "scores" in about else ()
    for key in needed:
        if key not in about:
            raise InputError(f"{path}: ranks.json lacks about.{key}; make it by hyflexsim compress")
    file = path / "ranks.json"
    for key in (key for key in needed if key != "origin"):
        _must(file, key, about[key], isinstance(about[key], dict), "an object")
    name = about["recipe"].get("name")
    _must(file, "recipe.name", name, isinstance(name, str), "a word")
    check_config(f"{file}: about.config", about["config"])
    for key, count in about["counts"].items():
        _must(file, f"counts.{key}", count, _number(count), "a number")
    if "scores" in about:
        _check_scores(file, about)
    return about


def _check_scores(file: Path, about: dict[str, Any]) -> None:
    metric = about["metric"]
    name, higher, floor = (metric.get(key) for key in ("name", "higher_is_better", "floor"))
    _must(file, "metric.name", name, isinstance(name, str), "a word")
    _must(file, "metric.higher_is_better", higher, isinstance(higher, bool), "true or false")
    _must(file, "metric.floor", floor, floor is None or _number(floor), "a number or null")
    for state, figures in about["scores"].items():
        _must(file, f"scores.{state}", figures, isinstance(figures, dict), "an object")
        score = figures.get(name)
        _must(file, f"scores.{state}.{name}", score, _number(score), "a number")
    _check_importance(file, about.get("importance"))
    _check_seen(file, about.get("seen"))


def _check_importance(file: Path, importance: Any) -> None:
    """What pictures of importance show of three states: values, and shares of the top ones."""
    if importance is None:
        return
    _must(file, "importance", importance, isinstance(importance, dict), "an object or null")
    layer, shares = importance.get("layer"), importance.get("shares")
    _must(file, "importance.layer", layer, isinstance(layer, str), "a word")
    _must(file, "importance.shares", shares, isinstance(shares, dict), "an object")
    for state in STATES:
        values, share = importance.get(state), shares.get(state)
        numbers = isinstance(values, list) and bool(values) and all(map(_number, values))
        _must(file, f"importance.{state}", values, numbers, "a list of numbers")
        numbers = isinstance(share, dict) and all(map(_number, share.values()))
        _must(file, f"importance.shares.{state}", share, numbers, "numbers by share")


def _check_seen(file: Path, value: Any) -> None:
    """What the weights were trained on, as tasks/seen.py keeps it; None in older checkpoints."""
    if value is None:
        return
    _must(file, "seen", value, isinstance(value, dict), "an object or null")
    ranges, tokens = value.get("ranges"), value.get("tokens")
    _must(file, "seen.ranges", ranges, isinstance(ranges, dict), "an object")
    for name, ends in ranges.items():
        three = isinstance(ends, list) and len(ends) == 3 and all(map(_number, ends))
        _must(file, f"seen.ranges.{name}", ends, three, "three numbers: low, high, share beyond")
    if tokens is None:
        return
    _must(file, "seen.tokens", tokens, isinstance(tokens, dict), "an object or null")
    known, new = tokens.get("known"), tokens.get("new")
    _must(file, "seen.tokens.known", known, _bits(known), "hexadecimal digits, two a byte")
    _must(file, "seen.tokens.new", new, _number(new) and 0 <= new <= 1, "a share from 0 to 1")


def _bits(value: object) -> bool:
    try:
        return isinstance(value, str) and len(bytes.fromhex(value)) > 0
    except ValueError:
        return False


def _must(file: Path, key: str, value: object, fits: bool, wanted: str) -> None:
    if not fits:
        raise InputError(f"{file}: about.{key} must be {wanted}; got {shortened(value)}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
