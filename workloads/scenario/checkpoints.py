"""Compressed checkpoints by name or path, and what they say of themselves.

How a checkpoint is opened and scored: compression/judged_models.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
"""Those that come with hyflexsim."""


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


def read_about(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself. Raises InputError for one not made from a recipe."""
    from hyflexsim.models.lowrank.checkpoint import read_ranks  # noqa: PLC0415 (torch)

    about: dict[str, Any] = read_ranks(path)["about"]
    for key in ("recipe", "config", "scores", "metric", "counts"):
        if key not in about:
            raise InputError(f"{path}: ranks.json lacks about.{key}; make it by hyflexsim compress")
    return about
