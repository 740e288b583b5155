"""Pages of the compiled loop: who may have one more, who gives up; the rules are those of pages.py.

Written for numba: a function takes the records it needs (table_types.py has their fields).
"""

from __future__ import annotations

import numpy as np

from hyflexsim.sim.engine.compiled.registers import PAGE
from hyflexsim.sim.engine.compiled.wheel import called


@called
def more(r, request):
    """Pages that the next token of a request takes: 0 or 1."""
    return np.int64(request.length % r[PAGE] == 0)


@called
def enter(present, live, came, request):
    """Put a request among those on a member, of which ``live`` are there before, as they came."""
    at = live
    while at > 0 and came[present[at - 1]] > came[request]:
        present[at] = present[at - 1]
        at -= 1
    present[at] = request


@called
def leave(present, live, request):
    """Take a request out of those on a member, of which ``live`` are left."""
    at = 0
    while present[at] != request:
        at += 1
    while at < live:
        present[at] = present[at + 1]
        at += 1


@called
def next_one(r, present, member, growing):
    """A request that asks: itself if it may go on, -1 - itself if it has to give up; else 2^62."""
    last = member.live - 1
    for at in range(member.live):
        request = np.int64(present[at])
        if not growing[request].asking:
            continue
        if more(r, growing[request]) <= member.memory - member.held:
            return request
        victim = np.int64(present[max(last, at)])
        if growing[victim].asking:
            return -1 - victim
        last -= 1
    return np.int64(2**62)


@called
def ask(row, member, step, token):
    """A request has said a token, which waits for room before it is fed back."""
    row.asking = 1
    row.step = step
    row.token = token
    member.asking += 1


@called
def grant(r, row, request, member):
    """A request is one token longer."""
    row.asking = 0
    member.asking -= 1
    member.held += more(r, row)
    request.need += more(r, row)
    row.length += 1


@called
def give_up(r, row, requests, member, behind, request):
    """A request stands first in the queue again, with one token more than it has computed."""
    row.asking = 0
    member.asking -= 1
    row.length += 1
    row.again = 1
    requests[request].need = (row.length + r[PAGE] - 1) // r[PAGE]
    if member.waiting == 0:
        member.last = request
    else:
        behind[request] = member.first
    member.first = request
    member.waiting += 1
