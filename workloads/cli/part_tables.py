"""What the commands on ParT print: scores of a training, its attention, keys and accuracy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hyflexsim.workloads.cli.terminal_tables import table
from hyflexsim.workloads.terminal import console


def show_scores(scores: dict[str, Any], trees: dict[str, Any] | None) -> None:
    """Print accuracy, then a row a class: AUC and rejections (95 %) of the ParT and the trees."""
    print(
        f"accuracy {scores['accuracy']:.3f} ± {scores['accuracy_error']:.3f}, mean AUC "
        f"{scores['auc_mean']:.4f}, on {scores['jets']} jets that training never saw"
    )
    if trees is not None:
        print(
            f"boosted trees on {', '.join(trees['inputs'])}: accuracy {trees['accuracy']:.3f} "
            f"± {trees['accuracy_error']:.3f}, mean AUC {trees['auc_mean']:.4f}"
        )
    head = ["class", ">jets", ">accuracy", ">AUC", ">rej. 50 %", ">rej. 70 %"]
    rows = table("", *head, *([">trees: AUC", ">rej. 50 %", ">rej. 70 %"] if trees else []))
    for name, row in scores["classes"].items():
        cells = [name, str(row["jets"]), f"{row['accuracy']:.3f}", *_cells(row)]
        if trees is not None:
            cells += _cells(trees["classes"][name])
        rows.add_row(*cells)
    console().print(rows)
    show_notes(scores.get("notes", ()))  # a training of before 2026-11-28 has none


def show_learning_curve(rows: list[dict[str, Any]]) -> None:
    """Print a row a sample size: accuracy of ParT and trees, how binary attention is."""
    head = (">jets a class", ">accuracy", ">mean AUC", ">max > 0.5", ">max > 0.9", ">trees")
    shown = table("learning curve", *head)
    for row in rows:
        trees = "" if row["trees"] is None else f"{row['trees']:.3f} ± {row['trees_error']:.3f}"
        shares = (f"{100 * row[name]:.2f} %" for name in ("share_50", "share_90"))
        accuracy = f"{row['accuracy']:.3f} ± {row['accuracy_error']:.3f}"
        shown.add_row(str(row["train_jets"]), accuracy, f"{row['auc_mean']:.4f}", *shares, trees)
    console().print(shown)


def show_attention(found: dict[str, Any]) -> None:
    """Print how binary the models are: the row measures of analysis/attention/report.py."""
    names = (">max > 0.5", ">max > 0.9", ">max > 0.95", ">entropy", ">effective keys", ">keys 90 %")
    rows = table(f"rows of attention, {found['jets']} jets", "", ">accuracy", *names)
    for model in ("trained", "untrained"):
        for view in ("with U", "without U"):
            if view not in found.get(model, {}):
                continue
            own = found[model][view]
            shares = [f"{100 * own[f'share_{limit}']:.2f} %" for limit in (50, 90, 95)]
            rest = [f"{own[name]:.2f}" for name in ("entropy", "effective_keys", "keys_90")]
            accuracy = f"{found[model]['accuracy']:.3f}" if view == "with U" else ""
            rows.add_row(f"{model}, {view}", accuracy, *shares, *rest)
    console().print(rows)
    show_notes(found["notes"])


def show_cost(found: dict[str, Any]) -> None:
    """Print accuracy per k, the heads that can be cut first, and the joint table's size."""
    head = (">keys", "how", ">accuracy", ">change", ">same decision", ">divergence (nats)")
    rows = table(f"top-k attention, {found['jets']} jets", *head)
    for row in [*found["rows"], found["joint"]]:
        keys = "all" if row["keys"] == 128 else f"{row['keys']:.3g}"
        change = f"{row['change']:+.4f} ± {row['change_error']:.4f}"
        rows.add_row(keys, row["how"], f"{row['accuracy']:.4f}", change,
                     f"{row['same_decision']:.3f}", f"{row['divergence']:.4f}")  # fmt: skip
    console().print(rows)
    first = ", ".join(f"{h['layer']} head {h['head']}" for h in found["first_to_cut"][:4])
    print(
        f"can be cut first: {first}; within {found['tolerance']:g} of accuracy "
        f"{found['mean_keys']:.1f} keys a head on average"
    )
    show_notes(found["notes"])


def show_notes(notes: Iterable[str]) -> None:
    """Print notes below a table."""
    for note in notes:
        print(f"note: {note}")


def _cells(row: dict[str, Any]) -> list[str]:
    auc = "" if row["auc"] is None else f"{row['auc']:.4f} ± {row['auc_error']:.4f}"
    return [auc, *(_rejection(row, percent) for percent in (50, 70))]


def _rejection(row: dict[str, Any], percent: int) -> str:
    """The rejection and its 95 % interval; empty for QCD itself."""
    name = f"rejection_{percent}"
    if name not in row:
        return ""
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"> {low:.0f}" if value is None else f"{value:.0f} ({low:.0f} – {high:.0f})"
