"""What a visit adds to the sums of tally.py: for the compiled loop, and in a pass over a block."""

from __future__ import annotations

import numba
import numpy as np

from hyflexsim.sim.engine.compiled.machine_code import OPTIONS

_called = numba.njit(forceinline=True, **OPTIONS)


@_called
def lane_of(row, token, turn):
    """The lane of the step of ``row`` that serves a token: dealing.lane_of."""
    if row.lanes == 1:
        return np.uint32(0)
    return np.uint32((token // row.planes + turn) % row.lanes)


@_called
def add_visit(sums, row, step, request, token, c, wait, served):
    """Component ``c`` has served; ``row``, of the step, says how it is cut and sized."""
    mine = sums.by_step[step]
    mine.visits += 1
    mine.served += served
    if row.parts == 1 or token % row.parts == 0:  # it leaves its buffer with its first part
        mine.first_wait += wait
    if row.size:  # otherwise 1, as often as it is visited
        mine.sizes += _size(sums, step, request, token)
    its = sums.by_component[c]
    its.visits += 1
    its.served += served
    its.wait += wait


@_called
def _size(sums, step, request, token):
    """Size of a token: that of plan.size_of, whose sums a test compares."""
    row = sums.steps[step]
    if row.work:
        at = sums.given_at[request, row.work - 1]
        if at >= 0:
            return sums.given[at + np.int64(token // row.parts)]
    size = sums.tokens[request, 0] + row.extra
    if row.size == 4:
        size = row.extra
    if row.size in (2, 5):
        at = np.int64(token // row.parts)
        if row.head:
            at += sums.tokens[request, 1] - 1
        size = at + 1 + row.extra
        if row.size == 5:
            last = row.tokens - 1
            if not row.source:
                last += sums.tokens[request, 0]
            size = 1 + min(at, row.behind) + min(last - at, row.ahead)
    if row.size != 3:
        return row.each * ((size * row.kept + row.of - 1) // row.of)
    pairs = sums.tokens[request, 0] * (sums.tokens[request, 0] + 1) // 2
    if row.split:
        return np.int64(token // row.planes < pairs)
    wave = np.int64(row.wave)
    return min(wave, pairs - np.int64(token // row.parts) * wave)


def add(block, sums):
    """All visits of a block."""
    step, request, token, arrival, start, end = block
    for i in range(len(step)):
        wait, served = start[i] - arrival[i], end[i] - start[i]
        row, mine = sums.steps[step[i]], np.uint32(token[i])
        c = sums.lanes[row.lane_at + lane_of(row, mine, sums.turns[request[i]])]
        add_visit(sums, row, np.uint32(step[i]), np.uint32(request[i]), mine, c, wait, served)
    return 0
