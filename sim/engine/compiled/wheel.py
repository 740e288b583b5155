"""Events of the compiled loop in order of time: a queue of slots in place of a heap.

Time only goes forward. Taken in units of 512 ps, the highest digit (of 12 bits) in which an event's
time differs from that of the last event says how far away it is, and the digit itself is its slot
there. The slots of a digit are in order of time, and all of them come before those of a higher
digit. To find the next event is to find the first bit among those that say which slots hold
something, and in them the first word that is not 0.

A slot of the lowest digit is a list in order of time: a picosecond within 512 seldom has to be
looked for, since most slots hold one event, or several of one instant. A slot of another digit is a
list in order of scheduling; when it is the next, its earliest event is taken and the others move to
lower digits, relative to it. Most visits take less than the 2 us of the lowest digit, so few move.

Events of one instant always lie in the same list, since slots follow from their time alone, so they
keep the order of scheduling. What an event is (``what``: a component whose visit ends, a credit of
a buffer, the host) has at most one event at a time, and is its index in the table. The heap that
was here before took 40 ns a visit where this takes a quarter (docs/performance.md).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hyflexsim.sim.engine.compiled.machine_code import OPTIONS
from hyflexsim.sim.engine.compiled.registers import (
    DIGIT,
    DIGITS,
    FINE,
    NONE,
    NOW,
    PENDING,
    SLOTS,
    WORDS,
)

_one = np.uint64(1)
_six = np.uint64(6)
_low = np.uint64(63)
_fine = np.uint64(FINE)
_digit = np.uint64(DIGIT)
_slot = np.uint64(SLOTS - 1)
_words = np.uint64(WORDS)
_filled = np.uint64(DIGITS * WORDS)  # of each digit: which of its words are not 0


@intrinsic  # type: ignore[untyped-decorator]
def first_bit(context: Any, word: Any) -> Any:
    """Index of the lowest bit that is set in a uint64 other than 0."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), code


@intrinsic  # type: ignore[untyped-decorator]
def _leading_zeros(context: Any, word: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), code


def called(function: Any) -> Any:
    """A compiled function; without reference counts, as nothing is allocated in the loop."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


@called
def schedule(r, events, slots, bits, time, what):
    """An event at ``time``, which is not before that of the last event."""
    events[what].time = time
    events[what].next = NONE
    _file(r, events, slots, bits, np.uint64(time), np.uint32(what))


@called
def _file(r, events, slots, bits, time, what):
    units = time >> _fine
    away = (units ^ (np.uint64(r[NOW]) >> _fine)) | _one
    digit = (_low - _leading_zeros(away)) // _digit
    at = (digit << _digit) + ((units >> (digit * _digit)) & _slot)
    word, bit = at >> _six, _one << (at & _low)
    slot = slots[at]
    if bits[word] & bit:
        if digit == 0 and np.int64(time) < events[slot.last].time:
            _insert(events, slot, np.int64(time), what)
            return
        events[slot.last].next = what
    else:
        bits[word] |= bit
        bits[_filled + digit] |= _one << (word - digit * _words)
        r[PENDING] |= np.int64(_one << digit)
        slot.first = what
    slot.last = what


@called
def _insert(events, slot, time, what):
    """Put an event before the first of a slot that is later; the last one is."""
    before, after = np.uint32(NONE), np.uint32(slot.first)
    while events[after].time <= time:
        before, after = after, np.uint32(events[after].next)
    events[what].next = after
    if before == NONE:
        slot.first = what
    else:
        events[before].next = what


@called
def any_now(r, events, slots, bits):
    """Whether there is another event at the time of the last one."""
    at = (np.uint64(r[NOW]) >> _fine) & _slot
    if not (bits[at >> _six] >> (at & _low)) & _one:
        return False
    return events[slots[at].first].time == r[NOW]


@called
def take_first(r, events, slots, bits):
    """Take the first event out and let its time be NOW; return what it is."""
    digit = first_bit(np.uint64(r[PENDING]))
    word = digit * _words + first_bit(bits[_filled + digit])
    at = (word << _six) + first_bit(bits[word])
    what = np.uint32(slots[at].first)
    after = np.uint32(events[what].next)
    if digit == 0 and after != NONE:
        slots[at].first = after
        r[NOW] = events[what].time
        return what
    bits[word] &= bits[word] - _one
    if not bits[word]:
        bits[_filled + digit] &= bits[_filled + digit] - _one
        if not bits[_filled + digit]:
            r[PENDING] &= r[PENDING] - 1
    if after == NONE:
        r[NOW] = events[what].time
        return what
    return _spread(r, events, slots, bits, what)


@called
def _spread(r, events, slots, bits, what):
    """Take the earliest of a list of events, and file the others anew, relative to it."""
    first, earliest = what, events[what].time
    other = np.uint32(events[what].next)
    while other != NONE:
        if events[other].time < earliest:
            first, earliest = other, events[other].time
        other = np.uint32(events[other].next)
    r[NOW] = earliest
    other = what
    while other != NONE:
        after = np.uint32(events[other].next)
        if other != first:
            events[other].next = NONE
            _file(r, events, slots, bits, np.uint64(events[other].time), other)
        other = after
    return first
