"""The steps behind docs/attention.md: in order, known to the command line; and their tables."""

import json

import pandas as pd
import pytest
from typer.main import get_command

from hyflexsim.analysis.attention.rows import ROW_MEASURES
from hyflexsim.workloads.cli.main import app
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.reproduction import attention_studies


def test_steps_are_commands_that_use_what_is_there(tmp_path):
    known, made = get_command(app).commands, set()
    for command, done in attention_studies._steps(tmp_path):
        words = command[2:]  # after -c and the program
        known[words[0]].make_context(words[0], list(words[1:]))  # refuses unknown options
        needed = [word for word in words[:-1] if word.startswith(str(tmp_path))]
        assert all(any(m.startswith(word) for m in made) for word in needed), words
        made |= {str(done), words[-1]}
    assert len(made) > 20


def test_changes_of_the_recipes_are_allowed():
    for options in (attention_studies.SIZES, attention_studies.FULL):
        keys = [word.partition("=")[0] for word in options if "=" in word]
        assert set(keys) <= set(PartRecipe.model_fields)


def test_tables(tmp_path):
    maps, small = tmp_path / "part-small-attention", tmp_path / "part-small"
    maps.mkdir()
    small.mkdir()
    both = [("QCD", 0, 1.0), ("QCD", 1, 0.0), ("Tbl", 2, 0.5)]
    rows = pd.DataFrame(
        {"view": "with U", "model": "trained", "jet": jet, "label": label, "layer": 1, "head": 1}
        | {"rows": 10 if jet else 30}
        | dict.fromkeys(ROW_MEASURES, share)
        for label, jet, share in both
    )
    rows.to_parquet(maps / "rows.parquet")
    found = pd.DataFrame(
        [("trained", "QCD", 1, 1, "entropy", "mass", 0.2, 9, 0.1),
         ("trained", "QCD", 1, 2, "entropy", "mass", -0.6, 9, 0.1)],
        columns=["model", "label", "layer", "head", "attention", "observable", "rho", "jets",
                 "error"],
    )  # fmt: skip
    found.to_parquet(maps / "correlations.parquet")
    found.to_parquet(maps / "pairs.parquet")
    scores = {"accuracy": 0.5, "accuracy_error": 0.1, "auc_mean": 0.7}
    for name in ("scores", "baseline"):
        (small / f"{name}.json").write_text(json.dumps(scores | {"classes": {"QCD": {"jets": 3}}}))
    rows.to_parquet(small / "curve.parquet")
    assert attention_studies.run(tmp_path, tmp_path / "tables", tables_only=True) == 0
    table = pd.read_csv(tmp_path / "tables" / "part-small-binary.csv")
    whole, layer, qcd, tbl = table["share_50"]
    assert whole == layer == pytest.approx((30 * 1 + 10 * 0 + 10 * 0.5) / 50)
    assert (qcd, tbl) == (30 / 40, 0.5)
    best = pd.read_csv(tmp_path / "tables" / "part-small-substructure.csv")
    assert best[["best", "mean", "jets", "classes"]].values.tolist() == [[0.6, 0.4, 9, 1]]
    scores = pd.read_csv(tmp_path / "tables" / "part-small-scores.csv")
    assert scores["model"].tolist() == ["ParT", "ParT", "trees", "trees"]
