"""ParT in a trigger: which of a family of models answers in time, at what rate, for how long.

Models differ in blocks, embedding, width, heads, pair features and particles read (designs.py); all
are placed dense in single-level cells, with copies, on one chip each. Jets come in bunches
(`bunched` arrivals: one in ten bunches is left empty, nine in ten events have one jet), a chip has
a queue of so many places, and several chips are taken in turn. Tokens are dealt to copies in turn
over jets (sim/plan/dealing.py): by token the class token of every jet, and particle 0, go to the
first copy, which bounds the pace of every model alike. Told are the latency of jets that
were answered and how many were lost.

Digital cells wear by the operands that each jet writes (sim/wear.py): ``minutes`` and ``days``
until one reaches its endurance where the same cells serve every jet, and with perfect levelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hyflexsim.sim import energy
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.wear import wear
from hyflexsim.workloads.extraction.extract import extract_config
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Chip, Host, Jets, Model, Placing
from hyflexsim.workloads.sparsity.designs import DESIGNS, Design
from hyflexsim.workloads.terminal import Say

Row = dict[str, Any]
RATES = (100_000, 300_000, 750_000)
"""Jets a second: level-1 accept rates of today and of the High-Luminosity LHC, and between."""
MOST_CHIPS = 4
PLACES = 8
"""Of a chip's queue (assumed)."""
JETS = 1200
BUSY = 0.9
"""Of a chip's pace: with less than that a further chip is not tried."""


def scenario(design: Design, rate: int, chips: int, jets: int = JETS) -> Scenario:
    """A stream of jets to so many chips in turn."""
    arrivals = {
        "kind": "bunched",
        "rate_per_s": rate,
        "filled": [72, 8],
        "per_event": [0.9, 0.1],
    }
    return Scenario(
        name="trigger",
        model=Model(name=design.published if design.published == "part-full" else "part-kin"),
        chip=Chip(),
        mapping=Placing(slc_rate=1.0, copies="fill", deal="in-turn"),
        workload=Jets.model_validate({"count": jets, "repeat": True, "arrivals": arrivals}),
        host=Host(queue=PLACES, replicas=chips),
    )


def graph_of(design: Design) -> Any:
    """The dataflow graph of a design."""
    config = {"model_type": "part", "published": design.published, **design.shape}
    return extract_config("part-trigger", config)


def _ready(design: Design, rate: int, chips: int, jets: int) -> Prepared:
    """Prepared with as many particles as the design reads."""
    ready = prepare(scenario(design, rate, chips, jets), graph_of(design))
    for i, request in enumerate(ready.requests):
        few = min(request.tokens, design.particles)
        ready.requests[i] = replace(request, tokens=few)
    return ready


def trigger(
    designs: Sequence[Design] = DESIGNS,
    rates: Sequence[int] = RATES,
    jets: int = JETS,
    say: Say = lambda *_: None,
) -> Iterator[Row]:
    """Rows: a design at a rate, on the fewest chips whose pace suffices, and on the most."""
    for i, design in enumerate(designs):
        say(design.title, i, len(designs))
        one = _ready(design, rates[0], 1, jets)
        busiest = _busiest_ps(one)
        for rate in rates:
            wanted = rate * busiest / 1e12 / BUSY
            fewest = min(MOST_CHIPS, max(1, int(np.ceil(wanted))))
            for chips in sorted({fewest, MOST_CHIPS}):
                yield _row(design, rate, chips, busiest, jets)


def _busiest_ps(ready: Prepared) -> float:
    """Time that the busiest component takes for a jet, over the first jets, all there at once.

    Played, since jets differ in length, and copies of a matrix share so many tokens never quite
    evenly.
    """
    first = [replace(request, arrival=0) for request in ready.requests[:50]]
    played = engines.play(ready.plan, first, engine="compiled", window=ready.window)
    rows = energy.components(ready.plan, played)  # of buffers: how long tokens wait in them
    busy = max(row["busy_ps"] for row in rows if not row["kind"].endswith("_buffer"))
    return float(busy) / len(first)


def _row(design: Design, rate: int, chips: int, busiest: float, jets: int) -> Row:
    ready = _ready(design, rate, chips, jets)
    played = engines.play(
        ready.plan, ready.requests, engine="compiled", window=ready.window, host=ready.host
    )
    answered = np.array(played.finished) >= 0
    took = np.array(played.finished)[answered] - np.array(played.arrived)[answered]
    spent = sum(
        row["energy_pj"] for row in energy.energy_rows(ready.plan, played, ready.chip, "action")
    )
    seconds, days = _lifetimes(ready, played, rate / chips)
    return {
        "design": design.title,
        "particles": design.particles,
        "rate_per_s": rate,
        "chips": chips,
        "saturates_per_s": 1e12 / busiest,
        "p50_us": float(np.percentile(took, 50, method="higher")) / 1e6,
        "p999_us": float(np.percentile(took, 99.9, method="higher")) / 1e6,
        "lost": 1 - float(answered.mean()),
        "energy_uj": spent / 1e6 / max(1, int(answered.sum())),
        "minutes": seconds / 60,
        "days": days,
    }


def _lifetimes(ready: Prepared, played: Played, rate: float) -> tuple[float, float]:
    """Seconds without levelling and days with it until a cell of the worst layer is worn out."""
    answered = len(played.finished) - len(played.lost)
    rows = energy.ledger(ready.plan, played, ready.chip)
    found = wear(ready.placement, rows, answered)
    if found is None:
        return float("inf"), float("inf")
    per_day = rate * 86_400
    year = 365.25
    hottest = found.years(found.hottest["operands"], per_day) * year * 86_400
    return hottest, found.years(found.levelled["operands"], per_day) * year
