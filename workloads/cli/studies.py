"""Commands on compression and accuracy: compress, accuracy, ranks, pareto, data."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli.options import Threads, Workers, use_threads
from hyflexsim.workloads.outputs import new_file
from hyflexsim.workloads.resumable import working_folder
from hyflexsim.workloads.terminal import console, progress, resumable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from rich.table import Table

    from hyflexsim.workloads.compression.subjects import Subject

RATES = "0,5,10,30,40,50,100"
"""SLC rates of HyFlexPIM's Figs 12 and 13, per cent."""

Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key.")
]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Name (see data) or path of a .toml file.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew what was interrupted.")]
Checkpoint = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="Folder made by compress, or name (see data).")
]
Limit = Annotated[int | None, typer.Option(help="Score only the first so many held-out items.")]
Preset = Annotated[str, typer.Option(help="Chip: a preset (see list) or a .toml file.")]
Rates = Annotated[
    str, typer.Option("--slc-rate", metavar="A,B,…", help="Shares of ranks in SLC, per cent.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    for command in (compress, accuracy, ranks, pareto, speedup, data):
        app.command()(command)


def compress(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|FOLDER",
            help="Name (see data) or path of a .toml file; or a folder of weights.",
        ),
    ],
    changes: Changes = None,
    mapping: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Which of a folder's tensors is which of the model."),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A LoRA adapter, merged into a folder's weights."),
    ] = None,
    keep_adapter: Annotated[
        bool,
        typer.Option(
            "--keep-adapter", help="Keep the adapter as two small factors beside dense matrices."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Checkpoint [default: runs/<recipe>]."),
    ] = None,
    fresh: Fresh = False,
    threads: Threads = 1,
) -> None:
    """Train, factorise and fine-tune a model by a recipe; write a compressed checkpoint.

    Of a FOLDER (config.json, .safetensors) the weights are factorised as they are, matrix by
    matrix, without data.
    """
    from hyflexsim.workloads.compression.recipe import Recipe  # noqa: PLC0415
    from hyflexsim.workloads.extraction.weight_formats import looks_like_weights  # noqa: PLC0415

    use_threads(threads)
    if keep_adapter and adapter is None:
        raise InputError("--keep-adapter goes with --adapter DIR")
    if looks_like_weights(recipe):
        from hyflexsim.workloads.cli.own_weights import compress_own  # noqa: PLC0415

        compress_own(
            *(Path(recipe), changes or (), out, mapping, adapter),
            keep_adapter=keep_adapter,
            threads=threads,
            fresh=fresh,
        )
        return
    for option, value in {"--mapping": mapping, "--adapter": adapter}.items():
        if value is not None:
            raise InputError(f"{option} goes with a folder of weights; {recipe!r} is a recipe")
    from hyflexsim.workloads.compression.stages import compress_recipe  # noqa: PLC0415

    loaded = Recipe.load(recipe, changes or ())
    target = out or Path("runs") / loaded.name
    with progress() as say, resumable(working_folder(target)):
        about = compress_recipe(loaded, target, say=say, fresh=fresh)
    console().print(_scores(about), "")
    counts = about["counts"]
    print(
        f"parameters: {counts['linears'] / counts['linears_dense']:.1%} of the blocks' linear "
        f"weights, {counts['total'] / counts['total_dense']:.1%} of all {counts['total_dense']:,}"
    )
    unused = loaded.compress.unused()
    if unused:
        print(f"note: method {loaded.compress.method} does not read {', '.join(unused)}")
    print(f"written to {target}")


def accuracy(
    checkpoint: Checkpoint,
    slc_rate: Rates = RATES,
    sigma: Annotated[
        str,
        typer.Option(metavar="A,B,…", help="chip, released, calibrated, calibrated-bit, numbers."),
    ] = "chip,calibrated",
    select: Annotated[
        str,
        typer.Option(metavar="A,B,…", help="gradient, gradient-last, rank, saliency, magnitude."),
    ] = "gradient",
    seeds: Annotated[int, typer.Option(help="Chips programmed for each point.")] = 5,
    adc: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…", help="Bits of MLC converters, 0: exact products [default: the chip's]."
        ),
    ] = None,
    preset: Preset = "hyflexpim",
    limit: Limit = None,
    changes: Changes = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory [default: runs/<checkpoint>-accuracy]."),
    ] = None,
    fresh: Fresh = False,
    workers: Workers = None,
) -> None:
    """Score a compressed checkpoint on a chip's cells, over SLC rates, selections, converters."""
    from hyflexsim.analysis import accuracy_table, draw_study, load_study  # noqa: PLC0415
    from hyflexsim.workloads.compression.accuracy import Grid, sweep  # noqa: PLC0415
    from hyflexsim.workloads.compression.devices import settings_from  # noqa: PLC0415
    from hyflexsim.workloads.compression.machines import machine_from  # noqa: PLC0415
    from hyflexsim.workloads.scenario.checkpoints import find_checkpoint  # noqa: PLC0415
    from hyflexsim.workloads.scenario.schema import Accuracy  # noqa: PLC0415

    folder = find_checkpoint(checkpoint)
    grid = Grid(
        rates=tuple(rate / 100 for rate in _numbers("--slc-rate", slc_rate)),
        selects=tuple(_words(select)),
        adc_bits=() if adc is None else tuple(_integers("--adc", adc)),
    )
    settings = settings_from(
        {"sigma": [_number_or_word(s) for s in _words(sigma)], "seeds": seeds}
        | ({} if limit is None else {"limit": limit}),
        [change for change in changes or () if _is_of(Accuracy, change)],
    )
    machine = machine_from(preset, [c for c in changes or () if not _is_of(Accuracy, c)])
    target = out or Path("runs") / f"{folder.name}-accuracy"
    drawn: list[Path] = []
    use_threads(1)
    with progress() as say, resumable(working_folder(target)):
        sweep(
            *(folder, settings, grid, target),
            machine=machine,
            workers=workers,
            say=say,
            fresh=fresh,
            draw=lambda made: drawn.extend(draw_study(made)),
        )
    console().print(_frame(accuracy_table(target)), "")
    info = load_study(target, "accuracy").info
    for noise in info["noise"]:
        own = noise["own_wrong_cells"]  # None: no multiplicative noise
        print(
            noise["report"], "" if own is None else f"(of this model's own cells {100 * own:.3g} %)"
        )
    _say(info)
    for path in drawn:
        print(f"written to {target / path.name}")


def ranks(
    recipe: RecipeName,
    method: Annotated[
        str,
        typer.Option(
            metavar="A,B,…",
            help='Also asvd and svd-llm; each also with " rounded": ranks in whole tiles.',
        ),
    ] = "tanh,shrinkage,sigmoid,uniform,energy,global,fwsvd,tanh rounded",
    budget: Annotated[
        str, typer.Option(metavar="A,B,…", help="Shares of the parameters.")
    ] = "0.25,0.5,0.75",
    seeds: Annotated[int, typer.Option(help="Runs of each.")] = 3,
    slc_rate: Annotated[float, typer.Option(help="Of the simulated chip, per cent.")] = 100.0,
    changes: Changes = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory [default: runs/<recipe>-ranks].")
    ] = None,
    fresh: Fresh = False,
    workers: Workers = None,
    threads: Threads = 1,
) -> None:
    """Compare ways to choose ranks at equal budgets: quality, and time on the chip."""
    from hyflexsim.analysis import draw_study, rank_table  # noqa: PLC0415
    from hyflexsim.workloads.compression.rank_study import study  # noqa: PLC0415
    from hyflexsim.workloads.compression.recipe import Recipe  # noqa: PLC0415

    loaded = Recipe.load(recipe, changes or ())
    target = out or Path("runs") / f"{loaded.name}-ranks"
    drawn: list[Path] = []
    budgets = _numbers("--budget", budget)
    use_threads(threads)
    with progress() as say, resumable(working_folder(target)):
        study(
            loaded,
            _words(method),
            budgets,
            seeds,
            target,
            slc_rate=slc_rate / 100,
            workers=workers,
            say=say,
            fresh=fresh,
            draw=lambda made: drawn.extend(draw_study(made)),
        )
    console().print(_frame(rank_table(target)), "")
    for path in drawn:
        print(f"written to {target / path.name}")


def pareto(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="Name (see data) or path of a .toml file; see --compressed."
        ),
    ],
    compressed: Annotated[
        bool,
        typer.Option(
            "--compressed", help="RECIPE is a checkpoint: its name, or a folder made by compress."
        ),
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="Shares of the parameters; 1: hard threshold [default: 0.25,0.5,0.75,1].",
        ),
    ] = None,
    slc_rate: Rates = "0,5,10,20,50,100",
    method: Annotated[
        str | None, typer.Option(help="Of budgets below 1; see ranks [default: tanh].")
    ] = None,
    sigma: Annotated[
        str, typer.Option(help="chip, released, calibrated or a number.")
    ] = "calibrated",
    seeds: Annotated[int, typer.Option(help="Chips programmed for each point.")] = 5,
    preset: Preset = "hyflexpim",
    chip: Annotated[
        list[str] | None,
        typer.Option("--chip", metavar="KEY=VALUE", help="Change a parameter of the chip."),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B,…",
            help="Compare chips: every combination of these; ONE:OTHER=A:B,C:D together.",
        ),
    ] = None,
    limit: Limit = None,
    changes: Changes = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory [default: runs/<recipe>-pareto].")
    ] = None,
    fresh: Fresh = False,
    workers: Workers = None,
    threads: Threads = 1,
) -> None:
    """Accuracy against latency, energy and area, over SLC rates, budgets and chips."""
    from hyflexsim.analysis import draw_study, load_study  # noqa: PLC0415
    from hyflexsim.workloads.cli import pareto_table  # noqa: PLC0415
    from hyflexsim.workloads.compression.devices import settings_from  # noqa: PLC0415
    from hyflexsim.workloads.compression.machines import (  # noqa: PLC0415
        machine_from,
        machines_from,
    )
    from hyflexsim.workloads.compression.pareto import pareto as compute  # noqa: PLC0415

    training = {"--budget": budget, "--method": method, "--set": changes}
    subject = _checkpoint(recipe, training) if compressed else _recipe(recipe, training)
    target = out or Path("runs") / f"{subject.recipe.name}-pareto"
    drawn: list[Path] = []
    settings = settings_from(
        {"sigma": [_number_or_word(sigma)], "seeds": seeds}
        | ({} if limit is None else {"limit": limit})
    )
    rates = [rate / 100 for rate in _numbers("--slc-rate", slc_rate)]
    machines = machines_from(machine_from(preset, chip or (), "--chip"), vary or ())
    use_threads(threads)
    with progress() as say, resumable(working_folder(target)):
        compute(
            *(subject, rates, settings, target),
            machines=machines,
            workers=workers,
            say=say,
            fresh=fresh,
            draw=lambda made: drawn.extend(draw_study(made)),
        )
    study = load_study(target, "pareto")
    several = len(machines) > 1
    console().print(pareto_table.fronts(study) if several else _frame(study.table), "")
    _say(study.info)
    for path in drawn:
        print(f"written to {target / path.name}")


def _recipe(name: str, training: Mapping[str, Any]) -> Subject:
    from hyflexsim.workloads.compression.recipe import Recipe  # noqa: PLC0415
    from hyflexsim.workloads.compression.subjects import OfRecipe  # noqa: PLC0415

    loaded = Recipe.load(name, training["--set"] or ())
    budgets = _numbers("--budget", training["--budget"] or "0.25,0.5,0.75,1")
    return OfRecipe(loaded, training["--method"] or "tanh", budgets)


def _checkpoint(name: str, training: Mapping[str, Any]) -> Subject:
    from hyflexsim.workloads.compression.subjects import OfCheckpoint  # noqa: PLC0415
    from hyflexsim.workloads.scenario.checkpoints import find_checkpoint  # noqa: PLC0415

    given = next((option for option, value in training.items() if value), None)
    if given:
        raise InputError(f"{given} goes with a recipe; --compressed takes a checkpoint as it is")
    return OfCheckpoint(find_checkpoint(name))


def speedup(
    models: Annotated[
        str, typer.Option(metavar="A,B,…", help="Names of models, see list.")
    ] = "bert-base,gpt2,tinyllama-1.1b,mamba-130m",
    share: Annotated[float, typer.Option(help="Of the parameters that stay.")] = 0.5,
    slc_rate: Annotated[float, typer.Option(help="Of the chip, per cent.")] = 100.0,
    tokens: Annotated[int, typer.Option(help="Of a request.")] = 128,
    requests: Annotated[int, typer.Option(help="At once.")] = 4,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also as CSV.")] = None,
) -> None:
    """What fewer ranks buy on the chip, for models of published shape."""
    import pandas as pd  # noqa: PLC0415

    from hyflexsim.workloads.compression.speedup import gains  # noqa: PLC0415

    with progress() as say, nullcontext() if out is None else new_file(out) as file:
        rows = gains(
            _words(models),
            share=share,
            slc_rate=slc_rate / 100,
            tokens=tokens,
            requests=requests,
            say=say,
        )
        frame = pd.DataFrame(rows)
        if file is not None:
            frame.to_csv(file, index=False, float_format="%.4g")
    console().print(_frame(frame), "")
    print("gains: dense over compressed; SoftLMs reports 1.33 to 1.72 (machine not known)")
    if out is not None:
        print(f"written to {out}")


def data() -> None:
    """What there is to compress: recipes, checkpoints, weights, data sets."""
    from hyflexsim.workloads import datasets  # noqa: PLC0415
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415
    from hyflexsim.workloads.compression import recipe  # noqa: PLC0415
    from hyflexsim.workloads.extraction import weights  # noqa: PLC0415
    from hyflexsim.workloads.scenario import checkpoints  # noqa: PLC0415

    rows = terminal_tables.table("recipes", "name", "what")
    for name in recipe.shipped():
        rows.add_row(name, recipe.Recipe.load(name).title)
    console().print(rows, "")
    rows = terminal_tables.table("checkpoints", "name", "metric", ">dense", ">fine-tuned")
    for name in checkpoints.shipped():
        about = checkpoints.read_about(checkpoints.find_checkpoint(name))
        metric = about["metric"]["name"]
        scores = (f"{about['scores'][s][metric]:.4g}" for s in ("dense", "fine-tuned"))
        rows.add_row(name, metric, *scores)
    console().print(rows, "")
    rows = terminal_tables.table("weights", "name", "here")
    for name, where in weights.available().items():
        rows.add_row(name, where)
    console().print(rows, "")
    rows = terminal_tables.table("data sets", "name", "kind", ">rows", "from")
    for entry in datasets.names():
        rows.add_row(*(str(value) for value in entry))
    console().print(rows)


def _say(info: Mapping[str, Any]) -> None:
    """The notes of a study; those of before 2026-11-28 have none."""
    for note in info.get("notes", ()):
        print(f"note: {note}")


def _scores(about: dict[str, Any]) -> Table:
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415

    figures = list(about["scores"]["dense"])
    rows = terminal_tables.table("", "model", *(f">{name}" for name in figures))
    for name, values in about["scores"].items():
        rows.add_row(name, *(f"{values[figure]:.4f}" for figure in figures))
    floor = about["metric"]["floor"]
    if floor is not None:
        rows.add_row("floor (nothing learned)", f"{floor:.4f}", *[""] * (len(figures) - 1))
    return rows


def _frame(frame: Any) -> Table:
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415

    rows = terminal_tables.table("", *(str(name) for name in frame.columns))
    for values in frame.itertuples(index=False):
        rows.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values))
    return rows


def _is_of(section: type[BaseModel], change: str) -> bool:
    """Whether an override is of a key of a section (else it is the chip's)."""
    return change.partition("=")[0].strip() in section.model_fields


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(word) for word in _words(text)]
    except ValueError:
        raise InputError(f"{option} must be numbers with commas between; got {text!r}") from None


def _integers(option: str, text: str) -> list[int]:
    numbers = _numbers(option, text)
    if not all(number.is_integer() for number in numbers):
        raise InputError(f"{option} must be integers with commas between; got {text!r}")
    return [int(number) for number in numbers]


def _number_or_word(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
