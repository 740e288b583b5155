"""ROOT files of jets: the branches of a tree as a table, through uproot (hyflexsim[hep])."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError

TREES = ("TTree", "ROOT::RNTuple")

Columns = Callable[[Sequence[str]], Sequence[str]]
"""Of the names that are there, those to read; raises InputError for some that are missing."""


def read(path: Path, columns: Columns) -> Any:
    """Branches of the one tree in a file, as a pyarrow table.

    Raises InputError without the package, for a file that is none or damaged, and for a file with
    no tree or several.
    """
    try:
        uproot: Any = importlib.import_module("uproot")
        awkward: Any = importlib.import_module("awkward")
    except ImportError:
        raise InputError(
            f"{path}: reading ROOT files needs the package uproot: pip install 'hyflexsim[hep]'"
        ) from None
    try:
        with uproot.open(path) as file:
            kinds = file.classnames(cycle=False)
            trees = sorted(name for name, kind in kinds.items() if kind in TREES)
            if len(trees) != 1:
                raise InputError(
                    f"{path}: must hold one tree of jets; it has {', '.join(trees) or 'none'}"
                )
            tree = file[trees[0]]
            names = columns(tree.keys())
            return awkward.to_arrow_table(tree.arrays(list(names)), extensionarray=False)
    except InputError:
        raise
    except Exception as error:  # uproot's own, and what a damaged file makes of it
        reason = (str(error) or repr(error)).strip().splitlines()[0]
        raise InputError(f"{path}: must be a readable ROOT file; {reason}") from None
