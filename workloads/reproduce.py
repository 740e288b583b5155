"""Every number of docs/accuracy.md: ``python -m hyflexsim.workloads.reproduce``.

Compresses each recipe, scores it on noisy cells, runs the rank studies and the Pareto front, all
into one folder of runs, and writes small CSV tables. What is there already is kept, so it may be
interrupted. Recipes whose data or weights are not on this machine fail with a line that says how
to get them, and the others go on. The whole takes some hours on two cores; names do a part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from hyflexsim.analysis import accuracy_table, load_study, rank_table, slc_rate_needed

THREE = ("--select", "gradient,rank,magnitude")
ACCURACY: dict[str, tuple[str, ...]] = {
    "vit-digits": THREE,
    "part-jets": THREE,
    "gpt2-pydoc": THREE,
    "mamba-pydoc": (),
    "stories260k": ("--select", "gradient,rank,saliency,magnitude"),
    "minilm-stsb": ("--limit", "400"),
    "minilm-mrpc": (),
    "minilm-cola": THREE,
    "minilm-sst2": ("--limit", "436"),
    "minilm-rte": (),
    "smollm2-wikitext2": ("--limit", "4"),
    "vit-cifar10": ("--limit", "1000"),
}
"""Recipes, and options of their sweep: limits keep a sweep of 62 scores in minutes."""

_STSB = ("data.train_limit=2000", "data.dev_limit=500", "compress.steps=100")
_ADC = ("--sigma", "0,calibrated", "--seeds", "2", "--slc-rate", "0,10,100", "--limit", "100")
CONVERTERS: dict[str, dict[str, tuple[str, ...]]] = {
    "vit-digits": {
        mode: (*_ADC, "--adc", "0,5,6,7,8", "--set", f"adc_mode={mode}")
        for mode in ("clip", "scale")
    }
}
"""Recipes, and sweeps of the resolution of converters by what they do with sums too large."""

RANKS: dict[str, tuple[str, ...]] = {
    "stories260k": (
        *("--budget", "0.5,0.75", "--set", "recover.epochs=2", "--set", "compress.steps=100"),
        *("--method", "tanh,shrinkage,sigmoid,uniform,energy,global,fwsvd"),
    ),
    "minilm-stsb": (
        *("--budget", "0.5", *(word for key in _STSB for word in ("--set", key))),
        *("--method", "tanh,shrinkage,sigmoid,uniform,energy,global,fwsvd,tanh rounded"),
    ),
    "vit-digits": ("--budget", "0.25,0.5", "--set", "recover.epochs=2"),
}
"""Recipes of the rank studies, and their options."""

PARETO: dict[str, tuple[str, ...]] = {"vit-digits": ()}


def main(arguments: list[str] | None = None) -> int:
    """Do what is missing and write the tables; the number of steps that failed."""
    parser = argparse.ArgumentParser(prog="python -m hyflexsim.workloads.reproduce")
    parser.add_argument("names", nargs="*", help="recipes [default: all]")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder of tables")
    parser.add_argument("--tables-only", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in options.names or ACCURACY:
        for command, target in _steps(name, options.runs):
            if options.tables_only or target.exists():
                continue
            print(f"hyflexsim {' '.join(command)}", flush=True)
            code = "from hyflexsim.workloads.cli import main; main()"
            done = subprocess.run([sys.executable, "-c", code, *command], check=False)
            if done.returncode:
                failed += 1
                break
        _write_tables(name, options.runs, options.out)
    return failed


def _steps(name: str, runs: Path) -> list[tuple[list[str], Path]]:
    """Commands of a recipe, each with the folder that it writes."""
    checkpoint = runs / name
    steps = [(["compress", name], checkpoint)]
    steps.append((["accuracy", str(checkpoint), *ACCURACY[name]], runs / f"{name}-accuracy"))
    for mode, extra in CONVERTERS.get(name, {}).items():
        target = runs / f"{name}-adc-{mode}"
        steps.append((["accuracy", str(checkpoint), *extra], target))
    if name in RANKS:
        steps.append((["ranks", name, *RANKS[name]], runs / f"{name}-ranks"))
    if name in PARETO:
        steps.append((["pareto", name, *PARETO[name]], runs / f"{name}-pareto"))
    return [([*command, "--out", str(target)], target) for command, target in steps]


def _write_tables(name: str, runs: Path, out: Path) -> None:
    """CSV tables of the folders that are there."""
    tables: dict[str, pd.DataFrame] = {}
    if (runs / name / "ranks.json").is_file():
        about = json.loads((runs / name / "ranks.json").read_text("utf-8"))["about"]
        tables["states"] = pd.DataFrame(about["scores"]).T.rename_axis("state").reset_index()
        shares = pd.DataFrame(about["importance"]["shares"]).T
        tables["gradient-share"] = shares.rename_axis("state").reset_index()
    if (runs / f"{name}-accuracy").is_dir():
        tables["accuracy"] = accuracy_table(runs / f"{name}-accuracy")
        tables["slc-rate"] = slc_rate_needed(runs / f"{name}-accuracy")
    for mode in CONVERTERS.get(name, {}):
        if (runs / f"{name}-adc-{mode}").is_dir():
            tables[f"adc-{mode}"] = accuracy_table(runs / f"{name}-adc-{mode}")
    if (runs / f"{name}-ranks").is_dir():
        tables["ranks"] = rank_table(runs / f"{name}-ranks")
    if (runs / f"{name}-pareto").is_dir():
        tables["pareto"] = load_study(runs / f"{name}-pareto", "pareto").table
    for kind, table in tables.items():
        path = out / f"{name}-{kind}.csv"
        table.to_csv(path, index=False, float_format="%.5g")
        print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())
