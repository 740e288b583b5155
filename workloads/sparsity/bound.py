"""The bound first: what sparse attention could save at most, for several models on one chip.

For each part (parts.py) its share of a request's energy, and how much sooner the request would be
answered, and how many more a second could be, if the part cost nothing: no way of leaving keys out
can do better. Energy is counted in closed form (it is a run's ledger), answers are played: a plan
whose steps of that part take 1 ps each (sim/plan/idle.py). Shares of time do not add up, because
parts overlap; of energy they do. Nor are they strict bounds: units serve in order of arrival, and
work that is gone lets other work come first (Graham's anomalies), so that a share may be negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import networkx as nx

from hyflexsim.sim import energy
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.plan.copies import component_loads
from hyflexsim.sim.plan.idle import without_work
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.workloads.extraction.extract import extract_config
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Chip, Generate, Model, Placing, Tokens
from hyflexsim.workloads.sparsity.parts import (
    ATTENTION,
    PAIRS,
    PARTS,
    PV,
    SOFTMAX,
    part_of,
    steps_of,
)
from hyflexsim.workloads.terminal import Say

Row = dict[str, Any]
FURTHER = 8
"""Generated tokens over which the cost of one is taken."""

GROUPS: dict[str, tuple[str, ...]] = {part: (part,) for part in PARTS[:-1]} | {
    "after the scores": (SOFTMAX, PV),
    "attention": ATTENTION,
    "attention and pairs": (*ATTENTION, PAIRS),
}
"""What is made to cost nothing: each part, what a top-k after the scores could save, and all."""


@dataclass(frozen=True)
class Case:
    """A model on a chip, at one length. ``decode``: the cost of one generated token after it.

    ``model``: a name, or one of PART_CONFIGS (models/part/transformer.py).
    """

    title: str
    model: str
    tokens: int
    decode: bool = False
    chips: int = 1
    rank: Literal["dense", "hard-threshold"] = "hard-threshold"
    slc_rate: float = 0.1
    pus_per_layer: str = "auto"
    preset: str = "hyflexpim"

    def scenario(self) -> Scenario:
        """The same in the words of a scenario file."""
        workload = (
            Generate(prefill=self.tokens, decode=FURTHER + 1)
            if self.decode
            else Tokens(tokens=self.tokens)
        )
        return Scenario(
            name="sparsity",
            model=Model(name=self.model, rank=self.rank),
            chip=Chip(preset=self.preset, chips=self.chips),
            mapping=Placing.model_validate(
                {
                    "slc_rate": self.slc_rate,
                    "copies": "fill",
                    "pus_per_layer": self.pus_per_layer,
                }
            ),
            workload=workload,
        )

    def graph(self) -> nx.DiGraph | None:
        """Of a ParT of ours, which has no name of its own among the models; else None."""
        if self.model != "part-small":
            return None
        return extract_config(self.model, {"model_type": "part", "published": self.model})


def _part(title: str, model: str, tokens: int) -> Case:
    return Case(title, model, tokens, rank="dense", slc_rate=1.0)  # as the scenario part-jets


CASES = (
    *(_part("ParT", "part-full", n) for n in (30, 64, 128)),
    *(_part("ParT, small", "part-small", n) for n in (30, 64, 128)),
    *(Case("BERT-Base", "bert-base", n, pus_per_layer="fill") for n in (128, 512)),
    Case("GPT-2", "gpt2", 1024, chips=2, slc_rate=0.3),
    *(Case("Llama-3.2-1B", "llama-3.2-1b", n, True, 3, slc_rate=0.2) for n in (2048, 8192)),
)
"""Of the issue's models: settings are those of the scenarios that come with hyflexsim."""


@dataclass(frozen=True)
class _Cost:
    """Of one request, or one generated token: pJ by part, ps of its answer, ps of the busiest."""

    energy_pj: dict[str, float]
    answer_ps: float
    busiest_ps: float = field(default=float("nan"))


def bound(case: Case) -> list[Row]:
    """Rows of a case: ``model``, ``tokens``, ``what``, and shares that ``what`` could save.

    ``energy``, ``answer`` (time to the answer of a request alone; of a case of generated text, from
    one token to the next), ``pace`` (of the busiest component's time, which bounds requests a
    second; NaN for text). The row ``all`` has the whole in nJ and µs.
    """
    ready = prepare(case.scenario(), case.graph())
    whole = _cost(case, ready, ready.plan)
    total = sum(whole.energy_pj.values())
    head = {"model": case.title, "tokens": case.tokens, "decode": case.decode}
    rows: list[Row] = [
        head
        | {
            "what": "all",
            "energy": total / 1e3,
            "answer": whole.answer_ps / 1e6,
            "pace": whole.busiest_ps / 1e6,
        }
    ]
    for what, parts in GROUPS.items():
        steps = steps_of(ready.graph, ready.plan, parts)
        if not steps:
            continue
        left = _cost(case, ready, without_work(ready.plan, steps))
        rows.append(
            head
            | {
                "what": what,
                "energy": sum(whole.energy_pj[part] for part in parts) / total,
                "answer": 1 - left.answer_ps / whole.answer_ps,
                "pace": 1 - left.busiest_ps / whole.busiest_ps,
            }
        )
    return rows


def _cost(case: Case, ready: Prepared, plan: Plan) -> _Cost:
    if not case.decode:
        (played,) = _finished(ready, plan, Request(0, case.tokens))
        return _Cost(
            _energy(ready, plan, case.tokens), played, max(component_loads(plan, case.tokens))
        )
    prompt, last = case.tokens, case.tokens + FURTHER
    more, less = (_energy(ready, plan, n, prompt) for n in (last, prompt))
    first, end = _finished(ready, plan, Request(0, last, prompt))
    return _Cost({p: (more[p] - less[p]) / FURTHER for p in PARTS}, (end - first) / FURTHER)


def _finished(ready: Prepared, plan: Plan, request: Request) -> list[int]:
    """When a request alone is answered; of text the first and the last token."""
    played = engines.play(plan, [request], engine="compiled", window=1)
    if request.prefill is None:
        return list(played.finished)
    return [played.first_output[0], played.finished[0]]


def _energy(
    ready: Prepared, plan: Plan, tokens: int, prefill: int | None = None
) -> dict[str, float]:
    """pJ of a request by part, exact."""
    shape = shape_of(plan, tokens, prefill)
    counts = energy.action_counts_of(plan, ready.chip)
    found = dict.fromkeys(PARTS, 0.0)
    for step, pj in zip(
        plan.steps, counts.step_energies_pj(shape.counts, shape.sizes).tolist(), strict=True
    ):
        found[part_of(ready.graph, step)] += pj
    return found


def bounds(cases: Sequence[Case] = CASES, say: Say = lambda *_: None) -> list[Row]:
    """Rows of all cases; see :func:`bound`."""
    rows: list[Row] = []
    for i, case in enumerate(cases):
        say(f"{case.title}, {case.tokens} tokens", i, len(cases))
        rows += bound(case)
    return rows
