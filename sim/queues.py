"""Queues of the compiled loop: events, idle components, tokens that wait, places in buffers.

Each step has a queue of its own at its component (a *channel*). Tokens come in serving order, so a
linked list will do; only those of one instant may have to change places. A component keeps those
of its channels that may start in a heap, by their first token.

Written for numba: a function takes the records it needs (flat.py has their fields). Indices are
unsigned, so that no code is made for negative ones; :data:`NONE` stands where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

NONE = 2**32 - 1
(
    NOW,  # time of the last event, ps
    STARTED,  # events scheduled so far: orders those of one instant
    EVENTS,  # events waiting
    SHIFT,  # bits of an event's tag that say what it is
    IDLE,  # components that decide when the instant is over
    FREE_NODE,  # first free node of the channels
    FREE_NODES,  # how many
    BYTES,  # used in `waits`
    MARKS,  # used in `marks`
    BLOCKS,  # used in `blocks`
    ENTERED,  # requests that have entered
    LIVE,  # requests on the chip
    PEAK_LIVE,
    WINDOW,  # at most so many of them
    HOST_WAITS,  # 1: the chip is full, the host waits for a request to leave
    HOST_DUE,  # 1: the host is to release requests now
    LEFT,  # requests that have left
    FAN_OUT,  # tokens that one finished token may release at most
    ROWS,  # rows in the trace block
    COMPONENTS,  # events up to here are the end of a visit there
    HOST,  # event of the host; between them are credits of buffers
    REGISTERS,  # how many there are
) = range(22)  # registers of a run: numbers of which there is one


def called(function: F) -> F:
    """A compiled function; without reference counts, as nothing is allocated in the loop."""
    return numba.njit(nogil=True, _nrt=False)(function)  # type: ignore[no-any-return]


# --- events: a heap by (time, tag); the tag is the order of scheduling, then what it is ----------


@called
def schedule(r, events, time, what):
    """An event at ``time``: the end of a visit at a component, a credit, or the host's turn."""
    tag = (r[STARTED] << r[SHIFT]) + what
    r[STARTED] += 1
    at = np.uint64(r[EVENTS])
    r[EVENTS] += 1
    while at > 0:
        above = (at - np.uint64(1)) >> np.uint64(1)
        if events[above].time <= time:  # an equal one was scheduled before
            break
        events[at].time = events[above].time
        events[at].tag = events[above].tag
        at = above
    events[at].time = time
    events[at].tag = tag


@called
def remove_first(r, events):
    """Take the first event out: close the gap down to a leaf, then lift the last one from there.

    Which child is the earlier nobody can foresee, so it is computed and not branched on.
    """
    r[EVENTS] -= 1
    size = np.uint64(r[EVENTS])
    one = np.uint64(1)
    at = np.uint64(0)
    below = one
    while below + one < size:
        left, right = events[below], events[below + one]
        earlier = (right.time < left.time) | ((right.time == left.time) & (right.tag < left.tag))
        below += np.uint64(earlier)
        events[at].time = events[below].time
        events[at].tag = events[below].tag
        at = below
        below = at + at + one
    if below < size:
        events[at].time = events[below].time
        events[at].tag = events[below].tag
        at = below
    time, tag = events[size].time, events[size].tag
    while at > 0:
        above = (at - one) >> one
        if events[above].time < time or (events[above].time == time and events[above].tag < tag):
            break
        events[at].time = events[above].time
        events[at].tag = events[above].tag
        at = above
    events[at].time = time
    events[at].tag = tag


# --- a component's channels: a heap by (arrival of the first token, step) ------------------------


@called
def _before(channels, a, b):
    return channels[a].arrival < channels[b].arrival or (
        channels[a].arrival == channels[b].arrival and channels[a].step < channels[b].step
    )


@called
def offer(components, channels, ready, channel):
    """Put a channel among those of its component that may start."""
    component = components[channels[channel].component]
    base = component.ready_at
    at = np.uint32(component.ready)
    component.ready += 1
    while at > 0:
        above = np.uint32(at - 1) >> 1
        if _before(channels, ready[base + above], channel):
            break
        ready[base + at] = ready[base + above]
        at = above
    ready[base + at] = channel


@called
def take_first(components, channels, ready, c):
    """Take out the channel whose first token is first in order."""
    component = components[c]
    base = component.ready_at
    component.ready -= 1
    size = component.ready
    first, moved = ready[base], ready[base + size]
    at = np.uint32(0)
    below = np.uint32(1)
    while below < size:
        if below + 1 < size and _before(channels, ready[base + below + 1], ready[base + below]):
            below += np.uint32(1)
        if _before(channels, moved, ready[base + below]):
            break
        ready[base + at] = ready[base + below]
        at = below
        below = np.uint32(2 * at + 1)
    ready[base + at] = moved
    return first


# --- channels ------------------------------------------------------------------------------------


@called
def enqueue(r, channels, nodes, channel, request, token, now):
    """Add a token that has arrived to a channel; True if the channel was empty."""
    new = np.uint32(r[FREE_NODE])
    r[FREE_NODE] = nodes[new].next
    r[FREE_NODES] -= 1
    nodes[new].arrival = now
    nodes[new].request = request
    nodes[new].token = token
    row = channels[channel]
    if row.head == NONE:
        nodes[new].previous = NONE
        nodes[new].next = NONE
        row.head = new
        row.tail = new
        row.arrival = now
        return True
    before = row.tail
    # tokens come in serving order, but for those of this very instant
    while before != NONE and nodes[before].arrival == now:
        other = nodes[before]
        if other.request < request or (other.request == request and other.token < token):
            break
        before = other.previous
    after = row.head
    if before == NONE:
        row.head = new
    else:
        after = nodes[before].next
        nodes[before].next = new
    if after == NONE:
        row.tail = new
    else:
        nodes[after].previous = new
    nodes[new].previous = before
    nodes[new].next = after
    return False


@called
def dequeue(r, channels, nodes, channel):
    """Drop a channel's first token; True if there is another."""
    row = channels[channel]
    node = row.head
    after = nodes[node].next
    row.head = after
    nodes[node].next = r[FREE_NODE]
    r[FREE_NODE] = node
    r[FREE_NODES] += 1
    if after == NONE:
        row.tail = NONE
        return False
    nodes[after].previous = NONE
    row.arrival = nodes[after].arrival
    return True


@called
def count(steps, shown, components, step, token, now, change):
    """Note a longer or shorter queue; how long it was counts when an instant is over."""
    row = steps[step]
    lane = np.uint32(0)
    if row.shown > 1:
        lane = np.uint32(token // row.planes % row.shown)
    component = components[shown[row.shown_at + lane]]
    if component.counted_at != now:
        component.peak = max(component.peak, component.queued)
        component.counted_at = now
    component.queued += change


# --- idle components: a heap by index ------------------------------------------------------------


@called
def wake(r, components, idle, c):
    """Let a component decide when the instant is over."""
    if components[c].idle:
        return
    components[c].idle = 1
    at = np.uint32(r[IDLE])
    r[IDLE] += 1
    while at > 0:
        above = np.uint32(at - 1) >> 1
        if idle[above] < c:
            break
        idle[at] = idle[above]
        at = above
    idle[at] = c


@called
def next_idle(r, components, idle):
    """Take the idle component of lowest index out."""
    r[IDLE] -= 1
    size = np.uint32(r[IDLE])
    first, moved = idle[0], idle[size]
    at = np.uint32(0)
    below = np.uint32(1)
    while below < size:
        if below + 1 < size and idle[below + 1] < idle[below]:
            below += np.uint32(1)
        if moved <= idle[below]:
            break
        idle[at] = idle[below]
        at = below
        below = np.uint32(2 * at + 1)
    idle[at] = moved
    components[first].idle = 0
    return first


# --- buffers: places, and channels that wait for one ---------------------------------------------


@called
def _see_credits(buffers, buffer, now):
    """Places given back before this instant are free."""
    row = buffers[buffer]
    if row.freed_at < now:
        row.free += row.freed
        row.freed = 0


@called
def full_one(buffers, reserves, first, stop, now):
    """The first of the buffers asked for that has no place, or NONE."""
    for i in range(first, stop):
        _see_credits(buffers, reserves[i], now)
        if buffers[reserves[i]].free <= 0:
            return np.uint32(reserves[i])
    return np.uint32(NONE)


@called
def reserve(buffers, reserves, first, stop):
    """Take a place in each."""
    for i in range(first, stop):
        row = buffers[reserves[i]]
        row.free -= 1
        row.least_free = min(row.least_free, row.free + row.freed)


@called
def give_back(buffers, buffer, now):
    """Free a place; others see it from ``now`` + 1 ps on."""
    _see_credits(buffers, buffer, now)
    buffers[buffer].freed += 1
    buffers[buffer].freed_at = now


@called
def wait(buffers, channels, buffer, channel):
    """Let a channel wait for a place."""
    row = buffers[buffer]
    channels[channel].next = NONE
    if row.first == NONE:
        row.first = channel
    else:
        channels[row.last].next = channel
    row.last = channel


@called
def owes_credit(buffers, buffer):
    """Whether somebody waits for a place that has just been given back, and is not told yet."""
    row = buffers[buffer]
    return row.freed > 0 and row.first != NONE and row.scheduled == 0
