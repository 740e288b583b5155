"""The event loop, compiled: the rules of engine.py over the tables of flat.py.

Names are those of engine.py, and so is the order of everything that can be seen: events of one
instant in the order in which they were scheduled, then decisions in component order. What differs
is how queues are kept. Each step has a queue of its own at its component (a *channel*): tokens come
in serving order, so a list will do; only those of one instant may have to change places. The
component keeps its channels in a heap by their first token, and takes one that must wait for a
place out of it until a credit comes.

All compiled functions are in this one file, and its constants too: numba keeps the machine code
until the file changes, and would not notice a change elsewhere. Functions that get all tables are
inlined, since thirty arrays are too many to hand over in every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

DONE, FULL, ROOM = range(3)  # why `run` has returned
GROUP, THRESHOLD = 2, 3  # kinds of edge, as in shape.py; any other is a stream
# registers of a run: numbers of which there is one
(
    NOW,  # time of the last event, ps
    STARTED,  # events scheduled so far: orders those of one instant
    EVENTS,  # events waiting
    IDLE,  # components that decide when the instant is over
    FREE_NODE,  # first free node of the queues, -1 if none is left
    FREE_NODES,  # how many
    BYTES,  # used in `waits`
    MARKS,  # used in `marks`
    BLOCKS,  # used in `blocks`
    ENTERED,  # requests that have entered
    LIVE,  # requests on the chip
    PEAK_LIVE,
    WINDOW,  # at most so many of them
    HOST_WAITS,  # 1: the chip is full, the host waits for a request to leave
    HOST_DUE,  # 1: the host has stopped for want of room in the tables
    LEFT,  # requests that have left
    FAN_OUT,  # tokens that one finished token may release at most
    ROWS,  # rows in the trace block
    COMPONENTS,
    REGISTERS,  # how many there are
) = range(20)


def compiled(function: F) -> F:
    """Compile on first use and keep the machine code, if there is a folder to keep it in."""
    try:
        return numba.njit(cache=True, nogil=True, _nrt=False)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(nogil=True, _nrt=False)(function)  # type: ignore[no-any-return]


def _called(function: F) -> F:
    return numba.njit(nogil=True, _nrt=False)(function)  # type: ignore[no-any-return]


def _inlined(function: F) -> F:
    return numba.njit(inline="always", nogil=True, _nrt=False)(function)  # type: ignore[no-any-return]


# --- events: a heap by (time, order) -------------------------------------------------------------


@_called
def _schedule(r, events, time, what):
    order = r[STARTED]
    r[STARTED] += 1
    at = r[EVENTS]
    r[EVENTS] += 1
    while at > 0:
        above = (at - 1) >> 1
        if events[above].time <= time:  # an equal one was scheduled before
            break
        events[at].time = events[above].time
        events[at].order = events[above].order
        events[at].what = events[above].what
        at = above
    events[at].time = time
    events[at].order = order
    events[at].what = what


@_called
def _remove_first(r, events):
    """Take the first event out: close the gap down to a leaf, then lift the last one from there."""
    r[EVENTS] -= 1
    size = r[EVENTS]
    at = 0
    below = 1
    while below < size:
        if below + 1 < size and (
            events[below + 1].time < events[below].time
            or (
                events[below + 1].time == events[below].time
                and events[below + 1].order < events[below].order
            )
        ):
            below += 1
        events[at].time = events[below].time
        events[at].order = events[below].order
        events[at].what = events[below].what
        at = below
        below = 2 * at + 1
    time, order, what = events[size].time, events[size].order, events[size].what
    while at > 0:
        above = (at - 1) >> 1
        if events[above].time < time or (
            events[above].time == time and events[above].order < order
        ):
            break
        events[at].time = events[above].time
        events[at].order = events[above].order
        events[at].what = events[above].what
        at = above
    events[at].time = time
    events[at].order = order
    events[at].what = what


# --- a component's channels: a heap by (arrival of the first token, step) ------------------------


@_called
def _offer(components, channels, ready, channel):
    """Put a channel among those that may start."""
    c = channels[channel].component
    base = components[c].ready_at
    at = np.int64(components[c].ready)
    components[c].ready = at + 1
    arrival, step = channels[channel].arrival, channels[channel].step
    while at > 0:
        above = (at - 1) >> 1
        other = ready[base + above]
        if channels[other].arrival < arrival or (
            channels[other].arrival == arrival and channels[other].step < step
        ):
            break
        ready[base + at] = other
        at = above
    ready[base + at] = channel


@_called
def _take_first(components, channels, ready, c):
    """Take out the channel whose first token is first in order."""
    base = components[c].ready_at
    size = np.int64(components[c].ready) - 1
    components[c].ready = size
    first = ready[base]
    moved = ready[base + size]
    arrival, step = channels[moved].arrival, channels[moved].step
    at = 0
    below = 1
    while below < size:
        child = ready[base + below]
        if below + 1 < size:
            other = ready[base + below + 1]
            if channels[other].arrival < channels[child].arrival or (
                channels[other].arrival == channels[child].arrival
                and channels[other].step < channels[child].step
            ):
                below += 1
                child = other
        if arrival < channels[child].arrival or (
            arrival == channels[child].arrival and step < channels[child].step
        ):
            break
        ready[base + at] = child
        at = below
        below = 2 * at + 1
    ready[base + at] = moved
    return first


# --- queues --------------------------------------------------------------------------------------


@_called
def _enqueue(r, channels, nodes, channel, request, token, now):
    """Add a token to a channel; True if the channel was empty."""
    node = r[FREE_NODE]
    r[FREE_NODE] = nodes[node].next
    r[FREE_NODES] -= 1
    nodes[node].arrival = now
    nodes[node].request = request
    nodes[node].token = token
    before = np.int64(channels[channel].tail)
    # tokens come in serving order, but for those of this very instant
    while (
        before >= 0
        and nodes[before].arrival == now
        and (
            nodes[before].request > request
            or (nodes[before].request == request and nodes[before].token > token)
        )
    ):
        before = np.int64(nodes[before].previous)
    empty = channels[channel].head < 0
    after = channels[channel].head
    if before >= 0:
        after = nodes[before].next
        nodes[before].next = node
    else:
        channels[channel].head = node
    nodes[node].previous = before
    nodes[node].next = after
    if after >= 0:
        nodes[after].previous = node
    else:
        channels[channel].tail = node
    return empty


@_called
def _dequeue(r, channels, nodes, channel):
    """Drop a channel's first token."""
    node = channels[channel].head
    after = nodes[node].next
    channels[channel].head = after
    if after >= 0:
        nodes[after].previous = -1
        channels[channel].arrival = nodes[after].arrival
    else:
        channels[channel].tail = -1
    nodes[node].next = r[FREE_NODE]
    r[FREE_NODE] = node
    r[FREE_NODES] += 1


@_called
def _count(steps, shown, lengths, step, token, now, change):
    """Note a longer or shorter queue; how long it was counts when an instant is over."""
    lane = 0
    if steps[step].shown > 1:
        lane = token // steps[step].planes % steps[step].shown
    c = shown[steps[step].shown_at + lane]
    if lengths[c].at != now:
        lengths[c].peak = max(lengths[c].peak, lengths[c].queued)
        lengths[c].at = now
    lengths[c].queued += change


@_called
def _wake(r, components, idle, c):
    """Let a component decide when the instant is over: into a heap, lowest index first."""
    if components[c].idle:
        return
    components[c].idle = 1
    at = r[IDLE]
    r[IDLE] += 1
    while at > 0 and idle[(at - 1) >> 1] > c:
        idle[at] = idle[(at - 1) >> 1]
        at = (at - 1) >> 1
    idle[at] = c


@_called
def _next_idle(r, components, idle):
    """Take the idle component of lowest index out."""
    r[IDLE] -= 1
    size = r[IDLE]
    first, moved = idle[0], idle[size]
    at = 0
    below = 1
    while below < size:
        if below + 1 < size and idle[below + 1] < idle[below]:
            below += 1
        if moved <= idle[below]:
            break
        idle[at] = idle[below]
        at = below
        below = 2 * at + 1
    idle[at] = moved
    components[first].idle = 0
    return first


@_inlined
def _arrive(t, step, request, token, now):
    """Queue a token, all of whose inputs are there, at the component that serves it."""
    lane = 0
    if t.steps[step].lanes > 1:
        lane = token // t.steps[step].planes % t.steps[step].lanes
    channel = t.lanes[t.steps[step].lane_at + lane]
    c = t.channels[channel].component
    if _enqueue(t.registers, t.channels, t.nodes, channel, request, token, now):
        t.channels[channel].arrival = now
        _offer(t.components, t.channels, t.ready, channel)
    _count(t.steps, t.shown, t.lengths, step, token, now, 1)
    if not t.components[c].busy:
        _wake(t.registers, t.components, t.idle, c)


# --- flow control --------------------------------------------------------------------------------


@_called
def _see_credits(buffers, buffer, now):
    """Places given back before this instant are free."""
    if buffers[buffer].freed_at < now:
        buffers[buffer].free += buffers[buffer].freed
        buffers[buffer].freed = 0


@_called
def _full(buffers, reserves, first, stop, now):
    """The first of the buffers asked for that has no place, or -1."""
    for i in range(first, stop):
        _see_credits(buffers, reserves[i], now)
        if buffers[reserves[i]].free <= 0:
            return np.int64(reserves[i])
    return np.int64(-1)


@_called
def _reserve(buffers, reserves, first, stop):
    """Take a place in each."""
    for i in range(first, stop):
        buffer = reserves[i]
        buffers[buffer].free -= 1
        left = buffers[buffer].free + buffers[buffer].freed
        buffers[buffer].least_free = min(buffers[buffer].least_free, left)


@_called
def _give_back(buffers, buffer, now):
    """Free a place; others see it from ``now`` + 1 ps on."""
    _see_credits(buffers, buffer, now)
    buffers[buffer].freed += 1
    buffers[buffer].freed_at = now


@_called
def _wait(buffers, channels, buffer, channel):
    """Let a channel wait for a place."""
    channels[channel].next = -1
    if buffers[buffer].first < 0:
        buffers[buffer].first = channel
    else:
        channels[buffers[buffer].last].next = channel
    buffers[buffer].last = channel


@_called
def _owes_credit(buffers, buffer):
    """Whether somebody waits for a place that has just been given back, and is not told yet."""
    row = buffers[buffer]
    return row.freed > 0 and row.first >= 0 and row.scheduled == 0


@_inlined
def _passes(t, step, token, channel, now):
    """Reserve places for the first part of a token and say True; or wait and say False."""
    row, buffers = t.steps[step], t.buffers
    if row.own < 0 and not row.reserves:
        return True
    if row.parts > 1 and token % row.parts:
        return True
    first, stop = row.reserve_at, row.reserve_at + row.reserves
    full = _full(buffers, t.reserves, first, stop, now)
    changed = full
    if full >= 0:
        _wait(buffers, t.channels, full, channel)
    else:
        _reserve(buffers, t.reserves, first, stop)
        changed = np.int64(row.own)
        if changed >= 0:
            _give_back(buffers, changed, now)
    if changed >= 0 and _owes_credit(buffers, changed):
        buffers[changed].scheduled = 1
        _schedule(t.registers, t.events, now + 1, t.registers[COMPONENTS] + changed)
    return full < 0


@_inlined
def _receive_credit(t, buffer):
    """Every channel that waits may try again."""
    t.buffers[buffer].scheduled = 0
    channel = t.buffers[buffer].first
    t.buffers[buffer].first = -1
    t.buffers[buffer].last = -1
    while channel >= 0:
        after = t.channels[channel].next
        _offer(t.components, t.channels, t.ready, channel)
        _wake(t.registers, t.components, t.idle, t.channels[channel].component)
        channel = after


# --- components ----------------------------------------------------------------------------------


@_inlined
def _start(t, c, channel, now):
    """Serve a channel's first token."""
    node = t.channels[channel].head
    step = t.channels[channel].step
    request, token = t.nodes[node].request, t.nodes[node].token
    component = t.components[c]
    component.busy = 1
    component.step = step
    component.request = request
    component.token = token
    component.arrival = t.nodes[node].arrival
    component.started = now
    _dequeue(t.registers, t.channels, t.nodes, channel)
    if t.channels[channel].head >= 0:
        _offer(t.components, t.channels, t.ready, channel)
    _count(t.steps, t.shown, t.lengths, step, token, now, -1)
    duration = t.durations[t.requests[request].shape, t.steps[step].duration]
    if duration < 0:
        duration = t.times[token - 1 - duration]
    _schedule(t.registers, t.events, now + duration, c)


@_inlined
def _decide(t, c, now):
    """Start the first token in order whose buffers downstream have places."""
    while t.components[c].ready > 0:
        channel = _take_first(t.components, t.channels, t.ready, c)
        if _passes(
            t, t.channels[channel].step, t.nodes[t.channels[channel].head].token, channel, now
        ):
            _start(t, c, channel, now)
            return


@_inlined
def _decide_all(t, now):
    """Every idle component decides, in component order."""
    while t.registers[IDLE] > 0:
        c = _next_idle(t.registers, t.components, t.idle)
        if not t.components[c].busy:
            _decide(t, c, now)


# --- tokens that wait for tokens -----------------------------------------------------------------


@_inlined
def _release(t, step, request, token, now):
    """One input of a token is there; the last one lets it arrive."""
    at = t.waits_at[t.requests[request].shape, step]
    if at >= 0:
        place = t.blocks[t.requests[request].block].bytes_at + at + token
        t.waits[place] -= 1
        if t.waits[place]:
            return
    _arrive(t, step, request, token, now)


@_inlined
def _advance(t, step, request, token):
    """Note that a token is done; return the length of the unbroken prefix."""
    block = t.requests[request].block
    mark = t.blocks[block].marks_at + t.steps[step].prefix
    bits = t.blocks[block].bytes_at + t.prefix_at[t.requests[request].shape, step]
    done = np.int64(t.marks[mark])
    if token != done:
        t.waits[bits + token] = 1
        return done
    done += 1
    while t.waits[bits + done]:  # a 0 follows the last token
        done += 1
    t.marks[mark] = done
    return done


@_called
def _of_group(edge, token):
    """The tokens that wait for the group which this token completes: from, up to."""
    if (token + 1) % edge.every and token != edge.last:
        return np.int64(0), np.int64(0)
    if edge.broadcast:
        return np.int64(0), np.int64(edge.here)
    first = (token // edge.every + edge.shift) * edge.spread
    return max(first, 0), min(first + edge.spread, edge.here)


@_called
def _of_threshold(edge, needs, marks, place, done):
    """The tokens that need no more than the first ``done``, and have not been released yet."""
    first = np.int64(marks[place])
    stop = first
    while stop < edge.here and needs[edge.need_at + stop] <= done:
        stop += 1
    marks[place] = stop
    return first, stop


@_inlined
def _deliver(t, step, request, token, now):
    """Tell everyone who waits for this token."""
    shape, block = t.requests[request].shape, t.requests[request].block
    done = np.int64(0)
    if t.steps[step].prefix >= 0:
        done = _advance(t, step, request, token)
    at = t.steps[step].output_at
    for i in range(at, at + t.steps[step].outputs):
        edge = t.edges[shape, t.outputs[i].edge]
        first, stop = token, token + 1
        if edge.kind == GROUP:
            first, stop = _of_group(edge, token)
        elif edge.kind == THRESHOLD:
            place = t.blocks[block].marks_at + t.outputs[i].mark
            first, stop = _of_threshold(edge, t.needs, t.marks, place, done)
        for released in range(first, stop):
            _release(t, t.outputs[i].step, request, released, now)
    if t.steps[step].answers:
        if t.first_output[request] < 0:
            t.first_output[request] = now
        t.finished[request] = now
    t.requests[request].left -= 1
    if not t.requests[request].left:
        _leave(t, request, now)


# --- requests ------------------------------------------------------------------------------------


@_inlined
def _leave(t, request, now):
    r = t.registers
    block = t.requests[request].block
    shape = t.requests[request].shape
    t.blocks[block].next = t.shapes[shape].free_block
    t.shapes[shape].free_block = block
    t.left[r[LEFT]] = request
    r[LEFT] += 1
    r[LIVE] -= 1
    if r[HOST_WAITS]:
        r[HOST_WAITS] = 0
        _schedule(t.registers, t.events, now, -1)


@_inlined
def _has_room(t, request):
    """Whether the tables can take a request in."""
    r = t.registers
    shape = t.shapes[t.requests[request].shape]
    if r[FREE_NODES] < shape.initial:
        return False
    return shape.free_block >= 0 or (
        r[BLOCKS] < len(t.blocks)
        and r[BYTES] + shape.bytes <= len(t.waits)
        and r[MARKS] + shape.marks <= len(t.marks)
    )


@_inlined
def _take_block(t, shape):
    """A block of `waits` and `marks`: one that a request of this shape has left, or a new one."""
    r = t.registers
    block = np.int64(t.shapes[shape].free_block)
    if block >= 0:
        t.shapes[shape].free_block = t.blocks[block].next
        return block
    block = r[BLOCKS]
    r[BLOCKS] += 1
    t.blocks[block].bytes_at = r[BYTES]
    t.blocks[block].marks_at = r[MARKS]
    r[BYTES] += t.shapes[shape].bytes
    r[MARKS] += t.shapes[shape].marks
    return block


@_inlined
def _enter(t, request, now):
    r = t.registers
    row = t.shapes[t.requests[request].shape]
    block = _take_block(t, t.requests[request].shape)
    t.requests[request].block = block
    t.requests[request].left = row.visits
    t.entered[request] = now
    r[LIVE] += 1
    r[PEAK_LIVE] = max(r[PEAK_LIVE], r[LIVE])
    at, template = t.blocks[block].bytes_at, row.template_at
    for i in range(row.bytes):
        t.waits[at + i] = t.templates[template + i]
    at = t.blocks[block].marks_at
    for i in range(row.marks):
        t.marks[at + i] = 0
    for i in range(row.initial_at, row.initial_at + row.initial):
        _arrive(t, t.initial[i].step, request, np.int64(t.initial[i].token), now)


@_inlined
def _host(t, now):
    """Release requests at their arrival times, as many as the chip holds; False: out of room."""
    r = t.registers
    r[HOST_DUE] = 0
    while r[ENTERED] < len(t.requests):
        request = r[ENTERED]
        if t.requests[request].arrival > now:
            _schedule(t.registers, t.events, t.requests[request].arrival, -1)
            return True
        if r[LIVE] >= r[WINDOW]:
            r[HOST_WAITS] = 1
            return True
        if not _has_room(t, request):
            r[HOST_DUE] = 1
            return False
        r[ENTERED] += 1
        _enter(t, request, now)
    return True


# --- the loop ------------------------------------------------------------------------------------


@_inlined
def _finish(t, rows, c, now):
    """A visit ends: record it, hand the token on, look for the next."""
    component = t.components[c]
    step, request, token = component.step, component.request, np.int64(component.token)
    row = t.registers[ROWS]
    t.registers[ROWS] = row + 1
    rows[0][row] = step
    rows[1][row] = request
    rows[2][row] = token
    rows[3][row] = component.arrival
    rows[4][row] = component.started
    rows[5][row] = now
    component.busy = 0
    if component.ready > 0:
        _wake(t.registers, t.components, t.idle, c)
    _deliver(t, step, request, token, now)


@compiled
def run(t, rows):
    """Play until nothing moves (DONE), the block of ``rows`` is full, or a table is (ROOM)."""
    r, events = t.registers, t.events
    capacity = len(rows[0])
    while True:
        now = r[NOW]
        if r[HOST_DUE] and not _host(t, now):
            return ROOM
        if r[IDLE] and (r[EVENTS] == 0 or events[0].time != now):
            _decide_all(t, now)
        if r[EVENTS] == 0:
            return DONE
        if r[ROWS] == capacity:
            return FULL
        if r[FREE_NODES] < r[FAN_OUT]:
            return ROOM
        now, what = events[0].time, events[0].what
        r[NOW] = now
        _remove_first(r, events)
        if what < 0:
            r[HOST_DUE] = 1
        elif what < r[COMPONENTS]:
            _finish(t, rows, what, now)
        else:
            _receive_credit(t, what - r[COMPONENTS])
