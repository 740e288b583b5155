"""Very many jets through a Particle Transformer on the compiled engine: wall time, peak memory.

``python -m hyflexsim.workloads.benchmarks.jet_stream --count 1000000`` plays so many jets,
with the lengths of the jets that come with hyflexsim over and over, at the default scenario's
rate. Sums and times of all jets are exact; the trace keeps a hundred of them.
"""

from __future__ import annotations

import itertools
import sys
import time

import numpy as np
import typer

from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.trace import Keep
from hyflexsim.workloads.jets.sample import sample_lengths
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario import arrivals
from hyflexsim.workloads.scenario.scenario import Scenario

KEPT = 100


def main(model: str = "part-full", count: int = 1_000_000) -> None:
    """Play ``count`` jets and print what it took, with latency quantiles as a sanity check."""
    import resource  # noqa: PLC0415 (not on every system)

    scenario = Scenario.load("part-jets", [f"model.name={model}"])
    ready = prepare(scenario)
    lengths, _ = sample_lengths()
    times = arrivals.times(scenario.workload.arrivals, count, scenario.run.seed)
    requests = [Request(at, n) for at, n in zip(times, itertools.cycle(lengths), strict=False)]
    wall, cpu = time.perf_counter(), time.process_time()
    done = 0

    def tell(_: int) -> None:
        nonlocal done
        done += 1
        if done % max(1, count // 20) == 0:
            took = time.perf_counter() - wall
            print(f"{done:,} jets after {took:.0f} s", file=sys.stderr, flush=True)

    played = compiled.play(
        ready.plan,
        requests,
        window=ready.window,
        progress=tell,
        keep=Keep(every=max(1, count // KEPT)),
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    visits = int(played.tally.visits.sum())
    arrived = np.array([request.arrival for request in requests], dtype=np.int64)
    latency = np.array(played.finished, dtype=np.int64) - arrived
    p50, p99 = np.quantile(latency, (0.5, 0.99)) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{model}: {count:,} jets, {visits:,} visits in {cpu:.0f} s of CPU ({wall:.0f} s wall): "
        f"{visits / cpu:,.0f} a second; peak memory {peak:.2f} GB; "
        f"latency p50 {p50:.1f} us, p99 {p99:.1f} us; {len(played.trace):,} visits kept"
    )


if __name__ == "__main__":
    typer.run(main)
