"""Pictures of accuracy under device noise: SLC rate, selection, converters, importance.

Axes in, Axes out. Scores are means over seeds of the noise, with 95 % intervals (Student's t).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from hyflexsim.analysis import style
from hyflexsim.analysis.studies import score_axes
from hyflexsim.analysis.studies.accuracy import noise_means
from hyflexsim.analysis.studies.studies import STAGES, Study, StudyLike, load_study
from hyflexsim.sim.errors import InputError

TOP_COLOURS = ("#B2182B", "#E69F00", "#8DB3D9", "#BDBDBD")
"""Ranks in the top 5, 10, 20 % of importance, and the others."""
TEXT_COLOURS = ("#B2182B", "#9A6A00", "#3F6FA0", "#505050")


def accuracy_plot(
    study: StudyLike,
    *,
    select: str | None = None,
    adc_bits: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Score against SLC rate (% of ranks in single-level cells): HyFlexPIM's Fig 12.

    A line with its 95 % band per σ of the noise, named with its error rate; references are
    horizontal lines named at the right. The floor (what guessing gets) is shaded. Perplexities
    that span more than ten times have a log axis.

    Parameters
    ----------
    study
        Accuracy directory, or what :func:`load_study` made of it.
    select
        How protected ranks are chosen; default "gradient", else the first there is.
    adc_bits
        Resolution of the converters; default 0 (products exact), else the finest there is.
    """
    data = load_study(study, "accuracy")
    means = noise_means(data)
    select = _one(data, means, "select", select, default_select(means))
    means = means[means["select"] == select]
    bits = _one(data, means, "adc_bits", adc_bits, 0)
    means = means[means["adc_bits"] == bits]
    lines = [(float(s), line) for s, line in means.groupby("sigma")]
    flat = [(s, line) for s, line in lines if s == 0 and len(line) == 1]
    lines = [(s, line) for s, line in lines if s != 0 or len(line) > 1]
    references = [(str(r["name"]), float(r["score"])) for r in data.info["references"]]
    references += [("no noise", float(line["mean"].iloc[0])) for _, line in flat]
    shown = means if not lines else pd.concat([line for _, line in lines])
    with style.context():
        if ax is None:
            ax = style.new_axes(4.6, 2.75 + 0.13 * len(lines))
        scores = [*shown["mean"], *(y for _, y in references)]
        score_axes.score_axis(ax, data, scores, shown["half_width"])
        score_axes.rate_ticks(ax, shown["slc_rate"])
        handles = []
        for i, (sigma, line) in enumerate(lines):
            look = _sigma_look(i)
            x = 100 * line["slc_rate"].to_numpy()
            score_axes.bands(ax, x, line["mean"], line["half_width"], look["color"])
            name = score_axes.name_sigma(data, sigma, report=True)
            name = "\n".join(textwrap.wrap(name, 72, subsequent_indent="   "))
            handles += ax.plot(x, line["mean"], label=name, **look)
        ax.set_xlabel("SLC rate (% of ranks)")
        parts = [f"selection by {select}", _signs(data), _converters(bits), _activations(data)]
        score_axes.title(ax, data, " · ".join(filter(None, parts)))
        if handles:
            score_axes.legend_below(ax, handles, 1)
        named = [(f"{name} {style.significant(y)}", y, score_axes.GREY) for name, y in references]
        score_axes.name_lines(ax, [*named, *score_axes.floor_label(data, ax)])
    return ax


def selection_plot(
    study: StudyLike,
    *,
    sigma: float | None = None,
    adc_bits: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Score at each SLC rate, a line per way to select the protected ranks: HyFlexPIM's Fig 13.

    Rates are evenly spaced, methods side by side within each; whiskers are 95 % intervals.

    Parameters
    ----------
    study
        Accuracy directory, or what :func:`load_study` made of it.
    sigma
        The noise; default the largest.
    adc_bits
        Resolution of the converters; default 0 (products exact), else the finest there is.
    """
    data = load_study(study, "accuracy")
    means = noise_means(data)
    sigma = _one(data, means, "sigma", sigma, None)
    means = means[means["sigma"] == sigma]
    bits = _one(data, means, "adc_bits", adc_bits, 0)
    means = means[means["adc_bits"] == bits]
    rates = sorted(set(means["slc_rate"]))
    colours = score_axes.select_colours(means["select"])
    names = [name for name in colours if name in set(means["select"])]
    with style.context():
        if ax is None:
            ax = style.new_axes(4.6, 2.7)
        score_axes.score_axis(ax, data, means["mean"], means["half_width"])
        step = min(0.7 / max(len(names), 1), 0.16)
        for i, name in enumerate(names):
            mine = means[means["select"] == name]
            x = np.array([rates.index(r) for r in mine["slc_rate"]], float)
            x += (i - (len(names) - 1) / 2) * step
            colour = colours[name]
            score_axes.bands(ax, x, mine["mean"], mine["half_width"], colour, whiskers=True)
            look: dict[str, Any] = {"marker": score_axes.MARKERS[i], "markersize": 3.6}
            ax.plot(x, mine["mean"], color=colour, linewidth=0.7, label=name, **look)
        for i in range(1, len(rates)):
            ax.axvline(i - 0.5, color="#E3E3E3", linewidth=0.5, zorder=0)
        ax.set_xticks(range(len(rates)), [f"{100 * rate:g}" for rate in rates])
        ax.set_xlim(-0.55, len(rates) - 0.45)
        ax.set_xlabel("SLC rate (% of ranks, evenly spaced)")
        noise = score_axes.name_sigma(data, sigma)
        parts = [noise, _signs(data), _converters(bits), _activations(data)]
        score_axes.title(ax, data, " · ".join(filter(None, parts)))
        score_axes.legend_below(ax, [h for h in ax.lines if h.get_label() in names], len(names))
        score_axes.name_lines(ax, score_axes.floor_label(data, ax))
    return ax


def adc_plot(study: StudyLike, *, select: str | None = None, ax: Axes | None = None) -> Axes:
    """Score against the resolution of the converters (bits; "exact": products as they are).

    A line per SLC rate (colour) and σ (dashes and marker) that has at least two resolutions;
    whiskers are 95 % intervals. The released code has no converters, so no figure of the paper.

    Parameters
    ----------
    study
        Accuracy directory, or what :func:`load_study` made of it.
    select
        How protected ranks are chosen; default "gradient", else the first there is.
    """
    data = load_study(study, "accuracy")
    means = noise_means(data)
    select = _one(data, means, "select", select, default_select(means))
    means = means[means["select"] == select]
    keys = ["sigma", "slc_rate"]
    several = means.groupby(keys)["adc_bits"].transform("nunique") > 1
    means = means[several]
    if means.empty:
        file = data.path / "accuracy.parquet"
        raise InputError(f"{file}: column 'adc_bits' has one value for each sigma and slc_rate")
    bits = sorted(set(means["adc_bits"]), key=lambda b: b or 99)
    rates = sorted(set(means["slc_rate"]))
    sigmas = sorted(set(means["sigma"]))
    colours = [to_hex(c) for c in colormaps["viridis"](np.linspace(0.05, 0.88, len(rates)))]
    with style.context():
        if ax is None:
            ax = style.new_axes(4.6, 2.7)
        score_axes.score_axis(ax, data, means["mean"], means["half_width"])
        count = len(rates) * len(sigmas)
        step = min(0.6 / count, 0.08)
        for k, (key, line) in enumerate(means.groupby(keys)):
            sigma, rate = key
            mine = line.assign(x=[bits.index(b) for b in line["adc_bits"]]).sort_values("x")
            x = mine["x"].to_numpy() + (k - (count - 1) / 2) * step
            look = _sigma_look(sigmas.index(sigma)) | {"color": colours[rates.index(rate)]}
            y, half = mine["mean"], mine["half_width"]
            score_axes.bands(ax, x, y, half, look["color"], whiskers=True)
            ax.plot(x, y, **look)
        ax.set_xticks(range(len(bits)), [str(b) if b else "exact" for b in bits])
        ax.set_xlim(-0.5, len(bits) - 0.5)
        ax.set_xlabel("resolution of the converters (bits)")
        handles: list[Artist] = [Line2D([], [], label="SLC rate", linestyle="none")]
        named = zip(rates, colours, strict=True)
        handles += [Line2D([], [], color=c, label=f"{100 * rate:g} %") for rate, c in named]
        if len(sigmas) > 1:
            handles.append(Line2D([], [], label="noise", linestyle="none"))
            for i, sigma in enumerate(sigmas):
                look = _sigma_look(i) | {"color": score_axes.GREY}
                handles.append(Line2D([], [], label=score_axes.name_sigma(data, sigma), **look))
        for name, _, _ in score_axes.floor_label(data, ax):
            handles.append(Patch(facecolor="#EFEFEF", label=name))
        ax.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(1.03, 1),
            borderaxespad=0,
            handlelength=2.0,
        )
        parts = [f"selection by {select}", _activations(data)]
        if len(sigmas) == 1:
            parts.insert(1, score_axes.name_sigma(data, sigmas[0]))
        score_axes.title(ax, data, " · ".join(filter(None, parts)))
    return ax


def importance_plot(study: StudyLike, *, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Absolute gradients of a layer before SVD, after SVD, after fine-tuning: HyFlexPIM's Fig 11.

    Left: outputs of the dense matrix (the sum over their weights; the paper draws the weights of
    its first row); others: its singular values, the largest first. Ranks
    in the top 5, 10 and 20 % by gradient have colours of their own; above each panel stands the
    share of gradient mass that these tops hold. All panels have a log axis if the largest value of
    one is more than 100 times its median. Each panel has a scale of its own, as in the paper.

    Parameters
    ----------
    study
        Accuracy directory with ``importance`` in its accuracy.json.
    axes
        Three Axes; default a figure as wide as a page.
    """
    data = load_study(study, "accuracy")
    importance = data.info["importance"]
    if importance is None:
        raise InputError(f"{data.path / 'accuracy.json'}: key 'importance' must not be null here")
    if axes is not None and len(axes) != len(STAGES):
        raise InputError(f"importance_plot: axes must be {len(STAGES)}; got {len(axes)}")
    series = {stage: np.abs(np.asarray(importance[stage], float)) for stage in STAGES}
    log = any(
        np.max(v) > 100 * max(float(np.median(v)), 1e-300) and np.count_nonzero(v) > 1
        for v in series.values()
    )
    with style.context():
        own = axes is None
        axes = axes or score_axes.panels(len(STAGES), style.PAGE, 2.6)
        if own:
            score_axes.heading(axes[0], data, f"layer {importance['layer']}")
        for letter, (stage, values), ax in zip("abc", series.items(), axes, strict=True):
            shares = importance["shares"][stage]
            _importance_panel(ax, values, shares, f"({letter}) {STAGES[stage]}", log)
            ax.set_xlabel("output of the matrix" if stage == "before" else "rank")
        axes[0].set_ylabel("|gradient of the loss|")
    return list(axes)


def _importance_panel(
    ax: Axes, values: np.ndarray[Any, Any], shares: dict[str, float], name: str, log: bool
) -> None:
    tops = sorted(shares, key=float)
    place = np.empty(len(values), int)
    place[np.argsort(-values, kind="stable")] = np.arange(len(values))
    limits = [max(round(float(top) * len(values)), 1) for top in tops]
    inside = np.searchsorted(limits, place, side="right")  # 0: in the smallest top
    colours = [TOP_COLOURS[min(i, 2)] for i in range(len(tops))] + [TOP_COLOURS[-1]]
    low = float(np.min(values[values > 0], initial=np.inf))
    for k in reversed(range(len(tops) + 1)):
        at = np.flatnonzero(inside == k)
        if log:
            ax.plot(at, np.maximum(values[at], low), "o", color=colours[k], markersize=1.6)
            ax.lines[-1].set_markeredgewidth(0)
        else:
            wide = max(150 / len(values), 0.35)
            ax.vlines(at, 0, values[at], color=colours[k], linewidth=min(wide, 3.0))
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(10, numticks=8))
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_ylim(0, float(values.max()) * 1.05 or 1.0)
        ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
        ax.yaxis.get_offset_text().set(fontsize=6, visible=True)
    ax.set_xlim(-0.02 * len(values) - 0.5, 1.02 * len(values) - 0.5)
    ax.grid(axis="y")
    lift = 4 if log else 13  # above the power of ten of a linear axis
    for i, top in enumerate(tops):
        ax.annotate(
            f"top {100 * float(top):g} % hold {style.percent(float(shares[top]))} of the mass",
            (0, 1),
            (0, lift + 8 * (len(tops) - 1 - i)),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=style.SMALL,
            color=TEXT_COLOURS[min(i, 3)],
        )
    ax.set_title(name, loc="left", fontsize=7, pad=lift + 3 + 8 * len(tops))


def default_select(table: pd.DataFrame) -> str:
    """The selection to draw: gradient where there is one, else the first by name."""
    names = set(table["select"])
    return "gradient" if "gradient" in names else str(min(names))


def _one(data: Study, means: pd.DataFrame, column: str, wanted: Any, default: Any) -> Any:
    """The value of a column to draw: the wanted one, which must exist, or a default."""
    there = list(dict.fromkeys(means[column].tolist()))
    if wanted is None:
        return default if default in there else max(there)
    if wanted not in there:
        known = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in there)
        file = data.path / "accuracy.parquet"
        raise InputError(f"{file}: column {column!r} has {known}; got {wanted!r}")
    return wanted


def _sigma_look(index: int) -> dict[str, Any]:
    return {
        "color": style.LABEL_COLOURS[index % len(style.LABEL_COLOURS)],
        "marker": score_axes.MARKERS[index % len(score_axes.MARKERS)],
        "linestyle": ("-", "--", "-.", ":")[index % 4],
        "markersize": 3.4,
        "linewidth": 1.1,
    }


def _signs(study: Study) -> str:
    """How the cells hold signs, if not as the released code has it."""
    names = {"differential": "pairs of cells", "differential-rows": "pairs of cells"}
    return (names | {"biased": "biased cells"}).get(str(_of_chip(study, "sign")), "")


def _converters(bits: int) -> str:
    return f"{bits}-bit converters" if bits else "no converters"


def _activations(data: Study) -> str:
    bits = _of_chip(data, "input_bits")
    return f"{bits}-bit activations" if bits else ""


def _of_chip(data: Study, parameter: str) -> object:
    """A parameter of the unit that multiplies; None where it has none such."""
    found = (v for key, v in data.info["chip"].items() if key.endswith(f".{parameter}"))
    return next(found, None)
