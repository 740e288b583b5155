"""What a run says of its stream of requests: queues, lateness, loss, and whether it can go on so.

Latencies are given for what is left after the warm-up, with intervals (steady.py). The number of
requests in the system is that of those that have come and are neither answered nor lost; at the
host, of those that have not entered the chip.

A queue grows without bound where requests come faster than they are served. A run of finite length
shows it by one of two signs, each beyond three standard deviations of how evenly requests come:

- more come than the busiest component could serve were it always busy: one in the time that it
  serves each (the bottleneck law: Denning and Buzen, Computing Surveys 10, 1978)
- while the second half of them comes fewer are answered than come

Where requests are lost to a death neither is looked for: who is lost waits no longer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hyflexsim.sim.engine.result import Played
from hyflexsim.workloads.run import steady
from hyflexsim.workloads.run.conversations import conversations
from hyflexsim.workloads.run.conversations import notes as conversation_notes
from hyflexsim.workloads.run.prepare import Prepared
from hyflexsim.workloads.scenario.experiment import Experiment
from hyflexsim.workloads.scenario.schema import AtOnce, Closed

Numbers = dict[str, Any]
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
SLOTS = 20
"""Into which arrivals are counted, to see how evenly they come."""


def stream(scenario: Experiment, ready: Prepared, played: Played, utilisation: float) -> Numbers:
    """ "stream" of summary.json (docs/architecture.md): times in ps, rates in requests a second.

    ``utilisation``: of the busiest component.
    """
    answered = np.flatnonzero(np.array(played.finished) >= 0)
    answered = answered[np.argsort(np.array(played.arrived)[answered], kind="stable")]
    arrived, entered, first, finished = (
        np.array(times, dtype=np.int64)[answered]
        for times in (played.arrived, played.entered, played.first_output, played.finished)
    )
    latency = finished - arrived
    comes = np.sort(np.array([at for at in played.arrived if at >= 0], dtype=np.int64))
    arriving = scenario.arrivals
    bounded = (
        scenario.host.queue is not None
        or any(isinstance(each, AtOnce | Closed) for each in arriving)
        or lost_by(played)["death"] > 0
    )
    busiest = utilisation * played.tally.end_ps / len(answered)  # with replicas: of all requests
    most = None if bounded else served_at_most(comes, finished, busiest)
    at_once = any(isinstance(each, AtOnce) for each in arriving)
    cut = None if at_once or most else steady.warm_up(latency.astype(float))
    span = max(played.tally.end_ps, 1)

    def first_token(mask: np.ndarray) -> Numbers | None:
        return _some(first - arrived, cut, mask)

    return {
        "offered_per_s": _rate(comes),
        "served_at_most_per_s": most,
        "warm_up": cut,
        "latency_ps": _estimates(latency, cut),
        "in_system": _occupation(arrived, finished, span),
        "at_host": _occupation(arrived, entered, span),
        "preempted": _preempted(played),
        "sessions": conversations(ready, played, answered, first_token),
        **_in_time(latency, scenario.deadline_ps(), span),
        **_text(ready, answered, arrived, first, finished, cut),
    }


def lost_by(played: Played) -> dict[str, int]:
    """How many requests are not answered, by cause.

    ``queue``: the host's was full. ``client``: its client waits for an answer that never comes.
    ``death``: they, or others before them, need a component that died.
    """
    unsent = sum(at < 0 for at in played.arrived)
    refused = len(played.refused)
    return {
        "queue": refused,
        "client": unsent,
        "death": len(played.lost) - refused - unsent,
    }


def served_at_most(arrived: np.ndarray, finished: np.ndarray, busiest: float) -> float | None:
    """Requests a second that are served where more come; None where the queue has an end.

    ``arrived``, ``finished``: ascending and any times in ps. ``busiest``: ps for which the busiest
    component serves a request.
    """
    span = int(arrived[-1] - arrived[0]) if len(arrived) else 0
    if not span:
        return None
    counts, _ = np.histogram(arrived, bins=SLOTS)
    uneven = float(counts.std(ddof=1))  # of a slot's count; of n slots sqrt(n) times as much
    offered = (len(arrived) - 1) / span
    surely = offered * (1 - 3 * uneven * np.sqrt(SLOTS) / len(arrived))
    half = arrived[0] + span // 2
    comes = int((arrived > half).sum())
    leaves = int(((finished > half) & (finished <= arrived[-1])).sum())
    falls_behind = comes - leaves > 3 * max(1.0, uneven * np.sqrt(SLOTS / 2))
    if not (falls_behind or surely * busiest > 1):
        return None
    most = int((finished > half).sum()) / int(finished.max() - half)  # with those that still wait
    return (min(most, 1 / busiest) if busiest else most) * 1e12


def _rate(arrived: np.ndarray) -> float | None:
    """Requests a second between the first and the last; None where all come at once."""
    span = int(arrived[-1] - arrived[0])
    return (len(arrived) - 1) / (span * 1e-12) if span else None


def _estimates(values: np.ndarray, cut: int | None) -> Numbers:
    """Mean and quantiles behind the warm-up; without one, of all, and no intervals.

    A quantile that less than one value lies above is None.
    """
    kept = values[cut or 0 :].astype(float)
    found: dict[str, steady.Estimate | None] = {"mean": steady.mean(kept)}
    for name, share in QUANTILES.items():
        found[name] = steady.quantile(kept, share) if len(kept) * (1 - share) >= 1 else None
    widths = {
        n: None if each is None or cut is None else each.half_width for n, each in found.items()
    }
    return {n: each and each.value for n, each in found.items()} | {"half_width": widths}


def _some(values: np.ndarray, cut: int | None, mask: np.ndarray) -> Numbers | None:
    """The same of some of the values; None where none of them is left behind the warm-up."""
    if not mask[cut or 0 :].any():
        return None
    return _estimates(values[mask], None if cut is None else int(mask[:cut].sum()))


def _occupation(since: np.ndarray, until: np.ndarray, span: int) -> Numbers:
    """Mean over the run, and most at the end of an instant, of what is there from ... until."""
    times = np.concatenate([since, until])
    steps = np.concatenate([np.ones(len(since), int), -np.ones(len(until), int)])
    order = np.argsort(times, kind="stable")
    there = np.cumsum(steps[order])
    last = np.append(np.diff(times[order]) > 0, True)
    return {"mean": int((until - since).sum()) / span, "most": int(there[last].max(initial=0))}


def _preempted(played: Played) -> Numbers:
    """How often requests gave their pages up, how many did, and tokens computed once more."""
    return {
        "times": len(played.preemptions),
        "requests": len({request for request, _, _ in played.preemptions}),
        "recomputed_tokens": sum(computed for _, _, computed in played.preemptions),
    }


def _in_time(latency: np.ndarray, deadline: int | None, span: int) -> Numbers:
    """Share of the answers that keep the deadline, and how many a second."""
    if deadline is None:
        return {"deadline_ps": None, "in_time": None, "goodput_per_s": None}
    kept = int((latency <= deadline).sum())
    return {
        "deadline_ps": deadline,
        "in_time": kept / len(latency),
        "goodput_per_s": kept / (span * 1e-12),
    }


def _text(
    ready: Prepared,
    answered: np.ndarray,
    arrived: np.ndarray,
    first: np.ndarray,
    finished: np.ndarray,
    cut: int | None,
) -> Numbers:
    """Of requests that generate: time to the first token, and for each further one."""
    requests = [ready.requests[number] for number in answered]
    texts = np.array([request.prefill is not None for request in requests])
    if not texts.any():
        return {"first_token_ps": None, "further_token_ps": None}
    cut = None if cut is None else int(texts[:cut].sum())  # of models that do not generate, none
    arrived, first, finished = arrived[texts], first[texts], finished[texts]
    further = np.array([r.tokens - r.prefill for r in requests if r.prefill is not None])
    each = (finished - first)[further > 0] / further[further > 0]
    return {
        "first_token_ps": _estimates(first - arrived, cut),
        "further_token_ps": _estimates(each, cut) if len(each) else None,
    }


def notes(ready: Prepared, summary: Numbers) -> list[str]:
    """What a reader must know of a stream: a queue without end, loss."""
    found, said = summary["stream"], conversation_notes(ready, summary["stream"]["sessions"])
    if found["served_at_most_per_s"] is not None:
        said.append(
            f"the queue grows without bound: {found['offered_per_s']:,.0f} requests a second come, "
            f"{found['served_at_most_per_s']:,.0f} are served; latency, too, grows with the number "
            "of requests"
        )
    again = found["preempted"]
    if again["times"]:
        said.append(
            f"{again['requests']} requests gave up keys and values {again['times']} times, as "
            f"no page was free, and computed {again['recomputed_tokens']:,} tokens once more "
            "(host.admission)"
        )
    refused = summary["lost_by"]["queue"]
    if refused:
        total = summary["requests"] + summary["lost"]
        said.append(
            f"{refused} of {total} requests are lost: they found the host's queue full "
            "(host.queue); they are in no other figure"
        )
    return said
