"""Loading: the schema, and one-line errors for whatever breaks it."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim import analysis
from hyflexsim.analysis.run.run import COLUMNS, SUMMARY, _Words, undamaged
from hyflexsim.sim.errors import InputError

ARCHITECTURE = "docs/architecture.md"


@pytest.fixture
def copy(bank_dir, tmp_path):
    return shutil.copytree(bank_dir, tmp_path / "copy")


def test_columns_are_those_of_the_architecture(request):
    text = (request.config.rootpath / ARCHITECTURE).read_text(encoding="utf-8")
    for table, columns in COLUMNS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {table}.parquet"))
        for column in columns:
            assert f"`{column}`" in row, (table, column)
    for key in SUMMARY:
        assert f"`{key}`" in text, key


def test_load_gives_documented_columns(bert_dir):
    run = analysis.load(bert_dir)
    for table, columns in COLUMNS.items():
        assert list(getattr(run, table).columns) == list(columns)
    assert isinstance(run.trace["component"].dtype, pd.CategoricalDtype)
    assert run.trace["end_ps"].dtype == np.int64
    assert run.trace["end_ps"].is_monotonic_increasing
    assert run.name == "bert"
    assert run.classes["encoder.layer.0.q"] == "gemv"


def test_text_that_was_written_plainly_becomes_categories(copy):
    pd.read_parquet(copy / "trace.parquet").astype(
        dict.fromkeys(("step", "op", "kind", "component", "layer"), str)
    ).to_parquet(copy / "trace.parquet")
    assert isinstance(analysis.load(copy).trace["op"].dtype, pd.CategoricalDtype)


def test_only_the_columns_asked_for(bank_dir):
    run = analysis.load(bank_dir, trace_columns=["op", "end_ps"])
    assert list(run.trace.columns) == ["op", "end_ps"]


def test_unknown_trace_column(bank_dir):
    message = f"trace_columns must be of {', '.join(COLUMNS['trace'])}; got 'end'"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        analysis.load(bank_dir, trace_columns=["end"])


def _message(path):
    with pytest.raises(InputError) as caught:
        analysis.load(path)
    return str(caught.value)


def test_no_directory(tmp_path):
    assert _message(tmp_path / "none") == f"{tmp_path / 'none'}: no such run directory"


@pytest.mark.parametrize("name", [*(f"{t}.parquet" for t in COLUMNS), "summary.json"])
def test_missing_file(copy, name):
    (copy / name).unlink()
    assert _message(copy) == f"{copy / name}: No such file or directory"


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("trace", "plane"),
        ("trace", "layer"),  # of words, which is looked for before it is read
        ("components", "pu"),
        ("requests", "latency_ps"),
    ],
)
def test_missing_column(copy, table, column):
    file = copy / f"{table}.parquet"
    pd.read_parquet(file).drop(columns=column).to_parquet(file)
    assert _message(copy) == f"{file}: column '{column}' is missing"


def test_wrong_type(copy):
    file = copy / "requests.parquet"
    pd.read_parquet(file).assign(tokens="six").to_parquet(file)
    assert re.fullmatch(
        re.escape(f"{file}: column 'tokens' must hold int; got ") + r"(large_)?string",
        _message(copy),
    )


def test_not_parquet_and_not_json(copy):
    (copy / "energy.parquet").write_text("hello")
    assert _message(copy) == f"{copy / 'energy.parquet'}: not a Parquet file"
    (copy / "scenario.json").write_text("{")
    assert _message(copy).startswith(f"{copy / 'scenario.json'}: not JSON (")
    (copy / "scenario.json").write_text("[1]")
    assert _message(copy) == f"{copy / 'scenario.json'}: must hold an object; got list"


def test_missing_key(copy):
    summary = json.loads((copy / "summary.json").read_text())
    del summary["macs"]
    (copy / "summary.json").write_text(json.dumps(summary))
    assert _message(copy) == f"{copy / 'summary.json'}: key 'macs' is missing"


def test_a_column_twice(copy):
    file = copy / "trace.parquet"
    whole = pq.read_table(file)
    pq.write_table(whole.append_column("layer", whole["layer"]), file)
    assert _message(copy) == f"{file}: column 'layer' must be there once"


def test_a_word_that_is_none():
    """A flipped byte of a page may name the tenth of one word, which pyarrow does not mind."""
    piece = pa.DictionaryArray.from_arrays(pa.array([9], pa.int32()), pa.array(["a"]), safe=False)
    damaged = pytest.raises(InputError, match=r"^t\.parquet: is damaged; .index 9 is out of bound")
    with damaged, undamaged(Path("t.parquet")):
        _Words().codes(piece)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_damaged_page(copy, table):
    """Bytes of the first page flipped: whatever pyarrow says of it is one line."""
    file = copy / f"{table}.parquet"
    content = bytearray(file.read_bytes())
    for place in range(8, 60):
        content[place] ^= 0xFF
    file.write_bytes(content)
    message = _message(copy)
    assert message.startswith(f"{file}: is damaged; ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("macs", "many", "key 'macs' must be a number; got 'many'"),
        ("visits", True, "key 'visits' must be a number; got True"),
        ("latency_ps", 5, "key 'latency_ps' must hold an object"),
        ("latency_ps", {"p50": 1}, "key 'latency_ps.p95' is missing"),
        (
            "energy_by_kind_pj",
            {"x": "all"},
            "key 'energy_by_kind_pj.x' must be a number; got 'all'",
        ),
    ],
)
def test_figures_that_are_none(copy, key, value, message):
    file = copy / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    assert _message(copy) == f"{file}: {message}"
    with pytest.raises(InputError, match=re.escape(message)):
        analysis.compare([copy])


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([], "key 'op_kinds' must hold an object"),
        ({"x": [[]]}, "key 'op_kinds.x' must be a word; got [[]]"),
    ],
)
def test_op_classes_that_are_none(copy, kinds, message):
    file = copy / "scenario.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"op_kinds": kinds}))
    assert _message(copy) == f"{file}: {message}"
