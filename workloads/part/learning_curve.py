"""What more jets would buy: one recipe, trained on growing parts of a set.

Each size is a training of its own in `OUT/jets-NNNNN`, all with the recipe's number of steps
(the work is the same; small sizes see each jet more often), tested on the same held-out jets.
`learning_curve.parquet` has a row a size: train_jets (of each class), accuracy and its error,
auc_mean, share_50 and share_90 (how binary attention is), trees and trees_error (accuracy of
the boosted trees on as many jets).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.outputs import owned
from hyflexsim.workloads.part.baseline import boosted_trees, tree_inputs
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.part.train_part import train_part

NAME = "learning_curve.parquet"


def learning_curve(
    out: str | Path,
    recipe: PartRecipe,
    sizes: tuple[int, ...],
    jets: str | Path | None = None,
    *,
    test: str | Path | None = None,
    device: str = "cpu",
    baseline: bool = True,
    report: Callable[[str, int, int], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """Train at each size and write the table; returns its rows. Resumable, size by size."""
    if not sizes or min(sizes) < 1:
        raise InputError(f"--sizes must be positive numbers of jets; got {sizes}")
    with owned(out) as output:
        rows = _rows(output.path, recipe, sizes, jets, test, device, baseline, report)
        with output.more() as folder:
            pq.write_table(pa.Table.from_pylist(rows), folder / NAME)
    return rows


def _rows(
    out: Path,
    recipe: PartRecipe,
    sizes: tuple[int, ...],
    jets: str | Path | None,
    test: str | Path | None,
    device: str,
    baseline: bool,
    report: Callable[[str, int, int], None],
) -> list[dict[str, Any]]:
    inputs = cache(partial(tree_inputs, recipe, jets, test, report))
    rows = []
    for size in sorted(set(sizes)):
        own = recipe.model_copy(update={"train_jets": size})
        folder = out / f"jets-{size:05d}"
        scores = train_part(folder, own, jets, test=test, device=device, report=report)
        last = pq.read_table(folder / "curve.parquet").to_pylist()[-1]
        row = {"train_jets": size} | {
            key: scores[key] for key in ("accuracy", "accuracy_error", "auc_mean")
        }
        row |= {key: last[key] for key in ("share_50", "share_90", "entropy")}
        trees = {}
        if baseline:
            trees = boosted_trees(folder, own, jets, test=test, inputs=inputs, report=report)
        row |= {"trees": trees.get("accuracy"), "trees_error": trees.get("accuracy_error")}
        rows.append(row)
    return rows
