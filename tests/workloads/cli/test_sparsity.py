"""``hyflexsim sparsity``: tables and pictures of a study; what it refuses."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim.workloads.jets.sample import SAMPLE
from hyflexsim.workloads.sparsity import bound as study
from hyflexsim.workloads.sparsity import lever_study

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def test_bound_writes_a_table_and_a_picture(hyflexsim, tmp_path, monkeypatch):
    cases = [case for case in study.CASES if case.model == "part-small" and case.tokens == 30]
    monkeypatch.setattr(study.bounds, "__defaults__", (cases, lambda *_: None))
    code, out, err = hyflexsim("sparsity", "bound", "--out", str(tmp_path))
    assert (code, err) == (0, "")
    assert "ParT, small" in out
    table = pd.read_csv(tmp_path / "results" / "sparsity-bound.csv")
    assert list(table.columns) == ["model", "tokens", "decode", "what", "energy", "answer", "pace"]
    assert table["what"].tolist()[0] == "all"
    picture = tmp_path / "pictures" / "sparsity-bound.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_levers_writes_a_table_and_a_picture(hyflexsim, tmp_path, monkeypatch):
    """What the study says, here that of the page, by the number of jets that was asked for."""
    rows = pd.read_csv(RESULTS / "sparsity-levers.csv")
    asked = []

    def levers(checkpoint, jets, *, per_class, say):
        asked.append((checkpoint.name, jets, per_class))
        return rows.to_dict("records")

    monkeypatch.setattr(lever_study, "lever_rows", levers)
    code, out, err = hyflexsim("sparsity", "levers", "--per-class", "3", "--out", str(tmp_path))
    assert (code, err, asked) == (0, "", [("part-small.safetensors", None, 3)])
    assert "levers of ParT, published" in out
    table = pd.read_csv(tmp_path / "results" / "sparsity-levers.csv")
    assert table["lever"].tolist() == rows["lever"].tolist()
    picture = tmp_path / "pictures" / "sparsity-levers.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_jets_unlike_those_of_the_training_are_named_by_feature(hyflexsim, tmp_path, monkeypatch):
    """d0 20 times as large, as of particles that live long."""
    rows = pd.read_csv(RESULTS / "sparsity-levers.csv").to_dict("records")
    monkeypatch.setattr(lever_study, "lever_rows", lambda *_, **__: rows)
    table = pq.read_table(SAMPLE).slice(0, 60)
    d0 = [[20 * d for d in jet] for jet in table["part_d0"].to_pylist()]
    at = table.schema.get_field_index("part_d0")
    pq.write_table(table.set_column(at, "part_d0", pa.array(d0)), tmp_path / "far.parquet")
    out = ("--out", str(tmp_path))
    assert "note:" not in hyflexsim("sparsity", "levers", *out)[1]
    said = hyflexsim("sparsity", "levers", "--jets", tmp_path / "far.parquet", *out)[1]
    (note,) = (line for line in said.splitlines() if line.startswith("note: "))
    assert note.startswith("note: d0 of ")


@pytest.mark.parametrize("what", ["bounds", ""])
def test_unknown_studies_are_refused(hyflexsim, what):
    code, _, err = hyflexsim("sparsity", what)
    allowed = "bound, ways, levers, designs, trigger"
    assert (code, err) == (2, f"hyflexsim: sparsity: must be one of {allowed}; got '{what}'\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("ways", "--checkpoint", "mamba-pydoc"), "mamba-pydoc must have attention; it has none"),
        (
            ("ways", "--checkpoint", "vit-digits"),
            "vit-digits must be a ParT or a checkpoint judged by perplexity; it is judged by",
        ),
        (
            ("trigger", "--trained", "none"),
            "--trained must be a folder of trained designs; got none",
        ),
        (("bound", "--out", "file/x"), "file/x/results/sparsity-bound.csv: cannot be written: "),
        (("levers", "--out", "file"), "file/results/sparsity-levers.csv: cannot be written: "),
    ],
)
def test_what_cannot_be_is_said_before_any_work(hyflexsim, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(lever_study, "lever_rows", None)
    monkeypatch.setattr(study, "bounds", None)
    code, out, err = hyflexsim("sparsity", *arguments)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
