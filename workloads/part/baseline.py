"""Gradient-boosted trees on four classic observables: what a ParT has to beat.

Jet mass, tau21, tau32 and multiplicity (observables.py), from the same jets in the same
split as the ParT; scikit-learn's HistGradientBoostingClassifier with its defaults, 100
rounds, early stopping off, one seed. The observables use all particles of the jet, the ParT
its leading ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyflexsim.analysis import classification
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.jets import Jets
from hyflexsim.workloads.jets.observables import observables
from hyflexsim.workloads.jets.sets import fingerprint
from hyflexsim.workloads.outputs import Output, owned
from hyflexsim.workloads.part.parts import Report, jets_of
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.run.run_dir import write_json

INPUTS = ("mass", "tau21", "tau32", "multiplicity")
ROUNDS = 100
NAME = "baseline.json"


class Inputs(NamedTuple):
    """Observables (J, 4) and classes (J,) to train on, and to score."""

    x: Any
    y: Any
    x_test: Any
    y_test: Any


def tree_inputs(
    recipe: PartRecipe, jets: str | Path | None, test: str | Path | None, report: Report
) -> Inputs:
    """INPUTS of all jets of a recipe: train_jets is left aside. 2 ms a jet."""
    train, _, held_out = jets_of(jets, recipe.model_copy(update={"train_jets": None}), test)
    parts = (_table(part, recipe.classes, report) for part in (train, held_out))
    return Inputs(*(column for part in parts for column in part))


def boosted_trees(
    out: str | Path,
    recipe: PartRecipe,
    jets: str | Path | None = None,
    *,
    test: str | Path | None = None,
    inputs: Callable[[], Inputs] | None = None,
    report: Report = lambda *_: None,
) -> dict[str, Any]:
    """Train the trees and write `baseline.json` into `out`; returns what it says.

    Keys as scores.json of train_part.py, and `inputs`. `inputs` gives what tree_inputs would, for
    several trainings on parts of one set. Raises InputError if scikit-learn is missing, and what
    reading jets raises.
    """
    with owned(out) as output:
        return _boosted(output, recipe, jets, test, inputs, report)


def _boosted(
    output: Output,
    recipe: PartRecipe,
    jets: str | Path | None,
    test: str | Path | None,
    inputs: Callable[[], Inputs] | None,
    report: Report,
) -> dict[str, Any]:
    path = output.path / NAME
    about = [fingerprint(jets), fingerprint(test) if test else None, recipe.classes]
    key = json.dumps([*about, recipe.train_jets, recipe.validation, recipe.test])
    if path.is_file():
        old: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if old.pop("key", None) == key:
            return old
    x, y, x_test, y_test = inputs() if inputs else tree_inputs(recipe, jets, test, report)
    own = [np.flatnonzero(y == c)[: recipe.train_jets] for c in range(len(recipe.classes))]
    rows = np.sort(np.concatenate(own))
    report("boosted trees", 0, 1)
    scores = _fit(x[rows], y[rows], x_test, recipe.seed)
    found = classification.report(scores, y_test, recipe.classes)
    found |= {"inputs": list(INPUTS), "train_jets": len(rows)}
    with output.more() as folder:
        write_json(folder / NAME, found | {"key": key})
    return found


def _table(jets: Jets, classes: tuple[str, ...], report: Report) -> tuple[Any, Any]:
    """INPUTS of the jets (J, 4), and their classes (J,)."""
    columns, _ = observables(jets, lambda done: report("observables", done, len(jets)))
    target = np.array([classes.index(str(label)) for label in jets.labels])
    return np.stack([columns[name] for name in INPUTS], axis=1), target


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
