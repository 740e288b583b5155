"""The wheel against a heap: any schedule that goes forward, at all distances in time."""

from heapq import heappop, heappush

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.engine.compiled import registers, table_types, wheel

EVENTS = 40

times_ahead = st.one_of(
    st.integers(0, 3),
    st.integers(0, 300),
    st.integers(0, 3000),
    st.integers(0, 10**6),
    st.integers(0, 2**61),
)


@settings(max_examples=200, deadline=None)
@given(batches=st.lists(st.lists(times_ahead, max_size=4), min_size=1, max_size=60))
def test_events_come_in_order_of_time_and_then_of_scheduling(batches):
    """After each event some more are scheduled, at or after its time."""
    r = np.zeros(registers.REGISTERS, dtype=np.int64)
    events = np.zeros(EVENTS, dtype=table_types.EVENT).view(np.recarray)
    slots = np.zeros(registers.DIGITS * registers.SLOTS, dtype=table_types.SLOT).view(np.recarray)
    bits = np.zeros(registers.BITS, dtype=np.uint64)
    heap: list[tuple[int, int, int]] = []
    free, scheduled = list(range(EVENTS)), 0
    for ahead in [*batches, *[[]] * EVENTS]:
        for distance in ahead:
            now = int(r[registers.NOW])
            if free and now + distance < 2**62:
                what = free.pop(0)
                wheel.schedule(r, events, slots, bits, now + distance, what)
                heappush(heap, (now + distance, scheduled, what))
                scheduled += 1
        if not heap:
            assert r[registers.PENDING] == 0
            continue
        time, _, what = heappop(heap)
        assert wheel.take_first(r, events, slots, bits) == what
        assert r[registers.NOW] == time
        assert bool(wheel.any_now(r, events, slots, bits)) == bool(heap and heap[0][0] == time)
        free.append(what)
    assert not heap


def test_there_is_a_bit_a_slot_and_a_word_a_digit():
    """5 digits of 4096 slots: 5 x 64 words, and 5 that say which of those are not 0."""
    assert registers.WORDS * 64 == registers.SLOTS == 2**registers.DIGIT
    assert registers.BITS == 5 * 64 + 5
