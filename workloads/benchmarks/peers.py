"""The same list of matrix products on other simulators from PyPI, beside this one.

``make peers`` (``python -m hyflexsim.workloads.benchmarks.peers``) takes the products of BERT-Base,
for 128 and for 1024 tokens, and lets every peer evaluate them, each in a process of its own. It
prints wall time and peak memory, and what each of them models: they answer different questions, so
times beside each other say what an answer costs, not which is better.

A peer that is not installed is skipped with a message. Peers ask for packages that exclude each
other and for other versions of Python, so each may have an interpreter of its own::

    python -m hyflexsim.workloads.benchmarks.peers --python zigzag=peers/zigzag/bin/python

Of equal products peers get one, which is to their advantage: of BERT-Base's 360 there are five.
What they give is for those five. Ours plays all 360, with everything that lies between.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

HIDDEN, WIDE, HEADS = 768, 3072, 12
TOKENS = (128, 1024)
LIMIT_S = 600
MODELS = {  # in the order in which they run
    "hyflexsim": "time of every token at every component, queues and buffers, all products of all "
    "blocks and what lies between; energy by action; functional accuracy elsewhere",
    "zigzag": "search of a mapping for each product on one analog in-memory core, closed forms of "
    "latency and energy; no queues, no time of single tokens",
    "accelforge": "exhaustive search of the best mapping for each product on a given hierarchy of "
    "memories (here its smallest example), closed forms; no queues, no time of single tokens",
    "scalesim": "cycles and SRAM accesses of one systolic array for each product, from address "
    "traces; no energy, nothing between products",
}


def products(tokens: int) -> list[tuple[str, int, int, int]]:
    """Distinct products (name, M, K, N) of BERT-Base: 48, 12, 12, 144 and 144 of each."""
    return [
        ("projection", tokens, HIDDEN, HIDDEN),
        ("up", tokens, HIDDEN, WIDE),
        ("down", tokens, WIDE, HIDDEN),
        ("scores", tokens, HIDDEN // HEADS, tokens),
        ("values", tokens, tokens, HIDDEN // HEADS),
    ]


def measure(command: list[str]) -> dict[str, Any]:
    """What the last line of a process says."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {LIMIT_S} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def ours(tokens: int) -> None:
    """Play BERT-Base and print what it took, as peer_run.py does."""
    import resource  # noqa: PLC0415 (not on every system)

    from hyflexsim.workloads.run.run import simulate  # noqa: PLC0415
    from hyflexsim.workloads.scenario.scenario import Scenario  # noqa: PLC0415

    changes = [f"workload.tokens={tokens}", "workload.requests=1", "model.positions=any"]
    start = time.perf_counter()
    summary = simulate(Scenario.load("bert-base", changes)).summary
    result = {
        "package": "hyflexsim",
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gives": f"{summary['latency_ps']['p50'] / 1e6:.4g} us, "
        f"{summary['energy_per_request_pj']:.3g} pJ, {summary['visits']:,} visits",
    }
    print(json.dumps(result))


def main(
    python: Annotated[
        list[str] | None, typer.Option(metavar="PEER=PATH", help="A peer's interpreter.")
    ] = None,
    own: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run every peer that is installed and print a table."""
    if own is not None:
        ours(own)
        return
    interpreters = dict(item.split("=", 1) for item in python or [])
    table = Table("simulator", "N", "wall s", "CPU s", "peak MB", "gives")
    peer_run = str(Path(__file__).with_name("peer_run.py"))
    for name in MODELS:
        for tokens in TOKENS:
            if name == "hyflexsim":
                command = [
                    sys.executable,
                    "-m",
                    "hyflexsim.workloads.benchmarks.peers",
                    "--own",
                    str(tokens),
                ]
            else:
                interpreter = interpreters.get(name, sys.executable)
                command = [interpreter, peer_run, name, json.dumps(products(tokens))]
            result = measure(command)
            if "missing" in result:
                print(
                    f"{name}: skipped, {result['missing']} is not installed here "
                    f"(pip install 'hyflexsim[peers]', or --python {name}=PATH)"
                )
                break
            if "failed" in result:
                table.add_row(name, str(tokens), "", "", "", result["failed"])
                continue
            table.add_row(
                result["package"],
                str(tokens),
                f"{result['seconds']:.1f}",
                f"{result['cpu']:.1f}",
                f"{result['peak_mb']:.0f}",
                result["gives"],
            )
    Console(width=120).print(table)
    for name, models in MODELS.items():
        print(f"{name}: {models}")


if __name__ == "__main__":
    typer.run(main)
