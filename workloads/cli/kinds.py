"""``hyflexsim kind``: what kinds of unit there are, and which parameters each takes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest
from hyflexsim.workloads.terminal import console

if TYPE_CHECKING:
    from rich.table import Table

    from hyflexsim.sim.chip.kind import Kind
    from hyflexsim.sim.chip.parameters import Parameter


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("kind")(kind_)


def kind_(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A kind; without it: all of them.")
    ] = None,
) -> None:
    """Show the kinds of unit that chips are made of, or the parameters of one."""
    from hyflexsim.sim.units.catalogue import KINDS  # noqa: PLC0415

    if name is None:
        console().print(_all(KINDS.values()))
        return
    if name not in KINDS:
        raise InputError(f"kind: no kind {name!r}; {nearest(name, list(KINDS))}")
    console().print(_one(KINDS[name]))


def _all(kinds: Iterable[Kind]) -> Table:
    from hyflexsim.workloads.cli.terminal_tables import table  # noqa: PLC0415

    rows = table("kinds of unit", "name", "serves", "holds", "reports as", "what")
    for kind in kinds:
        parts = ", ".join(dict.fromkeys(kind.actions.values()))
        serves = ", ".join(sorted(kind.serves))
        rows.add_row(kind.name, serves, kind.holds or "–", parts or "–", what(kind))
    return rows


def what(kind: Kind) -> str:
    """The first sentence on a kind: of its class, or of its file where the class points there."""
    own = type(kind).__doc__ or ""
    if own.startswith("See the head"):
        own = sys.modules[type(kind).__module__].__doc__ or ""
    return own.strip().partition("\n")[0].rstrip(".:")


def _one(kind: Kind) -> Table:
    from hyflexsim.sim.chip.parameters import parameters_of  # noqa: PLC0415
    from hyflexsim.workloads.cli.terminal_tables import table  # noqa: PLC0415

    title = f"{kind.name}: {what(kind)}"
    rows = table(title, "parameter", "unit", ">from", ">to", "acts on", "follows from", "meaning")
    for name, one in parameters_of(kind.Values):
        low, high = ("", "") if one.options else (f"{one.low:.15g}", f"{one.high:.15g}")
        needed = "" if one.required else " (may be left out)"
        rows.add_row(
            name, one.unit, low, high, ", ".join(one.acts), _follows(one), _meaning(one) + needed
        )
    return rows


def _follows(one: Parameter) -> str:
    return "; ".join(f"{each.rule.__name__}({', '.join(each.of)})" for each in one.follows)


def _meaning(one: Parameter) -> str:
    return f"{one.meaning}: {', '.join(one.options)}" if one.options else one.meaning
