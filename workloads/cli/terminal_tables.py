"""Tables of the command line: results as rich tables, numbers with SI prefixes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import networkx as nx

    from hyflexsim.sim.chip.chip import Chip
    from hyflexsim.sim.placement.mapping import Placement
    from hyflexsim.sim.placement.weight import Weight
    from hyflexsim.workloads.run.prepare import Prepared

_PREFIXES: tuple[tuple[float, str], ...] = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
)


def si(value: float, unit: str = "") -> str:
    """Three significant places and a prefix.

    >>> si(1.2345e-4, "s"), si(999.9), si(0, "J")
    ('123 µs', '1.00 k', '0 J')
    """
    if value == 0:
        return f"0 {unit}".rstrip()
    factor, prefix = next(
        ((f, p) for f, p in _PREFIXES if abs(value) >= 0.9995 * f), (_PREFIXES[-1])
    )
    scaled = value / factor
    places = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    if isinstance(value, int) and factor == 1.0:
        places = 0
    return f"{scaled:.{places}f} {prefix}{unit}".rstrip()


def table(title: str, *columns: str) -> Table:
    """An empty table; columns whose name starts with ``>`` are aligned right."""
    result = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        right = column.startswith(">")
        result.add_column(
            column.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=right or index == 0,
            header_style="dim",
        )
    return result


# --- a run ---------------------------------------------------------------------------------------


def headline(summary: Mapping[str, Any], requests: Sequence[Mapping[str, Any]]) -> Table:
    """Latency, throughput, energy, area, writes, visits."""
    result = table(f"{summary['scenario']}: {summary['model']} on {summary['preset']}", "", ">", "")
    result.show_header = False
    latency = summary["latency_ps"]
    count, makespan = summary["requests"], si(summary["makespan_ps"] * 1e-12, "s")
    for name in ("p50", "p95", "p99"):
        result.add_row(
            f"latency {name}", si(latency[name] * 1e-12, "s"), "from arrival to last token"
        )
    written = [row for row in requests if row["prefill"] < row["tokens"]]
    if written:
        first = sum(row["first_token_ps"] - row["arrival_ps"] for row in written) / len(written)
        rest = sum(row["finish_ps"] - row["first_token_ps"] for row in written)
        steps = sum(row["tokens"] - row["prefill"] for row in written)
        result.add_row("time to first token", si(first * 1e-12, "s"), "mean, from arrival")
        result.add_row("each further token", si(rest / steps * 1e-12, "s"), "mean")
    result.add_row(
        "throughput",
        si(summary["throughput_per_s"], "/s"),
        f"{count} requests, {summary['tokens']} tokens in {makespan}",
    )
    most = summary["stream"]["served_at_most_per_s"]
    if most is not None:
        offered = si(summary["stream"]["offered_per_s"], "/s")
        result.add_row("queue", "grows", f"without bound: {offered} come, {si(most, '/s')} served")
    result.add_row(
        "energy per request",
        si(summary["energy_per_request_pj"] * 1e-12, "J"),
        f"mode {summary['energy_mode']}",
    )
    power, tops, bound = summary["power_w"], summary["tops"], summary["bound"]
    result.add_row(
        "energy per token",
        si(summary["energy_per_token_pj"] * 1e-12, "J"),
        f"energy–delay {si(summary['energy_delay_pj_s'] * 1e-12, 'J s')} a request",
    )
    result.add_row(
        "power",
        si(power["mean"], "W"),
        f"mean; {si(power['peak'], 'W')} with all in use busy",
    )
    result.add_row(
        "TOPS",
        f"{tops['achieved']:.3g}",
        f"{tops['per_w']:.3g} TOPS/W, {tops['per_mm2']:.3g} TOPS/mm² (two operations a MAC)",
    )
    result.add_row(
        "bound by", bound["kind"], f"{bound['utilisation']:.0%} busy: {bound['roofline']} bound"
    )
    area = summary["area_mm2"]
    result.add_row("area", f"{area['chip']:,.0f} mm²", f"of which in use {area['used']:,.0f} mm²")
    result.add_row("RRAM cells written", si(summary["writes_per_request"]), "per request")
    result.add_row("work", si(summary["macs"]), "multiply-accumulates, all requests")
    result.add_row(
        "visits",
        f"{summary['visits']:,}",
        f"fidelity {summary['fidelity']}, overlap {summary['overlap']}, engine {summary['engine']}",
    )
    return result


def by_model(summary: Mapping[str, Any]) -> Table:
    """What each of several models did."""
    columns = (">PUs", ">requests", ">lost", ">latency p50", ">p99", ">throughput", ">energy")
    result = table("by model (energy of a request)", "", *columns)
    for name, row in summary["models"].items():
        latency = row["latency_ps"]
        result.add_row(
            name,
            str(row["pus_used"]),
            f"{row['requests']:,}",
            f"{row['lost']:,}",
            si(latency["p50"] * 1e-12, "s"),
            si(latency["p99"] * 1e-12, "s"),
            si(row["throughput_per_s"], "/s"),
            si(row["energy_per_request_pj"] * 1e-12, "J"),
        )
    return result


def accuracy(summary: Mapping[str, Any]) -> Table:
    """Scores of a run's checkpoint: as it is, and on noisy cells."""
    found = summary["accuracy"]
    metric = found["metric"]
    better = "higher" if metric["higher_is_better"] else "lower"
    result = table(f"{metric['name']} ({better} is better)", "", ">", "")
    result.show_header = False
    for name, score in found["references"].items():
        result.add_row(name, f"{score:.4g}", "")
    for row in found["noise"]:
        half = "" if row["half_width"] is None else f" ± {row['half_width']:.2g}"
        result.add_row(f"noise {row['name']}", f"{row['mean']:.4g}{half}", row["report"])
    return result


def values(rows: Iterable[tuple[Any, ...]]) -> Table:
    """How the plan's numbers agree with the model's: op, elements, equal, largest difference."""
    result = table("values", "op", *_VALUES)
    for row in rows:
        result.add_row(*_agreement(row))
    return result


def values_by_model(rows: Iterable[tuple[str, tuple[Any, ...]]]) -> Table:
    """The same of several models, whose name is before each op."""
    result = table("values", "model", "op", *_VALUES)
    for model, row in rows:
        result.add_row(model, *_agreement(row))
    return result


_VALUES = (">elements", ">equal", ">largest difference")


def _agreement(row: tuple[Any, ...]) -> tuple[str, str, str, str]:
    op, _, elements, equal, apart = row
    shown = "" if equal == elements else "not computed" if apart == inf else f"{apart:.3g}"
    return op, f"{elements:,}", f"{equal:,}", shown


def by_kind(summary: Mapping[str, Any]) -> Table:
    """Energy and utilisation of each kind of component."""
    result = table(
        "by kind of component",
        "kind",
        f">energy per request ({summary['energy_mode']})",
        ">share",
        ">mean utilisation",
    )
    energy, busy = summary["energy_by_kind_pj"], summary["utilisation_by_kind"]
    total = sum(energy.values()) or 1.0
    for kind in sorted({*energy, *busy}, key=lambda kind: (-energy.get(kind, 0.0), kind)):
        result.add_row(
            kind,
            si(energy[kind] * 1e-12, "J") if kind in energy else "–",
            f"{energy[kind] / total:.1%}" if kind in energy else "–",
            f"{busy[kind]:.2%}" if kind in busy else "–",
        )
    return result


# --- a chip --------------------------------------------------------------------------------------


def parameters(hw: Chip, status: Sequence[str]) -> Table:
    """Parameters of a chip and where they come from."""
    result = table(f"chip {hw.name}", "key", ">value", "unit", "status", "source")
    for row in hw.describe():
        if row.status in status:
            value = row.value if isinstance(row.value, str) else f"{row.value:g}"
            result.add_row(row.key, value, row.unit, row.status, row.source)
    return result


def rules(chip: Chip) -> Table:
    """What follows from what: parameter, rule, inputs, and the rule's first line."""
    result = table(f"chip {chip.name}: rules", "key", "how", "rule", "of", "what it says")
    for key, one in chip.parameters.items():
        for each in one.follows:
            said = (each.rule.__doc__ or "").strip().partition("\n")[0]
            result.add_row(key, each.how, each.rule.__name__, ", ".join(each.of), said)
    return result


def converter_models(chip: Chip) -> Table:
    """Energy and area of a converter by resolution, of every model, relative to 6 bits."""
    from hyflexsim.sim.chip import rules as by_name  # noqa: PLC0415

    models = by_name.CONVERTER_MODELS
    columns = [f">{word} {model}" for word in ("energy", "area") for model in models]
    result = table("converters at 1.28 GS/s, relative to 6 bits", ">bits", *columns)
    rate = 1_280_000_000
    for bits in range(4, 11):
        energies = [
            by_name.converter_energy(m, bits, rate) / by_name.converter_energy(m, 6, rate)
            for m in models
        ]
        areas = [
            by_name.converter_area(m, bits, rate) / by_name.converter_area(m, 6, rate)
            for m in models
        ]
        result.add_row(str(bits), *(f"{x:.3g}" for x in (*energies, *areas)))
    return result


# --- a graph -------------------------------------------------------------------------------------


def ops(graph: nx.DiGraph, tokens: int, only: str | None = None) -> Table:
    """Ops of a graph: equal blocks once, or only the ops of one layer."""
    from hyflexsim.sim import graph as g  # noqa: PLC0415

    work = g.macs(graph, tokens)
    title = f"{graph.graph['name']}: {len(graph)} ops, {g.parameters(graph):,} parameters, "
    title += f"{sum(work.values()):,} MACs at {tokens} tokens"
    result = table(
        title, "op", "class", "shape", "axis", ">runs", ">MACs", ">parameters", "waits for"
    )
    order = g.order(graph)
    for layers in _alike(graph, order):
        if only is not None and only not in layers:
            continue
        layer = layers[0] if only is None else only
        names = [name for name in order if graph.nodes[name]["layer"] == layer]
        heading = layer if len(layers) == 1 or only else f"{layers[0]} … {layers[-1]}"
        alike = f" ({len(layers)} alike, one shown)" if len(layers) > 1 and not only else ""
        result.add_row(Text.assemble((heading, "bold"), alike))
        for name in names:
            op = graph.nodes[name]
            rules = sorted({rule for _, _, rule in graph.in_edges(name, data="rule")})
            result.add_row(
                f"  {name.removeprefix(layer + '.')}",
                op["kind"],
                shape(op),
                op["axis"],
                f"{g.token_count(op, tokens):,}",
                si(work[name]) if work[name] else "",
                si(_values(op)) if _values(op) else "",
                ", ".join(rules),
            )
    return result


def shape(op: Mapping[str, Any]) -> str:
    """Sizes of an op in one word.

    >>> shape({"kind": "gemv", "rows": 768, "cols": 3072, "rank": 614})
    '768 × 3072, rank 614'
    """
    kind = op["kind"]
    if kind == "gemv":
        rank = "" if op["rank"] is None else f", rank {op['rank']}"
        return f"{op['rows']} × {op['cols']}{rank}"
    if kind == "matmul":
        return f"{op['heads']} heads × {op['inner']}"
    if kind == "scan":
        return f"{op['channels']} × {op['state']}"
    if kind == "pointwise":
        return f"{op['elements']} {op['function']}"
    return str(op.get("elements", op["width"]))


def _values(op: Mapping[str, Any]) -> int:
    from hyflexsim.sim import graph as g  # noqa: PLC0415

    matrix = (
        g.unit_macs(dict(op)) + (op["cols"] if op["bias"] else 0) if op["kind"] == "gemv" else 0
    )
    return int(op["parameters"]) + matrix


def _alike(graph: nx.DiGraph, order: Sequence[str]) -> Iterator[list[str]]:
    """Layers in order; neighbours that differ in nothing but their number together."""
    texts: dict[str, list[str]] = defaultdict(list)
    for name in order:
        op = graph.nodes[name]
        layer = op["layer"]
        edges = sorted(rule for _, _, rule in graph.in_edges(name, data="rule"))
        texts[layer].append(f"{name.removeprefix(layer)} {op['kind']} {shape(op)} {edges}")
    group: list[str] = []
    for layer, text in texts.items():
        stem = re.sub(r"\d+$", "", layer)
        same = group and stem != layer and stem == re.sub(r"\d+$", "", group[-1])
        if group and not (same and text == texts[group[-1]]):
            yield group
            group = []
        group.append(layer)
    if group:
        yield group


# --- a placement ---------------------------------------------------------------------------------


def layers(placement: Placement) -> Table:
    """Which layer sits where: a row a layer, in what its chip holds weights in (arrays, bytes)."""
    from hyflexsim.sim.placement.mapping import pieces_per_pu  # noqa: PLC0415

    size, holder = pieces_per_pu(placement.chip), placement.chip.holder
    pus = placement.options.chips * placement.chip.values.pus
    word = holder.kind.holds
    modes = {"arrays, SLC": "arrays_slc", "arrays, MLC": "arrays_mlc"} if word == "arrays" else {}
    result = table(
        f"{placement.pus_used} of {pus} PUs in use, {size:,} {holder.kind.holds} each",
        "layer",
        "PUs",
        "chip",
        *(f">{name}" for name in modes),
        ">copies",
        f">{word} with copies" if holder.kind.copied else f">{word}",
        ">of its PUs",
    )
    for layer, own in placement.pus.items():
        weights = [w for w in placement.weights.values() if w.layer == layer]
        total = sum(w.taken for w in weights)
        result.add_row(
            layer,
            _pus(placement, own),
            span(sorted({placement.chip_of(pu) for pu in own})),
            *(f"{sum(w.cells(column) for w in weights):,}" for column in modes.values()),
            span((f"{each:.3g}" for each in _copies(weights)), "–") or "–",
            f"{total:,}",
            f"{total / float(size * placement.share(own)):.1%}",
        )
    return result


def _pus(placement: Placement, own: tuple[int, ...]) -> str:
    """PUs of a layer, and how many they are where it shares one with a neighbour."""
    share = placement.share(own)
    return span(own) if share.denominator == 1 else f"{span(own)} ({float(share):g})"


def _copies(weights: Sequence[Weight]) -> list[float]:
    """Copies of each matrix by arrays, rising: V twice and U once is more than one."""
    return sorted({weight.taken / weight.pieces for weight in weights})


def mean_tokens(ready: Prepared) -> int:
    """Tokens of a request of mean length."""
    lengths = [request.tokens for request in ready.requests]
    return -(-sum(lengths) // len(lengths))


def traffic(ready: Prepared) -> Table:
    """What the mapping costs on the links: a row each, for a request of mean length."""
    from hyflexsim.sim.plan.traffic import link_bytes  # noqa: PLC0415

    tokens = mean_tokens(ready)
    result = table(f"a request of {tokens} tokens moves", "link", ">bytes", ">a token", ">energy")
    for name, size in link_bytes(ready.plan, ready.chip, tokens).items():
        bit, _ = ready.chip.action_energy(name, "bit")
        result.add_row(name, f"{size:,}", f"{size / tokens:,.0f}", si(8 * size * bit * 1e-12, "J"))
    return result


def span(numbers: Iterable[object], dash: str = "–") -> str:
    """First and last of ascending numbers, or of their texts.

    >>> span([3, 4, 5]), span([7])
    ('3–5', '7')
    """
    values = list(numbers)
    if not values:
        return ""
    return str(values[0]) if len(values) == 1 else f"{values[0]}{dash}{values[-1]}"
