"""Make a file of simulated jets: `hyflexsim jets --help`.

The work is cut into chunks of 250 jets of one label, each with its own seed and its own file
in `OUT.chunks`. A chunk appears under its name only when it is whole; a run that was stopped
goes on where it was, and a run with more jets or more classes uses what is there. The name
holds a hash of everything the chunk depends on (seed, recipe, versions), so a chunk of
another recipe is never taken. `OUT` is written at the end, in one step.

Rows are in blocks of one jet of each class, in random order inside a block: the first n jets
of the file are a fair mix. Same arguments and versions: the same bytes, on any number of
processes.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hyflexsim.models.whole_file import whole
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.generator import COMMON, PROCESSES, SCHEMA, generate
from hyflexsim.workloads.jets.sample import LABELS
from hyflexsim.workloads.outputs import check_file, new_file
from hyflexsim.workloads.terminal import resumable

CHUNK = 250  # jets
MAX_SEED = 2**32 - 1
INTERRUPTED = 130  # exit code after Ctrl-C
FORMAT = "hyflexsim-jets-1"

Report = Callable[[str, int], None]


def make_jets(
    out: str | Path,
    classes: Sequence[str] = ("QCD", "Tbqq"),
    jets: int = 1000,
    seed: int = 1,
    *,
    settings: Sequence[str] = (),
    workers: int = 1,
    report: Report = lambda label, found: None,
) -> Path:
    """Write `jets` jets of each class to `out` (Parquet, columns of jets.py); returns `out`.

    `settings` are further lines for Pythia, `workers` processes that share the chunks;
    `report` is told a label and how many jets of it were added. Raises InputError for an
    unknown or repeated class, jets < 1, a seed outside 0 ... 2^32 - 1, workers < 1, a folder
    that does not exist, missing packages, a setting Pythia refuses.
    """
    out = Path(out)
    _check(out, classes, jets, seed, workers)
    with new_file(out) as file:
        _write(*_mixed(out, classes, jets, seed, settings, workers, report), file)
    return out


def _mixed(
    out: Path,
    classes: Sequence[str],
    jets: int,
    seed: int,
    settings: Sequence[str],
    workers: int,
    report: Report,
) -> tuple[Any, dict[str, Any]]:
    """The table of all jets, and what the file says of how it was made."""
    jobs = [
        (out, label, index, min(CHUNK, jets - first), seed, tuple(settings))
        for label in classes
        for index, first in enumerate(range(0, jets, CHUNK))
    ]
    if workers > 1:
        _share(jobs, workers, report)  # then all chunks are there
        report = _silent
    chunks = [_chunk(*job, report) for job in jobs]
    each = len(chunks) // len(classes)
    tables = [pa.concat_tables(chunks[c * each : (c + 1) * each]) for c in range(len(classes))]
    made = {"format": FORMAT, "classes": list(classes), "jets": jets, "seed": seed}
    made |= {"settings": list(settings), "versions": _versions()}
    return _mix(tables, jets, seed), made


def _silent(label: str, found: int) -> None:
    """A report that says nothing."""


def _share(jobs: Sequence[Any], workers: int, report: Report) -> None:
    """Make all chunks in processes of their own; each is a file when its job is done."""
    spawn = multiprocessing.get_context("spawn")  # Pythia's state must not be forked
    with ProcessPoolExecutor(min(workers, len(jobs)), spawn) as pool:
        running = {pool.submit(_make, *job): job for job in jobs}
        try:
            for done in as_completed(running):
                done.result()
                _, label, _, count, *_ = running[done]
                report(label, count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _make(
    out: Path, label: str, index: int, count: int, seed: int, settings: tuple[str, ...]
) -> None:
    _chunk(out, label, index, count, seed, settings, _silent)


def _check(out: Path, classes: Sequence[str], jets: int, seed: int, workers: int) -> None:
    for name in classes:
        if name not in PROCESSES or list(classes).count(name) > 1:
            raise InputError(
                f"classes must be of {', '.join(LABELS)}, each at most once; got {name!r}"
            )
    if not classes:
        raise InputError(f"classes must name at least one of {', '.join(LABELS)}; got none")
    if jets < 1:
        raise InputError(f"jets must be at least 1; got {jets}")
    if workers < 1:
        raise InputError(f"workers must be at least 1; got {workers}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed must be 0 ... {MAX_SEED}; got {seed}")
    check_file(out)


def _chunk(
    out: Path,
    label: str,
    index: int,
    count: int,
    seed: int,
    settings: tuple[str, ...],
    report: Report,
) -> Any:
    """Jets `index * CHUNK` ... of a label: from its file, or generated and kept in it."""
    process = PROCESSES[label]
    recipe = [FORMAT, seed, label, index, settings, COMMON, repr(process), _versions()]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    folder = _chunks(out)
    path = folder / f"{label}-{index:05d}-{count}-{key}.parquet"
    if path.is_file():
        try:
            table = pq.read_table(path, schema=SCHEMA)
        except (pa.ArrowException, OSError):
            table = None  # harmed: make it again
        if table is not None and len(table) == count:
            report(label, count)
            return table
    stream = np.random.SeedSequence([seed, LABELS.index(label), index])
    own_seed = int(stream.generate_state(1)[0]) % 900_000_000 + 1  # Pythia's range
    told = 0

    def progress(found: int) -> None:
        nonlocal told
        report(label, found - told)
        told = found

    table = generate(label, count, own_seed, settings, progress)
    folder.mkdir(exist_ok=True)
    with whole(path) as scratch:
        _write(table, {"format": FORMAT}, scratch)
    return table


def _chunks(out: Path) -> Path:
    return out.parent / f"{out.name}.chunks"


def _mix(tables: Sequence[Any], jets: int, seed: int) -> Any:
    """One jet of each class in every block of rows; within a class the order stays."""
    random = np.random.default_rng([seed, len(tables)])
    order = np.argsort(random.random((jets, len(tables))), axis=1)  # (jets, classes)
    rows = order * jets + np.arange(jets)[:, None]  # row of the concatenated tables
    return (
        pa.concat_tables(tables, promote_options="none")
        .unify_dictionaries()
        .take(pa.array(rows.ravel()))
    )


def _write(table: Any, made: dict[str, Any], path: Path) -> None:
    """Parquet, zstd 19; momenta as byte streams, what repeats as dictionaries."""
    momenta = [f"part_{p}.list.element" for p in ("px", "py", "pz")]
    repeats = [f"part_{n}.list.element" for n in ("mass", "charge", "pid", "d0", "dz")]
    table = table.replace_schema_metadata({"hyflexsim": json.dumps(made, sort_keys=True)})
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=["label", "truth_pdg.list.element", *repeats],
        use_byte_stream_split=momenta,
        write_statistics=False,
    )


def _versions() -> dict[str, str]:
    """Versions that decide about the jets; a missing package is reported where it is needed."""
    versions = {}
    for name in ("pythia8mc", "fastjet", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "none"
    return versions


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def command(
    out: Annotated[Path, typer.Option(help="Parquet file to write")],
    classes: Annotated[str, typer.Option(help=f"of {','.join(LABELS)}")] = "QCD,Tbqq,Tbl,Wqq,Hbb",
    jets: Annotated[int, typer.Option(help="jets of each class")] = 1000,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 1,
    workers: Annotated[int, typer.Option(help="processes")] = 1,
    pythia: Annotated[list[str] | None, typer.Option(help="a further line for Pythia")] = None,
) -> None:
    """Simulate jets of JetClass's labels with Pythia and FastJet: hyflexsim[hep]."""
    console = Console(stderr=True)
    names = [name.strip() for name in classes.split(",") if name.strip()]
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    _check(out, names, jets, seed, workers)
    shown = Progress(
        *(*bars, TimeRemainingColumn()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with resumable(_chunks(out)), shown as progress:
        tasks = {name: progress.add_task(name, total=jets) for name in names}
        make_jets(
            out,
            names,
            jets,
            seed,
            settings=pythia or (),
            workers=workers,
            report=lambda label, found: progress.advance(tasks[label], found),
        )
    size = out.stat().st_size / 1e6
    told = f"{out}: {jets * len(names)} jets, {size:.2f} MB; {out}.chunks may be deleted"
    console.print(told, soft_wrap=True, highlight=False)


def main() -> None:
    """Run the command; bad input is one line on stderr and exit code 2."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            print("interrupted; nothing was written", file=sys.stderr)
        sys.exit(code or 0)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:  # click's usage errors have their own text
        if not hasattr(error, "format_message"):
            raise
        print(f"error: {error.format_message()}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
