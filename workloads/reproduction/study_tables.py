"""Committed tables of studies that take too long for a figure: a figure reads what they found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hyflexsim.sim.errors import InputError

TABLES = Path(__file__).parents[2] / "docs" / "results"
"""Where ``hyflexsim reproduce STUDY --out docs`` leaves them in a source tree."""


def read(name: str, study: str = "accuracy") -> pd.DataFrame:
    """A committed table of a study; raises InputError where there is none."""
    file = TABLES / f"{name}.csv"
    if not file.is_file():
        raise InputError(f"{file}: not there; hyflexsim reproduce {study} --out docs makes it")
    return pd.read_csv(file)
