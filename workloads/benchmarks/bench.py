"""How fast: ratios measured in one run, since absolute speeds belong to a machine.

``make bench`` (``python -m hyflexsim.workloads.benchmarks.bench``) prints, next to their targets:

- visits per second of the SimPy engine, tracing on, divided by raw SimPy timeouts per second with
  as many processes as the machine has components, both taken in turn;
- visits per second of the compiled engine, tracing on, divided by the SimPy engine's, in turn;
- bytes of trace per visit;
- large models on the compiled engine, and how long planning them takes beside playing them;
- CPU time of a second run of the default scenario before its first event (fresh process, with the
  command line's imports);
- how long an import, ``--help``, a cold and a cached extraction take (fresh processes);
- the default scenario from start to pictures, and without them (fresh processes, second runs);
- a run of BERT-Large with 8192 tokens, pictures included, and the memory of its largest process;
- a training step with bfloat16 products against one in float32;
- forward passes on a chip's cells, through its converters, against the dense one;
- a sweep of 200 points on every core, against planning and playing one of them alone.

Engines are timed in CPU seconds, which other work on the machine disturbs least.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import simpy
import typer
from rich.console import Console
from rich.table import Table

from hyflexsim.sim.engine import engine
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.compiled.tables import tables
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.engine.trace import Keep
from hyflexsim.workloads.extraction.model_zoo import ZOO
from hyflexsim.workloads.garbage import collect_less
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario

TURNS = 3
RAW_EVENTS = 300_000
LARGE = (
    (
        "bert-large, 8192 tokens, 24 layers",
        "bert-base",
        [
            *("model.name=bert-large", "model.positions=any", "chip.chips=2"),
            *("workload.tokens=8192", "workload.requests=1"),
        ],
        "<= 5 s",
    ),
    (
        "llama-3.2-1b, 1024 + 256 tokens",
        "llama-3.2-1b",
        ["workload.prefill=1024", "workload.decode=256"],
        "<= 2 s",
    ),
)
WORKLOADS = (
    ("part-jets, 20 jets", "part-jets", ["workload.count=20"]),
    ("bert-base, 2 x 128 tokens", "bert-base", ["workload.requests=2"]),
    ("llama-3.2-1b, 64 + 8 tokens", "llama-3.2-1b", ["workload.prefill=64", "workload.decode=8"]),
)


class Line(NamedTuple):
    """One line of the report."""

    what: str
    measured: str
    target: str


def raw_timeouts_per_second(processes: int, events: int = RAW_EVENTS) -> float:
    """Timeouts per second of bare SimPy: processes that do nothing but wait, in turn."""
    clock = simpy.Environment()

    def wait(interval: int) -> Iterator[simpy.Event]:
        while True:
            yield clock.timeout(interval)

    for index in range(processes):
        clock.process(wait(800 + index % 37))
    for _ in range(processes):  # starting up
        clock.step()
    start = time.process_time()
    for _ in range(events):
        clock.step()
    return events / (time.process_time() - start)


def _cpu(work: Callable[[], Played]) -> tuple[Played, float]:
    start = time.process_time()
    played = work()
    return played, time.process_time() - start


def engines_against_raw(title: str, prepared: Prepared) -> list[Line]:
    """Raw SimPy, the SimPy engine and the compiled one in turn; medians of the ratios."""
    plan, requests, window = prepared.plan, prepared.requests, prepared.window
    compiled.play(plan, requests, window=window)  # machine code is loaded before the clock starts
    speeds, fast, shares, gains, trace_bytes = [], [], [], [], 0.0
    for _ in range(TURNS):
        played, seconds = _cpu(lambda: engine.play(plan, requests, window=window))
        _, quick = _cpu(lambda: compiled.play(plan, requests, window=window))
        visits = len(played.trace)
        speeds.append(visits / seconds)
        fast.append(visits / quick)
        shares.append(speeds[-1] / raw_timeouts_per_second(len(plan.components)))
        gains.append(seconds / quick)
        trace_bytes = played.trace.nbytes / visits
    count = len(plan.components)
    return [
        Line(f"{title}: SimPy engine, visits / s", f"{statistics.median(speeds):,.0f}", ""),
        Line(f"  share of raw SimPy ({count} processes)", _spread(shares, 2), ">= 0.25"),
        Line("  compiled engine, visits / s", f"{statistics.median(fast):,.0f}", ">= 5,000,000"),
        Line("  compiled / SimPy engine", _spread(gains, 1), ">= 40"),
        Line("  trace bytes a visit", f"{trace_bytes:.0f}", "<= 40"),
    ]


def _spread(ratios: list[float], places: int) -> str:
    middle = f"{statistics.median(ratios):.{places}f}"
    return f"{middle} ({min(ratios):.{places}f} to {max(ratios):.{places}f})"


def large(title: str, name: str, changes: list[str], target: str) -> list[Line]:
    """A large model on the compiled engine: playing, and planning beside it."""
    prepare(Scenario.load(name, changes))  # extracted and kept before the clock starts
    start = time.process_time()
    ready = prepare(Scenario.load(name, changes))
    plan = ready.plan
    tables(plan, ready.requests, ready.window)
    planning = time.process_time() - start
    played, playing = _cpu(
        lambda: compiled.play(plan, ready.requests, window=ready.window, keep=Keep())
    )
    visits = int(played.tally.visits.sum())
    return [
        Line(f"{title}: {visits:,} visits", f"{playing:.2f} s", target),
        Line("  planning / playing", f"{planning / playing:.2f}", "<= 1"),
    ]


def second_run() -> list[Line]:
    """CPU time of the default scenario up to its first event, all caches warm."""
    code = (
        "import time; from hyflexsim.workloads.garbage import collect_less; collect_less();"
        "from hyflexsim.workloads.cli import lean_imports, main as cli;"
        "lean_imports.pydantic_without_plugins(); lean_imports.numpy_without_threads();"
        "from hyflexsim.workloads.run.run import engines, prepare, Scenario;"
        "r = prepare(Scenario.load('part-jets')); engines.choose(r.plan, r.requests);"
        "from hyflexsim.sim.engine.compiled import compiled;"
        "from hyflexsim.sim.engine.compiled.tables import tables;"
        "from hyflexsim.sim.engine.request import Request;"
        "tables(r.plan, r.requests, r.window);"
        "compiled.play(r.plan, [Request(0, 1)]); print(time.process_time())"
    )
    command = [sys.executable, "-c", code]
    times = [
        float(
            subprocess.run(
                command, check=True, capture_output=True, text=True, env=with_bytecode()
            ).stdout
        )
        for _ in range(TURNS + 1)
    ]
    return [Line("second run, before the first event", f"{min(times[1:]):.2f} s", "< 0.5 s")]


def with_bytecode(**environment: str) -> dict[str, str]:
    """This environment, but for a wish not to keep bytecode, which few users have."""
    return os.environ | {"PYTHONDONTWRITEBYTECODE": ""} | environment


def process_seconds(code: str, **environment: str) -> float:
    """Wall time of a fresh interpreter that runs ``code``."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        stdout=subprocess.DEVNULL,
        env=with_bytecode(**environment),
    )
    return time.perf_counter() - start


def median_seconds(code: str, turns: int = 5) -> float:
    """Median wall time of fresh interpreters."""
    return statistics.median(process_seconds(code) for _ in range(turns))


def start_up() -> list[Line]:
    """Imports and the first answer of the command line."""
    engine = median_seconds("import hyflexsim.sim.engine.engine")
    cli = median_seconds("from hyflexsim.workloads.cli.main import app; app(['--help'])")
    return [
        Line("import hyflexsim.sim.engine.engine", f"{engine:.2f} s", ""),
        Line("hyflexsim --help", f"{cli:.2f} s", "< 0.5 s, idle machine"),
    ]


def extraction() -> list[Line]:
    """Every model of the zoo, cold (less the import of torch) and from the cache."""
    lines = []
    with tempfile.TemporaryDirectory() as cache:
        for name in ZOO:
            code = (
                "import time, torch, torch.export, transformers; start = time.perf_counter();"
                "from hyflexsim.workloads.extraction.extract import extract;"
                f"extract({name!r}); print(time.perf_counter() - start)"
            )
            done = subprocess.run(
                [sys.executable, "-c", code],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | {"HYFLEXSIM_CACHE": cache},
            )
            again = process_seconds(
                f"from hyflexsim.workloads.extraction.extract import extract; extract({name!r})",
                HYFLEXSIM_CACHE=cache,
            )
            cold = float(done.stdout.split()[-1])
            lines.append(Line(f"extract {name}", f"{cold:.1f} s, cached {again:.2f} s", "<= 10 s"))
    return lines


def default_scenario() -> list[Line]:
    """The whole default run in a fresh process, all caches warm, with and without pictures."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for option, target in (("--plots", "<= 2.5 s"), ("--no-plots", "<= 1.2 s")):
            run = ["run", "part-jets", "--out", str(Path(folder) / "run"), option]
            code = f"from hyflexsim.workloads.cli.main import main; main({run!r})"
            process_seconds(code)
            what = f"hyflexsim run part-jets {option} (200 jets)"
            lines.append(Line(what, f"{median_seconds(code):.2f} s", f"{target}, idle machine"))
    return lines


def long_run() -> list[Line]:
    """A run of many visits with its pictures: wall time, and memory of its largest process."""
    with tempfile.TemporaryDirectory() as folder:
        changes = ("model.name=bert-large", "model.positions=any", "workload.tokens=8192")
        run = ["run", "bert-base", "--out", str(Path(folder) / "run")]
        for change in (*changes, "workload.requests=1"):
            run += ["--set", change]
        inner = f"from hyflexsim.workloads.cli.main import main; main({run!r})"
        outer = (
            "import resource, subprocess, sys, time; start = time.perf_counter();"
            f"subprocess.run([sys.executable, '-c', {inner!r}], check=True, stdout=-3);"
            "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
            "print(time.perf_counter() - start, peak)"
        )
        done = subprocess.run(
            [sys.executable, "-c", outer],
            check=True,
            capture_output=True,
            text=True,
            env=with_bytecode(),
        )
    seconds, peak = map(float, done.stdout.split())
    what = "hyflexsim run, BERT-Large, 8192 tokens, pictures included"
    return [Line(what, f"{seconds:.1f} s, {peak / 2**20:.2f} GB", "<= 5 s, 1 GB, idle machine")]


def training_precision() -> list[Line]:
    """What bfloat16 products buy in training; nothing is promised, CPUs differ."""
    from hyflexsim.workloads.benchmarks.bench_training import precision_ratios  # noqa: PLC0415 (torch)

    return [
        Line(f"training step, bfloat16 / float32: {name}", f"{ratio:.2f}", "")
        for name, ratio in precision_ratios().items()
    ]


def converters() -> list[Line]:
    """What converters cost when answers are scored."""
    from hyflexsim.workloads.benchmarks.bench_converters import converter_ratios  # noqa: PLC0415 (torch)

    return [
        Line(f"forward / dense, {what}", f"{value:.2f}", f"<= {target:g}" if target else "")
        for what, value, target in converter_ratios()
    ]


def sweeps() -> list[Line]:
    """What a sweep adds to its points."""
    from hyflexsim.workloads.benchmarks.bench_sweep import POINTS, measure  # noqa: PLC0415 (pyarrow)

    found = measure()
    one = f"{1e3 * found.plan_play.wall:.0f} ms, CPU {1e3 * found.plan_play.cpu:.0f} ms"
    share = f"{found.share:.2f}, in CPU time {found.cpu_share:.2f}"
    return [
        Line(f"sweep of {POINTS} points on {found.workers} cores", f"{found.sweep.wall:.1f} s", ""),
        Line("  bert-base, 2 x 128 tokens: plan and play of a point", one, ""),
        Line("  points / s, of cores / (plan and play)", share, ">= 0.8, idle machine"),
        Line("  overhead a point, CPU", f"{1e3 * found.overhead:.0f} ms", "<= 20 ms"),
        Line("    of which counting, as any run does", f"{1e3 * found.counting:.0f} ms", ""),
    ]


def main(
    quick: bool = typer.Option(False, help="The engine only, without extraction and full runs."),
) -> None:
    """Measure and print every figure next to its target."""
    collect_less()
    console = Console(width=100)
    table = Table("what", "measured", "target", title="hyflexsim bench")
    parts: list[Callable[[], list[Line]]] = [
        lambda title=title, name=name, changes=changes: engines_against_raw(  # type: ignore[misc]
            title, prepare(Scenario.load(name, changes))
        )
        for title, name, changes in WORKLOADS
    ]
    parts += [lambda case=case: large(*case) for case in LARGE]  # type: ignore[misc]
    if not quick:
        parts += [
            second_run,
            start_up,
            extraction,
            default_scenario,
            long_run,
            training_precision,
            converters,
            sweeps,
        ]
    with console.status("measuring"):
        for part in parts:
            for line in part():
                table.add_row(*line)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
