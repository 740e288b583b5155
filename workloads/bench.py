"""How fast: ratios measured in one run, since absolute speeds belong to a machine.

``make bench`` (or ``python -m hyflexsim.workloads.bench``) prints, next to their targets:

- visits per second of the engine, tracing on, divided by raw SimPy timeouts per second with as
  many processes as the machine has components, both taken in turn;
- bytes of trace per visit;
- how long an import, ``--help``, a cold and a cached extraction take (fresh processes);
- the default scenario from start to pictures (fresh process).
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

from hyflexsim.sim.engine import play
from hyflexsim.workloads.model_zoo import ZOO
from hyflexsim.workloads.run import Prepared, prepare
from hyflexsim.workloads.scenario import Scenario

TURNS = 3
RAW_EVENTS = 300_000
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
    start = time.perf_counter()
    for _ in range(events):
        clock.step()
    return events / (time.perf_counter() - start)


def engine_against_raw(title: str, prepared: Prepared) -> list[Line]:
    """Engine and raw SimPy in turn; the median of the ratios."""
    speeds, ratios, trace_bytes = [], [], 0.0
    for _ in range(TURNS):
        start = time.perf_counter()
        played = play(prepared.plan, prepared.requests, window=prepared.window)
        speeds.append(len(played.trace) / (time.perf_counter() - start))
        ratios.append(speeds[-1] / raw_timeouts_per_second(len(prepared.plan.components)))
        trace_bytes = played.trace.nbytes / len(played.trace)
    speed, ratio = statistics.median(speeds), statistics.median(ratios)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    count = len(prepared.plan.components)
    return [
        Line(f"{title}: visits / s", f"{speed:,.0f}", ""),
        Line(f"  share of raw SimPy ({count} processes)", f"{ratio:.2f} ({spread})", ">= 0.25"),
        Line("  trace bytes a visit", f"{trace_bytes:.0f}", "<= 40"),
    ]


def process_seconds(code: str, **environment: str) -> float:
    """Wall time of a fresh interpreter that runs ``code``."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    return time.perf_counter() - start


def median_seconds(code: str, turns: int = 5) -> float:
    """Median wall time of fresh interpreters."""
    return statistics.median(process_seconds(code) for _ in range(turns))


def start_up() -> list[Line]:
    """Imports and the first answer of the command line."""
    engine = median_seconds("import hyflexsim.sim.engine")
    cli = median_seconds("from hyflexsim.workloads.cli import app; app(['--help'])")
    return [
        Line("import hyflexsim.sim.engine", f"{engine:.2f} s", ""),
        Line("hyflexsim --help", f"{cli:.2f} s", "< 0.5 s, idle machine"),
    ]


def extraction() -> list[Line]:
    """Every model of the zoo, cold (less the import of torch) and from the cache."""
    lines = []
    with tempfile.TemporaryDirectory() as cache:
        for name in ZOO:
            code = (
                "import time, torch, torch.export, transformers; start = time.perf_counter();"
                "from hyflexsim.workloads.extract import extract;"
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
                f"from hyflexsim.workloads.extract import extract; extract({name!r})",
                HYFLEXSIM_CACHE=cache,
            )
            cold = float(done.stdout.split()[-1])
            lines.append(Line(f"extract {name}", f"{cold:.1f} s, cached {again:.2f} s", "<= 10 s"))
    return lines


def default_scenario() -> list[Line]:
    """The whole default run in a fresh process, pictures included."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        code = (
            f"from hyflexsim.workloads.cli import app; app(['run', 'part-jets', '--out', {out!r}])"
        )
        seconds = process_seconds(code)
    return [Line("hyflexsim run part-jets (200 jets)", f"{seconds:.0f} s", "<= 60 s")]


def main(
    quick: bool = typer.Option(False, help="The engine only, without extraction and full runs."),
) -> None:
    """Measure and print every figure next to its target."""
    console = Console(width=100)
    table = Table("what", "measured", "target", title="hyflexsim bench")
    parts: list[Callable[[], list[Line]]] = [
        lambda title=title, name=name, changes=changes: engine_against_raw(  # type: ignore[misc]
            title, prepare(Scenario.load(name, changes))
        )
        for title, name, changes in WORKLOADS
    ]
    if not quick:
        parts += [start_up, extraction, default_scenario]
    with console.status("measuring"):
        for part in parts:
            for line in part():
                table.add_row(*line)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
