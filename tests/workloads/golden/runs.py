"""Golden runs: what every shipped scenario gives on the preset it was written for.

They hold a change of the architecture to the same picoseconds and counts. A change of behaviour
that is meant regenerates them, with its reason in the commit: ``python
tests/workloads/golden/runs.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from hyflexsim.workloads import simulate
from hyflexsim.workloads.scenario.colocation import load

FOLDER = Path(__file__).parent
JETS = ["workload.count=12"]
RUNS: dict[str, tuple[str, list[str]]] = {
    "part-jets": ("part-jets", []),
    "part-jets-bit": ("part-jets", [*JETS, "run.fidelity=bit"]),
    "part-jets-split": ("part-jets", [*JETS, "run.split_pairs=true"]),
    "part-jets-power": ("part-jets", [*JETS, "run.energy=power-time"]),
    "hybrid-jets": ("hybrid-jets", ["accuracy.seeds=1", "accuracy.limit=20"]),
    "bert-base": ("bert-base", []),
    "bert-base-5": ("bert-base", ["mapping.slc_rate=0.05", "mapping.copies=none"]),
    "bert-large": ("bert-base", ["model.name=bert-large", "chip.chips=2", "workload.requests=2"]),
    "llama-3.2-1b": ("llama-3.2-1b", []),
    "llama-3.2-1b-shared": ("llama-3.2-1b", ["mapping.pus_per_layer=4", "chip.chips=6"]),
    "gpt2": (
        "llama-3.2-1b",
        ["model.name=gpt2", "workload.prefill=32", "workload.decode=8", "chip.chips=1"],
    ),
    "jets-and-mlp": (
        "jets-and-mlp",
        ["models.mlp.workload.requests=60", "models.tagger.workload.count=8"],
    ),
    "gpt2-chat": ("gpt2-chat", ["workload.requests=6", "host.page=8"]),
    "gpt2-chat-sessions": (
        "gpt2-chat",
        [
            *("workload.requests=8", "workload.prefill=40", "host.page=8", "digital.arrays=39"),
            *("workload.answers.mean=16", "workload.answers.most=40"),
            'workload.sessions={kind="geometric", mean=3, most=4, think="500 us"}',
        ],
    ),
    "mamba": (
        "bert-base",
        ["model.name=mamba-130m", "chip.chips=3", "workload.tokens=32", "workload.requests=2"],
    ),
}


def digest(name: str) -> dict[str, Any]:
    """Times, counts and a hash of the whole trace of one golden run."""
    scenario, overrides = RUNS[name]
    result = simulate(load(scenario, overrides))
    played = result.played
    counts: dict[str, int] = defaultdict(int)
    for row in result.tables["energy"]:
        counts[f"{row['kind']}.{row['action']}"] += int(row["count"])
    busy: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in result.tables["components"]:
        for i, key in enumerate(("visits", "busy_ps", "wait_ps", "peak_queue")):
            busy[str(row["kind"])][i] += int(row[key])
    return {
        "makespan_ps": played.tally.end_ps,
        "finished": _hash(played.finished),
        "trace": _trace(played.trace),
        "counts": dict(sorted(counts.items())),
        "components": dict(sorted(busy.items())),
        "energy_pj": round(sum(float(row["energy_pj"]) for row in result.tables["energy"]), 3),
        "area_mm2": {key: round(value, 6) for key, value in result.summary["area_mm2"].items()},
        "arrays": sum(int(row["arrays_total"]) for row in result.tables["placement"]),
        "accuracy": result.summary.get("accuracy", {}).get("noise"),
    }


def _trace(trace: Any) -> str:
    state = hashlib.sha256()
    for column in ("step", "request", "token", "arrival", "start", "end"):
        state.update(getattr(trace, column).astype("int64").tobytes())
    return state.hexdigest()


def _hash(numbers: list[int]) -> str:
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()


def main() -> None:
    """Write all of them anew."""
    for name in RUNS:
        text = json.dumps(digest(name), indent=1) + "\n"
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
