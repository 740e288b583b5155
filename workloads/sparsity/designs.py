"""A family of ParTs, from the published one down to the least that is still attention over
particles; placed by trigger.py, trained here.

Each is trained alike (:data:`TRAINING`), into a folder of its own, and scored on the same jets. The
published size takes a GPU; it may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyflexsim.models.part.checkpoint import named_spec
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.part.train_part import DONE, RECIPE, train_part
from hyflexsim.workloads.terminal import Say

Row = dict[str, Any]


@dataclass(frozen=True)
class Design:
    """A ParT. ``key``: its folder; ``shape``: what differs from part-small; ``particles``: read."""

    key: str
    title: str
    published: str = "part-small"
    particles: int = 64
    shape: dict[str, Any] = field(default_factory=dict)


NO_PAIRS: dict[str, Any] = {"pair_input_dim": 0}
THIN: dict[str, Any] = {"embed_dims": (64,)}
LEAST: dict[str, Any] = {"num_layers": 1} | NO_PAIRS | THIN
DESIGNS = (
    Design("full", "ParT, published", "part-full", 128),
    Design("small", "small: 4 blocks"),
    Design("two", "2 blocks", shape={"num_layers": 2}),
    Design("two-plain", "2 blocks, no pairs", shape={"num_layers": 2} | NO_PAIRS),
    Design(
        "two-thin", "2 blocks, no pairs, 1 embedding", shape={"num_layers": 2} | NO_PAIRS | THIN
    ),
    Design("one", "1 block", shape={"num_layers": 1}),
    Design("one-plain", "1 block, no pairs", shape={"num_layers": 1} | NO_PAIRS),
    Design("least", "least: 1 block, no pairs, 1 embedding", shape=LEAST),
    Design("least-wide", "least, 128 wide", shape=LEAST | {"embed_dims": (128,)}),
    Design("least-heads", "least, 8 heads", shape=LEAST | {"num_heads": 8}),
    Design("least-30", "least, 30 particles", particles=30, shape=LEAST),
    Design("least-16", "least, 16 particles", particles=16, shape=LEAST),
)

TRAINING: dict[str, Any] = {
    "steps": 3000,
    "batch": 128,
    "learning_rate": 2e-3,
    "watch_every": 500,
    "seed": 3,
}
"""Of every design: at most ten core minutes for one block without pairs, forty for four blocks."""


def chosen(keys: str | None) -> list[Design]:
    """Designs by their keys, `a,b`; None: all. Raises InputError for another key."""
    if keys is None:
        return list(DESIGNS)
    by_key = {design.key: design for design in DESIGNS}
    names = keys.split(",")
    for name in names:
        if name not in by_key:
            raise InputError(f"--designs must be of {', '.join(by_key)}; got {name!r}")
    return [by_key[name] for name in names]


def recipe_of(design: Design, changes: dict[str, Any] | None = None) -> PartRecipe:
    """How a design is trained. Raises InputError for changes that no recipe has."""
    own = {"model": design.published, "particles": design.particles, "shape": design.shape}
    return PartRecipe.load(None, TRAINING | own | (changes or {}))


def train_designs(
    out: Path,
    designs: Sequence[Design] = DESIGNS,
    jets: str | Path | None = None,
    *,
    test: str | Path | None = None,
    teacher: str | Path | None = None,
    device: str = "cpu",
    changes: dict[str, Any] | None = None,
    say: Say = lambda *_: None,
) -> Iterator[Row]:
    """Train each into `out`/KEY (resumable) and give its row of scores; see :func:`scores_in`."""
    out.mkdir(parents=True, exist_ok=True)
    for design in designs:
        train_part(
            out / design.key,
            recipe_of(design, changes),
            jets,
            test=test,
            teacher=teacher,
            device=device,
            report=_titled(design, say),
        )
        yield from scores_in(out, [design])


def _titled(design: Design, say: Say) -> Say:
    return lambda what, done, of: say(f"{design.title}: {what}", done, of)


def scores_in(folder: Path, designs: Sequence[Design] = DESIGNS) -> list[Row]:
    """What the trained designs of a folder scored: accuracy, AUC, rejections of QCD at 50 %.

    A rejection is None where no QCD jet passes, then the lower end of its interval tells more.
    Raises InputError for a folder without any of them, and one whose model is another design.
    """
    rows = [_row(folder / d.key, d) for d in designs if (folder / d.key / DONE).is_file()]
    if not rows:
        raise InputError(f"{folder}: holds no trained design; make some by `sparsity designs`")
    return rows


def _row(folder: Path, design: Design) -> Row:
    recipe = json.loads((folder / RECIPE).read_text("utf-8"))
    trained = PartRecipe(**recipe["recipe"])
    own = json.loads(recipe_of(design).model_dump_json())
    if any(recipe["recipe"][key] != own[key] for key in ("model", "shape")):
        raise InputError(f"{folder}: holds another model than design {design.key}")
    scores = json.loads((folder / DONE).read_text("utf-8"))
    model = named_spec(design.published, trained.classes, trained.particles, design.shape).build()
    row = {
        "design": design.title,
        "key": design.key,
        "particles": trained.particles,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": trained.steps,
        "teacher": recipe["teacher"] is not None,
        "jets": scores["jets"],
    }
    row |= {name: scores[name] for name in ("accuracy", "accuracy_error", "auc_mean")}
    for signal in ("Hbb", "Tbqq"):
        found = scores["classes"].get(signal, {})
        for end in ("", "_low", "_high"):
            row[f"rejection_{signal}{end}"] = found.get(f"rejection_50{end}")
    return row
