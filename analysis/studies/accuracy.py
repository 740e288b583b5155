"""Statistics of accuracy studies: means with intervals, what noise costs, which rate suffices.

Intervals are 95 %, by Student's t over seeds. One seed has none (nan).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from hyflexsim.analysis.studies.dominance import on_front
from hyflexsim.analysis.studies.studies import StudyLike, load_study
from hyflexsim.sim.errors import InputError

GAINS = {"latency": "latency_ps", "throughput": "makespan_ps"}
GAINS |= {"energy": "energy_pj", "arrays": "arrays"}
"""Name of each gain of the simulated chip, and the column that shrinks by it."""

COSTS = ("latency_ps", "energy_pj", "area_mm2", "arrays")
"""Columns of a Pareto study of which less is better."""


class Mean(NamedTuple):
    """A mean and the half width of its 95 % interval (nan: of one score, no interval)."""

    mean: float
    half_width: float


def confidence(scores: Iterable[float]) -> Mean:
    """Mean of scores and half width of its 95 % interval, by Student's t.

    >>> mean, half_width = confidence([1, 3])
    >>> mean, round(half_width, 3)  # tan(0.475 π), the quantile for two scores
    (2.0, 12.706)
    >>> confidence([0.5])
    Mean(mean=0.5, half_width=nan)
    """
    values = np.fromiter(scores, float)
    if not len(values):
        raise InputError("confidence: at least one score is needed")
    if len(values) == 1:
        return Mean(float(values[0]), math.nan)
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    from scipy import stats  # noqa: PLC0415 (half a second)

    return Mean(float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1)) * spread)


def accuracy_table(study: StudyLike) -> pd.DataFrame:
    """References, then a row per (select, sigma, slc_rate, adc_bits), with what noise costs.

    Columns: ``name`` (of the reference, else that of the noise), ``select``, ``sigma``,
    ``slc_rate``, ``adc_bits`` (none where a reference), ``mean``, ``half_width`` (95 %, nan with
    one seed), ``n`` (seeds), ``difference`` (mean less the reference "fine-tuned", which has no
    noise; nan without one).
    """
    data = load_study(study, "accuracy")
    means = noise_means(data)
    names = {float(n["sigma"]): str(n["name"]) for n in data.info["noise"]}
    means.insert(0, "name", [names.get(s, "no noise" if s == 0 else "") for s in means["sigma"]])
    means["adc_bits"] = means["adc_bits"].astype("Int64")
    references = pd.DataFrame(data.info["references"], columns=["name", "score"])
    references = references.rename(columns={"score": "mean"}).assign(select="", n=1)
    references["mean"] = references["mean"].astype(float)
    table = pd.concat([references.reindex(columns=means.columns), means], ignore_index=True)
    table = table.astype({"sigma": float, "slc_rate": float, "adc_bits": "Int64"})
    table = table.astype({"half_width": float, "n": int})
    base = {str(r["name"]): float(r["score"]) for r in data.info["references"]}
    table["difference"] = table["mean"] - base.get("fine-tuned", math.nan)
    return table


def noise_means(study: StudyLike) -> pd.DataFrame:
    """Mean, half width and seeds of each (select, sigma, slc_rate, adc_bits), sorted so.

    At rate 1 nothing is random without SLC noise, so a sweep scores it once; that row stands for
    every sigma of its selection.
    """
    data = load_study(study, "accuracy")
    keys = ["select", "sigma", "slc_rate", "adc_bits"]
    means = _means(data.table, keys, "score")
    lines = means[["select", "sigma", "adc_bits"]].drop_duplicates()
    full = means[means["slc_rate"] == 1].drop(columns="sigma")
    full = full.drop_duplicates(["select", "adc_bits"]).merge(lines, on=["select", "adc_bits"])
    means = pd.concat([means, full[means.columns]]).drop_duplicates(keys)
    return means.sort_values(keys, ignore_index=True)


def slc_rate_needed(study: StudyLike, loss: float = 0.01) -> pd.DataFrame:
    """Smallest SLC rate whose mean loses less than ``loss`` of the all-SLC score (Fig 12, §6.2).

    A row per (``select``, ``sigma``, ``adc_bits``) with noise: ``all_slc`` (mean at rate 1),
    ``slc_rate`` (nan: not reached at any
    rate), ``mean`` there, ``loss`` there (relative; negative is a gain), ``steady`` (no larger
    rate loses more than allowed).
    """
    if not 0 < loss < 1:
        raise InputError(f"loss must be a number above 0 and below 1; got {loss!r}")
    data = load_study(study, "accuracy")
    means = noise_means(data)
    sign = 1 if data.higher else -1
    rows = []
    for key, line in means[means["sigma"] > 0].groupby(["select", "sigma", "adc_bits"], sort=False):
        select, sigma, bits = key
        own = line[line["slc_rate"] == 1]
        if own.empty:
            file = data.path / "accuracy.parquet"
            raise InputError(
                f"{file}: column 'slc_rate' must have 1 for adc_bits {bits}, the all-SLC score"
            )
        best = float(own["mean"].mean())
        losses = sign * (best - line["mean"].to_numpy()) / max(abs(best), 1e-300)
        holds = losses < loss
        at = int(np.argmax(holds)) if holds.any() else -1
        found = line.iloc[at]
        rows.append(
            {
                "select": select,
                "sigma": sigma,
                "adc_bits": bits,
                "all_slc": best,
                "slc_rate": float(found["slc_rate"]) if holds.any() else math.nan,
                "mean": float(found["mean"]) if holds.any() else math.nan,
                "loss": float(losses[at]) if holds.any() else math.nan,
                "steady": bool(holds.any() and holds[at:].all()),
            }
        )
    names = ["select", "sigma", "adc_bits", "all_slc", "slc_rate", "mean", "loss", "steady"]
    return pd.DataFrame(rows, columns=names)


def rank_table(study: StudyLike) -> pd.DataFrame:
    """A row per (method, budget) of a study of ranks, means over its seeds.

    Columns: ``method``, ``budget``, ``n``, ``linears_share``, ``total_share``, ``macs_share``,
    ``before``, ``before_half``, ``after``, ``after_half`` (95 %), then ``latency``,
    ``throughput``, ``energy``, ``arrays`` (dense over compressed, so above 1 is a gain), each with
    its ``_half``.
    """
    data = load_study(study, "study")
    table = data.table.copy()
    for name, column in GAINS.items():
        table[f"gain {name}"] = table[f"dense_{column}"] / table[column]
    keys = ["method", "budget"]
    result = _means(table, keys, "after")[[*keys, "n"]]
    for name in ("linears_share", "total_share", "macs_share"):
        result[name] = _means(table, keys, name)["mean"]
    for name in ("before", "after", *(f"gain {n}" for n in GAINS)):
        means = _means(table, keys, name)
        result[name.removeprefix("gain ")] = means["mean"]
        result[f"{name.removeprefix('gain ')}_half"] = means["half_width"]
    return result


def pareto_front(study: StudyLike, cost: str, noise: str | None = None) -> pd.DataFrame:
    """Rows of a Pareto study that no other row beats in ``cost`` and score, cheapest first.

    ``cost`` is of :data:`COSTS` (less is better), compared to three places; ``noise`` picks one.
    Of equal scores the cheapest.
    """
    data = load_study(study, "pareto")
    if cost not in COSTS:
        raise InputError(f"cost must be of {', '.join(COSTS)}; got {cost!r}")
    table = data.table if noise is None else data.table[data.table["noise"] == noise]
    losses = table["score"] * (-1 if data.higher else 1)
    front = table[on_front(table[[cost]], losses)].sort_values(cost, ignore_index=True)
    return front.drop_duplicates("score", ignore_index=True)


def _means(table: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    rows = []
    for key, mine in table.groupby(keys, sort=True):
        found = confidence(mine[column])
        rows.append([*key, found.mean, found.half_width, len(mine)])
    return pd.DataFrame(rows, columns=[*keys, "mean", "half_width", "n"])
