"""Pictures of accuracy studies: the numbers drawn, nothing on top of each other, equal bytes."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hyflexsim import analysis
from hyflexsim.analysis.studies import (
    accuracy_figures,
    pareto_figures,
    rank_figures,
    report,
    score_axes,
)
from hyflexsim.analysis.style import new_axes
from hyflexsim.sim.errors import InputError

synthetic = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))
PLAIN = {"name": "accuracy", "higher_is_better": True, "floor": None}
LONG = "SmolLM2-135M, a decoder, on WikiText-2: perplexity under the noise of RRAM cells, " * 2
FAR = {"name": "accuracy", "higher_is_better": True, "floor": 0.1}
CASES = {
    "mrpc": (synthetic.accuracy, {}),
    "perplexity": (
        synthetic.accuracy,
        {
            "metric": synthetic.PERPLEXITY,
            "best": 20.6,
            "worst": 5000.0,
            "references": (("dense", 20.6), ("dense INT8", 20.9), ("truncated", 4200.0)),
            "adc": (0, 8),
            "title": LONG,
        },
    ),
    "one sigma": (
        synthetic.accuracy,
        {
            "metric": PLAIN,
            "sigmas": (0.112,),
            "selects": ("rank",),
            "adc": (0,),
            "rates": (0.0, 0.1, 1.0),
            "ranks": 24,
        },
    ),
    "far floor, no seeds": (
        synthetic.accuracy,
        {"metric": FAR, "sigmas": (0.0, 0.025, 0.05, 0.112), "seeds": 1, "ranks": 0},
    ),
    "seven methods": (synthetic.study, {}),
    "210 matrices": (
        synthetic.study,
        {
            "metric": synthetic.PERPLEXITY,
            "dense": 20.6,
            "lost": 4.0,
            "rounded": True,
            "matrices": synthetic.paths(30, "llama"),
            "title": LONG,
        },
    ),
    "one method": (
        synthetic.study,
        {"methods": ("sigmoid",), "budgets": (0.5,), "seeds": 1, "metric": PLAIN},
    ),
    "other matrices": (
        synthetic.study,
        {
            "methods": ("tanh", "new", "fwsvd"),
            "seeds": 2,
            "matrices": [*synthetic.paths(6), "pooler.dense", "classifier"],
        },
    ),
    "pareto": (synthetic.pareto, {}),
    "pareto of perplexity": (
        synthetic.pareto,
        {
            "metric": synthetic.PERPLEXITY,
            "dense": 20.6,
            "lost": 3.0,
            "sigmas": (0.025, 0.112),
            "rates": synthetic.RATES,
            "title": LONG,
        },
    ),
    "three chips": (
        synthetic.pareto,
        {
            "machines": synthetic.chips(bits=(5, 6), rows=(64, 128)),
            "rates": (0.1, 1.0),
            "budgets": (0.5, 1.0),
            "title": LONG,
        },
    ),
    "24 chips": (
        synthetic.pareto,
        {
            "machines": synthetic.chips(bits=range(4, 10), rows=(32, 64, 128, 256)),
            "rates": (0.0, 0.1, 1.0),
            "budgets": (1.0,),
            "metric": PLAIN,
            "lost": 0.3,
        },
    ),
    "24 chips of one area, perplexity": (
        synthetic.pareto,
        {
            "machines": synthetic.chips(bits=range(4, 10), rows=(32, 64, 128, 256)),
            "rates": (0.1,),
            "metric": synthetic.PERPLEXITY,
            "dense": 20.6,
            "lost": 1.0,
            "one_area": True,
            "seeds": 1,
        },
    ),
    "pareto of three": (
        synthetic.pareto,
        {"budgets": (0.5,), "rates": (0.0, 0.1, 1.0), "seeds": 1, "metric": PLAIN},
    ),
}


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    root = tmp_path_factory.mktemp("studies")
    return {name: make(root / name, **how) for name, (make, how) in CASES.items()}


@pytest.mark.parametrize("case", CASES)
def test_no_text_on_text_and_none_cut_off(directories, case, legible):
    path = directories[case]
    for kind in ("accuracy", "study", "pareto"):
        if not (path / f"{kind}.parquet").exists():
            continue
        for name, draw in report.PICTURES[kind](analysis.load_study(path, kind)):
            axes = draw()
            ax = axes[0] if isinstance(axes, list) else axes
            legible(ax.figure, name)


@pytest.mark.parametrize(
    ("case", "files"),
    [
        ("mrpc", "accuracy selection_0.025 selection_0.112 adc importance"),
        ("one sigma", "accuracy importance"),
        ("far floor, no seeds", "accuracy selection_0.025 selection_0.05 selection_0.112 adc"),
        ("one method", "recovery speedup ranks"),  # and one budget: no curve
        ("seven methods", "quality recovery speedup ranks"),
        ("pareto of three", "pareto"),
        ("pareto of perplexity", "pareto_0.025 pareto_0.112"),
        ("24 chips", "pareto"),
    ],
)
def test_file_names(directories, case, files):
    path = directories[case]
    kinds = [k for k in analysis.STUDIES if (path / f"{k}.parquet").exists()]
    found = [n for k in kinds for n, _ in report.PICTURES[k](analysis.load_study(path, k))]
    assert found == [f"{name}.png" for name in files.split()]


@pytest.mark.parametrize("case", ["one sigma", "one method", "pareto of three", "three chips"])
def test_drawn_twice_gives_equal_bytes(directories, case):
    first = analysis.draw_study(directories[case])
    before = [path.read_bytes() for path in first]
    assert [path.read_bytes() for path in analysis.draw_study(directories[case])] == before
    assert all(data.startswith(b"\x89PNG") and b"Software" not in data for data in before)
    assert not list(directories[case].glob(".*partial*"))


def test_a_directory_of_several_kinds(tmp_path):
    synthetic.accuracy(tmp_path, selects=("gradient",), adc=(0,), ranks=0)
    synthetic.pareto(tmp_path)
    assert [p.name for p in analysis.draw_study(tmp_path)] == ["accuracy.png", "pareto.png"]


def drawn(ax, label):
    line = next(line for line in ax.lines if line.get_label().startswith(label))
    return np.column_stack([line.get_xdata(), line.get_ydata()])


def labels(ax):
    return [text.get_text() for text in ax.texts]


def test_accuracy_plot(directories):
    path = directories["mrpc"]
    table = pd.read_parquet(path / "accuracy.parquet")
    mine = table[(table["select"] == "gradient") & (table["adc_bits"] == 0)]
    ax = analysis.accuracy_plot(path)
    for sigma in (0.025, 0.112):
        means = mine[mine["sigma"] == sigma].groupby("slc_rate")["score"].mean()
        np.testing.assert_allclose(
            drawn(ax, f"σ = {sigma}"), np.column_stack([100 * means.index, means])
        )
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[1] == "σ = 0.112 (calibrated): 4.04 % of cells read wrong"
    assert labels(ax) == [
        *("floor 0.812", "truncated 0.815"),
        *("fine-tuned 0.887", "dense INT8 0.890", "dense 0.891"),
    ]
    shaded = ax.patches[0].get_path().get_extents().transformed(ax.patches[0].get_patch_transform())
    assert shaded.y1 == pytest.approx(0.812)
    assert ax.get_yscale() == "linear"
    # the band is mean ± half width; at rate 1 it is none
    scores = mine[(mine["sigma"] == 0.112) & (mine["slc_rate"] == 0)]["score"]
    mean, half = analysis.confidence(scores)
    edge = ax.collections[1].get_paths()[0].vertices
    assert edge[edge[:, 0] == 0, 1].min() == pytest.approx(mean - half)
    assert np.ptp(edge[edge[:, 0] == 100, 1]) == pytest.approx(0)
    given = new_axes()
    assert analysis.accuracy_plot(path, select="rank", ax=given) is given
    assert "selection by rank" in given.get_title(loc="left")


def test_accuracy_plot_of_perplexity_and_floors_out_of_view(directories):
    ax = analysis.accuracy_plot(directories["perplexity"])
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "perplexity (lower is better)"
    assert not ax.patches
    assert not any("floor" in text for text in labels(ax))
    ax = analysis.accuracy_plot(directories["far floor, no seeds"])
    assert ax.get_ylabel() == "accuracy\n(floor 0.100: below this axis)"
    assert not ax.collections  # one seed: no band


def test_accuracy_plot_without_noise_is_a_line_across(tmp_path):
    path = synthetic.accuracy(tmp_path, selects=("gradient",), adc=(0,))
    table = pd.read_parquet(path / "accuracy.parquet")
    row = table.head(1).assign(sigma=0.0, slc_rate=1.0, score=0.886)
    pd.concat([table, row]).to_parquet(path / "accuracy.parquet")
    ax = analysis.accuracy_plot(path)
    assert "no noise 0.886" in labels(ax)
    assert len(ax.get_legend().get_texts()) == 2


def test_selection_plot(directories):
    path = directories["mrpc"]
    ax = analysis.selection_plot(path, sigma=0.025)
    table = pd.read_parquet(path / "accuracy.parquet")
    table = table[(table["sigma"] == 0.025) & (table["adc_bits"] == 0)]
    for select in synthetic.SELECTS:
        means = table[table["select"] == select].groupby("slc_rate")["score"].mean()
        np.testing.assert_allclose(drawn(ax, select)[:, 1], means)
    assert [t.get_text() for t in ax.get_xticklabels()][:4] == ["0", "5", "10", "20"]
    assert "σ = 0.025 (released)" in ax.get_title(loc="left")
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["gradient", "gradient-last", "rank", "magnitude"]


def test_adc_plot(directories):
    ax = analysis.adc_plot(directories["mrpc"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["6", "7", "8", "exact"]
    lines = [line for line in ax.lines if line.get_marker() in "os"]  # others: whiskers
    assert len(lines) == 2 * 3  # sigmas, rates
    table = pd.read_parquet(directories["mrpc"] / "accuracy.parquet")
    means = table[(table["select"] == "gradient") & (table["sigma"] == 0.025)]
    means = means[means["slc_rate"] == 0.1].groupby("adc_bits")["score"].mean()
    np.testing.assert_allclose(lines[1].get_ydata(), means[[6, 7, 8, 0]])
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[:4] == ["SLC rate", "0 %", "10 %", "100 %"]
    assert names[-1] == "floor 0.812"


def test_importance_plot(directories):
    path = directories["mrpc"]
    axes = analysis.importance_plot(path)
    shares = json.loads((path / "accuracy.json").read_text())["importance"]["shares"]
    assert [ax.get_title(loc="left") for ax in axes] == [
        *("(a) before SVD", "(b) after SVD", "(c) after fine-tuning")
    ]
    share = 100 * shares["tuned"]["0.05"]
    assert labels(axes[2])[0] == f"top 5 % hold {share:.0f} % of the mass"
    assert [ax.get_yscale() for ax in axes] == ["log"] * 3
    assert [len(line.get_xdata()) for line in axes[2].lines] == [307, 39, 19, 19]  # of 384 ranks
    axes = analysis.importance_plot(directories["one sigma"])
    assert [ax.get_yscale() for ax in axes] == ["linear"] * 3
    given = [new_axes(9.0, 4.0) for _ in range(3)]
    assert analysis.importance_plot(path, axes=given) == given


def test_quality_plot(directories):
    path = directories["seven methods"]
    axes = analysis.quality_plot(path)
    table = pd.read_parquet(path / "study.parquet")
    means = table[table["method"] == "uniform"].groupby("budget")[
        ["linears_share", "total_share", "after"]
    ]
    means = means.mean()
    for ax, column in zip(axes, ("linears_share", "total_share"), strict=True):
        np.testing.assert_allclose(
            drawn(ax, "uniform"), np.column_stack([100 * means[column], means["after"]])
        )
    assert labels(axes[1]) == ["dense 0.887"]
    names = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert names == list(synthetic.METHODS)
    given = [new_axes(), new_axes()]
    assert analysis.quality_plot(path, axes=given) == given
    assert given[0].get_legend() is not None


def test_a_noise_is_named_by_the_cells_of_the_model(directories):
    study = analysis.load_study(directories["mrpc"], "accuracy")
    for entry in study.info["noise"]:
        entry |= {"own_wrong_cells": 0.0391, "name": "given"}
    study.info["chip"]["analog.sign"] = "differential"
    ax = analysis.accuracy_plot(study)
    sigma = study.info["noise"][-1]["sigma"]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert f"σ = {sigma:.4g}: 3.9 % of this model's cells read wrong" in names
    assert "selection by gradient · pairs of cells · " in ax.get_title(loc="left")


def test_recovery_plot(directories):
    path = directories["seven methods"]
    axes = analysis.recovery_plot(path)
    table = score_axes.by_budget(analysis.rank_table(path))
    for ax, state in zip(axes, ("before", "after"), strict=True):
        found = [c.lines[0].get_xdata()[0] for c in ax.containers]
        np.testing.assert_allclose(found, table[state])
        assert ax.yaxis_inverted()
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names[: len(table)] == list(table["method"])
    assert names[len(table) :] == [f"budget {100 * b:g} %" for b in sorted(set(table["budget"]))]
    given = [new_axes(), new_axes()]
    assert analysis.recovery_plot(path, axes=given) == given


def test_speedup_plot(directories):
    path = directories["210 matrices"]
    axes = analysis.speedup_plot(path)
    table = analysis.rank_table(path)
    wanted = table[(table["method"] == "tanh rounded") & (table["budget"] == 0.3)].iloc[0]
    for ax, gain in zip(axes, ("latency", "throughput", "energy", "arrays"), strict=True):
        bars = [p for p in ax.patches if p.get_height() == pytest.approx(0.74)]
        assert len(bars) == 14 * 3
        assert bars[1].get_x() + bars[1].get_width() == pytest.approx(wanted[gain])
        assert labels(ax)[1] == f"{wanted[gain]:.2f}"
        bands = [p for p in ax.patches if p not in bars]
        assert [(b.get_x(), b.get_x() + b.get_width()) for b in bands] == (
            [pytest.approx((1.33, 1.72))] if gain in ("latency", "throughput") else []
        )
    legend = axes[0].figure.legends[0].get_texts()[0].get_text()
    assert legend == "published: SoftLMs, half of all parameters (own hardware), 1.33–1.72×"
    ticks = [text.get_text() for text in axes[0].get_yticklabels()]
    assert ticks[:2] == ["tanh", "tanh rounded"]
    assert ticks[-3:] == ["budget 30 %", "budget 50 %", "budget 70 %"]


def test_ranks_plot(directories):
    path = directories["other matrices"]
    ax = analysis.ranks_plot(path)
    rows = [mesh.get_array() for mesh in ax.collections]
    assert [row.shape for row in rows] == [(1, 38)] * 9
    ranks = pd.read_parquet(path / "ranks.parquet")
    first = ranks[(ranks["method"] == "tanh") & (ranks["budget"] == 0.3)]
    first = first[first["matrix"] == "encoder.layer.0.attention.self.query"]
    assert rows[0][0, 0] == pytest.approx(first["rank"].mean() / 384)
    assert rows[0].mask.sum() == 3  # matrices 3, 20 and 37 are left dense
    ticks = [text.get_text() for text in ax.get_yticklabels()]
    assert ticks[:3] == ["tanh", "fwsvd", "new"]  # known methods first
    assert len(analysis.ranks_plot(path, budget=0.5).collections) == 3
    numbers = labels(analysis.ranks_plot(directories["one method"]))
    assert len(numbers) == 22  # of 24, two left dense
    assert all(0 < float(number) <= 1 for number in numbers)


def test_pareto_plot(directories):
    path = directories["pareto"]
    axes = analysis.pareto_plot(path)
    table = pd.read_parquet(path / "pareto.parquet")
    for ax, column, unit in zip(axes, ("latency_ps", "energy_pj"), (1e6, 1e3), strict=True):
        front = analysis.pareto_front(path, column)
        line = drawn(ax, "Pareto front")[:-1]
        np.testing.assert_allclose(line, np.column_stack([front[column] / unit, front["score"]]))
        points = [p for p in ax.lines if len(p.get_xdata()) == 1 and p.get_marker() in "os^DvPX"]
        assert len(points) == len(table) == 28
        assert set(labels(ax)) <= {"0", "5", "10", "30", "40", "50", "100"} | {
            *("dense 0.887", "floor 0.812")
        }
    assert [ax.get_xlabel() for ax in axes] == ["latency (µs)", "energy per request (nJ)"]
    names = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert names[:5] == ["parameter budget", "30 %", "50 %", "70 %", "100 %"]


@pytest.mark.parametrize("case", ["three chips", "24 chips"])
def test_chips_plot(directories, case):
    path = directories[case]
    axes = analysis.chips_plot(path)
    table = pd.read_parquet(path / "pareto.parquet")
    info = json.loads((path / "pareto.json").read_text())
    energy = {"nJ": 1e3, "µJ": 1e6}[axes[0].get_xlabel()[-3:-1]]
    units = {"energy_pj": energy, "latency_ps": 1e6, "area_mm2": 1}
    for ax, (column, unit) in zip(axes, units.items(), strict=True):
        front = analysis.pareto_front(path, column)
        line = drawn(ax, "Pareto front")[:-1]
        np.testing.assert_allclose(line, np.column_stack([front[column] / unit, front["score"]]))
        points = [p for p in ax.lines if p.get_marker() in list("os^DvPX<>*")]
        rings = [p for p in points if p.get_label() == "own chip"]
        assert len(rings[0].get_xdata()) == (table["chip"] == "hyflexpim").sum()
        dark = [p for p in points if p.get_markersize() == 4]
        assert sum(len(p.get_xdata()) for p in dark) == table["front"].sum()
        pale = [p for p in points if p.get_markersize() == 3]
        assert sum(len(p.get_xdata()) for p in pale) == (~table["front"]).sum()
    names = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    if case == "three chips":
        assert [names.count(chip) for chip in info["chips"]] == [1] * 4
    else:
        assert names[0] == "hyflexpim"
        assert [*filter(None, names)][3:] == [
            *("adc.slc_bits:adc.mlc_bits", "4:5", "5:6", "6:7", "7:8", "8:9", "9:10"),
            *("rows", "32", "64", "128", "256"),
        ]
        assert "hyflexpim: adc.slc_bits:adc.mlc_bits 6:7, rows 64" in axes[0].figure.get_suptitle()


def test_a_cost_that_all_chips_share_is_said_not_drawn(directories):
    axes = analysis.chips_plot(directories["24 chips of one area, perplexity"])
    assert [ax.get_xlabel() for ax in axes] == ["energy per request (µJ)", "latency (µs)"]
    assert "; area: 300 mm² everywhere" in axes[0].figure.get_suptitle()


def test_pictures_of_chips_on_given_axes(directories):
    given = [new_axes(9.0, 4.0) for _ in range(3)]
    assert analysis.chips_plot(directories["three chips"], axes=given) == given
    with pytest.raises(InputError) as caught:
        analysis.chips_plot(directories["three chips"], axes=given[:2])
    assert str(caught.value) == "chips_plot: axes must be 3; got 2"


@pytest.mark.parametrize(
    ("case", "draw", "words"),
    [
        (
            "one sigma",
            lambda d: analysis.accuracy_plot(d, select="x"),
            "{d}/accuracy.parquet: column 'select' has rank; got 'x'",
        ),
        (
            "mrpc",
            lambda d: analysis.selection_plot(d, sigma=0.5),
            "{d}/accuracy.parquet: column 'sigma' has 0.025, 0.112; got 0.5",
        ),
        (
            "one sigma",
            analysis.adc_plot,
            "{d}/accuracy.parquet: column 'adc_bits' has one value for each sigma and slc_rate",
        ),
        (
            "far floor, no seeds",
            analysis.importance_plot,
            "{d}/accuracy.json: key 'importance' must not be null here",
        ),
        (
            "mrpc",
            lambda d: accuracy_figures.importance_plot(d, axes=[]),
            "importance_plot: axes must be 3; got 0",
        ),
        (
            "one method",
            lambda d: rank_figures.quality_plot(d, axes=[None]),
            "quality_plot: axes must be 2; got 1",
        ),
        (
            "one method",
            lambda d: analysis.ranks_plot(d, budget=0.4),
            "{d}/ranks.parquet: column 'budget' has 0.5; got 0.4",
        ),
        (
            "pareto",
            lambda d: pareto_figures.pareto_plot(d, noise="0.5"),
            "{d}/pareto.parquet: column 'noise' has 0.112; got '0.5'",
        ),
    ],
)
def test_refused(directories, case, draw, words):
    with pytest.raises(InputError) as caught:
        draw(directories[case])
    assert str(caught.value) == words.replace("{d}", str(directories[case]))
