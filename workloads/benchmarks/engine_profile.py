"""Where the compiled engine's time goes, part by part: numbers of docs/performance.md.

``python -m hyflexsim.workloads.benchmarks.engine_profile`` prints, in CPU time and the least of
several turns:

- ns a visit in tables (made before, with the plan) and in all of a play, for the workloads of
  ``make bench`` and for encoders of growing depth;
- BERT-Large with its trace in memory and through the scratch file;
- seconds of a second run before its first event, by part (a process of its own).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.compiled.tables import tables
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.trace import Keep
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.placement.memory import requests_at_once
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.benchmarks.bench import LARGE, WORKLOADS
from hyflexsim.workloads.benchmarks.growth import encoder
from hyflexsim.workloads.garbage import collect_less
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario.scenario import Scenario

TURNS = 7
DEPTHS = (12, 24, 48, 96, 192)
PARTS = (
    ("numpy", "import numpy"),
    ("networkx", "import networkx"),
    ("pydantic", "import pydantic"),
    ("typer, rich", "import typer, rich"),
    (
        "other imports",
        "from hyflexsim.workloads.cli import main as cli;"
        "from hyflexsim.workloads.run.run import engines, prepare, Scenario;"
        "from hyflexsim.sim.engine.compiled import compiled;"
        "from hyflexsim.sim.engine.compiled.tables import tables;"
        "from hyflexsim.sim.engine.request import Request",
    ),
    ("graph, copies, plan", "r = prepare(Scenario.load('part-jets'))"),
    ("tables", "tables(r.plan, r.requests, r.window)"),
    ("machine code, one token", "compiled.play(r.plan, [Request(0, 1)])"),
)
"""What a second run does before its first event, and the statements that do it."""


def least(work: Callable[[], Any], turns: int = TURNS) -> float:
    """Least CPU seconds of several turns."""
    seconds = []
    for _ in range(turns):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def of_play(plan: Plan, requests: Sequence[Request], window: int) -> tuple[int, list[float]]:
    """Visits; CPU ns a visit in tables, and in all of a play."""
    visits = int(compiled.play(plan, requests, window=window).tally.visits.sum())
    parts: list[Callable[[], Any]] = [
        lambda: tables(plan, requests, window),
        lambda: compiled.play(plan, requests, window=window),
    ]
    return visits, [least(part) / visits * 1e9 for part in parts]


def plays() -> Table:
    """A row a workload."""
    table = Table("played", "visits", "tables", "all", title="ns a visit")
    cases = []
    for title, name, changes in WORKLOADS:
        ready = prepare(Scenario.load(name, changes))
        cases.append((title, ready.plan, ready.requests, ready.window))
    hardware = load_chip("hyflexpim")
    for depth in DEPTHS:
        graph = encoder(depth, 768)
        placement = place(graph, hardware, Options(copies="none", chips=-(-depth // 24)))
        window = requests_at_once(graph, placement, 512)
        title = f"{depth} encoder blocks, 512 tokens"
        cases.append((title, build_plan(graph, placement), [Request(0, 512)], window))
    for title, plan, requests, window in cases:
        visits, numbers = of_play(plan, requests, window)
        table.add_row(title, f"{visits:,}", *(f"{number:.1f}" for number in numbers))
    return table


def scratch_file() -> str:
    """A trace beyond the bound of memory, and the same in memory."""
    title, name, changes, _ = LARGE[0]
    ready = prepare(Scenario.load(name, changes))
    memory, file = (
        least(lambda k=keep: compiled.play(ready.plan, ready.requests, keep=k), 2)  # type: ignore[misc]
        for keep in (Keep(memory=10**10), Keep())
    )
    return (
        f"{title}: {memory:.1f} s with the trace in memory, {file:.1f} s through the scratch file"
    )


def second_run() -> Table:
    """CPU seconds of each part, in a process that has done nothing else."""
    code = "import time; t = [time.process_time()]\n"
    code += "from hyflexsim.workloads.garbage import collect_less; collect_less()\n"
    code += "".join(f"{do}\nt.append(time.process_time())\n" for _, do in PARTS)
    code += "print(*t)"
    table = Table("second run, before the first event", "s")
    turns = []
    for _ in range(TURNS):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        turns.append([float(word) for word in done.stdout.split()])
    at = min(turns, key=lambda times: times[-1])
    table.add_row("Python", f"{at[0]:.3f}")
    for (name, _), before, after in zip(PARTS, at[:-1], at[1:], strict=True):
        table.add_row(name, f"{after - before:.3f}")
    table.add_row("all", f"{at[-1]:.3f}")
    return table


def main() -> None:
    """Print all three."""
    collect_less()
    console = Console(width=100)
    for part in (plays, scratch_file, second_run):
        console.print(part())


if __name__ == "__main__":
    main()
