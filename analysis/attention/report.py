"""From a directory of attention maps to tables, pictures and a page that shows all of them.

Tables, beside the maps: rows.parquet, decades.parquet, received.parquet, correlations.parquet
(jets) and pairs.parquet, as their functions describe them; pictures/*.png; index.html, which
needs no network; summary.json, the headline numbers.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis.attention import figures, substructure
from hyflexsim.analysis.attention.correlation import jet_correlations, pair_correlations
from hyflexsim.analysis.attention.directory import AttentionRun, load_attention
from hyflexsim.analysis.attention.heatmap import heat_maps
from hyflexsim.analysis.attention.pairs import pair_graphs
from hyflexsim.analysis.attention.received import received_table
from hyflexsim.analysis.attention.rows import binary_table, decade_table, over_rows
from hyflexsim.analysis.attention.style import decay, labels_of, typical_jet
from hyflexsim.analysis.run.report import save

Report = Callable[[str, int, int], None]
AFTER, BEFORE = "Heat maps after softmax", "Heat maps before softmax"


@dataclass(frozen=True)
class Picture:
    """A picture of the page: file name, section, caption, and what draws it."""

    name: str
    section: str
    caption: str
    draw: Callable[[], Axes]


def measure(run: AttentionRun, report: Report = lambda *_: None) -> dict[str, pd.DataFrame]:
    """All tables, by name, written into the directory as Parquet."""
    rows = binary_table(run, report)
    received = received_table(run, report)
    tables = {
        "rows": rows,
        "received": received,
        "decades": decade_table(run),
        "correlations": jet_correlations(received, rows, run.jets),
        "pairs": pair_correlations(run, report),
    }
    for name, table in tables.items():
        table.to_parquet(run.path / f"{name}.parquet", index=False)
    return tables


def describe_attention(path: str | Path, report: Report = lambda *_: None) -> dict[str, Any]:
    """Measure a directory and draw its pictures and page into it; returns the summary."""
    run = load_attention(path)
    tables = measure(run, report)
    found = summary(run, tables)
    (run.path / "summary.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    folder = run.path / "pictures"
    folder.mkdir(exist_ok=True)
    every = list(pictures(run, tables))
    for done, picture in enumerate(every):
        report("drawing", done, len(every))
        save(picture.draw(), folder / picture.name)
    (run.path / "index.html").write_text(page(run, every, found), "utf-8")
    return found


def pictures(run: AttentionRun, tables: dict[str, pd.DataFrame]) -> Iterator[Picture]:
    """All pictures, in the order of the page."""
    yield from _binary(run, tables)
    yield from _attended(tables["received"])
    yield from _substructure(tables)
    for label in labels_of(run):
        yield from _of_class(run, label)
    jet = typical_jet(run, labels_of(run)[-1])
    last = f"The jet of {decay(labels_of(run)[-1])}"
    if "untrained" in run.models:
        draw = partial(heat_maps, run, jet, "weights", "untrained")
        yield Picture("heatmap_untrained.png", AFTER, f"{last}, untrained.", draw)
    if run.manifest["bias"]:
        yield Picture(
            "heatmap_u.png", BEFORE, f"{last}, U alone.", partial(heat_maps, run, jet, "u")
        )


def _binary(run: AttentionRun, tables: dict[str, pd.DataFrame]) -> Iterator[Picture]:
    section, rows = "How binary", tables["rows"]
    caption = (
        "Share of rows whose largest weight is above a limit, beside published figures (padded "
        "rows included there); by layer; effective keys (dotted: all keys)."
    )
    yield Picture("binary.png", section, caption, partial(figures.binary_plot, rows))
    for model in run.models:
        draw = partial(figures.by_class_plot, rows, model)
        yield Picture(f"by_class_{model}.png", section, f"By decay and layer, {model}.", draw)
    if len(tables["decades"]):
        draw = partial(figures.decades_plot, tables["decades"])
        yield Picture("qk_over_u.png", section, "Which summand of the score is larger.", draw)


def _attended(received: pd.DataFrame) -> Iterator[Picture]:
    section = "Who is attended"
    if received["inter_subjet"].notna().any():
        draw = partial(figures.inter_subjet_plot, received)
        yield Picture("inter_subjet.png", section, "Between exclusive kT subjets.", draw)
    caption = (
        "Attention that leptons, b-subjet, hardest particle and hardest subjet receive from all "
        "others, over uniform attention."
    )
    yield Picture("received.png", section, caption, partial(figures.received_plot, received))
    draw = partial(figures.received_by_class_plot, received)
    caption = "The same by decay, for the best head."
    yield Picture("received_by_class.png", section, caption, draw)


def _substructure(tables: dict[str, pd.DataFrame]) -> Iterator[Picture]:
    section = "Substructure"
    caption = "Weights against a pair's classic observables."
    draw = partial(substructure.pair_correlation_plot, tables["pairs"])
    yield Picture("pair_correlation.png", section, caption, draw)
    if len(tables["correlations"]):
        caption = "What a head does in a jet against the jet's observables, within classes."
        draw = partial(substructure.jet_correlation_plot, tables["correlations"])
        yield Picture("jet_correlation.png", section, caption, draw)


def _of_class(run: AttentionRun, label: str) -> Iterator[Picture]:
    """Of a class's typical jet: pairs in the last layer, maps after and before softmax."""
    jet, name = typical_jet(run, label), decay(label)
    draw = partial(pair_graphs, run, jet)
    yield Picture(f"pairs_{label}.png", "Pairs on the η–φ plane", f"{name}, last layer.", draw)
    for what, section in (("weights", AFTER), ("scores", BEFORE)):
        draw = partial(heat_maps, run, jet, what)
        yield Picture(f"heatmap_{label}_{what}.png", section, f"{name}.", draw)


def summary(run: AttentionRun, tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Headline numbers: accuracy on these jets; row measures per model and view; gains."""
    rows, received = tables["rows"], tables["received"]
    found: dict[str, Any] = {"jets": len(run.jets), "classes": labels_of(run)}
    found["notes"] = run.manifest.get("notes", [])
    for model in run.models:
        right = run.jets[f"predicted_{model}"] == run.jets["label"]
        own: dict[str, Any] = {"accuracy": round(float(right.mean()), 4)}
        for view in dict.fromkeys(rows["view"]):
            mine = rows[(rows["model"] == model) & (rows["view"] == view)]
            whole = over_rows(mine.assign(all=0), ["all"]).iloc[0].drop("all")
            own[view] = {name: round(float(value), 5) for name, value in whole.items()}
        mine = received[received["model"] == model]
        for name in figures.SET_NAMES:
            known = mine[mine[f"expected_{name}"].notna()].groupby(["layer", "head"])
            gain = known[f"received_{name}"].mean() / known[f"expected_{name}"].mean()
            own[f"gain_{name}"] = {
                "mean": round(float(gain.mean()), 3) if len(gain) else None,
                "best_head": round(float(gain.max()), 3) if len(gain) else None,
            }
        own["inter_subjet"] = _round(mine["inter_subjet"].mean())
        own["inter_subjet_uniform"] = _round(mine["expected_inter_subjet"].mean())
        found[model] = own
    return found


def _round(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 4)


def page(run: AttentionRun, every: list[Picture], found: dict[str, Any]) -> str:
    """A static HTML page with all pictures and the headline numbers."""
    sections: dict[str, list[Picture]] = {}
    for picture in every:
        sections.setdefault(picture.section, []).append(picture)
    parts = [_HEAD, "<h1>Attention of a Particle Transformer</h1>", _facts(run), _numbers(found)]
    for name, own in sections.items():
        parts.append(f"<h2>{html.escape(name)}</h2>")
        for picture in own:
            caption = html.escape(picture.caption)
            parts.append(
                f'<figure><a href="pictures/{picture.name}"><img src="pictures/{picture.name}" '
                f'alt="{caption}" loading="lazy"></a><figcaption>{caption}</figcaption></figure>'
            )
    return "\n".join([*parts, "</body></html>", ""])


_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Attention</title><style>
body { font: 15px/1.45 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
figure { margin: 1em 0 2em; } img { max-width: 100%; } figcaption { color: #444; }
table { border-collapse: collapse; } td, th { padding: 2px 12px 2px 0; text-align: right; }
td:first-child, th:first-child { text-align: left; }
</style></head><body>"""


def _facts(run: AttentionRun) -> str:
    m = run.manifest
    text = (
        f"{m['jets']} jets of {', '.join(decay(c) for c in labels_of(run))}; "
        f"{m['layers']} layers of {m['heads']} heads; real queries and real keys only. "
        f"Checkpoint {m.get('checkpoint', '?')} ({m.get('checkpoint_sha256', '?')}), "
        f"jets {m.get('jets_sha256', '?')}."
    )
    return "\n".join(f"<p>{html.escape(line)}</p>" for line in (text, *m.get("notes", ())))


def _numbers(found: dict[str, Any]) -> str:
    head = (
        "",
        "accuracy",
        "max &gt; 0.5",
        "&gt; 0.9",
        "&gt; 0.95",
        "entropy",
        "eff. keys",
        "keys 90 %",
    )
    rows = []
    for model in ("trained", "untrained"):
        for view in ("with U", "without U"):
            if view not in found.get(model, {}):
                continue
            own = found[model][view]
            shares = [f"{100 * own[f'share_{k}']:.2f} %" for k in (50, 90, 95)]
            accuracy = f"{found[model]['accuracy']:.3f}" if view == "with U" else "–"
            rest = [f"{own[k]:.2f}" for k in ("entropy", "effective_keys", "keys_90")]
            rows.append((f"{model}, {view}", accuracy, *shares, *rest))
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr>{cells}</table>"
