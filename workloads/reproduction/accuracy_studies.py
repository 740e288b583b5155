"""Every number of docs/accuracy.md: ``hyflexsim reproduce accuracy --out docs``.

Compresses each recipe, scores it on noisy cells, runs the rank studies and the Pareto front, all
into one folder of runs, and writes small CSV tables. What is there already is kept, so it may be
interrupted. Recipes whose data or weights are not on this machine fail with a line that says how
to get them, and the others go on. The whole takes some hours on two cores; ``--recipe`` does a
part.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from hyflexsim.analysis import accuracy_table, load_study, rank_table, slc_rate_needed
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest

THREE = ("--select", "gradient,rank,magnitude")
_ADC = ("--sigma", "0,calibrated", "--seeds", "2", "--slc-rate", "0,10,100", "--limit", "100")
_STSB = ("data.train_limit=2000", "data.dev_limit=500", "compress.steps=100")
_LEARNED = "tanh,shrinkage,sigmoid"
_GIVEN = "uniform,energy,global,fwsvd"
_EXACT = ("accuracy", "--adc", "0", "--sigma", "released,calibrated")  # as the authors' code does
_PAIRS = (
    *("accuracy", "--adc", "0", "--sigma", "released,calibrated,0.25"),
    *("--set", "sign=differential"),
)
_ON_CHIP = ("accuracy", "--sigma", "chip,calibrated", "--slc-rate", "0,10,50,100")
_STORIES = ("--set", "recover.epochs=2", "--set", "compress.steps=100")

_BITS = ("--vary", "adc.slc_bits:adc.mlc_bits=4:5,5:6,6:7,7:8")
_ROWS = ("--vary", "analog.rows:analog.arrays=64:512,128:256,256:128")  # as many cells on a chip
_CHIPS = ("pareto", "--compressed", *_BITS, *_ROWS, "--sigma", "0.112", "--seeds", "2")
_CELLS = ("--vary", "analog.mlc_bits=1,2,3", "--vary")
_JETS = ("--slc-rate", "10,100", "--limit", "100")
_PAIRS_OF_SENTENCES = ("--slc-rate", "10,100", "--limit", "50")
_BYTES = ("--slc-rate", "10,50,100", "--limit", "8")


_RANKS = ("ranks", "--budget", "0.5", "--seeds", "2", "--method", f"{_GIVEN},asvd,svd-llm,tanh")
_SIGNS = ("--vary", "analog.sign=twos-complement,biased,differential,differential-rows")
_PRICED = ("pareto", "--compressed", *_SIGNS, "--sigma", "0.112", "--seeds", "2")


def _on_chip(*some: str) -> dict[str, tuple[str, ...]]:
    """With the chip's own converters, in three ways to hold signs; ``some``: of the items."""
    signs = ("twos-complement", "biased", "differential")
    return {f"on-chip-{sign}": (*_ON_CHIP, *some, "--set", f"sign={sign}") for sign in signs}


STUDIES: dict[str, dict[str, tuple[str, ...]]] = {
    "vit-digits": {
        "accuracy": (*_EXACT, *THREE),
        **_on_chip(),
        "adc-clip": ("accuracy", *_ADC, "--adc", "0,5,6,7,8", "--set", "adc.range=clip"),
        "adc-scale": ("accuracy", *_ADC, "--adc", "0,5,6,7,8", "--set", "adc.range=scale"),
        "ranks": ("ranks", "--budget", "0.25,0.5", "--set", "recover.epochs=2"),
        "pareto": ("pareto",),
    },
    "part-jets": {
        "accuracy": (*_EXACT, *THREE),
        **_on_chip(),
        "signs": (*_PRICED, "--slc-rate", "0,10,50,100", "--limit", "100"),
        "chips": (*_CHIPS, *_CELLS, "analog.weight_bits=4,8", *_JETS),
        "chips-budgets": (
            *("pareto", "--budget", "0.25,0.5,1", "--sigma", "0.112", "--seeds", "2", *_JETS),
            *("--vary", "adc.slc_bits:adc.mlc_bits=5:6,6:7,7:8"),
        ),
    },
    "gpt2-pydoc": {
        "accuracy": (*_EXACT, *THREE),
        "pairs": _PAIRS,
        **_on_chip(),
        "signs": (*_PRICED, "--slc-rate", "0,10,50,100", "--limit", "8"),
        "chips": (*_CHIPS, *_CELLS, "analog.weight_bits=4,6,8", *_BYTES),
        "chips-split": (*_CHIPS, "--chip", "adc.model=isaac-split", *_BYTES),
        "chips-survey": (*_CHIPS, "--chip", "adc.model=survey", *_BYTES),
        "ranks": _RANKS,
    },
    "mamba-pydoc": {
        "accuracy": _EXACT,
        "pairs": _PAIRS,
        **_on_chip(),
        "signs": (*_PRICED, "--slc-rate", "0,10,50,100", "--limit", "8"),
        "ranks": _RANKS,
    },
    "stories260k": {
        "accuracy": (*_EXACT, "--select", "gradient,rank,saliency,magnitude"),
        "pairs": _PAIRS,
        "ranks": ("ranks", "--budget", "0.5", *_STORIES, "--method", f"{_LEARNED},{_GIVEN}"),
        "ranks-budgets": (
            *("ranks", "--budget", "0.3,0.5,0.75", *_STORIES, "--method", f"tanh,{_GIVEN}"),
        ),
    },
    "minilm-stsb": {
        "accuracy": (*_EXACT, "--limit", "400"),
        "pairs": (*_PAIRS, "--limit", "400"),
        **_on_chip("--limit", "400"),
        "chips": (*_CHIPS, *_CELLS, "analog.weight_bits=6,8", *_PAIRS_OF_SENTENCES),
        "ranks": (
            *("ranks", "--budget", "0.5", *(word for key in _STSB for word in ("--set", key))),
            *("--method", f"{_LEARNED},{_GIVEN},tanh rounded"),
        ),
    },
    "minilm-mrpc": {"accuracy": (*_EXACT, *THREE), "pairs": _PAIRS},
    "minilm-cola": {"accuracy": (*_EXACT, *THREE)},
    "minilm-sst2": {"accuracy": (*_EXACT, "--limit", "436")},
    "minilm-rte": {"accuracy": _EXACT},
    "smollm2-wikitext2": {
        "accuracy": (*_EXACT, "--limit", "4"),
        "pairs": (*_PAIRS, "--limit", "4"),
        **_on_chip("--limit", "4"),
    },
    "vit-cifar10": {
        "accuracy": (*_EXACT, "--limit", "1000"),
        "pairs": (*_PAIRS, "--limit", "1000"),
        **_on_chip("--limit", "1000"),
    },
}
"""Recipes; what is done with each, by the suffix of its folder and tables: command and options.
Limits keep a sweep of 62 scores in minutes."""


def run(names: Iterable[str], runs: Path, out: Path, *, tables_only: bool = False) -> int:
    """Do what is missing and write the tables; the number of steps that failed.

    ``names``: recipes. ``runs``: folder of runs. ``out``: folder of tables. Raises InputError for a
    recipe that has no studies.
    """
    names = list(names)
    for name in names:
        if name not in STUDIES:
            raise InputError(f"no studies of a recipe {name!r}; {nearest(name, STUDIES)}")
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in names:
        for command, target in _steps(name, runs):
            if tables_only or target.exists():
                continue
            print(f"hyflexsim {' '.join(command)}", flush=True)
            code = "from hyflexsim.workloads.cli.main import main; main()"
            done = subprocess.run([sys.executable, "-c", code, *command], check=False)
            if done.returncode:
                failed += 1
                break
        _write_tables(name, runs, out)
    return failed


def _steps(name: str, runs: Path) -> list[tuple[list[str], Path]]:
    """Commands of a recipe, each with the folder that it writes."""
    checkpoint = runs / name
    steps = [(["compress", name], checkpoint)]
    for suffix, (command, *extra) in STUDIES[name].items():
        made = command == "accuracy" or "--compressed" in extra
        subject = str(checkpoint) if made else name
        steps.append(([command, subject, *extra], runs / f"{name}-{suffix}"))
    return [([*command, "--out", str(target)], target) for command, target in steps]


def _write_tables(name: str, runs: Path, out: Path) -> None:
    """CSV tables of the folders that are there."""
    tables: dict[str, pd.DataFrame] = {}
    if (runs / name / "ranks.json").is_file():
        about = json.loads((runs / name / "ranks.json").read_text("utf-8"))["about"]
        tables["states"] = pd.DataFrame(about["scores"]).T.rename_axis("state").reset_index()
        shares = pd.DataFrame(about["importance"]["shares"]).T
        tables["gradient-share"] = shares.rename_axis("state").reset_index()
    for suffix, (command, *_) in STUDIES[name].items():
        folder = runs / f"{name}-{suffix}"
        if folder.is_dir():
            tables[suffix] = TABLES[command](folder)
            if suffix == "accuracy":
                tables["slc-rate"] = slc_rate_needed(folder)
    for kind, table in tables.items():
        path = out / f"{name}-{kind}.csv"
        table.to_csv(path, index=False, float_format="%.5g")
        print(f"written to {path}")


def _pareto_table(folder: Path) -> pd.DataFrame:
    return load_study(folder, "pareto").table


TABLES: dict[str, Callable[[Path], pd.DataFrame]] = {
    "accuracy": accuracy_table,
    "ranks": rank_table,
    "pareto": _pareto_table,
}
