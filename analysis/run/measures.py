"""Numbers from a run's tables. Plain functions, a table in and a table out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.style import KIND_COLOURS, kind_colours
from hyflexsim.sim.errors import InputError

ENERGY_KEYS = ("kind", "layer", "op", "action", "class", "status")
QUANTILES = (0.5, 0.95, 0.99)


def kind_order(kinds: pd.Series | pd.Index | list[str]) -> list[str]:
    """Kinds in the order in which a token meets them; unknown ones last, by name."""
    given = set(kinds)
    return [k for k in KIND_COLOURS if k in given] + sorted(given - set(KIND_COLOURS))


def colours_of(run: Run) -> dict[str, str]:
    """Colour of every kind of component of a run: the same in each of its pictures."""
    return kind_colours([*run.components["kind"].unique(), *run.energy["kind"].unique()])


def layer_order(run: Run) -> list[str]:
    """Layers by their first PU, those of one PU by who finishes something first.

    Layers without a PU (the host's) stand first or last, by when they finish something first.
    """
    names: dict[str, None] = {}
    if run.layers:
        names = dict.fromkeys(run.layers)
    elif "layer" in run.trace:
        codes = pd.unique(run.trace["layer"].cat.codes)
        names = dict.fromkeys(str(run.trace["layer"].cat.categories[c]) for c in codes if c >= 0)
    names |= dict.fromkeys(run.placement["layer"].unique().tolist())
    home: dict[str, int] = {}
    rows = pd.concat([run.placement[["layer", "pu"]], run.components[["layer", "pu"]]])
    for layers, pu in rows[rows["pu"] >= 0].drop_duplicates().itertuples(index=False):
        for layer in str(layers).split("+"):
            names.setdefault(layer)
            home[layer] = min(int(pu), home.get(layer, int(pu)))
    joints = run.components["layer"].unique().tolist()
    names |= dict.fromkeys(n for joint in joints for n in joint.split("+"))
    seen = {name: i for i, name in enumerate(names)}
    first = min((seen[name] for name in home), default=0)

    def place(name: str) -> tuple[float, int]:
        outside = float("-inf") if seen[name] < first else float("inf")
        return home.get(name, outside), seen[name]

    return sorted((name for name in names if name), key=place)


def utilisation(run: Run) -> pd.DataFrame:
    """Share of the makespan in which components are busy, a row a kind.

    Columns: ``components`` (how many), ``visits``, ``busy_ps`` (all together), ``mean`` and
    ``max`` utilisation (0 to 1), ``busiest`` (name of the component with the largest).
    """
    table = run.components
    groups = table.groupby("kind", sort=False)
    result = pd.DataFrame(
        {
            "components": groups["component"].count(),
            "visits": groups["visits"].sum(),
            "busy_ps": groups["busy_ps"].sum(),
            "mean": groups["utilisation"].mean(),
            "max": groups["utilisation"].max(),
            "busiest": table.loc[groups["utilisation"].idxmax(), "component"].to_numpy(),
        }
    )
    return result.loc[kind_order(result.index)]


def energy_by(run: Run, by: str = "kind") -> pd.DataFrame:
    """Energy of the whole run by ``by``: kind, layer, op, action, class (of op) or status.

    Columns: ``energy_pj``, ``share`` (0 to 1); largest first, ties by name.
    """
    if by not in ENERGY_KEYS:
        raise InputError(f"by must be one of {', '.join(ENERGY_KEYS)}; got {by!r}")
    key = run.energy["op"].map(run.classes).fillna("other") if by == "class" else run.energy[by]
    total = run.energy["energy_pj"].groupby(key.rename(by)).sum().sort_index()
    total = total.sort_values(ascending=False, kind="stable")
    return pd.DataFrame({"energy_pj": total, "share": total / max(total.sum(), 1e-300)})


def latency_quantiles(run: Run) -> pd.DataFrame:
    """Latencies of requests in ps: a row for ``all`` and, where there are labels, one a label.

    Columns: ``requests``, ``p50_ps``, ``p95_ps``, ``p99_ps`` (linear interpolation, as
    :func:`numpy.quantile`), ``mean_ps``, ``max_ps``.
    """
    groups = {"all": run.requests["latency_ps"]}
    labels = sorted(set(run.requests["label"]) - {""})
    if len(labels) > 1:
        for label in labels:
            groups[label] = run.requests.loc[run.requests["label"] == label, "latency_ps"]
    rows = {}
    for name, values in groups.items():
        p50, p95, p99 = np.quantile(values, QUANTILES) if len(values) else [np.nan] * 3
        rows[name] = (len(values), p50, p95, p99, values.mean(), values.max())
    columns = ["requests", "p50_ps", "p95_ps", "p99_ps", "mean_ps", "max_ps"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def layer_spans(run: Run) -> pd.DataFrame:
    """First start and last end of each request in each layer.

    Columns: ``request``, ``layer``, ``start_ps``, ``end_ps``; ordered by request, then start.
    """
    groups = run.trace.groupby(["request", "layer"], observed=True, sort=False)
    spans = groups.agg(start_ps=("start_ps", "min"), end_ps=("end_ps", "max")).reset_index()
    spans["layer"] = spans["layer"].astype(str)
    return spans.sort_values(["request", "start_ps", "end_ps"], ignore_index=True)


def typical_request(run: Run) -> int:
    """Of the requests in the trace, that whose latency is the median (the lower one of two)."""
    if run.requests.empty:
        raise InputError(f"{run.path / 'requests.parquet'}: no requests in it")
    return typical_of(run.traced)


def typical_of(requests: pd.DataFrame) -> int:
    """The same of a table of requests, the first of equals; -1 where there is none."""
    ordered = requests.sort_values(["latency_ps", "request"], ignore_index=True)
    if ordered.empty:
        return -1
    return int(ordered["request"].iloc[(len(ordered) - 1) // 2])
