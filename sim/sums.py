"""The compiled pass over a block of visits that tally.py adds up with."""

from __future__ import annotations

import numpy as np


def add(block, steps, shown, tokens, by_step, by_component):
    """The size of a token is that of plan.size_of, whose sums a test compares."""
    step_, request_, token_, arrival_, start_, end_ = block
    for i in range(len(step_)):
        step, request, token = step_[i], request_[i], np.int64(token_[i])
        row, sums = steps[step], by_step[step]
        served, wait = end_[i] - start_[i], start_[i] - arrival_[i]
        size = np.int64(1)
        if row.size == 1:
            size = tokens[request, 0] + row.extra
        elif row.size == 2:
            size = token // row.parts + 1 + row.extra
            if row.head:
                size += tokens[request, 1] - 1
        elif row.size == 3:
            pairs = tokens[request, 0] * (tokens[request, 0] + 1) // 2
            if row.split:
                size = np.int64(token // row.planes < pairs)
            else:
                size = min(row.wave, pairs - token // row.parts * row.wave)
        sums.visits += 1
        sums.sizes += size
        sums.served += served
        if row.parts == 1 or token % row.parts == 0:  # it leaves its buffer with its first part
            sums.first_wait += wait
        lane = np.int64(0)
        if row.shown > 1:
            lane = token // row.planes % row.shown
        mine = by_component[shown[row.shown_at + lane]]
        mine.visits += 1
        mine.served += served
        mine.wait += wait
    return 0
