"""Scores of a training on the terminal."""

from __future__ import annotations

from typing import Any


def show_scores(scores: dict[str, Any], trees: dict[str, Any] | None) -> None:
    """Print accuracy, then a row a class: AUC and rejection of the ParT and of the trees."""
    from hyflexsim.workloads.cli import _console  # noqa: PLC0415
    from hyflexsim.workloads.tables import table  # noqa: PLC0415

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
    _console().print(rows)


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [f"{row['auc']:.4f} ± {row['auc_error']:.4f}"]
    for percent in (50, 70):
        value = row.get(f"rejection_{percent}")
        error = row.get(f"rejection_{percent}_error")
        if value is None:
            cells.append("")
        elif error is None:
            cells.append(f"> {value:.0f}")
        else:
            cells.append(f"{value:.1f} ± {error:.1f}")
    return cells
