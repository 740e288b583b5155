"""What PUs a layer cost on the buses: the same model mapped in several ways, a row each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from hyflexsim.sim.errors import CapacityError
from hyflexsim.sim.placement.mapping import pieces_per_pu
from hyflexsim.sim.plan.traffic import link_bytes
from hyflexsim.workloads.cli import terminal_tables
from hyflexsim.workloads.cli.terminal_tables import si
from hyflexsim.workloads.compression.judged_run import placed_graph
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario


def mappings_table(
    name: str, changes: Sequence[str], ways: Sequence[str]
) -> tuple[Table, list[str]]:
    """A scenario with its own ``mapping.pus_per_layer`` and with others, for a request of mean
    length: PUs, arrays in use with copies, bytes a token over each link that any of them uses,
    energy of all links. And a line for each way that the chips have no room for.

    Raises :class:`~hyflexsim.sim.errors.InputError` for a way that there is not.
    """
    own = Scenario.load(name, changes)
    graph, kept = placed_graph(own), Kept()
    scenarios = {f"{own.mapping.pus_per_layer} (own)": own} | {
        way: Scenario.load(name, [*changes, f"mapping.pus_per_layer={way}"]) for way in ways
    }
    mapped, refused = {}, []
    for way, scenario in scenarios.items():
        try:
            mapped[way] = prepare(scenario, graph, kept=kept)
        except CapacityError as error:
            refused.append(f"{way}: {error}")
    return _table(mapped), refused


def _table(mapped: dict[str, Prepared]) -> Table:
    moved = {
        way: link_bytes(ready.plan, ready.chip, terminal_tables.mean_tokens(ready))
        for way, ready in mapped.items()
    }
    links = [
        link for link in next(iter(moved.values())) if any(each[link] for each in moved.values())
    ]
    heads = (f">{link}, B a token" for link in links)
    rows = terminal_tables.table(
        "what PUs a layer cost on the buses", "PUs a layer", ">PUs", ">full", *heads, ">energy"
    )
    for way, ready in mapped.items():
        placement, tokens = ready.placement, terminal_tables.mean_tokens(ready)
        taken = sum(weight.taken for weight in placement.weights.values())
        bit = {link: ready.chip.action_energy(link, "bit")[0] for link in moved[way]}
        energy = sum(8 * size * bit[link] for link, size in moved[way].items())
        rows.add_row(
            way,
            str(placement.pus_used),
            f"{taken / (placement.pus_used * pieces_per_pu(ready.chip)):.0%}",
            *(f"{moved[way][link] / tokens:,.0f}" for link in links),
            si(energy * 1e-12, "J"),
        )
    return rows
