"""The command line: ``hyflexsim run SCENARIO`` and its siblings.

Every command is a thin layer over a function of the package: it reads options, calls, prints.
Imports are inside the commands, so that help answers at once.

Exit codes: 0 done; 1 the simulated machine is stuck (the report says who waits for whom); 2 bad
input, in one line; 130 interrupted (Ctrl-C, SIGTERM). Nothing half-written stays in any case.
"""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyflexsim.sim.errors import DeadlockError, InputError
from hyflexsim.workloads import outputs
from hyflexsim.workloads.cli import (
    families,
    faults,
    kinds,
    large,
    lean_imports,
    part,
    report,
    reproduce,
    sensitivity,
    sparsity,
    studies,
    sweeps,
    trace,
)
from hyflexsim.workloads.garbage import collect_less
from hyflexsim.workloads.terminal import console, progress

if TYPE_CHECKING:
    from hyflexsim.workloads.run.painter import Painter

INTERRUPTED = 130

app = typer.Typer(
    name="hyflexsim",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ScenarioName = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="Name (see list) or path of a .toml file.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a scenario key or a chip parameter."),
]
Picture = Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Draw a picture.")]


def _version(asked: bool) -> None:
    if asked:
        print(f"hyflexsim {metadata.version('hyflexsim')}")
        raise typer.Exit


@app.callback()
def hyflexsim(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and end."),
    ] = False,
) -> None:
    """Simulate hybrid SLC/MLC RRAM processing-in-memory chips running transformers."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point; ends the process with the exit code."""
    collect_less()
    lean_imports.pydantic_without_plugins()
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        code = app(arguments, standalone_mode=False)
        if code == INTERRUPTED:  # typer has caught Ctrl-C
            raise KeyboardInterrupt
    except InputError as error:
        code = _complain(error, 2)
    except DeadlockError as error:
        code = _complain(error, 1)
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _complain("interrupted; nothing was written", INTERRUPTED)
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename is None:
            raise
        code = _complain(f"{error.filename}: {error.strerror}", 2)
    except Exception as error:
        # hyflexsim.models is not imported for this
        if "ModelError" in [kind.__name__ for kind in type(error).__mro__]:
            code = _complain(error, 2)
        elif type(error).__name__ == "NoArgsIsHelpError":
            print(error)
            code = 2
        elif hasattr(error, "format_message"):  # click's usage errors
            code = _complain(error.format_message(), 2)
        else:
            raise
    gc.freeze()  # what the process leaves behind need not be searched for garbage at its end
    atexit.register(_undisturbed)
    sys.exit(code if isinstance(code, int) else 0)


def _interrupted(*_: object) -> None:
    """A polite request to end, as by ``kill`` or a batch system, is Ctrl-C: nothing stays."""
    raise KeyboardInterrupt


def _undisturbed() -> None:
    """All is said and written: a request to end finds a process that ends."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


def _complain(error: object, code: int) -> int:
    print(f"hyflexsim: {' '.join(str(error).split())}", file=sys.stderr)
    return code


@app.command()
def run(
    scenario: ScenarioName,
    changes: Changes = None,
    fidelity: Annotated[
        str | None, typer.Option(metavar="token|bit", help="As --set run.fidelity=…")
    ] = None,
    overlap: Annotated[
        str | None,
        typer.Option(metavar="pipelined|layer-serial", help="As --set run.overlap=…"),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(metavar="auto|simpy|compiled", help="As --set run.engine=…")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run directory [default: runs/<name of the scenario>]."),
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw pictures into the run directory.")] = True,
    values: Annotated[
        bool,
        typer.Option("--values", help="Also compute the plan's numbers, op by op, against torch."),
    ] = False,
    cells: Annotated[
        str,
        typer.Option(
            metavar="ideal|converters|noise",
            help="Of --values: exact converters, the chip's, or these with errors of cells.",
        ),
    ] = "ideal",
) -> None:
    """Run a scenario, print its results and write a run directory."""
    from hyflexsim.workloads.run.painter import painter  # noqa: PLC0415

    lean_imports.numpy_without_threads()
    with (
        closing(painter()) if plots else nullcontext() as draws
    ):  # first of all: it takes a while to start
        _run(scenario, changes, fidelity, overlap, engine, out, draws, cells if values else None)


def _run(
    scenario: str,
    changes: list[str] | None,
    fidelity: str | None,
    overlap: str | None,
    engine: str | None,
    out: Path | None,
    draws: Painter | None,
    cells: str | None,
) -> None:
    from hyflexsim.workloads.compression.judged_run import simulate  # noqa: PLC0415
    from hyflexsim.workloads.run.run_dir import MARKS  # noqa: PLC0415
    from hyflexsim.workloads.scenario.colocation import load  # noqa: PLC0415

    options = (("run.fidelity", fidelity), ("run.overlap", overlap), ("run.engine", engine))
    extra = [f"{key}={value}" for key, value in options if value is not None]
    loaded = load(scenario, [*(changes or ()), *extra])
    target = out or Path("runs") / loaded.name
    with (
        progress() as say,
        outputs.new_folder(target, MARKS) as folder,
        closing(draws) if draws else nullcontext(),  # before the folder goes
    ):
        result = simulate(loaded, progress=say, folder=folder, values=cells is not None)
        say("drawing" if draws else "writing", len(result.requests), len(result.requests))
        from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415 (the trace is being written)

        terminal = console()
        tables = [
            terminal_tables.headline(result.summary, result.tables["requests"]),
            terminal_tables.by_kind(result.summary),
        ]
        talks = result.summary["stream"]["sessions"] is not None
        if talks or any(arrivals.kind != "at-once" for arrivals in loaded.arrivals):
            from hyflexsim.workloads.cli.stream_table import stream  # noqa: PLC0415

            tables.append(stream(result.summary))
        if "models" in result.summary:
            tables.append(terminal_tables.by_model(result.summary))
        if "accuracy" in result.summary:
            tables.append(terminal_tables.accuracy(result.summary))
        if cells is not None:
            from hyflexsim.workloads.cli.values import computed  # noqa: PLC0415 (torch)
            from hyflexsim.workloads.run.summary import NOTES  # noqa: PLC0415

            values = computed(loaded, cells, say, folder)
            tables.append(values.table)
            kept = [note for note in result.summary["notes"] if note != NOTES[0]]
            result.summary["notes"] = [*kept, *values.notes]
        result.fill(folder, draws)
    for table in tables:
        terminal.print(table, "")
    for line in () if cells is None else values.lines:
        print(line)
    for note in [*result.summary["notes"], *result.summary.get("accuracy", {}).get("notes", ())]:
        print(f"note: {note}")
    print(
        f"rests on {len(result.summary['assumptions'])} parameters that no paper gives (names: "
        "summary.json; values and sources: "
        f"hyflexsim preset {loaded.chip.preset} --status assumed,inferred,fitted,derived)"
    )
    print(f"written to {target}")


@app.command()
def validate(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Scenario (name or file), chip or graph (.json).")
    ],
    changes: Changes = None,
) -> None:
    """Check all that a run would read of a scenario, a chip's TOML file or a graph's JSON file."""
    if file.endswith(".json"):
        from hyflexsim.sim import graph as g  # noqa: PLC0415
        from hyflexsim.sim.vocabulary import least_tokens  # noqa: PLC0415

        graph = g.load(file)
        print(f"{file}: a graph of {len(graph)} ops, {g.parameters(graph):,} parameters")
        if least_tokens(graph) > 1:
            print(f"note: for inputs of at least {least_tokens(graph)} tokens")
        return
    if file.endswith(".toml") and _is_chip(Path(file)):
        from hyflexsim.sim.chip import able  # noqa: PLC0415
        from hyflexsim.sim.units.catalogue import load_chip  # noqa: PLC0415

        hw = load_chip(file)
        lacking = able.must_have(hw)
        for line in lacking:
            _complain(f"{file}: {line}", 2)
        if lacking:
            raise typer.Exit(2)
        for line in able.cannot_run(hw):
            print(f"note: {line}")
        print(f"{file}: a chip with {hw.values.pus} PUs, {len(hw.provenance)} parameters")
        return
    from hyflexsim.workloads.compression.judged_run import check  # noqa: PLC0415
    from hyflexsim.workloads.scenario.colocation import load  # noqa: PLC0415

    ready = check(load(file, changes or ()))
    print(
        f"{file}: {len(ready.requests)} requests for {ready.graph.graph['name']} on "
        f"{ready.placement.pus_used} PUs, {len(ready.plan.components)} components"
    )


@app.command("list")
def list_() -> None:
    """What comes with hyflexsim: scenarios, sweeps, presets, models."""
    from hyflexsim.sim.chip.load import presets  # noqa: PLC0415
    from hyflexsim.sim.units.catalogue import load_chip  # noqa: PLC0415
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415
    from hyflexsim.workloads.extraction.model_zoo import ZOO  # noqa: PLC0415
    from hyflexsim.workloads.scenario.colocation import load  # noqa: PLC0415
    from hyflexsim.workloads.scenario.scenario import shipped  # noqa: PLC0415
    from hyflexsim.workloads.sweeping import sweep_file  # noqa: PLC0415

    terminal = console()
    rows = terminal_tables.table("scenarios", "name", "what")
    for name in shipped():
        rows.add_row(name, load(name).title)
    terminal.print(rows, "")
    rows = terminal_tables.table("sweeps", "name", "what")
    for name in sweep_file.shipped():
        rows.add_row(name, sweep_file.Sweep.load(name).title)
    terminal.print(rows, "")
    rows = terminal_tables.table("presets", "name", ">PUs", ">nm")
    for name in presets():
        hw = load_chip(name)
        rows.add_row(name, str(hw.values.pus), str(hw.values.technology_nm))
    terminal.print(rows, "")
    rows = terminal_tables.table("models", "name", "family", "class")
    for name, config in ZOO.items():
        cls = (config.get("architectures") or ["bare model"])[0]
        rows.add_row(name, config["model_type"], "" if config["model_type"] == "part" else cls)
    terminal.print(rows)


@app.command()
def graph(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name (see list), config.json or saved graph.")
    ],
    tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Token count [default: 128, or fewer].")
    ] = None,
    source: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens of an encoder beside a decoder [default: 128]."),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Only this layer.")] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE", help="Pattern of modules that the forward pass need not reach."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Save as JSON.")] = None,
    png: Picture = None,
) -> None:
    """Show a model's ops with shapes, work and parameters; save or draw its graph."""
    from hyflexsim.sim import graph as g  # noqa: PLC0415
    from hyflexsim.sim.vocabulary import check_positions  # noqa: PLC0415
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415
    from hyflexsim.workloads.nearest import nearest  # noqa: PLC0415

    loaded = _graph(model, leave_out or ())
    if source is not None:
        loaded = g.with_source(loaded, source)
    fixed = loaded.graph.get("tokens")
    if fixed is not None and tokens not in (None, fixed):
        raise InputError(f"--tokens must be {fixed} for {model}; got {tokens}")
    if tokens is not None and tokens < 1:
        raise InputError(f"--tokens must be a positive integer; got {tokens}")
    shown = tokens or fixed or min(128, loaded.graph.get("positions", 128))
    check_positions(loaded, shown)
    names = list(dict.fromkeys(name for _, name in loaded.nodes(data="layer")))
    if layer is not None and layer not in names:
        raise InputError(f"--layer: no layer {layer!r}; {nearest(layer, names)}")
    console().print(terminal_tables.ops(loaded, shown, layer))
    for note in loaded.graph.get("notes", ()):
        print(f"note: {note}")
    if out is not None:
        with outputs.new_file(out, _is_graph) as scratch:
            g.save(loaded, scratch)
        print(f"written to {out}")
    if png is not None:
        from hyflexsim.analysis import draw_graph  # noqa: PLC0415

        _draw(draw_graph(loaded, layer=layer), png)


@app.command("map")
def map_(
    scenario: ScenarioName,
    changes: Changes = None,
    cells: Annotated[
        str | None, typer.Option(metavar="OP", help="The arrays of one matrix instead.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --cells: all of them, as CSV.")
    ] = None,
    pus: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="PUs a layer: what these would cost on the buses."),
    ] = None,
    png: Picture = None,
) -> None:
    """Show where each layer sits: PUs, arrays, copies; or where a matrix lies, array by array."""
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415
    from hyflexsim.workloads.compression.judged_run import placed_graph  # noqa: PLC0415
    from hyflexsim.workloads.run.prepare import prepare  # noqa: PLC0415
    from hyflexsim.workloads.scenario.scenario import Scenario  # noqa: PLC0415

    loaded = Scenario.load(scenario, changes or ())
    if cells is None and out is not None:
        raise InputError("--out goes with --cells")
    if cells is not None and pus is not None:
        raise InputError("--pus does not go with --cells")
    ready = prepare(loaded, placed_graph(loaded))
    placement = ready.placement
    if cells is not None:
        from hyflexsim.workloads.cli import cells_table  # noqa: PLC0415

        console().print(cells_table.cells_table(placement, cells))
        if out is not None:
            with outputs.new_file(out) as scratch:
                cells_table.write_csv(placement, cells, scratch)
            print(f"written to {out}")
        return
    console().print(terminal_tables.layers(placement), "", terminal_tables.traffic(ready))
    if pus is not None:
        from hyflexsim.workloads.cli.mappings_table import mappings_table  # noqa: PLC0415

        rows, refused = mappings_table(scenario, changes or (), pus.split(","))
        console().print("", rows, *(f"no room for {line}" for line in refused))
    if png is not None:
        import pandas as pd  # noqa: PLC0415

        from hyflexsim.analysis import placement_map  # noqa: PLC0415
        from hyflexsim.sim.placement.mapping import pieces_per_pu  # noqa: PLC0415

        axes = placement_map(
            pd.DataFrame(list(placement.rows())),
            arrays_per_pu=pieces_per_pu(placement.chip),
            pus_per_chip=placement.chip.values.pus,
        )
        _draw(axes, png)


@app.command()
def wear(
    scenario: ScenarioName,
    changes: Changes = None,
    requests_per_day: Annotated[float, typer.Option(metavar="N", help="Served.")] = 10_000,
    refresh: Annotated[
        str, typer.Option(metavar="A,B,…", help="Days between two writes of all weights.")
    ] = "1,7,30,365",
) -> None:
    """Show what writing the weights takes, and how long cells last."""
    from hyflexsim.sim import energy  # noqa: PLC0415
    from hyflexsim.sim import wear as cells  # noqa: PLC0415
    from hyflexsim.workloads.cli import wear_tables  # noqa: PLC0415
    from hyflexsim.workloads.run.run import simulate  # noqa: PLC0415
    from hyflexsim.workloads.scenario.scenario import Scenario  # noqa: PLC0415

    days = _positive("--refresh", refresh)
    (per_day,) = _positive("--requests-per-day", str(requests_per_day))
    with progress() as say:
        result = simulate(Scenario.load(scenario, changes or ()), progress=say)
    terminal = console()
    written = cells.programming(result.placement)
    if written is None:
        print("weights lie in memory, not in cells that wear")
    else:
        each = result.summary["energy_per_request_pj"]
        terminal.print(wear_tables.programming_table(written, each), "")
        terminal.print(wear_tables.refresh_table(written, days), "")
    ledger = energy.ledger(result.plan, result.played, result.chip)
    worn = cells.wear(result.placement, ledger, len(result.requests))
    if worn is None:
        print("activations lie in memory, not in cells that wear")
    else:
        terminal.print(wear_tables.wear_table(worn, per_day))


def _positive(option: str, text: str) -> list[float]:
    """Numbers above 0 with commas between."""
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < float("inf") for number in numbers):
        raise InputError(f"{option} must be numbers above 0 with commas between; got {text!r}")
    return numbers


@app.command()
def plot(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR")],
    layer: Annotated[str | None, typer.Option(help="Only this layer.")] = None,
    request: Annotated[int | None, typer.Option(metavar="N", help="Only this request.")] = None,
    tokens: Annotated[
        str | None, typer.Option(metavar="FIRST:STOP", help="Only these tokens, such as 0:8.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(metavar="FROM:TO", help='Only this time, such as "10us:20us".')
    ] = None,
    picture: Annotated[
        list[str] | None,
        typer.Option(
            metavar="power|waiting|busy|energy_flow|floor|wear|roofline",
            help="One more, into the run's folder; also NAME.svg.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: RUN_DIR/timeline_selection.png]")
    ] = None,
) -> None:
    """Draw a run or a sweep anew: all pictures or, with a selection, a part of a timeline."""
    from hyflexsim.analysis import (  # noqa: PLC0415
        draw_all,
        draw_more,
        load,
        timeline,
    )
    from hyflexsim.sim.chip import measure  # noqa: PLC0415

    if (run_dir / "sweep.json").is_file():
        if (layer, request, tokens, window, out) != (None,) * 5 or picture:
            raise InputError(f"{run_dir} is of a sweep, which has no timeline to select from")
        sweeps.draw(run_dir)
        return
    if picture:
        for path in draw_more(load(run_dir), picture):
            print(f"written to {path}")
        return
    if (layer, request, tokens, window, out) == (None,) * 5:
        with outputs.owned(run_dir):
            for path in draw_all(run_dir):
                print(f"written to {path}")
        return
    axes = timeline(
        load(run_dir),
        layer=layer,
        request=request,
        tokens=_range("--tokens", tokens, int),
        window=_range("--window", window, lambda text: int(measure.read(text, "ps"))),
    )
    _draw(axes, out or run_dir / "timeline_selection.png")


@app.command("compare")
def compare_(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR…")],
    png: Picture = None,
) -> None:
    """Show the headline numbers of several runs beside each other."""
    from hyflexsim.analysis import compare, compare_plot  # noqa: PLC0415
    from hyflexsim.analysis.run.sooner import sooner  # noqa: PLC0415
    from hyflexsim.workloads.cli import compare_table  # noqa: PLC0415

    terminal = console()
    for table in compare_table.comparison(compare(run_dirs), terminal.width):
        terminal.print(table)
    for note in sooner(run_dirs):
        print(f"note: {note}")
    if png is not None:
        _draw(compare_plot(run_dirs), png)


@app.command()
def preset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Preset (see list) or chip file.")],
    status: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only such, e.g. assumed,inferred.")
    ] = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="What follows from what, and by which rule.")
    ] = False,
) -> None:
    """Show a chip's parameters: value, unit, status, source."""
    from hyflexsim.sim.chip.provenance import STATUSES  # noqa: PLC0415
    from hyflexsim.sim.units.catalogue import load_chip  # noqa: PLC0415
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415

    hw = load_chip(name)
    if rules:
        console().print(terminal_tables.rules(hw), "", terminal_tables.converter_models(hw))
        return
    wanted = STATUSES if status is None else tuple(status.split(","))
    for word in wanted:
        if word not in STATUSES:
            raise InputError(f"--status must be of {', '.join(STATUSES)}; got {word!r}")
    console().print(terminal_tables.parameters(hw, wanted))


# --- help for the commands -----------------------------------------------------------------------


def _graph(model: str, leave_out: Sequence[str]) -> Any:
    """A saved graph, or the graph of a model by name or config.json."""
    path = Path(model)
    if path.suffix == ".json" and path.is_file() and _is_graph(path):
        from hyflexsim.sim import graph as g  # noqa: PLC0415

        return g.load(path)
    from hyflexsim.workloads.extraction.extract import extract  # noqa: PLC0415

    return extract(model, leave_out=leave_out)


def _is_chip(path: Path) -> bool:
    from hyflexsim.sim import toml_file  # noqa: PLC0415

    content = toml_file.read(path)
    return not {"model", "models", "workload"} & content.keys()


def _range(option: str, text: str | None, read: Callable[[str], int]) -> tuple[int, int] | None:
    if text is None:
        return None
    first, colon, stop = text.partition(":")
    try:
        if colon:
            return read(first), read(stop)
    except ValueError:
        pass
    raise InputError(f"{option} must be two values with a colon between; got {text!r}")


def _is_graph(path: Path) -> bool:
    return b'"hyflexsim-graph-' in path.read_bytes()


def _draw(axes: Any, path: Path) -> None:
    from hyflexsim.analysis import save  # noqa: PLC0415

    if path.suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"a picture must end in .png, .pdf or .svg; got {str(path)!r}")
    with outputs.new_file(path) as scratch:
        save(axes, scratch)
    print(f"written to {path}")


# --- commands of other files, after the ones that everybody needs first
sweeps.register(app)
report.register(app)
trace.register(app)
faults.register(app)
sensitivity.register(app)
studies.register(app)
part.register(app)
sparsity.register(app)
large.register(app)
families.register(app)
kinds.register(app)
reproduce.register(app)


if __name__ == "__main__":
    main()
