"""What a run says of conversations: next turns that found their keys and values, and that did not.

A next turn finds all that the turn before it has computed, or nothing, when it enters its chip. One
that gives its pages up later and computes all of it counts as what it was when it entered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.result import Played
from hyflexsim.workloads.run.prepare import Prepared

Numbers = dict[str, Any]
Estimates = Callable[[np.ndarray], Numbers | None]
"""Mean and quantiles of those of the answered requests that a mask takes; None: it takes none."""


def conversations(
    ready: Prepared, played: Played, answered: np.ndarray, first_token: Estimates
) -> Numbers | None:
    """ "sessions" of summary.json (docs/architecture.md); None: every request stands for itself.

    ``answered``: numbers of the requests that were answered. ``first_token``: how long these waited
    for their first tokens.
    """
    talk = _turns(ready.requests)
    if not talk:
        return None
    came = {i for i in talk if played.entered[i] >= 0}
    nexts = {i for i in came if ready.requests[i].after is not None}
    found = {i for i in nexts if played.found[i]}
    again = sum(computed for i, _, computed in played.preemptions if i in talk)
    spared = sum(played.found[i] for i in found)
    groups = {"first_turns": came - nexts, "found": found, "not_found": nexts - found}
    return {
        "begun": len(came - nexts),
        "next_turns": len(nexts),
        "found": len(found),
        "found_tokens": spared,
        "computed_tokens": sum(ready.requests[i].tokens for i in came) + again - spared,
        "dropped": len(played.dropped),
        "late": sum(_late(ready.requests, played, i) for i in nexts),
        "first_token_ps": {
            name: first_token(np.isin(answered, sorted(group))) for name, group in groups.items()
        },
    }


def _turns(requests: list[Request]) -> set[int]:
    """Requests that are turns of conversations."""
    own = {i for i, each in enumerate(requests) if each.keeps or each.after is not None}
    return own | {each.after for each in requests if each.after is not None}


def _late(requests: list[Request], played: Played, turn: int) -> bool:
    """Whether a turn has a time of its own, and came behind that, as an answer was not there."""
    earliest, before = requests[turn].arrival, requests[turn].after
    assert before is not None
    return requests[before].arrival < earliest < played.arrived[turn]


def notes(ready: Prepared, found: Numbers | None) -> list[str]:
    """What a reader must know of conversations."""
    if found is None or not found["next_turns"]:
        return []
    said = []
    if not any(request.keeps for request in ready.requests):
        said.append(
            "nothing of a conversation stays on the chip for its next turn: that takes "
            'host.admission = "paged" and host.sessions = "kept"'
        )
    if found["late"]:
        said.append(
            f"{found['late']} of {found['next_turns']} next turns came later than in the trace: "
            "the answers before them were not there in time"
        )
    return said
