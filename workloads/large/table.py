"""The table of ``hyflexsim large``: models by chips, pipeline beside tensor parallel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import is_block
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.extract import extract_config
from hyflexsim.workloads.large.decoding import Decoding, decode
from hyflexsim.workloads.large.tensor import SUMS_A_LAYER, Ring, all_reduce, part_of
from hyflexsim.workloads.terminal import Say

LINK = "chip_link"


class Row(NamedTuple):
    """One model on the fewest chips that hold it.

    ``slc_rate``: share of outputs in single-level cells. ``ways``: chips that share a layer, 1 for
    a pipeline alone. ``first_ms``: from a prompt of ``context`` tokens to its first token;
    ``further_us`` and ``energy_mj``: of one more. ``bound``: the kind of component that it spends
    most of its longest way in, and for how long (sums between chips count as one). ``link_kb``:
    1000 bytes from chip to chip, of one more token, each hop counted.
    """

    model: str
    parameters: int
    context: int
    slc_rate: float
    ways: int
    chips: int
    pus: int
    first_ms: float
    further_us: float
    energy_mj: float
    bound: str
    bound_us: float
    link_kb: float


def rows(
    models: Sequence[str],
    *,
    preset: str = "hyflexpim",
    slc_rates: Sequence[float] = (0.0, 0.2),
    ways: Sequence[int] = (2, 4, 8),
    context: int = 2048,
    say: Say,
) -> tuple[list[Row], list[str]]:
    """The table, and a line for what could not be cut.

    Raises InputError for a model that generates no text and all that a scenario refuses.
    """
    chip = load_chip(preset)
    table, notes = [], []
    for model in models:
        name, config = model_zoo.config_of(model)
        whole = extract_config(name, config)
        if not whole.graph["causal"]:
            raise InputError(f"{name}: must be a model that generates text")
        for each in (1, *ways):
            say(f"{name}, {each} chips a layer", 0, 0)
            try:
                part = config if each == 1 else part_of(name, config, each)
            except InputError as error:
                notes.append(str(error))
                continue
            graph = whole if each == 1 else extract_config(name, part)
            ring = all_reduce(chip, config["hidden_size"], each) if each > 1 else Ring(0, 0)
            for rate in slc_rates:
                found = decode(graph, preset, rate, context)
                table.append(_row(name, whole, context, rate, each, found, ring, chip))
    order = {model: i for i, model in enumerate(dict.fromkeys(row.model for row in table))}
    return sorted(table, key=lambda row: (order[row.model], row.slc_rate, row.ways)), notes


def _row(
    name: str,
    whole: nx.DiGraph,
    context: int,
    rate: float,
    ways: int,
    found: Decoding,
    ring: Ring,
    chip: Chip,
) -> Row:
    """One row: ``ways`` times what one part takes, and the sums between them."""
    layers = len(list(_blocks(whole)))
    sums = SUMS_A_LAYER * layers
    here = SUMS_A_LAYER * -(-layers // found.chips) * ring.time_ps  # on a chip's link, a token
    waiting = sums * ring.time_ps
    late = (context - 1) * max(0, here - found.pace_ps)
    link = ring.energy_pj(chip) if ways > 1 else 0.0
    bound, bound_ps = max((found.bound, found.bound_ps), (LINK, waiting), key=lambda kind: kind[1])
    return Row(
        name,
        g.parameters(whole),
        context,
        rate,
        ways,
        ways * found.chips,
        ways * found.pus,
        (found.first_ps + waiting + late) * 1e-9,
        (found.further_ps + waiting) * 1e-6,
        (ways * found.energy_pj + sums * link) * 1e-9,
        bound,
        bound_ps * 1e-6,
        (ways * found.link_bytes + sums * ring.bytes) * 1e-3,
    )


def _blocks(graph: nx.DiGraph) -> Iterator[str]:
    """Layers that end in sums: the blocks, without their experts."""
    layers = dict.fromkeys(layer for _, layer in graph.nodes(data="layer") if is_block(layer))
    return (layer for layer in layers if ".experts." not in layer)
