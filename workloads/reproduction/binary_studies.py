"""The study of docs/attention.md on what makes attention binary: one model, trained in eight ways.

``hyflexsim reproduce binary --device cuda`` trains each arm for its 7,000 or 16,000 steps and
writes the tables; on a processor an arm takes hours. All arms see the same jets and are scored on
the same others (attention_studies.py makes both).
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hyflexsim.workloads.reproduction import attention_studies

FOLDER = "part-arms"
COMMON = (
    *("--set", "watch_every=250", "--set", "snapshots=[]"),
    *("--set", "validation=0.01", "--set", "test=0.005"),
)


@dataclass(frozen=True)
class Arm:
    """A training: its name, what differs from the first one, and its keys of the recipe."""

    name: str
    title: str
    steps: int
    changes: tuple[str, ...]


RATE = "learning_rate=2e-3"
ARMS = (
    Arm("constant", "AdamW, rate 2e-3 throughout", 16_000, (RATE,)),
    Arm("cosine", "rate falls along a cosine", 7000, (RATE, "schedule=cosine")),
    Arm("restarts", "cosine, again every 2,000", 7000, (RATE, "schedule=restarts", "cycle=2000")),
    Arm("decay", "weight decay 0.1", 7000, (RATE, "weight_decay=0.1")),
    Arm("heads", "8 heads of 8 instead of 4 of 16", 7000, (RATE, "shape={num_heads=8}")),
    Arm("wide", "128 wide instead of 64", 7000, (RATE, "shape={embed_dims=[128,256,128]}")),
    Arm("no-pairs", "without U", 7000, (RATE, "shape={pair_input_dim=0}")),
    Arm(
        "radam",
        "Lookahead and RAdam, flat, then to 1 %",
        16_000,
        (
            *("learning_rate=1e-3", "optimiser=lookahead-radam", "schedule=flat-decay"),
            *("warmup=0", "weight_decay=0"),
        ),
    ),
)
SEEN = ("share_50", "share_90", "share_95", "keys", "norm_q", "norm_k", "spread", "size_u")


def command(arm: Arm, runs: Path, device: str) -> list[str]:
    """Arguments of hyflexsim that train an arm."""
    jets, test = runs / attention_studies.JETS, runs / attention_studies.TEST
    changes = [part for change in arm.changes for part in ("--set", change)]
    steps = ("--set", f"steps={arm.steps}")
    where = ("--device", device, "--no-baseline", "--out", str(runs / FOLDER / arm.name))
    data = (str(jets), "--test", str(test))
    return ["train-part", "part-small-long", *data, *COMMON, *steps, *changes, *where]


def run(runs: Path, out: Path, device: str, *, tables_only: bool = False) -> int:
    """Train what is missing and write the tables; the number of trainings that failed.

    ``runs``: folder of runs, with the jets of ``reproduce attention``. ``out``: of tables.
    """
    failed = 0
    out.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-c", "from hyflexsim.workloads.cli.main import main; main()"]
    for arm in () if tables_only else ARMS:
        if not (runs / FOLDER / arm.name / "scores.json").is_file():
            arguments = command(arm, runs, device)
            print("hyflexsim", *arguments, flush=True)
            failed += subprocess.run([*program, *arguments], check=False).returncode != 0
    for name, table in tables(runs / FOLDER).items():
        table.to_csv(out / f"{name}.csv", index=False, float_format="%.4g")
        print(f"written to {out / f'{name}.csv'}")
    return failed


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """``part-small-arms``: a row an arm at its end; ``part-small-arms-curve``: at every look."""
    ends, curves = [], []
    for arm in ARMS:
        if not (folder / arm.name / "scores.json").is_file():
            continue
        curve = pd.read_parquet(folder / arm.name / "curve.parquet")
        curve = curve.drop_duplicates("step", keep="last")
        shown = ["step", "loss", "accuracy", "validation_accuracy", *SEEN]
        curves.append(curve[shown].assign(arm=arm.name))
        scores = json.loads((folder / arm.name / "scores.json").read_text("utf-8"))
        row = {"arm": arm.name, "title": arm.title, "steps": arm.steps}
        row |= {key: scores[key] for key in ("jets", "accuracy", "accuracy_error", "auc_mean")}
        ends.append(row | {"loss": curve["loss"].iloc[-1]} | curve[list(SEEN)].iloc[-1].to_dict())
    if not ends:
        return {}
    return {"part-small-arms": pd.DataFrame(ends), "part-small-arms-curve": pd.concat(curves)}
