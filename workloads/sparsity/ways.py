"""Ways to use sparse attention, on one chip and the same items: score, latency, energy, keys.

A way is how keys are chosen and how many stay. Its score comes from the quantised model over
held-out jets or texts, its times and counts from a run of the plan in which every query of every
item has the work that these very scores leave (sim/plan/work.py). Items come one by one, far enough
apart that none waits for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyflexsim.sim import energy
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.plan.work import Work
from hyflexsim.sim.units.selector import CHOICES
from hyflexsim.workloads import resumable
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Chip, Jets, Model, Placing, Tokens
from hyflexsim.workloads.sparsity.parts import ATTENTION, steps_of
from hyflexsim.workloads.sparsity.scored import Outcome, Scored, Way
from hyflexsim.workloads.sparsity.scored_jets import ScoredJets
from hyflexsim.workloads.sparsity.scored_texts import ScoredTexts
from hyflexsim.workloads.sparsity.tuned import tuned
from hyflexsim.workloads.terminal import Say
from hyflexsim.workloads.values.keeping import MASK, UPPER, Choice

Row = dict[str, Any]
PRESET = "hyflexpim-topk"
APART_PS = 100_000_000_000
"""Between two items: far longer than one takes."""
KEYS = (1, 4, 16)
COUNTS = (4, 16, 32)  # of text
WITHIN = (3.0,)  # nats below the largest score
BY_BIAS, BY_MASK = (4, 16), (9,)


def ways_of(
    layers: Mapping[str, int],
    table: Sequence[Sequence[int]] | None = None,
    *,
    biased: bool = True,
    counts: Sequence[int] = KEYS,
) -> list[Way]:
    """All ways for a model with these layers (name -> heads); ``table``: keys of each head,
    ``biased``: whether scores have a bias to choose by, ``counts``: keys a query keeps.

    >>> [way.name for way in ways_of({"blocks.0": 4})][:3]
    ['all keys', 'top 1', 'top 4']
    """

    def each(k: int) -> dict[str, list[int]]:
        return {layer: [k] * heads for layer, heads in layers.items()}

    found = [Way("all keys", None)]
    found += [Way(f"top {k}", Choice("scores", each(k))) for k in counts]
    found += [Way(f"top {k}, bit by bit", Choice("bits", each(k))) for k in counts[:2]]
    found += [Way(f"within {t:g}", Choice("scores", each(1), t)) for t in WITHIN]
    if biased:
        found += [Way(f"top {k} by U", Choice("bias", each(k))) for k in BY_BIAS]
    found += [Way(f"top {k} by upper bits", Choice(UPPER, each(k))) for k in counts[1:2]]
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
    """Ways of a ParT: a row a way, see :func:`row_of`.

    Ways that choose before the scores are made run on a chip whose selector looks at the bias;
    what that look costs is the selector's, whatever it looks at. Raises InputError as reading does.
    """
    subject = ScoredJets(checkpoint, jets, per_class, _scenario("scores").hardware())
    machines = {by: prepare(_scenario(by), subject.graph) for by in CHOICES}
    chosen = ways_of(subject.layers(), table)
    found = subject.run(chosen, say)
    full = found[chosen[0].name]
    return [row_of(way, found[way.name], full, machines, subject) for way in chosen]


def ways_of_text(
    checkpoint: str | Path,
    *,
    window: int,
    windows: int,
    epochs: int = 0,
    work: resumable.Work | None = None,
    say: Say = lambda *_: None,
) -> list[Row]:
    """Ways of a compressed decoder over ``windows`` held-out texts of ``window`` tokens each.

    There is no bias to choose by: ways that choose before run on the chip that multiplies keys bit
    by bit, of which they take all bits of the keys that stay and none (a mask) or half of them
    (upper bits) of the others. ``epochs``: rows more, of models trained so much further with their
    keys left out, and with all, kept in ``work`` (:mod:`.tuned`). Raises InputError for a
    checkpoint without a text.
    """
    scenarios = {by: _texts(checkpoint, by, window, windows) for by in ("scores", "bits")}
    subject = ScoredTexts(scenarios["scores"])
    machines = {by: prepare(each, subject.graph) for by, each in scenarios.items()}
    machines["bias"] = machines["bits"]
    chosen = ways_of(subject.layers(), biased=False, counts=COUNTS)
    found = subject.run(chosen, say)
    full = found[chosen[0].name]
    rows = [row_of(way, found[way.name], full, machines, subject) for way in chosen]
    if work is None or not epochs:
        return rows
    for keys in (None, *COUNTS[:2]):
        folder = tuned(checkpoint, keys, epochs, work, say)
        taught = ScoredTexts(_texts(folder, "scores", window, windows))
        name = "all keys" if keys is None else f"top {keys}"
        way = next(way for way in chosen if way.name == name)
        got = taught.run([way], say)[way.name]
        rows.append(row_of(Way(f"{way.name}, trained", way.choice), got, full, machines, taught))
    return rows


def _scenario(by: str) -> Scenario:
    """A ParT dense in single-level cells, as the scenario part-jets, with a selector."""
    return Scenario(
        name="sparsity",
        model=Model(name="part-full"),  # the graph is handed over
        chip=Chip(preset=PRESET, set={"selector.by": by}),
        mapping=Placing(slc_rate=1.0, copies="fill"),
        workload=Jets(count=50),
    )


def _texts(checkpoint: str | Path, by: str, window: int, windows: int) -> Scenario:
    """A compressed decoder in single-level cells that reads texts, with a selector."""
    return Scenario(
        name="sparsity",
        model=Model(checkpoint=str(checkpoint)),
        chip=Chip(preset=PRESET, set={"selector.by": by}),
        mapping=Placing(slc_rate=1.0, copies="fill"),
        workload=Tokens(tokens=window, requests=windows),
    )


def row_of(
    way: Way, got: Outcome, full: Outcome, machines: Mapping[str, Prepared], subject: Scored
) -> Row:
    """Score and its change from all keys (paired, with one standard error), shares of keys kept and
    bits multiplied, latency (µs: p50, p99), energy of an item and of its attention (nJ).
    """
    by = "scores" if way.choice is None else way.choice.by
    ready = machines[by if by in CHOICES else "bias"]
    latency, joules, attention = run_apart(ready, subject.tokens, got.work)
    change, error = got.change(full)
    score, before = got.mean, full.mean
    if subject.metric == "perplexity":
        score, before = math.exp(score), math.exp(before)
        change, error = score - before, score * error
    return {
        "way": way.name,
        "by": "" if way.choice is None else way.choice.by,
        "metric": subject.metric,
        "score": score,
        "change": change,
        "change_error": error,
        "kept": got.kept_share,
        "bits": got.bit_share,
        "p50_us": float(np.percentile(latency, 50, method="higher")) / 1e6,
        "p99_us": float(np.percentile(latency, 99, method="higher")) / 1e6,
        "energy_nj": joules / 1e3,
        "attention_nj": attention / 1e3,
        "items": len(got.quality),
    }


def run_apart(
    ready: Prepared, tokens: Sequence[int], work: Sequence[Work | None], engine: str = "compiled"
) -> tuple[np.ndarray, float, float]:
    """Latency of each item (ps), mean energy of one and of its attention (pJ)."""
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
