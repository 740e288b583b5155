"""Where a data set comes from: the first place that has it.

1. The folder named by the environment variable HYFLEXSIM_DATA; without the variable,
   ``../shared/data`` beside the checkout if that exists. Its layout is that of `Entry.files`.
2. The hub, through the library `datasets` (``pip install 'hyflexsim[hub]'``), which downloads
   and keeps a copy. Whether the hub answers is seen when something is loaded, not before.
3. Nowhere: a refusal that says what was looked for and what helps.

What ships with this package, with Python or with scikit-learn has no files and needs no place.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError

VARIABLE = "HYFLEXSIM_DATA"

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Beside a checkout of the repository."""


@dataclass(frozen=True)
class Hub:
    """A data set on the Hugging Face hub, under other names than ours."""

    repository: str
    config: str | None
    splits: dict[str, str]  # ours: the hub's
    columns: dict[str, str]  # ours: the hub's
    rows: dict[str, int] | None = None  # where the counts differ from the local ones


@dataclass(frozen=True)
class Entry:
    """What is known about a data set before it is read."""

    name: str
    kind: str  # sentences, text, images, jets
    unit: str  # what `rows` counts
    rows: dict[str, int]  # by split; empty: to be counted
    read: Callable[[Entry, str, int | None], Any] = field(repr=False)
    origin: str  # of the local or built-in copy
    licence: str
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by split; none: built in
    hub: Hub | None = None
    columns: tuple[str, ...] = ()
    classes: int = 0

    def about(self, source: str) -> str:
        """Origin and licence of the copy from that source, in one line."""
        online = self.hub if source == "hub" else None
        origin = f"{online.repository} on the hub" if online else self.origin
        return f"{self.name} from {origin}; licence: {self.licence}"


def folder(name: str | None = None) -> Path | None:
    """The folder of local data, or the folder `name` in it; None if there is none.

    Raises InputError if HYFLEXSIM_DATA names something else than a folder.
    """
    given = os.environ.get(VARIABLE)
    if given and not Path(given).is_dir():
        raise InputError(f"{VARIABLE} must be an existing folder; got {given!r}")
    root = Path(given) if given else DEFAULT
    own = root if name is None else root / name
    return own if own.is_dir() else None


def local(entry: Entry, split: str) -> list[Path] | None:
    """The files of a split if all of them are there."""
    root = folder()
    paths = [] if root is None else [root / file for file in entry.files[split]]
    return paths if paths and all(path.is_file() for path in paths) else None


def hub_installed() -> bool:
    """Whether the library `datasets` can be imported; it is not imported here."""
    if "datasets" in sys.modules:
        return sys.modules["datasets"] is not None
    return importlib.util.find_spec("datasets") is not None


def source_now(entry: Entry) -> str:
    """built-in, local (all splits), hub or missing."""
    if not entry.files:
        return "built-in"
    if all(local(entry, split) for split in entry.files):
        return "local"
    return "hub" if entry.hub is not None and hub_installed() else "missing"


def place(entry: Entry, split: str) -> list[Path] | Hub:
    """The local files of a split, else its hub; raises InputError if there is neither."""
    paths = local(entry, split)
    if paths:
        return paths
    if entry.hub is not None and hub_installed():
        return entry.hub
    root = folder() or DEFAULT
    wanted = next(root / file for file in entry.files[split] if not (root / file).is_file())
    remedy = f"set {VARIABLE} to a folder with {wanted.relative_to(root)}"
    if entry.hub:
        remedy += ", or pip install 'hyflexsim[hub]' to download it"
    else:
        remedy += "; the hub does not have it"
    raise InputError(f"{entry.name}: no file {wanted}; {remedy}")
