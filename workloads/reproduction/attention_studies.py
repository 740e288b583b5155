"""Every number of docs/attention.md: ``hyflexsim reproduce attention --out docs``.

Makes jets to train on and jets to score, trains part-small and the learning curve, takes its
attention, finds what top-k attention costs, and starts the full model; then writes small CSV
tables. What is there already is kept, so it may be interrupted. An hour and a half of one core.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from hyflexsim.analysis.attention.rows import ROW_MEASURES, over_rows

CLASSES = "QCD,Hbb,Hcc,Hgg,H4q,Hqql,Zqq,Wqq,Tbqq,Tbl"
JETS, TEST = "jets.parquet", "jets-test"
TEST_JETS = dict.fromkeys(CLASSES.split(","), 500) | {"QCD": 20_000}
"""Of each class; many of QCD, since a rejection is measured by the few that pass."""

SIZES = ("--sizes", "50,400,3200", "--set", "steps=200", "--set", "snapshots=[]")
COST = ("--per-class", "100", "--tune-steps", "100", "--tune-keys", "1,2,4,8,16")
FULL = (
    *("--no-baseline", "--set", "steps=200", "--set", "batch=64"),
    *("--set", "particles=64", "--set", "watch_every=40"),
)


def run(runs: Path, out: Path, *, tables_only: bool = False) -> int:
    """Do what is missing and write the tables; the number of steps that failed.

    ``runs``: folder of runs. ``out``: folder of tables.
    """
    for folder in (out, runs / TEST):
        folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for command, done in () if tables_only else _steps(runs):
        if not done.exists():
            print("hyflexsim", *command[2:], flush=True)
            failed += subprocess.run([sys.executable, *command], check=False).returncode != 0
    for name, table in _tables(runs).items():
        path = out / f"part-small-{name}.csv"
        table.to_csv(path, index=False, float_format="%.5g")
        print(f"written to {path}")
    return failed


def _steps(runs: Path) -> list[tuple[list[str], Path]]:
    """Arguments of python, and what is there when the step is done."""
    jets, test = runs / JETS, runs / TEST
    small, sizes, full = runs / "part-small", runs / "part-small-sizes", runs / "part-full"
    steps = [_make(jets, CLASSES, 4000, 2026)]
    steps += [_make(test / f"{name}.parquet", name, n, 2027) for name, n in TEST_JETS.items()]
    cost = runs / "part-small-cost"
    steps += [
        (["train-part", "part-small", str(jets), "--test", str(test)], small, small / "curve.png"),
        _attention(small, jets, 100),
        (["attention-cost", str(small), str(jets), *COST], cost, cost / "cost.png"),
        (["train-part", "part-small", str(jets), *SIZES], sizes, sizes / "learning_curve.png"),
        (["train-part", "part-full", str(jets), *FULL], full, full / "curve.png"),
        _attention(full, jets, 10),
    ]
    program = ["-c", "from hyflexsim.workloads.cli.main import main; main()"]
    return [([*program, *command, "--out", str(out)], done) for command, out, done in steps]


def _make(file: Path, classes: str, jets: int, seed: int) -> tuple[list[str], Path, Path]:
    wanted = ["--classes", classes, "--jets", str(jets), "--seed", str(seed)]
    return ["jets", *wanted, "--workers", "2"], file, file


def _attention(checkpoint: Path, jets: Path, each: int) -> tuple[list[str], Path, Path]:
    maps = checkpoint.with_name(f"{checkpoint.name}-attention")
    command = ["attention", str(checkpoint), str(jets), "--per-class", str(each)]
    return command, maps, maps / "index.html"


def _tables(runs: Path) -> dict[str, pd.DataFrame]:
    """Small tables of the folders that are there, by name."""
    tables: dict[str, pd.DataFrame] = {}
    small, maps = runs / "part-small", runs / "part-small-attention"
    if (small / "baseline.json").is_file():
        tables["scores"] = _scores(small)
        tables["curve"] = pd.read_parquet(small / "curve.parquet")
    sizes = runs / "part-small-sizes" / "learning_curve.parquet"
    if sizes.is_file():
        tables["sizes"] = pd.read_parquet(sizes)
    if (maps / "rows.parquet").is_file():
        tables["binary"] = _binary(pd.read_parquet(maps / "rows.parquet"))
        tables["pairs"] = pd.read_parquet(maps / "pairs.parquet")
        tables["substructure"] = _substructure(pd.read_parquet(maps / "correlations.parquet"))
    for name in ("accuracy", "heads", "keys"):
        file = runs / "part-small-cost" / f"{name}.parquet"
        if file.is_file():
            tables[f"top-k-{name}"] = pd.read_parquet(file)
    return tables


def _scores(folder: Path) -> pd.DataFrame:
    """A row a model and class, and one for all classes."""
    rows = []
    for model, name in (("ParT", "scores"), ("trees", "baseline")):
        found = json.loads((folder / f"{name}.json").read_text("utf-8"))
        whole = {"accuracy": found["accuracy"], "accuracy_error": found["accuracy_error"]}
        rows.append({"model": model, "class": "all"} | whole | {"auc": found["auc_mean"]})
        rows += [{"model": model, "class": c} | row for c, row in found["classes"].items()]
    return pd.DataFrame(rows)


def _binary(rows: pd.DataFrame) -> pd.DataFrame:
    """Row measures per model and view: over all, by layer, by class."""
    parts = []
    for by in ([], ["layer"], ["label"]):
        part = over_rows(rows, ["model", "view", *by])
        parts.append(part.reindex(columns=["model", "view", "layer", "label", *ROW_MEASURES,
                                           "rows", "error"]))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _substructure(found: pd.DataFrame) -> pd.DataFrame:
    """|rho| of the best head and of all heads, means over classes, and jets of a class."""
    found = found.dropna(subset="rho").assign(rho=found["rho"].abs())
    keys = ["model", "attention", "observable"]
    heads = found.groupby([*keys, "label"], sort=False).agg(
        best=("rho", "max"), mean=("rho", "mean"), jets=("jets", "mean")
    )
    classes = heads.groupby(keys, sort=False)
    return classes.mean().assign(classes=classes.size()).reset_index()
