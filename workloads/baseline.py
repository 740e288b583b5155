"""Gradient-boosted trees on four classic observables: what a ParT has to beat.

Jet mass, tau21, tau32 and multiplicity (observables.py), from the same jets in the same
split as the ParT; scikit-learn's HistGradientBoostingClassifier with its defaults, 100
rounds, early stopping off, one seed. The observables use all particles of the jet, the ParT
its leading ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hyflexsim.analysis import classification
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jet_sets import fingerprint, load_set, split
from hyflexsim.workloads.observables import observables
from hyflexsim.workloads.part_recipe import PartRecipe

INPUTS = ("mass", "tau21", "tau32", "multiplicity")
ROUNDS = 100


def boosted_trees(
    out: str | Path,
    recipe: PartRecipe,
    jets: str | Path | None = None,
    *,
    report: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Train the trees and write `baseline.json` into `out`; returns what it says.

    Keys as scores.json of train_part.py, and `inputs`. Raises InputError if scikit-learn is
    missing, and what reading jets raises.
    """
    path = Path(out) / "baseline.json"
    about = [fingerprint(jets), recipe.classes, recipe.train_jets, recipe.validation, recipe.test]
    key = json.dumps(about)
    if path.is_file():
        old: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if old.pop("key", None) == key:
            return old
    loaded = load_set(jets, recipe.classes)
    columns, _ = observables(loaded, lambda done: report("observables", done, len(loaded)))
    table = np.stack([columns[name] for name in INPUTS], axis=1)  # (J, 4)
    target = np.array([recipe.classes.index(str(label)) for label in loaded.labels])
    parts = split(loaded.labels, recipe.validation, recipe.test)
    train = parts.train
    if recipe.train_jets is not None:
        rows = [train[loaded.labels[train] == name][: recipe.train_jets] for name in recipe.classes]
        train = np.concatenate(rows)
    report("boosted trees", 0, 1)
    scores = _fit(table[train], target[train], table[parts.test], recipe.seed)
    found = classification.report(scores, target[parts.test], recipe.classes)
    found |= {"inputs": list(INPUTS), "train_jets": len(train)}
    scratch = path.with_name(".baseline.json.unfinished")
    scratch.write_text(json.dumps(found | {"key": key}, indent=1) + "\n", "utf-8")
    os.replace(scratch, path)
    return found


def _fit(x: Any, y: Any, test: Any, seed: int) -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
        from threadpoolctl import threadpool_limits  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "the baseline needs the package scikit-learn: pip install scikit-learn, "
            "or --no-baseline"
        ) from None
    trees = HistGradientBoostingClassifier(
        max_iter=ROUNDS, early_stopping=False, random_state=seed, learning_rate=0.1
    )
    with threadpool_limits(1):
        trees.fit(x, y)
        return trees.predict_proba(test)
