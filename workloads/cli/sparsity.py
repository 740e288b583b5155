"""``hyflexsim sparsity``: what sparse attention is worth on a chip (docs/sparsity.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli.options import Device, is_on_the_line
from hyflexsim.workloads.cli.part import found_checkpoint
from hyflexsim.workloads.outputs import owned
from hyflexsim.workloads.resumable import working, working_folder
from hyflexsim.workloads.terminal import console, progress, resumable

if TYPE_CHECKING:
    import pandas as pd

WINDOW = 128
"""Tokens of a text."""
STUDIES = ("bound", "ways", "levers", "designs", "trigger")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sparsity")(sparsity)


def sparsity(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="WHAT", help=", ".join(STUDIES))],
    checkpoint: Annotated[
        Path,
        typer.Option(
            metavar="CHECKPOINT",
            help="Of ways and levers: a ParT (part-small, a file); of ways also a decoder made by "
            "compress (gpt2-pydoc, a folder).",
        ),
    ] = Path("part-small"),
    jets: Annotated[
        Path | None,
        typer.Option(
            metavar="JETS",
            help="Of ways, levers: their last jets; of designs: to train on [default: sample].",
        ),
    ] = None,
    per_class: Annotated[
        int, typer.Option(metavar="N", help="Of ways and levers: jets of each class.")
    ] = 10,
    windows: Annotated[
        int, typer.Option(metavar="N", help="Of ways of a decoder: texts of 128 tokens.")
    ] = 16,
    epochs: Annotated[
        int,
        typer.Option(
            metavar="N", help="Of ways of a decoder: train so much further with keys left out."
        ),
    ] = 0,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of ways: keys.parquet of attention-cost, or CSV."),
    ] = None,
    designs: Annotated[
        str | None,
        typer.Option(metavar="KEY,KEY", help="Of designs and trigger: these alone."),
    ] = None,
    trained: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Folder of trained designs: designs fills, trigger reads."
        ),
    ] = Path("runs/designs"),
    test: Annotated[
        Path | None,
        typer.Option(metavar="JETS", help="Of designs: score these [default: a tenth held out]."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Of designs: learn its answers too."),
    ] = None,
    device: Device = "cpu",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of designs: change a key of the recipe."),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder whose results/ and pictures/ are written."),
    ] = Path("runs/sparsity"),
) -> None:
    """What sparse attention is worth in hardware: energy and time that it saves, and accuracy."""
    from hyflexsim.workloads.scenario.overrides import pairs  # noqa: PLC0415

    if what not in STUDIES:
        raise InputError(f"sparsity: must be one of {', '.join(STUDIES)}; got {what!r}")
    if what == "bound":
        _bound(out)
    elif what == "ways":
        _ways(out, checkpoint, jets, per_class, windows, epochs, keys)
    elif what == "levers":
        _levers(out, found_checkpoint(checkpoint), jets, per_class)
    elif what == "designs":
        _designs(
            trained,
            designs,
            jets,
            test,
            found_checkpoint(teacher) if teacher else None,
            device,
            dict(pairs(changes or ())),
        )
    else:
        if is_on_the_line(context, "trained") and not trained.is_dir():
            raise InputError(f"--trained must be a folder of trained designs; got {trained}")
        _trigger(out, designs, trained)


def _ways(
    out: Path,
    checkpoint: Path,
    jets: Path | None,
    per_class: int,
    windows: int,
    epochs: int,
    keys: Path | None,
) -> None:
    import pandas as pd  # noqa: PLC0415

    from hyflexsim.analysis.sparsity.ways import ways_plot  # noqa: PLC0415
    from hyflexsim.workloads.cli.part_tables import show_notes  # noqa: PLC0415
    from hyflexsim.workloads.part.attention_cost import read_keys  # noqa: PLC0415
    from hyflexsim.workloads.part.attention_run import unlike_training  # noqa: PLC0415
    from hyflexsim.workloads.scenario.checkpoints import is_compressed  # noqa: PLC0415
    from hyflexsim.workloads.sparsity.ways import ways, ways_of_text  # noqa: PLC0415

    if windows < 1:
        raise InputError(f"--windows must be at least 1; got {windows}")
    if epochs < 0:
        raise InputError(f"--epochs must be at least 0; got {epochs}")
    of_text, notes = is_compressed(str(checkpoint)), []
    if of_text and (jets is not None or keys is not None):
        raise InputError("--jets and --keys go with a ParT")
    name = f"sparsity-ways-{checkpoint.name}" if of_text else "sparsity-ways"
    with _results(out, name) as write:
        if of_text:
            target = out / name
            about = {"checkpoint": str(checkpoint), "epochs": epochs}
            resumed = resumable(working_folder(target))
            with progress() as say, resumed, working(target, about) as work:
                sizes = {"window": WINDOW, "windows": windows, "epochs": epochs}
                rows = ways_of_text(str(checkpoint), **sizes, work=work, say=say)
        else:
            table = None if keys is None else read_keys(keys)
            found = found_checkpoint(checkpoint)
            with progress() as say:
                rows = ways(found, jets, per_class=per_class, table=table, say=say)
            notes = unlike_training(found, jets, per_class)
        frame = pd.DataFrame(rows)
        write(frame, ways_plot(frame))
    what = f"{frame['items'].iloc[0]} {'texts' if of_text else 'jets'}"
    _show_rows(f"ways to use sparse attention, {what}", frame.drop(columns=["items", "metric"]))
    show_notes(notes)


def _levers(out: Path, checkpoint: Path, jets: Path | None, per_class: int) -> None:
    import pandas as pd  # noqa: PLC0415

    from hyflexsim.analysis.sparsity.levers import levers_plot  # noqa: PLC0415
    from hyflexsim.workloads.cli.part_tables import show_notes  # noqa: PLC0415
    from hyflexsim.workloads.part.attention_run import unlike_training  # noqa: PLC0415
    from hyflexsim.workloads.sparsity.lever_study import lever_rows  # noqa: PLC0415

    with _results(out, "sparsity-levers") as write:
        with progress() as say:
            frame = pd.DataFrame(lever_rows(checkpoint, jets, per_class=per_class, say=say))
        write(frame, levers_plot(frame))
    for model, rows in frame.groupby("model", sort=False):
        _show_rows(f"levers of {model}", rows.drop(columns="model").dropna(axis=1, how="all"))
    show_notes(unlike_training(checkpoint, jets, 2 * per_class))  # half of them choose, half judge


def _designs(
    trained: Path,
    keys: str | None,
    jets: Path | None,
    test: Path | None,
    teacher: Path | None,
    device: str,
    changes: dict[str, Any],
) -> None:
    import pandas as pd  # noqa: PLC0415

    from hyflexsim.workloads.sparsity.designs import chosen, train_designs  # noqa: PLC0415

    own = chosen(keys)
    with progress() as say, resumable(trained):
        rows = list(
            train_designs(
                trained,
                own,
                jets,
                test=test,
                teacher=teacher,
                device=device,
                changes=changes,
                say=say,
            )
        )
    _show_scores(pd.DataFrame(rows))
    print(f"written to {trained}")


def _trigger(out: Path, keys: str | None, trained: Path) -> None:
    import pandas as pd  # noqa: PLC0415

    from hyflexsim.analysis.sparsity.answer import answer_plot  # noqa: PLC0415
    from hyflexsim.analysis.sparsity.trigger import trigger_plot  # noqa: PLC0415
    from hyflexsim.workloads.sparsity.designs import chosen, scores_in  # noqa: PLC0415
    from hyflexsim.workloads.sparsity.trigger import trigger  # noqa: PLC0415

    own = chosen(keys)
    with _results(out, "sparsity-trigger") as write:
        with progress() as say:
            frame = pd.DataFrame(trigger(own, say=say))
        write(frame, trigger_plot(frame))
    _show_rows("ParT in a trigger", frame)
    if trained.is_dir():
        scores = pd.DataFrame(scores_in(trained, own))
        with _results(out, "sparsity-designs") as write:
            write(scores, answer_plot(frame, scores))
        _show_scores(scores)


def _bound(out: Path) -> None:
    import pandas as pd  # noqa: PLC0415

    from hyflexsim.analysis.sparsity.bound import bound_plot  # noqa: PLC0415
    from hyflexsim.workloads.sparsity.bound import bounds  # noqa: PLC0415

    with _results(out, "sparsity-bound") as write:
        with progress() as say:
            table = pd.DataFrame(bounds(say=say))
        write(table, bound_plot(table))
    _show("what costs nothing saves at most (%)", table[table["what"] != "all"])


@contextmanager
def _results(out: Path, name: str) -> Iterator[Callable[[pd.DataFrame, Any], None]]:
    """What writes a table and its picture; a place that cannot be written is refused at once."""
    from hyflexsim.analysis import save  # noqa: PLC0415

    with (
        owned(out / "results" / f"{name}.csv") as results,
        owned(out / "pictures" / f"{name}.png") as pictures,
    ):

        def write(table: pd.DataFrame, axes: Any) -> None:
            with results.new() as csv, pictures.new() as png:
                table.to_csv(csv, index=False, float_format="%.4g")
                save(axes, png)
            print(f"written to {results.path}", f"written to {pictures.path}", sep="\n")

        yield write


def _show_rows(title: str, frame: pd.DataFrame) -> None:
    from hyflexsim.workloads.cli.terminal_tables import table as rich_table  # noqa: PLC0415

    names = [str(name) for name in frame]
    texts = {name for name in names if not _numeric(frame[name])}
    rows = rich_table(title, *(name if name in texts else f">{name}" for name in names))
    for _, row in frame.iterrows():
        rows.add_row(*(str(v) if n in texts else f"{v:.4g}" for n, v in row.items()))
    console().print(rows, "")


def _show_scores(frame: pd.DataFrame) -> None:
    """Accuracy with its 95 % interval, and rejections of QCD with theirs."""
    from hyflexsim.workloads.cli.terminal_tables import table as rich_table  # noqa: PLC0415

    signals = ("Hbb", "Tbqq")
    heads = (">parameters", ">accuracy", ">AUC", *(f">{s}: rej. at 50 %" for s in signals))
    rows = rich_table("trained designs", "design", *heads)
    for _, row in frame.iterrows():
        accuracy = f"{row['accuracy']:.3f} ± {1.96 * row['accuracy_error']:.3f}"
        rejections = (_rejection(row, f"rejection_{signal}") for signal in signals)
        auc = f"{row['auc_mean']:.3f}"
        rows.add_row(row["design"], f"{row['parameters']:,}", accuracy, auc, *rejections)
    console().print(rows, "")


def _rejection(row: pd.Series, key: str) -> str:
    """With its interval; where no jet of QCD passed, what it is above."""
    import pandas as pd  # noqa: PLC0415

    value, low, high = row[key], row[f"{key}_low"], row[f"{key}_high"]
    if pd.isna(low):
        return ""
    if pd.isna(value):
        return f"> {low:,.0f}"
    return f"{value:,.0f} ({low:,.0f} – {high:,.0f})"


def _numeric(column: Any) -> bool:
    return bool(column.dtype.kind in "fiu")


def _show(title: str, table: pd.DataFrame) -> None:
    from hyflexsim.workloads.cli.terminal_tables import table as rich_table  # noqa: PLC0415

    shares = ("energy", "answer", "pace")
    rows = rich_table(title, "model", ">tokens", "what", *(f">{name}" for name in shares))
    for _, row in table.iterrows():
        values = ("" if row[name] != row[name] else f"{100 * row[name]:.1f}" for name in shares)
        rows.add_row(row["model"], f"{row['tokens']:,}", row["what"], *values)
    console().print(rows, "")
