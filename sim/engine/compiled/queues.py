"""Queues of the compiled loop: tokens that wait, idle components, places in buffers.

Each step has a queue of its own at its component (a *channel*). Tokens come in serving order, so a
linked list will do; only those of one instant may have to change places. A component keeps those
of its channels that may start in a heap, by their first token; a sequencer, whose order depends on
what had the turn last, keeps them in no order, and looks at all of them.

Written for numba: a function takes the records it needs (table_types.py has their fields). Indices
are unsigned, so that no code is made for negative ones; :data:`NONE` stands where there is none.
"""

from __future__ import annotations

import numpy as np

from hyflexsim.sim.engine.compiled.registers import FREE_NODE, FREE_NODES, IDLE, NONE
from hyflexsim.sim.engine.compiled.wheel import called, first_bit

_one = np.uint64(1)
_six = np.uint64(6)
_low = np.uint64(63)

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


# --- a sequencer's channels: in no order ---------------------------------------------------------


@called
def put(components, channels, ready, channel):
    """Put a channel among those of its sequencer that may start."""
    component = components[channels[channel].component]
    channels[channel].place = component.ready
    ready[component.ready_at + component.ready] = channel
    component.ready += 1


@called
def withdraw(components, channels, ready, channel):
    """Take a channel out; the last takes its place."""
    component = components[channels[channel].component]
    component.ready -= 1
    last, place = ready[component.ready_at + component.ready], channels[channel].place
    ready[component.ready_at + place] = last
    channels[last].place = place
    channels[channel].place = NONE


@called
def goes_on(channels, nodes, lanes, came, first, stop, request):
    """Of the lanes of the step that had the turn, the channel that is first with its request."""
    best = np.uint32(NONE)
    for i in range(first, stop):
        channel = np.uint32(lanes[i].channel)
        if channels[channel].place == NONE or nodes[channels[channel].head].request != request:
            continue
        if best == NONE or _ahead(channels, nodes, came, channel, best, request):
            best = channel
    return best


@called
def first_in_turn(components, channels, ready, nodes, came, c):
    """The first channel: of the request that had the turn, then by (request, arrival, step)."""
    component = components[c]
    best = np.uint32(ready[component.ready_at])
    for i in range(component.ready_at + 1, component.ready_at + component.ready):
        if _ahead(channels, nodes, came, ready[i], best, component.request):
            best = np.uint32(ready[i])
    return best


@called
def _ahead(channels, nodes, came, a, b, request):
    mine, other = nodes[channels[a].head], nodes[channels[b].head]
    if mine.request != other.request:
        if other.request == request:
            return False
        return mine.request == request or came[mine.request] < came[other.request]
    if mine.arrival != other.arrival:
        return mine.arrival < other.arrival
    if channels[a].step != channels[b].step:
        return channels[a].step < channels[b].step
    return mine.token < other.token


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
def count(components, c, now, change):
    """Note a longer or shorter queue; how long it was counts when an instant is over."""
    component = components[c]
    if component.counted_at != now:
        component.peak = max(component.peak, component.queued)
        component.counted_at = now
    component.queued += change


# --- idle components: bits, and bits that say which words of them are not 0 ----------------------


@called
def wake(r, idle, c):
    """Let a component decide when the instant is over."""
    c = np.uint64(c)
    word = c >> _six
    idle[1, word >> _six] |= _one << (word & _low)
    idle[0, word] |= _one << (c & _low)
    r[IDLE] = True


@called
def next_idle(idle, top):
    """Take a word of idle components out: its index, and its bits."""
    word = (np.uint64(top) << _six) + first_bit(idle[1, top])
    idle[1, top] &= idle[1, top] - _one
    bits = idle[0, word]
    idle[0, word] = 0
    return word, bits


# --- buffers: places, and channels that wait for one ---------------------------------------------


@called
def _see_credits(buffers, buffer, now):
    """Places given back before this instant are free."""
    row = buffers[buffer]
    if row.freed_at != now:
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
    return row.freed > 0 and row.first != NONE and not row.scheduled
