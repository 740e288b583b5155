"""The recorder packs rows into columns without losing or reordering any."""

import numpy as np

from hyflexsim.sim.trace import BLOCK, Recorder


def test_rows_come_back_in_order_across_blocks():
    recorder = Recorder()
    count = BLOCK + 10
    for n in range(count):
        recorder.rows.extend((n % 7, n % 3, n, n, n + 1, n + 2))
        if len(recorder.rows) >= recorder.limit:
            recorder.pack()
    trace = recorder.finish()
    assert len(trace) == count
    assert np.array_equal(trace.token, np.arange(count))
    assert np.array_equal(trace.end, np.arange(count) + 2)
    assert trace.nbytes == 36 * count


def test_times_beyond_32_bits():
    """A second is 10^12 ps."""
    recorder = Recorder()
    recorder.rows.extend((0, 0, 0, 10**12, 10**13, 10**14))
    trace = recorder.finish()
    assert [int(c[0]) for c in (trace.arrival, trace.start, trace.end)] == [10**12, 10**13, 10**14]


def test_an_empty_trace():
    assert len(Recorder().finish()) == 0
