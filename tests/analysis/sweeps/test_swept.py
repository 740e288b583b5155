"""A results folder as a table; which points are on the front; what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from hyflexsim import analysis
from hyflexsim.sim.errors import InputError

ROWS = {
    "point": [2, 0, 1, 3],
    "bits": [6, 4, 5, 7],
    "latency_ps.p99": [3e6, 1e6, 2e6, np.nan],
    "energy_pj": [1.0, 3.0, 3.0, np.nan],
    "word": ["c", "a", "b", None],
    "seconds": [1.0] * 4,
    "peak_mb": [9.0] * 4,
    "error": [None, None, None, "no room; got 7"],
}
INFO = {
    "format": "hyflexsim-sweep-1",
    "title": "t",
    "settings": ["bits"],
    "linear": [],
    "answers": ["latency_ps.p99", "word"],
    "objectives": {"latency_ps.p99": "min", "energy_pj": "min"},
    "points": {},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps(INFO))
    pd.DataFrame(ROWS).to_parquet(tmp_path / "points.parquet")
    return tmp_path


def test_the_table_has_the_front_first(folder):
    table = analysis.load_sweep(folder).table()
    assert list(table.columns) == ["front", "point", "bits", "latency_ps.p99", "word"]
    assert table["point"].tolist() == [0, 2, 1]  # 1 costs as much as 0 and takes longer
    assert table["front"].tolist() == ["*", "*", ""]


def test_errors_are_counted_whatever_was_given(folder):
    assert analysis.load_sweep(folder).errors() == {"no room": 1}


def test_a_sweep_that_goes_on_is_read_from_its_parts(folder):
    rows = pd.read_parquet(folder / "points.parquet")
    (folder / "points.parquet").unlink()
    (folder / "parts").mkdir()
    rows[:2].to_parquet(folder / "parts" / "000000000.parquet")
    rows[1:3].to_parquet(folder / "parts" / "000000001.parquet")  # one twice: parts being merged
    assert analysis.load_sweep(folder).points["point"].tolist() == [0, 1, 2]


def test_more_may_be_better(folder):
    info = INFO | {"objectives": {"latency_ps.p99": "max", "energy_pj": "min"}}
    (folder / "sweep.json").write_text(json.dumps(info))
    table = analysis.load_sweep(folder).table()
    assert table[table["front"] == "*"]["point"].tolist() == [2]
    assert table["point"].tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objectives": {"energy": "min"}}, "no answer is called 'energy'; known: latency_ps.p99"),
        ({"objectives": {"word": "min"}}, "an objective must be a number; 'word' is a text"),
        ({"settings": ["bots"]}, "column 'bots' of its points is missing"),
    ],
)
def test_refusals(folder, change, words):
    (folder / "sweep.json").write_text(json.dumps(INFO | change))
    with pytest.raises(InputError) as refused:
        analysis.load_sweep(folder)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_folders_that_are_none(folder, tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        analysis.load_sweep(tmp_path / "none")
    (folder / "points.parquet").write_bytes(b"torn")
    with pytest.raises(InputError, match="its points cannot be read"):
        analysis.load_sweep(folder)
    (folder / "points.parquet").unlink()
    with pytest.raises(InputError, match="no point of this sweep is over yet"):
        analysis.load_sweep(folder)
