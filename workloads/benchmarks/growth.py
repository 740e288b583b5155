"""How cost grows: CPU time and peak memory against tokens, layers, requests and chips.

``python -m hyflexsim.workloads.benchmarks.growth`` plays encoders of blocks like BERT-Base's
on the compiled engine, each in a process of its own (so that peak memory is its own), writes
docs/growth.csv and docs/growth.png, and prints exponents: the slope of log cost against log
visits, over the upper half of each sweep, where fixed costs no longer matter. CPU time is what
neighbours on a shared machine disturb least.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = (
    *("sweep", "value", "visits", "plan_s", "play_s", "peak_mb"),
    *("tokens", "layers", "requests", "pus_per_layer", "chips"),
)
BASE = {"tokens": 128, "layers": 2, "requests": 1, "pus_per_layer": 1, "width": 768}
SWEEPS: dict[str, list[dict[str, int]]] = {
    "tokens": [{"tokens": 4**k * 128, "pus_per_layer": 8} for k in range(5)]
    + [{"tokens": 65536, "pus_per_layer": 8}],
    "layers": [{"tokens": 512, "layers": 6 * 2**k} for k in range(6)],
    "requests": [
        {"tokens": 4, "layers": 1, "width": 64, "requests": 10**k, "every": max(1, 10**k // 100)}
        for k in range(7)
    ],
    "chips": [{"tokens": 512, "layers": 12, "pus_per_layer": 2 * 2**k} for k in range(5)],
}
"""What differs from :data:`BASE`, run by run. ``every``: the trace keeps each so-many-th request.
``chips`` follow from layers and PUs a layer, 24 PUs a chip."""


TURNS = 5
"""Plays of each case; the shortest counts, since other work on a machine only ever adds."""


def encoder(layers: int, width: int) -> Any:
    """A graph of encoder blocks: four projections, attention, two norms, a fourfold network."""
    from hyflexsim.sim import graph as g  # noqa: PLC0415 (children import, the parent only draws)

    graph = g.new_graph(f"encoder-{layers}")
    last = g.add_op(graph, "in", "input", layer="block.0", width=width)

    def op(name: str, kind: str, *sources: str | tuple[str, str], **more: Any) -> str:
        g.add_op(graph, name, kind, **more)
        for source in sources:
            g.connect(
                graph,
                *((source[0], name, source[1]) if isinstance(source, tuple) else (source, name)),
            )
        return name

    for b in range(layers):
        layer = f"block.{b}"
        at = {"layer": layer}

        def gemv(part: str, source: str, rows: int, cols: int, at: Any = at, b: int = b) -> str:
            name = f"block.{b}.{part}"
            return op(name, "gemv", source, rows=rows, cols=cols, width=cols, weight=name, **at)

        q, k, v = (gemv(part, last, width, width) for part in "qkv")
        heads = {"heads": 12, "inner": width // 12 if width % 12 == 0 else 4}
        qk = op(
            f"{layer}.qk",
            "matmul",
            q,
            (k, "all"),
            width=12,
            multiplies=["values", "values"],
            context="all",
            **heads,
            **at,
        )
        soft = op(f"{layer}.softmax", "softmax", qk, width=12, elements=12, context="all", **at)
        pv = op(
            f"{layer}.pv",
            "matmul",
            soft,
            (v, "all"),
            width=width,
            multiplies=["probabilities", "values"],
            context="all",
            **heads,
            **at,
        )
        o = gemv("o", pv, width, width)
        norm = op(
            f"{layer}.norm1",
            "norm",
            o,
            last,
            width=width,
            elements=width,
            function="layer_norm",
            **at,
        )
        up = gemv("up", norm, width, 4 * width)
        act = op(
            f"{layer}.gelu",
            "pointwise",
            up,
            width=4 * width,
            elements=4 * width,
            function="gelu",
            **at,
        )
        down = gemv("down", act, 4 * width, width)
        last = op(
            f"{layer}.norm2",
            "norm",
            down,
            norm,
            width=width,
            elements=width,
            function="layer_norm",
            **at,
        )
    op("out", "output", last, layer=f"block.{layers - 1}", width=width)
    return graph


def measure(case: dict[str, int]) -> dict[str, Any]:
    """One run, in this process: visits, CPU seconds, MB."""
    import resource  # noqa: PLC0415 (not on every system)
    import time  # noqa: PLC0415

    from hyflexsim.sim.engine.compiled import compiled  # noqa: PLC0415
    from hyflexsim.sim.engine.compiled.tables import tables  # noqa: PLC0415
    from hyflexsim.sim.engine.request import Request  # noqa: PLC0415
    from hyflexsim.sim.engine.trace import Keep  # noqa: PLC0415
    from hyflexsim.sim.placement.mapping import Options, place  # noqa: PLC0415
    from hyflexsim.sim.placement.memory import requests_at_once  # noqa: PLC0415
    from hyflexsim.sim.plan.planner import build_plan  # noqa: PLC0415
    from hyflexsim.sim.units.catalogue import load_chip  # noqa: PLC0415
    from hyflexsim.workloads.garbage import collect_less  # noqa: PLC0415

    collect_less()
    chips = -(-case["layers"] * case["pus_per_layer"] // 24)
    warm = build_plan(
        *_placed(encoder(1, 64), Options(copies="none"), load_chip("hyflexpim"), place)
    )
    compiled.play(warm, [Request(0, 1)])  # machine code is loaded before the clock starts
    graph = encoder(case["layers"], case["width"])
    requests = [Request(0, case["tokens"])] * case["requests"]
    start = time.process_time()
    options = Options(copies="none", pus_per_layer=case["pus_per_layer"], chips=chips)
    _, placement = _placed(graph, options, load_chip("hyflexpim"), place)
    window = requests_at_once(graph, placement, case["tokens"])
    plan = build_plan(graph, placement)
    tables(plan, requests, window)
    planned = time.process_time()
    keep = Keep(every=case.get("every", 1))
    plays = []
    for _ in range(TURNS):
        begin = time.process_time()
        visits = int(compiled.play(plan, requests, window=window, keep=keep).tally.visits.sum())
        plays.append(time.process_time() - begin)
    return case | {
        "chips": chips,
        "visits": visits,
        "plan_s": round(planned - start, 3),
        "play_s": round(min(plays), 4),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _placed(graph: Any, options: Any, hw: Any, place: Any) -> tuple[Any, Any]:
    return graph, place(graph, hw, options)


def sweep() -> list[dict[str, Any]]:
    """All runs, each in a fresh process."""
    rows = []
    for name, cases in SWEEPS.items():
        for change in cases:
            done = subprocess.run(
                [sys.executable, "-m", __spec__.name, json.dumps(BASE | change)],
                check=True,
                capture_output=True,
                text=True,
            )
            row = json.loads(done.stdout)
            value = row["chips"] if name == "chips" else row[name]
            rows.append({"sweep": name, "value": value} | {c: row[c] for c in COLUMNS[2:]})
            print(*(f"{key}={rows[-1][key]}" for key in COLUMNS[:6]), flush=True)
    return rows


def exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Slope of log CPU time against log visits over the upper half of each sweep.

    More chips do not mean more visits, so there it is the slope against chips.
    """
    slopes = {}
    for name in SWEEPS:
        mine = [row for row in rows if row["sweep"] == name]
        upper = mine[len(mine) // 2 :]
        x = np.log([row["value" if name == "chips" else "visits"] for row in upper])
        y = np.log([row["play_s"] for row in upper])
        slopes[name] = float(np.polyfit(x, y, 1)[0])
    return slopes


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """CPU time and peak memory against each sweep's variable, log-log."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    slopes = exponents(rows)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(2, len(SWEEPS), sharex="col", sharey="row")
    for column, name in enumerate(SWEEPS):
        mine = [row for row in rows if row["sweep"] == name]
        x = [row["value"] for row in mine]
        top, bottom = axes[0][column], axes[1][column]
        top.loglog(x, [row["play_s"] for row in mine], "o-", markersize=3, label="play")
        top.loglog(x, [row["plan_s"] for row in mine], "s--", markersize=3, label="plan")
        bottom.loglog(x, [row["peak_mb"] for row in mine], "o-", markersize=3, color="black")
        base = "chips" if name == "chips" else "visits"
        top.set_title(f"{name}: time ~ {base}^{slopes[name]:.2f}", fontsize=9)
        bottom.set_xlabel(name)
        for ax in (top, bottom):
            ax.grid(alpha=0.3)
    axes[0][0].set_ylabel("CPU s")
    axes[0][0].legend(fontsize=8)
    axes[1][0].set_ylabel("peak MB")
    figure.savefig(path, dpi=130)


def main() -> None:
    """Run, or (with a case as JSON) be one of the runs."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(json.loads(sys.argv[1]))))
        return
    rows = sweep()
    folder = Path("docs")
    with (folder / "growth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, folder / "growth.png")
    for name, slope in exponents(rows).items():
        base = "chips" if name == "chips" else "visits"
        print(f"{name}: CPU time grows with {base} to the power {slope:.2f}")


if __name__ == "__main__":
    main()
