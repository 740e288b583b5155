"""Statistics of accuracy studies on paper, and one line for whatever breaks a directory."""

import json
import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hyflexsim import analysis
from hyflexsim.analysis.studies.rank_map import matrix_groups, rank_shares
from hyflexsim.analysis.studies.score_axes import spread
from hyflexsim.sim.errors import InputError

synthetic = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))
KINDS = ("accuracy", "study", "pareto")


@pytest.fixture
def directory(tmp_path):
    """All three kinds in one directory, small."""
    synthetic.accuracy(tmp_path, rates=(0.0, 0.5, 1.0))
    synthetic.study(tmp_path, methods=("tanh", "uniform"), budgets=(0.5,), seeds=2)
    return synthetic.pareto(tmp_path, budgets=(0.5, 1.0), rates=(0.0, 1.0))


def scores(path, rows, *, metric=synthetic.F1, references=(("dense", 0.9),)):
    """A directory with these (select, sigma, slc_rate, adc_bits, seed, score)."""
    synthetic.accuracy(path, metric=metric, references=references, rates=(1.0,))
    names = ["select", "sigma", "slc_rate", "adc_bits", "seed", "score"]
    pd.DataFrame(rows, columns=names).to_parquet(path / "accuracy.parquet")
    return path


def test_interval_of_two_and_three_scores_in_closed_form():
    # quantiles of one and two degrees of freedom have closed forms
    one, two = math.tan(0.475 * math.pi), math.sqrt(2 * 0.95**2 / (1 - 0.95**2))
    assert analysis.confidence([1, 3]).half_width == pytest.approx(one, rel=1e-9)
    assert analysis.confidence([1, 2, 3]).half_width == pytest.approx(two / math.sqrt(3), rel=1e-9)


def test_confidence():
    mean, half = analysis.confidence([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2)
    assert half == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert analysis.confidence([2.0, 2.0, 2.0]) == (2.0, 0.0)
    mean, half = analysis.confidence([0.7])
    assert mean == 0.7
    assert math.isnan(half)
    with pytest.raises(InputError, match=r"^confidence: at least one score is needed$"):
        analysis.confidence([])


def test_confidence_covers_95_percent():
    rng = np.random.default_rng(5)
    found = [analysis.confidence(rng.normal(3, 2, 5)) for _ in range(2000)]
    share = np.mean([abs(mean - 3) <= half for mean, half in found])
    assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_accuracy_table(tmp_path):
    rows = [("gradient", 0.112, 0.0, 0, seed, score) for seed, score in enumerate((0.7, 0.8))]
    rows += [("gradient", 0.112, 1.0, 0, 0, 0.88), ("gradient", 0.0, 0.0, 8, 0, 0.87)]
    path = scores(tmp_path, rows, references=(("dense", 0.9), ("fine-tuned", 0.89)))
    table = analysis.accuracy_table(path)
    assert table["name"].tolist() == ["dense", "fine-tuned", "no noise", "calibrated", "calibrated"]
    assert table["select"].tolist() == ["", "", "gradient", "gradient", "gradient"]
    assert table["n"].tolist() == [1, 1, 1, 2, 1]
    assert table["mean"].tolist() == pytest.approx([0.9, 0.89, 0.87, 0.75, 0.88])
    assert table["difference"].tolist() == pytest.approx([0.01, 0, -0.02, -0.14, -0.01])
    assert table["half_width"][3] == pytest.approx(12.7062047 * 0.05)
    assert table["half_width"].isna().tolist() == [True, True, True, False, True]
    assert table["adc_bits"].isna().tolist() == [True, True, False, False, False]
    assert table["adc_bits"][2] == 8
    alone = scores(tmp_path / "alone", rows)
    assert analysis.accuracy_table(alone)["difference"].isna().all()


def test_slc_rate_needed(tmp_path):
    line = {0.0: 0.80, 0.05: 0.893, 0.1: 0.88, 0.3: 0.892, 1.0: 0.9}
    rows = [("gradient", 0.1, rate, 0, 0, score) for rate, score in line.items()]
    rows += [("rank", 0.1, rate, 0, 0, 0.8) for rate in (0.0, 0.1)]
    rows += [("rank", 0.02, 1.0, 0, 0, 0.9)]  # nothing is random there: it stands for every sigma
    table = analysis.slc_rate_needed(scores(tmp_path, rows))
    table = table[table["sigma"] == 0.1].set_index("select")
    first = table.loc["gradient"]
    # 0.893 loses 0.78 %, but 0.88 at a larger rate loses 2.2 %
    assert (first["slc_rate"], first["all_slc"], first["steady"]) == (0.05, 0.9, False)
    assert first["loss"] == pytest.approx(0.007 / 0.9)
    assert table.loc["rank", "all_slc"] == 0.9
    assert table.loc["rank", "slc_rate"] == 1
    loose = analysis.slc_rate_needed(tmp_path, loss=0.03)
    loose = loose[loose["sigma"] == 0.1].set_index("select")
    assert loose.loc["gradient", "steady"]
    with pytest.raises(InputError) as caught:
        analysis.slc_rate_needed(tmp_path, loss=1)
    assert str(caught.value) == "loss must be a number above 0 and below 1; got 1"


def test_slc_rate_needed_where_less_is_better(tmp_path):
    line = {0.0: 900.0, 0.1: 20.5, 0.2: 20.19, 1.0: 20.0}  # 2.5 % and 0.95 % above
    rows = [("gradient", 0.1, rate, 0, 0, score) for rate, score in line.items()]
    path = scores(tmp_path, rows, metric=synthetic.PERPLEXITY)
    table = analysis.slc_rate_needed(path)
    assert table["slc_rate"].tolist() == [0.2]
    assert table["loss"][0] == pytest.approx(0.0095)


def test_slc_rate_needed_without_an_all_slc_score(tmp_path):
    path = scores(tmp_path, [("gradient", 0.1, 0.5, 0, 0, 0.9)])
    with pytest.raises(InputError) as caught:
        analysis.slc_rate_needed(path)
    assert str(caught.value) == (
        f"{path / 'accuracy.parquet'}: column 'slc_rate' must have 1 for adc_bits 0, "
        "the all-SLC score"
    )


def test_rank_table(tmp_path):
    path = synthetic.study(tmp_path, methods=("tanh",), budgets=(0.5,), seeds=3)
    data = pd.read_parquet(path / "study.parquet")
    row = analysis.rank_table(path).iloc[0]
    gains = data["dense_latency_ps"] / data["latency_ps"]
    assert (row["method"], row["budget"], row["n"]) == ("tanh", 0.5, 3)
    assert row["latency"] == pytest.approx(gains.mean())
    assert row["latency_half"] == pytest.approx(4.302653 * gains.std() / math.sqrt(3), rel=1e-6)
    assert row["throughput"] == pytest.approx((1e8 / data["makespan_ps"]).mean())
    assert row["total_share"] == pytest.approx(data["total_share"].mean())
    assert row["after"] == pytest.approx(data["after"].mean())


def test_pareto_front(tmp_path):
    path = synthetic.pareto(tmp_path)
    rows = [(1.0, 5.0), (2.0, 4.0), (2.0, 6.0), (3.0, 6.0), (4.0, 7.0)]
    table = pd.read_parquet(path / "pareto.parquet").head(len(rows))
    table["latency_ps"] = [int(cost) for cost, _ in rows]
    table["score"] = [score for _, score in rows]
    table.to_parquet(path / "pareto.parquet")
    front = analysis.pareto_front(path, "latency_ps")
    assert list(zip(front["latency_ps"], front["score"], strict=True)) == [(1, 5), (2, 6), (4, 7)]
    info = json.loads((path / "pareto.json").read_text())
    info["metric"]["higher_is_better"] = False
    (path / "pareto.json").write_text(json.dumps(info))
    front = analysis.pareto_front(path, "latency_ps")
    assert list(zip(front["latency_ps"], front["score"], strict=True)) == [(1, 5), (2, 4)]
    with pytest.raises(InputError) as caught:
        analysis.pareto_front(path, "price")
    allowed = "latency_ps, energy_pj, area_mm2, arrays"
    assert str(caught.value) == f"cost must be of {allowed}; got 'price'"


def test_rank_shares_and_groups():
    ranks = pd.DataFrame(
        {
            "method": "tanh",
            "budget": 0.5,
            "seed": [0, 1] * 3,
            "matrix": ["a", "a", "b", "b", "c", "c"],
            "rank": [100, 200, 0, 300, 0, 0],
            "full": 400,
        }
    )
    shares = rank_shares(ranks)["share"]
    assert shares.tolist()[:2] == [0.375, (1 + 0.75) / 2]  # dense counts as 1
    assert math.isnan(shares[2])
    names, groups = matrix_groups([*synthetic.paths(3), "pooler.dense.weight"])
    kinds = ["query", "key", "value", "attention.output.dense", "intermediate.dense"]
    assert groups == [(kind, 3) for kind in [*kinds, "output.dense"]] + [("other", 1)]
    assert names[:3] == [f"encoder.layer.{i}.attention.self.query" for i in range(3)]
    assert matrix_groups(["e.0.fc", "d.0.fc"])[1] == [("fc (e)", 1), ("fc (d)", 1)]
    assert len(matrix_groups(synthetic.paths(30, "llama"))[1]) == 7


def test_spread_keeps_order_and_distance():
    rng = np.random.default_rng(0)
    wanted = np.sort(rng.uniform(0, 50, 9))
    placed = spread(wanted, 8)
    assert (np.diff(placed) >= 8 - 1e-9).all()
    assert placed.mean() == pytest.approx(wanted.mean())
    np.testing.assert_array_equal(spread([0, 20, 40], 8), [0, 20, 40])


def message(path, kind="accuracy"):
    with pytest.raises(InputError) as caught:
        analysis.load_study(path, kind)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_loaded_as_documented(directory, kind):
    study = analysis.load_study(directory, kind)
    for table, columns in analysis.STUDIES[kind].items():
        assert list(study.tables[table].columns) == list(columns)
    assert set(study.info) == set(analysis.INFO[kind])
    assert analysis.load_study(study, kind) is study
    other = KINDS[KINDS.index(kind) - 1]
    assert message(study, other) == f"{directory}: must be of kind {other!r}; got {kind!r}"


def test_no_directory_and_no_kind(tmp_path):
    assert message(tmp_path / "no") == f"{tmp_path / 'no'}: no such directory"
    assert message(tmp_path, "x") == "kind must be of accuracy, study, pareto; got 'x'"
    with pytest.raises(InputError) as caught:
        analysis.draw_study(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: must hold one of accuracy.parquet, study.parquet, pareto.parquet; "
        "it holds none"
    )
    with pytest.raises(InputError) as caught:
        analysis.draw_study(tmp_path / "no")
    assert str(caught.value) == f"{tmp_path / 'no'}: no such directory"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("accuracy", "accuracy.parquet"),
        ("accuracy", "accuracy.json"),
        ("study", "ranks.parquet"),
        ("pareto", "pareto.json"),
    ],
)
def test_missing_and_spoilt_files(directory, kind, name):
    (directory / name).write_text("hello")
    file = directory / name
    words = {"parquet": f"{file}: not a Parquet file", "json": f"{file}: not JSON ("}
    assert message(directory, kind).startswith(words[name.split(".")[1]])
    file.unlink()
    assert message(directory, kind) == f"{file}: No such file or directory"


@pytest.mark.parametrize(
    ("kind", "table", "column"),
    [(k, t, c) for k in KINDS for t, cs in analysis.STUDIES[k].items() for c in cs],
)
def test_each_column_is_needed_and_has_a_type(directory, kind, table, column):
    file = directory / f"{table}.parquet"
    frame = pd.read_parquet(file)
    frame.drop(columns=column).to_parquet(file)
    assert message(directory, kind) == f"{file}: column {column!r} is missing"
    wanted = analysis.STUDIES[kind][table][column]
    frame.assign(**{column: 1 if wanted == "text" else "one"}).to_parquet(file)
    given = "int64" if wanted == "text" else "large_string"
    found = message(directory, kind).replace("got string", "got large_string")
    assert found == f"{file}: column {column!r} must hold {wanted}; got {given}"


@pytest.mark.parametrize(
    ("kind", "table", "column", "value", "words"),
    [
        ("accuracy", "accuracy", "score", np.nan, "column 'score' must have a value in every row"),
        ("accuracy", "accuracy", "score", np.inf, "must hold a finite number; got inf"),
        ("accuracy", "accuracy", "slc_rate", 1.5, "must hold a number from 0 to 1; got 1.5"),
        ("accuracy", "accuracy", "sigma", -0.1, "must hold a number from 0; got -0.1"),
        ("accuracy", "accuracy", "adc_bits", -1, "must hold a number from 0; got -1"),
        ("study", "study", "latency_ps", 0, "must hold a number from 1; got 0"),
        ("study", "study", "energy_pj", 0.0, "must hold a number above 0; got 0.0"),
        ("study", "ranks", "full", 0, "must hold a number from 1; got 0"),
        ("pareto", "pareto", "half_width", np.inf, "must hold a number from 0; got inf"),
    ],
)
def test_values_out_of_range(directory, kind, table, column, value, words):
    file = directory / f"{table}.parquet"
    frame = pd.read_parquet(file)
    frame.loc[0, column] = value
    frame.to_parquet(file)
    head = "" if words.startswith("column") else f"column {column!r} "
    assert message(directory, kind) == f"{file}: {head}{words}"


def test_rows_twice_and_none(directory):
    file = directory / "accuracy.parquet"
    frame = pd.read_parquet(file)
    pd.concat([frame, frame.head(1)]).to_parquet(file)
    assert message(directory) == (
        f"{file}: columns select, sigma, slc_rate, adc_bits, seed must differ; "
        "two rows have select gradient, sigma 0.025, slc_rate 0.0, adc_bits 0, seed 0"
    )
    frame.head(0).to_parquet(file)
    assert message(directory) == f"{file}: no rows in it"


@pytest.mark.parametrize(
    ("kind", "path", "value", "words"),
    [
        ("accuracy", ["title"], 3, "key 'title' must be text; got 3"),
        ("accuracy", ["metric"], [], "key 'metric' must be an object; got list"),
        (
            "accuracy",
            ["metric", "floor"],
            "x",
            "key 'metric.floor' must be a number or null; got 'x'",
        ),
        (
            "accuracy",
            ["metric", "higher_is_better"],
            1,
            "key 'metric.higher_is_better' must be true or false; got 1",
        ),
        ("accuracy", ["references"], {}, "key 'references' must be a list; got dict"),
        (
            "accuracy",
            ["references", 0, "score"],
            True,
            "key 'references[0].score' must be a number; got bool",
        ),
        (
            "accuracy",
            ["noise", 1, "report"],
            None,
            "key 'noise[1].report' must be text; got NoneType",
        ),
        (
            "accuracy",
            ["chip"],
            7.5,
            "key 'chip' must be an object; got 7.5",
        ),
        ("accuracy", ["importance"], 1, "key 'importance' must be an object or null; got 1"),
        ("accuracy", ["importance", "svd"], [], "key 'importance.svd' must not be empty"),
        (
            "accuracy",
            ["importance", "shares", "svd"],
            {"top": 0.1},
            "key 'importance.shares.svd' must have shares such as '0.05'; got 'top'",
        ),
        ("study", ["dense"], float("nan"), "key 'dense' must be a number; got nan"),
        ("study", ["paper", 0, "low"], "1.33", "key 'paper[0].low' must be a number; got '1.33'"),
        (
            "pareto",
            ["reference", "score"],
            None,
            "key 'reference.score' must be a number; got NoneType",
        ),
        ("pareto", ["chips"], [], "key 'chips' must be an object; got list"),
        ("pareto", ["chips", "hyflexpim"], 1, "key 'chips.hyflexpim' must be an object; got 1"),
        (
            "pareto",
            ["chips", "other"],
            {"analog.rows": 1},
            "key 'chips.other' must have the parameters of the first",
        ),
        (
            "pareto",
            ["chips"],
            {"isaac": {}},
            "key 'chips' must have each chip of the table; it lacks 'hyflexpim'",
        ),
    ],
)
def test_json_of_another_form(directory, kind, path, value, words):
    file = directory / f"{kind}.json"
    info = json.loads(file.read_text())
    spot = info
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = value
    file.write_text(json.dumps(info))
    assert message(directory, kind) == f"{file}: {words}"


def test_json_keys_missing(directory):
    file = directory / "accuracy.json"
    info = json.loads(file.read_text())
    del info["metric"]["floor"]
    file.write_text(json.dumps(info))
    assert message(directory) == f"{file}: key 'metric.floor' is missing"
    del info["metric"]
    file.write_text(json.dumps(info))
    assert message(directory) == f"{file}: key 'metric' is missing"
