"""Conversations of the compiled loop: what stays for next turns; the rules: sessions.py.

Written for numba: a function takes the records it needs (table_types.py has their fields).
"""

from __future__ import annotations

import numpy as np

from hyflexsim.sim.engine.compiled.registers import COMING, DROPPED, KEPT, NONE, TAKEN
from hyflexsim.sim.engine.compiled.wheel import called


@called
def comes(r, behind, request):
    """A next turn has come; those that the host has not seen yet are in order of their numbers."""
    if r[COMING] == NONE or r[COMING] > request:
        behind[request] = np.uint32(r[COMING])
        r[COMING] = request
        return
    before = np.uint32(r[COMING])
    while behind[before] != NONE and behind[before] < request:
        before = behind[before]
    behind[request] = behind[before]
    behind[before] = request


@called
def keep(turns, member, request, pages, now):
    """A request has left; its pages stay, behind those of all that left before."""
    row = turns[request]
    row.kept = KEPT
    row.left_at = now
    member.kept += pages
    older = np.uint32(member.newest)
    while older != NONE and turns[older].left_at == now and older > request:
        older = turns[older].older
    newer = np.uint32(member.oldest)
    if older != NONE:
        newer = turns[older].newer
        turns[older].newer = request
    else:
        member.oldest = request
    if newer != NONE:
        turns[newer].older = request
    else:
        member.newest = request
    row.older = older
    row.newer = newer


@called
def _take(turns, member, request, pages):
    row = turns[request]
    member.kept -= pages
    if row.older != NONE:
        turns[row.older].newer = row.newer
    else:
        member.oldest = row.newer
    if row.newer != NONE:
        turns[row.newer].older = row.older
    else:
        member.newest = row.older


@called
def begin(turns, member, requests, request):
    """Give a request that enters for the first time the pages of its last turn, if they stayed."""
    before = turns[request].before
    if before != NONE and turns[before].kept == KEPT:
        _take(turns, member, before, requests[before].need)
        turns[before].kept = TAKEN


@called
def make_room(turns, member, requests):
    """Drop conversations whose pages somebody needs."""
    while member.kept > member.memory - member.held:
        request = np.uint32(member.oldest)
        _take(turns, member, request, requests[request].need)
        turns[request].kept = DROPPED


@called
def on_member(shapes, first, choices, member):
    """Of the shapes from ``first`` on, one for each member that serves a model, that of one."""
    for shape in range(first, first + choices):
        if shapes[shape].member == member:
            return np.uint32(shape)
    return np.uint32(NONE)


@called
def shape_at_entry(turns, shapes, requests, request):
    """The shape with which a request enters for the first time: begun, or from its first token."""
    row, mine = requests[request], turns[request]
    first = row.base
    if mine.before != NONE and turns[mine.before].kept == KEPT:
        first = mine.begun
    return on_member(shapes, first, row.choices, shapes[row.shape].member)
