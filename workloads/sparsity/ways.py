"""Ways to use sparse attention, on one chip and the same jets: accuracy, latency, energy, keys.

A way is how keys are chosen and how many stay. Its accuracy comes from the quantised model over
held-out jets, its times and counts from a run of the plan in which every query of every jet has the
work that these very scores leave (sim/plan/work.py). Jets come one by one, far enough apart that
none waits for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyflexsim.sim import energy
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.plan.work import Work
from hyflexsim.sim.units.selector import CHOICES
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Chip, Jets, Model, Placing
from hyflexsim.workloads.sparsity.parts import ATTENTION, steps_of
from hyflexsim.workloads.sparsity.scored_jets import Outcome, ScoredJets, Way
from hyflexsim.workloads.terminal import Say
from hyflexsim.workloads.values.keeping import MASK, UPPER, Choice

Row = dict[str, Any]
PRESET = "hyflexpim-topk"
APART_PS = 500_000_000
"""Between two jets: far longer than one takes."""
KEYS = (1, 2, 4, 8, 16)
WITHIN = (1.0, 3.0, 5.0)  # nats below the largest score
BY_BIAS, BY_MASK, BY_UPPER = (4, 8, 16), (5, 9, 17), (4, 8, 16)


def ways_of(layers: Mapping[str, int], table: Sequence[Sequence[int]] | None = None) -> list[Way]:
    """All ways for a model with these layers (name -> heads); ``table``: keys of each head.

    >>> [way.name for way in ways_of({"blocks.0": 4})][:3]
    ['all keys', 'top 1', 'top 2']
    """

    def each(k: int) -> dict[str, list[int]]:
        return {layer: [k] * heads for layer, heads in layers.items()}

    found = [Way("all keys", None)]
    found += [Way(f"top {k}", Choice("scores", each(k))) for k in KEYS]
    found += [Way(f"top {k}, bit by bit", Choice("bits", each(k))) for k in (1, 4)]
    found += [Way(f"within {t:g}", Choice("scores", each(1), t)) for t in WITHIN]
    found += [Way(f"top {k} by U", Choice("bias", each(k))) for k in BY_BIAS]
    found += [Way(f"top {k} by upper bits", Choice(UPPER, each(k))) for k in BY_UPPER]
    found += [Way(f"{k} diagonals", Choice(MASK, each(k))) for k in BY_MASK]
    if table is not None:
        chosen = {layer: list(row) for layer, row in zip(layers, table, strict=True)}
        found.append(Way("keys a head", Choice("scores", chosen)))
        found.append(Way("keys a head, bit by bit", Choice("bits", chosen)))
    return found


def ways(
    checkpoint: str | Path,
    jets: str | Path | None = None,
    *,
    per_class: int = 20,
    table: Sequence[Sequence[int]] | None = None,
    say: Say = lambda *_: None,
) -> list[Row]:
    """A row a way: accuracy and its change from all keys (paired, with one standard error), shares
    of keys kept and bits multiplied, latency (µs: p50, p99), energy of a jet and of its attention
    (nJ).

    Ways that choose before the scores are made run on a chip whose selector looks there; what that
    look costs is the selector's, whatever it looks at. Raises InputError as reading does.
    """
    subject = ScoredJets(checkpoint, jets, per_class, _scenario("scores").hardware())
    chosen = ways_of(subject.layers(), table)
    found = subject.run(chosen, say)
    machines = {by: prepare(_scenario(by), subject.graph) for by in CHOICES}
    full = found[chosen[0].name]
    return [_row(way, found[way.name], full, machines, subject.tokens) for way in chosen]


def _scenario(by: str) -> Scenario:
    """A ParT dense in single-level cells, as the scenario part-jets, with a selector."""
    return Scenario(
        name="sparsity",
        model=Model(name="part-full"),  # the graph is handed over
        chip=Chip(preset=PRESET, set={"selector.by": by}),
        mapping=Placing(slc_rate=1.0, copies="fill"),
        workload=Jets(count=50),
    )


def _row(
    way: Way, got: Outcome, full: Outcome, machines: Mapping[str, Prepared], tokens: list[int]
) -> Row:
    right, before = np.array(got.right), np.array(full.right)
    by = "scores" if way.choice is None else way.choice.by
    ready = machines[by if by in CHOICES else "bias"]
    latency, joules, attention = run_jets(ready, tokens, got.work)
    return {
        "way": way.name,
        "by": "" if way.choice is None else way.choice.by,
        "accuracy": got.accuracy,
        "change": got.accuracy - full.accuracy,
        "change_error": float(np.sqrt((right != before).sum()) / len(right)),
        "kept": got.kept_share,
        "bits": sum(got.bits) / (8 * sum(got.keys)) if sum(got.bits) else 1.0,
        "p50_us": float(np.percentile(latency, 50, method="higher")) / 1e6,
        "p99_us": float(np.percentile(latency, 99, method="higher")) / 1e6,
        "energy_nj": joules / 1e3,
        "attention_nj": attention / 1e3,
        "jets": len(right),
    }


def run_jets(
    ready: Prepared, tokens: Sequence[int], work: Sequence[Work | None], engine: str = "compiled"
) -> tuple[np.ndarray, float, float]:
    """Latency of each jet (ps), mean energy of a jet and of its attention (pJ)."""
    requests = [
        Request(i * APART_PS, n, work=each)
        for i, (n, each) in enumerate(zip(tokens, work, strict=True))
    ]
    played = engines.play(ready.plan, requests, engine=engine, window=ready.window)
    latency = np.array(played.finished) - np.array([r.arrival for r in requests])
    each = energy.action_counts_of(ready.plan, ready.chip)
    spent = each.step_energies_pj(played.tally.visits.tolist(), played.tally.sizes.tolist())
    attention = steps_of(ready.graph, ready.plan, ATTENTION)
    return latency, float(spent.sum()) / len(tokens), float(spent[attention].sum()) / len(tokens)
