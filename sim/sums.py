"""What a visit adds to the sums of tally.py: for the compiled loop, and in a pass over a block."""

from __future__ import annotations

import numba
import numpy as np

from hyflexsim.sim.machine_code import OPTIONS

_called = numba.njit(forceinline=True, **OPTIONS)


@_called  # type: ignore[untyped-decorator]
def shown_by(row, shown, token):
    """The component to report for a token of the step of ``row``."""
    lane = np.uint32(0)
    if row.shown > 1:
        lane = token // row.planes % row.shown
    return shown[row.shown_at + lane]


@_called  # type: ignore[untyped-decorator]
def add_visit(sums, step, request, token, c, wait, served):
    """Component ``c`` is the one to report.

    The size of a token is that of plan.size_of, whose sums a test compares.
    """
    row, mine = sums.steps[step], sums.by_step[step]
    token = np.uint32(token)
    first = row.parts == 1 or token % row.parts == 0
    size = np.int64(1)
    if row.size == 1:
        size = sums.tokens[request, 0] + row.extra
    elif row.size == 2:
        size = np.int64(token // row.parts) + 1 + row.extra
        if row.head:
            size += sums.tokens[request, 1] - 1
    elif row.size == 3:
        pairs = sums.tokens[request, 0] * (sums.tokens[request, 0] + 1) // 2
        if row.split:
            size = np.int64(token // row.planes < pairs)
        else:
            wave = np.int64(row.wave)
            size = min(wave, pairs - np.int64(token // row.parts) * wave)
    mine.visits += 1
    mine.sizes += size
    mine.served += served
    if first:  # it leaves its buffer with its first part
        mine.first_wait += wait
    shown = sums.by_component[c]
    shown.visits += 1
    shown.served += served
    shown.wait += wait


def add(block, sums):
    """All visits of a block."""
    step, request, token, arrival, start, end = block
    for i in range(len(step)):
        wait, served = start[i] - arrival[i], end[i] - start[i]
        c = shown_by(sums.steps[step[i]], sums.shown, np.uint32(token[i]))
        add_visit(sums, np.uint32(step[i]), np.uint32(request[i]), token[i], c, wait, served)
    return 0
