"""Commands on jets and the Particle Transformer: jets, train-part, attention, attention-cost.

Thin layers as in main.py, which registers them; imports are inside for the same reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli.options import Device, Threads, use_threads
from hyflexsim.workloads.outputs import owned
from hyflexsim.workloads.terminal import progress, resumable

JetsPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="[JETS]",
        help="File or folder of jets, also below $HYFLEXSIM_DATA [default: the sample].",
    ),
]
Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="part-small (comes with the package), a training's folder, .safetensors or .pt.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="For files that do not say it, e.g. part-full."),
]
HeadOrder = Annotated[
    str | None,
    typer.Option(metavar="0.4|0.5", help="weaver-core line of a published checkpoint."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("jets")(jets_)
    app.command("train-part")(train)
    app.command("attention")(attention)
    app.command("attention-cost")(cost)


def jets_(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Parquet file to write.")],
    classes: Annotated[
        str, typer.Option(metavar="A,B", help="Of QCD,Hbb,Hcc,Hgg,H4q,Hqql,Zqq,Wqq,Tbqq,Tbl.")
    ] = "QCD,Tbqq,Tbl,Wqq,Hbb",
    jets: Annotated[int, typer.Option(metavar="N", help="Jets of each class.")] = 1000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    pythia: Annotated[
        list[str] | None, typer.Option(metavar="LINE", help="A further line for Pythia.")
    ] = None,
) -> None:
    """Simulate jets of JetClass's labels with Pythia and FastJet (hyflexsim[hep]); resumable."""
    from hyflexsim.workloads.jets import make_jets  # noqa: PLC0415

    make_jets.command(out, classes, jets, seed, workers, pythia)


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="part-small, part-small-best, part-small-long, part-full or a .toml file.",
        ),
    ],
    jets: JetsPath = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the training; resumed if it is there.")
    ] = Path("runs/part"),
    start: Annotated[
        Path | None, typer.Option(metavar="CHECKPOINT", help="Go on from these weights.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe."),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="JETS", help="Score these instead of the block of JETS that is held out."
        ),
    ] = None,
    baseline: Annotated[bool, typer.Option(help="Also boosted trees on four observables.")] = True,
    sizes: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="A learning curve: train on so many jets of each class."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Learn its answers too (distillation)."),
    ] = None,
    device: Device = "cpu",
    threads: Threads = 1,
) -> None:
    """Train a Particle Transformer on jets; prints accuracy, AUC and background rejection."""
    from hyflexsim.analysis import save  # noqa: PLC0415
    from hyflexsim.analysis.attention.training import training_plot  # noqa: PLC0415
    from hyflexsim.workloads.cli import part_tables  # noqa: PLC0415
    from hyflexsim.workloads.part.recipe import PartRecipe  # noqa: PLC0415
    from hyflexsim.workloads.part.train_part import DONE, STATE, train_part  # noqa: PLC0415

    use_threads(threads)
    loaded = PartRecipe.load(recipe, changes or ())
    if sizes is not None:
        if start is not None:
            raise InputError("--sizes trains from random weights; leave out --start")
        if teacher is not None:
            raise InputError("--sizes trains without a teacher; leave out --teacher")
        return _learning_curve(
            out, loaded, _numbers("--sizes", sizes), jets, test, device, baseline
        )
    with progress() as report, resumable(out / STATE, out / DONE):
        scores = train_part(
            out,
            loaded,
            jets,
            start=found_checkpoint(start) if start else None,
            test=test,
            teacher=found_checkpoint(teacher) if teacher else None,
            device=device,
            report=report,
        )
        trees = None
        if baseline:
            from hyflexsim.workloads.part.baseline import boosted_trees  # noqa: PLC0415

            trees = boosted_trees(out, loaded, jets, test=test, report=report)
    with owned(out):
        save(training_plot(out), out / "curve.png")
    part_tables.show_scores(scores, trees)
    print(f"written to {out}")
    return None


def _learning_curve(
    out: Path,
    recipe: Any,
    sizes: Any,
    jets: Path | None,
    test: Path | None,
    device: str,
    baseline: bool,
) -> None:
    from hyflexsim.analysis import save  # noqa: PLC0415
    from hyflexsim.analysis.attention.training import learning_curve_plot  # noqa: PLC0415
    from hyflexsim.workloads.cli import part_tables  # noqa: PLC0415
    from hyflexsim.workloads.part.learning_curve import learning_curve  # noqa: PLC0415

    with progress() as report, resumable(out):
        rows = learning_curve(
            out, recipe, sizes, jets, test=test, device=device, baseline=baseline, report=report
        )
    with owned(out):
        save(learning_curve_plot(out), out / "learning_curve.png")
    part_tables.show_learning_curve(rows)
    print(f"written to {out}")


def attention(
    checkpoint: Checkpoint,
    jets: JetsPath = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write.")] = Path(
        "runs/attention"
    ),
    per_class: Annotated[
        int, typer.Option(metavar="N", help="Jets of each class: the last ones of the set.")
    ] = 50,
    model: ModelName = None,
    head_order: HeadOrder = None,
    dtype: Annotated[str, typer.Option(help="Of the stored maps: float16 or float32.")] = "float16",
    seed: Annotated[int, typer.Option(help="Of the untrained weights.")] = 0,
    threads: Threads = 1,
) -> None:
    """Take a checkpoint's attention over jets; measure it, draw it, and make a page."""
    from hyflexsim.analysis.attention.report import describe_attention  # noqa: PLC0415
    from hyflexsim.workloads.cli import part_tables  # noqa: PLC0415
    from hyflexsim.workloads.part.attention_run import (  # noqa: PLC0415
        new_attention_dir,
        take_attention,
    )

    use_threads(threads)
    with progress() as report, new_attention_dir(out) as folder:
        take_attention(
            folder,
            found_checkpoint(checkpoint),
            jets,
            per_class=per_class,
            spec=_spec(model),
            head_order=head_order,
            dtype=dtype,
            seed=seed,
            report=report,
        )
        found = describe_attention(folder, report)
    part_tables.show_attention(found)
    print(f"written to {out}; open {out / 'index.html'}")


def cost(
    checkpoint: Checkpoint,
    jets: JetsPath = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")] = Path(
        "runs/attention-cost"
    ),
    per_class: Annotated[
        int, typer.Option(metavar="N", help="Jets of each class: the last ones of the set.")
    ] = 100,
    tolerance: Annotated[
        float, typer.Option(help="Accuracy that the table of keys may lose.")
    ] = 0.005,
    tune_steps: Annotated[
        int, typer.Option(help="Also fine-tune with the top-k in place, so many steps for each k.")
    ] = 0,
    tune_keys: Annotated[
        str, typer.Option(metavar="K,K", help="The k to fine-tune for.")
    ] = "1,2,4,8,16",
    model: ModelName = None,
    head_order: HeadOrder = None,
    threads: Threads = 1,
) -> None:
    """What top-k attention costs: accuracy for each k, and the fewest keys per layer and head."""
    from hyflexsim.analysis import save  # noqa: PLC0415
    from hyflexsim.analysis.attention.cost import cost_plot, load_cost  # noqa: PLC0415
    from hyflexsim.workloads.cli import part_tables  # noqa: PLC0415
    from hyflexsim.workloads.part.attention_cost import attention_cost  # noqa: PLC0415

    use_threads(threads)
    with progress() as report, resumable(out):
        found = attention_cost(
            out,
            found_checkpoint(checkpoint),
            jets,
            per_class=per_class,
            tolerance=tolerance,
            tune_steps=tune_steps,
            tune_keys=_numbers("--tune-keys", tune_keys),
            spec=_spec(model),
            head_order=head_order,
            report=report,
        )
    with owned(out):
        save(cost_plot(load_cost(out)), out / "cost.png")
    part_tables.show_cost(found)
    print(f"written to {out}; keys per layer and head: {out / 'keys.parquet'}")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise InputError(f"{option} must be positive integers with commas between; got {text!r}")
    return found


def found_checkpoint(checkpoint: Path) -> Path:
    """A path as it is; the checkpoint that comes with the package by its name."""
    shipped = Path(__file__).parents[1] / "data" / f"{checkpoint}.safetensors"
    if checkpoint.exists() or len(checkpoint.parts) != 1 or not shipped.is_file():
        return checkpoint
    return shipped


def _spec(model: str | None) -> Any:
    """What a file that does not say it holds: a named model on the ten classes."""
    if model is None:
        return None
    from hyflexsim.models.part.checkpoint import named_spec  # noqa: PLC0415
    from hyflexsim.workloads.jets.sample import LABELS  # noqa: PLC0415

    return named_spec(model, LABELS)
