"""``hyflexsim models``: families of models, and what is exact of each, approximate or refused."""

from __future__ import annotations

import typer

from hyflexsim.workloads.terminal import console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(models)


def models() -> None:
    """List the families of models that are read, and what is exact of each or refused.

    The table is the one that a test holds to torch: parameters, work, and numbers of small models.
    """
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415
    from hyflexsim.workloads.extraction.families import FAMILIES  # noqa: PLC0415

    rows = terminal_tables.table("families of models", "name", "what", "state", "values", "how")
    for name, family in FAMILIES.items():
        values = "" if family.state == "refused" else "equal"
        rows.add_row(name, family.what, family.state, values, family.says)
    console().print(rows)
    print("state: parameters and multiply-accumulates against torch's own counters, exact or not")
    print("values: a small random model played in numbers (run --values) gives what torch gives")
