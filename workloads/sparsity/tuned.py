"""A compressed decoder trained a little further with keys left out: it learns to do without.

Beside it stands the same model trained as long with all keys: what more training alone does.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import save_compressed
from hyflexsim.models.saver import Saver
from hyflexsim.models.top_k_attention import top_k_attention
from hyflexsim.workloads.compression.judged_models import open_checkpoint, recipe_of
from hyflexsim.workloads.compression.stages import fine_tune
from hyflexsim.workloads.resumable import Work
from hyflexsim.workloads.scenario.checkpoints import find_checkpoint, read_about
from hyflexsim.workloads.terminal import Say


def tuned(checkpoint: str | Path, keys: int | None, epochs: int, work: Work, say: Say) -> Path:
    """The folder of a checkpoint trained ``epochs`` further by its recipe's plan of recovery.

    ``keys``: that a query and head keeps meanwhile; None: all. Kept in ``work``, and resumed there.
    """
    name = f"tuned-{keys or 'all'}"
    folder = work.path(name)
    if folder.is_dir():
        return folder
    source = find_checkpoint(checkpoint)
    about = read_about(source)
    recipe = recipe_of(source, about)
    opened = open_checkpoint(source)
    plan = recipe.recover.model_copy(update={"epochs": epochs})
    saver = Saver(work.path(f"{name}.pt"))
    what = f"training with {keys or 'all'} keys"
    with nullcontext() if keys is None else top_k_attention(opened.model, keys):
        fine_tune(recipe, plan, opened.model, opened.task, say, what, saver=saver)
    save_compressed(low_rank.fold(opened.model), folder, about=about)
    return folder
