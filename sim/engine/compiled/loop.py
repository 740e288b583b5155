"""The event loop, compiled: the rules of engine.py over the tables of tables.py.

Names are those of engine.py, and so is the order of everything that can be seen: events of one
instant in the order in which they were scheduled, then decisions in component order. How events
and queues are kept differs: wheel.py, queues.py.

Functions that get all tables (``t``) are inlined, since thirty arrays are too many to hand over in
every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from hyflexsim.sim.engine.compiled import growing, queues, sessions, wheel
from hyflexsim.sim.engine.compiled.machine_code import OPTIONS
from hyflexsim.sim.engine.compiled.registers import (
    ASKED,
    BLOCKS,
    BUSY,
    BYTES,
    CAME,
    CLOSED,
    COMING,
    COMPONENTS,
    DIED,
    DONE,
    EMPTY,
    FAN_OUT,
    FREE_NODES,
    FULL,
    HEAP,
    HOLDS,
    HOST,
    HOST_DUE,
    IDLE,
    IDLING,
    KEPT,
    LEFT,
    LIVE,
    MARKS,
    NONE,
    NOW,
    PAGE,
    PEAK_LIVE,
    PENDING,
    PLACES,
    ROOM,
    ROWS,
    SEEN,
    SESSIONS,
    SHAPE,
    SHORTEST,
    TIMED,
    TURN,
    WANTED,
)
from hyflexsim.sim.engine.compiled.sums import add_visit, lane_of
from hyflexsim.sim.engine.compiled.wheel import called, first_bit

F = TypeVar("F", bound=Callable[..., Any])

GROUP, THRESHOLD = 2, 3  # kinds of edge, as in plan/unrolled.py; any other is a stream


def _inlined(function: F) -> F:
    return numba.njit(inline="always", **OPTIONS)(function)  # type: ignore[no-any-return]


# --- components ----------------------------------------------------------------------------------


@_inlined
def _arrive(t, step, request, token, now):
    """A token, all of whose inputs are there, comes to the component that decides about it.

    Where nothing else is, it stays in hand, since most tokens start as soon as the instant is over.
    """
    row = t.steps[step]
    lane = lane_of(row, token, t.requests[request].dealt)
    channel, c = t.lanes[row.lane_at + lane].channel, t.lanes[row.lane_at + lane].component
    component = t.components[c]
    if component.state == EMPTY and component.ready == 0 and t.channels[channel].head == NONE:
        component.state = HOLDS
        component.channel = channel
        component.step = step
        component.request = request
        component.token = token
        component.arrival = now
        queues.wake(t.registers, t.idle, c)
    else:
        if component.state == HOLDS:
            _put_down(t, c, now)
        if _enqueue(t, c, step, channel, request, token, now):
            _offer(t, channel)
        if component.state != BUSY:
            queues.wake(t.registers, t.idle, c)


@_inlined
def _offer(t, channel):
    """Let a channel's first token start when it is its turn."""
    if t.channels[channel].place == HEAP:
        queues.offer(t.components, t.channels, t.ready, channel)
    else:
        queues.put(t.components, t.channels, t.ready, channel)


@_inlined
def _enqueue(t, c, step, channel, request, token, now):
    """Queue a token; True if there was none in the channel."""
    server = np.uint32(c)
    row = t.steps[step]
    if row.sequenced:
        lane = lane_of(row, token, t.requests[request].dealt)
        server = t.lanes[row.lane_at + lane].server
    queues.count(t.components, server, now, 1)
    return queues.enqueue(t.registers, t.channels, t.nodes, channel, request, token, now)


@_inlined
def _put_down(t, c, now):
    """Queue the token in hand, as it is no longer alone."""
    component = t.components[c]
    component.state = EMPTY
    channel = component.channel
    if _enqueue(t, c, component.step, channel, component.request, component.token, now):
        _offer(t, channel)


@_inlined
def _passes(t, step, token, channel, now):
    """Reserve places for the first part of a token and say True; or wait and say False."""
    row, buffers = t.steps[step], t.buffers
    if row.own == NONE and not row.reserves:
        return True
    if row.parts > 1 and token % row.parts:
        return True
    first, stop = row.reserve_at, row.reserve_at + row.reserves
    full = queues.full_one(buffers, t.reserves, first, stop, now)
    changed = full
    if full != NONE:
        queues.wait(buffers, t.channels, full, channel)
    else:
        queues.reserve(buffers, t.reserves, first, stop)
        changed = row.own
        if changed != NONE:
            queues.give_back(buffers, changed, now)
    if changed != NONE and queues.owes_credit(buffers, changed):
        buffers[changed].scheduled = True
        what = t.registers[COMPONENTS] + changed
        wheel.schedule(t.registers, t.events, t.slots, t.bits, now + 1, what)
    return full == NONE


@_inlined
def _receive_credit(t, buffer):
    """Every channel that waits for a place may try again."""
    t.buffers[buffer].scheduled = False
    channel = t.buffers[buffer].first
    t.buffers[buffer].first = NONE
    t.buffers[buffer].last = NONE
    while channel != NONE:
        after = t.channels[channel].next
        _offer(t, channel)
        queues.wake(t.registers, t.idle, t.channels[channel].component)
        channel = after


@_inlined
def _start(t, c, now):
    """Serve the token in hand."""
    component = t.components[c]
    component.state = BUSY
    component.started = now
    row = t.steps[component.step]
    duration = row.ps
    if duration == 0:
        duration = t.durations[t.requests[component.request].shape, row.duration]
        if duration < 0:
            duration = t.times[component.token - 1 - duration]
    if now + duration <= t.dies[c]:
        wheel.schedule(t.registers, t.events, t.slots, t.bits, now + duration, c)
    else:
        t.dies[c] = DIED


@_inlined
def _pick_up(t, c, channel, now):
    """Take a channel's first token in hand."""
    component = t.components[c]
    node = t.nodes[t.channels[channel].head]
    component.step = t.channels[channel].step
    component.request = node.request
    component.token = node.token
    component.arrival = node.arrival
    if queues.dequeue(t.registers, t.channels, t.nodes, channel):
        _offer(t, channel)
    queues.count(t.components, c, now, -1)


@_inlined
def _decide(t, c, now):
    """Take the first token in order whose buffers downstream have places, and start it."""
    component = t.components[c]
    if component.state == HOLDS:
        if component.ready == 0:
            if _passes(t, component.step, component.token, component.channel, now):
                return True
            component.state = EMPTY
            _enqueue(
                t, c, component.step, component.channel, component.request, component.token, now
            )
            return False
        _put_down(t, c, now)
    while component.ready > 0:
        channel = queues.take_first(t.components, t.channels, t.ready, c)
        token = t.nodes[t.channels[channel].head].token
        if _passes(t, t.channels[channel].step, token, channel, now):
            _pick_up(t, c, channel, now)
            return True
    return False


@_inlined
def _give_turn(t, c, now):
    """A sequencer's first token in order that has its places starts, with its step's other lanes.

    These follow lane by lane from there on.
    """
    sequencer = t.components[c]
    lane, left, at = np.uint32(0), np.uint32(0), np.uint32(0)
    while sequencer.ready > 0:
        if sequencer.state == TURN:
            channel = np.uint32(NONE)
            if sequencer.step != NONE:
                last = t.steps[sequencer.step]
                stop = last.lane_at + last.lanes
                channel = queues.goes_on(
                    t.channels, t.nodes, t.lanes, t.came, last.lane_at, stop, sequencer.request
                )
            if channel == NONE:
                channel = queues.first_in_turn(
                    t.components, t.channels, t.ready, t.nodes, t.came, c
                )
            row = t.steps[t.channels[channel].step]
            first = t.nodes[t.channels[channel].head]
            at, left = row.lane_at, np.uint32(row.lanes)
            lane = lane_of(row, first.token, t.requests[first.request].dealt)
        else:
            left -= np.uint32(1)
            if left == 0:
                break
            lane += np.uint32(1)
            if lane == t.steps[sequencer.step].lanes:
                lane = np.uint32(0)
            channel = t.lanes[at + lane].channel
            if t.channels[channel].place == NONE:
                continue
        queues.withdraw(t.components, t.channels, t.ready, channel)
        node = t.nodes[t.channels[channel].head]
        step, request = t.channels[channel].step, node.request
        if _passes(t, step, node.token, channel, now):
            if sequencer.state == TURN:
                sequencer.state = BUSY
                sequencer.step = step
                sequencer.request = request
            sequencer.serving += 1
            server = t.lanes[at + lane].server
            _pick_up(t, server, channel, now)
            _start(t, server, now)


@_inlined
def _decide_all(t, now):
    """Every idle component decides, in component order."""
    t.registers[IDLE] = False
    for top in range((t.idle.shape[1] + 63) >> 6):
        while t.idle[1, top]:
            word, bits = queues.next_idle(t.idle, top)
            while bits:
                c = np.uint32((word << np.uint64(6)) + first_bit(bits))
                bits &= bits - np.uint64(1)
                if t.components[c].state == TURN:
                    _give_turn(t, c, now)
                elif t.components[c].state != BUSY and _decide(t, c, now):
                    _start(t, c, now)


# --- tokens that wait for tokens -----------------------------------------------------------------


@_inlined
def _release(t, step, request, token):
    """One input of a token is there; True if it was the last."""
    at = t.waits_at[t.requests[request].shape, step]
    if at == NONE:
        return True
    place = t.requests[request].bytes_at + at + token
    t.waits[place] -= 1
    return t.waits[place] == 0


@_inlined
def _advance(t, step, request, token):
    """Note that a token is done; return the length of the unbroken prefix."""
    row = t.requests[request]
    mark = row.marks_at + t.steps[step].prefix
    bits = row.bytes_at + t.prefix_at[row.shape, step]
    done = t.marks[mark]
    if token == done:
        done += np.uint32(1)
        # A 0 follows the last token. Not `!= 0`: LLVM would call strlen, which kept code cannot.
        while t.waits[bits + done] == 1:
            done += np.uint32(1)
        t.marks[mark] = done
    else:
        t.waits[bits + token] = 1
    return np.int64(done)


@called
def _of_group(edge, token):
    """The tokens that wait for the group which this token completes: from, up to."""
    if (token + 1) % edge.every and token != edge.last:
        return np.int64(0), np.int64(0)
    if edge.broadcast:
        return np.int64(edge.begin), np.int64(edge.here)
    first = (token // edge.every + edge.shift) * edge.spread
    return max(first, edge.begin), min(first + edge.spread, edge.here)


@called
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
    follower = t.steps[step].follower
    if follower != NONE:
        _arrive(t, follower, request, token, now)
    elif t.steps[step].sampled and t.registers[PAGE] and _grows(t, request):
        _answer(t, request, now)
        member = t.members[t.shapes[t.requests[request].shape].member]
        growing.ask(t.growing[request], member, step, token)
        t.registers[HOST_DUE] = True
    else:
        _deliver_to_all(t, step, request, token, now)
        if t.steps[step].answers:
            _answer(t, request, now)
    t.requests[request].left -= 1
    if not t.requests[request].left:
        _leave(t, request, now)


@_inlined
def _deliver_to_all(t, step, request, token, now):
    """The same, where not all of the step's tokens go to one other step alone."""
    row = t.steps[step]
    done = np.int64(0)
    if row.prefix != NONE:
        done = _advance(t, step, request, token)
    for i in range(row.output_at, row.output_at + row.outputs):
        output = t.outputs[i]
        first, stop = np.int64(token), np.int64(token) + 1
        need_at = np.int64(-1)
        if output.group:
            edge = t.edges[t.requests[request].shape, output.edge]
            if edge.kind == GROUP:
                first, stop = _of_group(edge, np.int64(token))
            elif edge.kind == THRESHOLD:
                place = t.requests[request].marks_at + output.mark
                first, stop = _of_threshold(edge, t.needs, t.marks, place, done)
                need_at = edge.need_at
        for released in range(np.uint64(first), np.uint64(stop)):
            if need_at >= 0 and not t.needs[need_at + np.int64(released)]:
                continue  # it does not wait for this one: its experts are others
            if output.only or _release(t, output.step, request, np.uint32(released)):
                _arrive(t, output.step, request, np.uint32(released), now)


@_inlined
def _answer(t, request, now):
    if t.first_output[request] < 0:
        t.first_output[request] = now
    t.finished[request] = now


@_inlined
def _grows(t, request):
    """Whether a request has tokens to come."""
    return t.growing[request].length < t.growing[request].tokens


# --- requests ------------------------------------------------------------------------------------


@_inlined
def _take_off(t, request):
    """A request is on its chip no more: its block and its memory are free."""
    r = t.registers
    block = t.requests[request].block
    shape = t.shapes[t.requests[request].shape]
    t.blocks[block].next = shape.free_block
    shape.free_block = block
    r[LIVE] -= 1
    member = t.members[shape.member]
    member.live -= 1
    member.held -= t.requests[request].need
    if r[PAGE]:
        growing.leave(t.present[shape.member], member.live, request)


@_inlined
def _leave(t, request, now):
    r = t.registers
    _take_off(t, request)
    t.left[r[LEFT]] = request
    r[LEFT] += 1
    r[HOST_DUE] = True
    following = np.uint32(NONE)
    if r[SESSIONS]:
        row = t.sessions[request]
        following = row.after
        if row.keeps:
            member = t.members[t.shapes[t.requests[request].shape].member]
            sessions.keep(t.sessions, member, request, t.requests[request].need, now)
    if r[CLOSED] or following != NONE:
        client, at = t.clients[request], now + t.thinks[request]
        t.asks[client] = following
        if following != NONE:
            at = max(at, t.sessions[following].earliest)
        event = np.uint32(r[HOST]) + np.uint32(1) + client
        wheel.schedule(r, t.events, t.slots, t.bits, at, event)


@_inlined
def _ask(t, client, now):
    """A client sends its next turn or, as there is none, begins a conversation that is left."""
    r = t.registers
    request = t.asks[client]
    if request != NONE:
        sessions.comes(r, t.behind, request)
    elif r[ASKED] < len(t.firsts):
        request = t.firsts[r[ASKED]]
        r[ASKED] += 1
    if request != NONE:
        t.requests[request].arrival = now
        t.clients[request] = client
        r[HOST_DUE] = True


@called
def choose(r, members, shapes, requests, turns, number):
    """The shape of a request on the member that it goes to: that which holds its conversation; else
    each of those that serve its model in turn, or the one with the fewest requests, the first of
    equals."""
    request = requests[number]
    if r[SESSIONS]:
        before = turns[number].before
        if before != NONE and turns[before].kept == KEPT:
            member = shapes[requests[before].shape].member
            return sessions.on_member(shapes, request.base, request.choices, member)
    if not r[SHORTEST]:
        return np.uint32(request.base + request.turn)
    best = np.uint32(request.base)
    for shape in range(request.base + 1, request.base + request.choices):
        one, other = members[shapes[shape].member], members[shapes[best].member]
        if one.live + one.waiting < other.live + other.waiting:
            best = np.uint32(shape)
    return best


@called
def fits(member, need):
    """Whether a member has room for a request."""
    return member.live < member.window and member.held + need <= member.memory


@called
def next_come(r, requests, firsts, now):
    """The first by number of those that have come and that the host does not know of, or NONE."""
    if r[SEEN] < len(firsts) and requests[firsts[r[SEEN]]].arrival <= now:
        return np.uint32(min(np.int64(firsts[r[SEEN]]), r[COMING]))
    return np.uint32(r[COMING])


@called
def see(r, came, behind, request):
    """The host knows of a request."""
    if request == r[COMING]:
        r[COMING] = behind[request]
    else:
        r[SEEN] += 1
    came[request] = r[CAME]
    r[CAME] += 1


@called
def next_to_enter(r, members, shapes, requests, firsts, turns, came, behind, refused, now):
    """The next request that there is room for, or NONE; those before it wait or are refused."""
    for i in range(len(members)):
        if members[i].waiting and fits(members[i], requests[members[i].first].need):
            return np.uint32(members[i].first)
    while True:
        request = next_come(r, requests, firsts, now)
        if request == NONE:
            return request
        requests[request].shape = choose(r, members, shapes, requests, turns, request)
        member = members[shapes[requests[request].shape].member]
        if member.waiting == 0 and fits(member, requests[request].need):
            return request  # and will be again, if the tables are too small for it now
        see(r, came, behind, request)
        if member.waiting >= r[PLACES]:
            refused[request] = True
            continue
        if member.waiting == 0:
            member.first = request
        else:
            behind[member.last] = request
        member.last = request
        member.waiting += 1


@called
def take_out(r, members, shapes, requests, came, behind, present, request):
    """A request enters: it is on its chip, and out of the queue if it was in it."""
    number = shapes[requests[request].shape].member
    member = members[number]
    if came[request] == NONE:
        see(r, came, behind, request)
    else:
        member.first = behind[request]
        member.waiting -= 1
    if r[PAGE]:
        growing.enter(present[number], member.live, came, request)
    member.live += 1
    member.held += requests[request].need


@_inlined
def _has_room(t, request):
    """Whether the tables can take a request in."""
    r = t.registers
    shape = t.shapes[t.requests[request].shape]
    if r[FREE_NODES] < shape.initial + r[COMPONENTS]:
        return False
    return shape.free_block != NONE or (
        r[BLOCKS] < len(t.blocks)
        and r[BYTES] + shape.bytes <= len(t.waits)
        and r[MARKS] + shape.marks <= len(t.marks)
    )


@called
def _take_block(r, shape, blocks):
    """A block of `waits` and `marks`: one that a request of this shape has left, or a new one."""
    block = np.uint32(shape.free_block)
    if block != NONE:
        shape.free_block = blocks[block].next
        return block
    block = np.uint32(r[BLOCKS])
    r[BLOCKS] += 1
    blocks[block].bytes_at = r[BYTES]
    blocks[block].marks_at = r[MARKS]
    r[BYTES] += shape.bytes
    r[MARKS] += shape.marks
    return block


@_inlined
def _enter(t, request, now):
    r = t.registers
    shape = t.shapes[t.requests[request].shape]
    block = _take_block(r, shape, t.blocks)
    t.requests[request].block = block
    t.requests[request].bytes_at = t.blocks[block].bytes_at
    t.requests[request].marks_at = t.blocks[block].marks_at
    t.requests[request].left = shape.visits
    if t.entered[request] < 0:
        t.entered[request] = now
    r[LIVE] += 1
    r[PEAK_LIVE] = max(r[PEAK_LIVE], r[LIVE])
    at = t.blocks[block].bytes_at
    for i in range(shape.bytes):
        t.waits[at + i] = t.templates[shape.template_at + i]
    at = t.blocks[block].marks_at
    for i in range(shape.marks):
        t.marks[at + i] = t.begun[shape.marks_at + i]
    for i in range(shape.initial_at, shape.initial_at + shape.initial):
        _arrive(t, t.initial[i].step, request, t.initial[i].token, now)


@_inlined
def _feed_back(t, step, request, token, now):
    """Release the token that waits for a token which was sampled: nothing else does."""
    row = t.steps[step]
    for i in range(row.output_at, row.output_at + row.outputs):
        output = t.outputs[i]
        edge = t.edges[t.requests[request].shape, output.edge]
        first, stop = _of_group(edge, np.int64(token))
        for released in range(np.uint64(first), np.uint64(stop)):
            if _release(t, output.step, request, np.uint32(released)):
                _arrive(t, output.step, request, np.uint32(released), now)


@_inlined
def _settle(t, now):
    """Let requests go on that ask for room for another token, or give up for others."""
    for number in range(len(t.members)):
        member = t.members[number]
        while member.asking:
            found = growing.next_one(t.registers, t.present[number], member, t.growing)
            if found == 2**62:
                break
            if found >= 0:
                request = np.uint32(found)
                row = t.growing[request]
                growing.grant(t.registers, row, t.requests[request], member)
                if t.registers[SESSIONS]:
                    sessions.make_room(t.sessions, member, t.requests)
                _feed_back(t, np.uint32(row.step), request, row.token, now)
            else:
                request = np.uint32(-1 - found)
                _take_off(t, request)
                row = t.growing[request]
                growing.give_up(t.registers, row, t.requests, member, t.behind, request)


@_inlined
def _host(t, now):
    """Release requests at their arrival times, as many as the chip holds; ROOM or SHAPE: what is
    lacking for that.
    """
    r = t.registers
    r[HOST_DUE] = False
    if r[PAGE]:
        _settle(t, now)
    while True:
        request = next_to_enter(
            *(r, t.members, t.shapes, t.requests, t.firsts, t.sessions),
            *(t.came, t.behind, t.refused, now),
        )
        if request == NONE:
            break
        if r[SESSIONS] and t.entered[request] < 0:
            shape = sessions.shape_at_entry(t.sessions, t.shapes, t.requests, request)
            t.requests[request].shape = shape
        if r[PAGE] and t.growing[request].again:
            r[WANTED] = request
            r[HOST_DUE] = True
            return SHAPE
        if not _has_room(t, request):
            r[HOST_DUE] = True
            return ROOM
        take_out(r, t.members, t.shapes, t.requests, t.came, t.behind, t.present, request)
        if r[SESSIONS]:
            member = t.members[t.shapes[t.requests[request].shape].member]
            if t.entered[request] < 0:
                sessions.begin(t.sessions, member, t.requests, request)
            sessions.make_room(t.sessions, member, t.requests)
        _enter(t, request, now)
    if not r[TIMED] and not r[CLOSED] and r[SEEN] < len(t.firsts):
        r[TIMED] = True
        following = t.requests[t.firsts[r[SEEN]]].arrival
        wheel.schedule(r, t.events, t.slots, t.bits, following, r[HOST])
    return DONE


# --- the loop ------------------------------------------------------------------------------------


@_inlined
def _end_turn(t, c):
    """One of the visits that a sequencer has started ends; after the last it decides again."""
    sequencer = t.components[c]
    sequencer.serving -= 1
    if sequencer.serving == 0:
        sequencer.state = TURN
        if sequencer.ready > 0:
            queues.wake(t.registers, t.idle, c)


@_inlined
def _finish(t, rows, sums, c, now):
    """A visit ends: record it, hand the token on, look for the next."""
    component = t.components[c]
    step, request, token = component.step, component.request, component.token
    row = np.uint64(t.registers[ROWS])
    t.registers[ROWS] += 1
    rows[0][row] = step
    rows[1][row] = request
    rows[2][row] = token
    rows[3][row] = component.arrival
    rows[4][row] = component.started
    rows[5][row] = now
    wait, served = component.started - component.arrival, now - component.started
    add_visit(sums, t.steps[step], step, request, token, c, wait, served)
    if t.steps[step].sequenced:
        _end_turn(t, t.lanes[t.steps[step].lane_at].component)
    else:
        component.state = EMPTY
        if component.ready > 0:
            queues.wake(t.registers, t.idle, c)
    _deliver(t, step, request, token, now)


def run(t, rows, sums):
    """Play until nothing moves (DONE), the block of ``rows`` is full, or a table is (ROOM) or lacks
    something (SHAPE).
    """
    r = t.registers
    while r[IDLING]:
        r[IDLING] -= 1
        client = np.uint32(r[HOST] + 1 + r[IDLING])
        wheel.schedule(r, t.events, t.slots, t.bits, t.events[client].time, client)
    while True:
        now = r[NOW]
        if (r[IDLE] or r[HOST_DUE]) and not wheel.any_now(r, t.events, t.slots, t.bits):
            lacking = _host(t, now) if r[HOST_DUE] else DONE
            if lacking != DONE:
                return lacking
            if r[IDLE]:
                _decide_all(t, now)
        if r[PENDING] == 0:
            return DONE
        if r[ROWS] == len(rows[0]):
            return FULL
        if r[FREE_NODES] < r[FAN_OUT]:
            return ROOM
        what = wheel.take_first(r, t.events, t.slots, t.bits)
        now = r[NOW]
        if what < r[COMPONENTS]:
            _finish(t, rows, sums, what, now)
        elif what == r[HOST]:
            r[TIMED] = False
            r[HOST_DUE] = True
        elif what > r[HOST]:
            _ask(t, np.uint32(what - r[HOST] - 1), now)
        else:
            _receive_credit(t, np.uint32(what - r[COMPONENTS]))
