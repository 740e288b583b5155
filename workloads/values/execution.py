"""The plan played in numbers: every visit of every step, in an order that obeys the plan's inputs.

A visit may begin when all it waits for is done; those of one step that may begin are computed
together. What a visit reads is what it has waited for (spans.py) and what has been written: the
rest is NaN and stays so in all that is made of it. What a step does follows from its row:

========= ========================================================================================
port      tokens come in (generated ones: the argmax of the scores that were fed back), or leave
carry     passes on
write     turns an operand of a product into codes, of as many bits a value as it writes cells
bank      reads as many bit-planes of the token's codes as it counts reads of its arrays
adc       converts as many planes of each mode as it counts conversions
shift_add adds slices and planes of a row tile
out       moves as many row tiles' partial sums as fit into its bits
sum       adds as many further row tiles as it counts additions; then scale, bias, FP16
serve     products with operands as wide as it counts NOR operations, softmax, norms, the rest
========= ========================================================================================

Matrices are in gemv.py, what units without matrices serve in served.py. Left out: elements in
shards on several PUs (gathers carry), and that buses and ports count 8 bits a value where values
have 16: a value is the same wherever it lies.
"""

from __future__ import annotations

import numpy as np

from hyflexsim.workloads.values.gemv import Gemv
from hyflexsim.workloads.values.results import Results
from hyflexsim.workloads.values.served import Served
from hyflexsim.workloads.values.sight import Machine, Sight


class Execution:
    """Plays one request of a machine whose program was started with its inputs.

    ``results`` are those of :class:`~.reference.Reference`, computed by visits. ``stuck``: the
    first step that some token never reached, empty if all are done.
    """

    def __init__(self, machine: Machine, tokens: int, prefill: int | None):
        self.sight = Sight(machine, tokens, prefill)
        self.stuck = ""
        self._served = Served(self.sight)
        self._gemv = Gemv(self.sight, self._served)

    def run(self) -> Results:
        """Play all visits that can be played."""
        waits = self.sight.waits
        counts = waits.counts
        done = [np.zeros(n, dtype=bool) for n in counts]
        before = [np.zeros(n + 1, dtype=np.int64) for n in counts]
        readers: list[set[int]] = [set() for _ in counts]
        for i, edges in enumerate(waits.edges):
            for source, _ in edges:
                readers[source].add(i)
        queue = dict.fromkeys(range(len(counts)))
        while queue:
            index = next(iter(queue))
            del queue[index]
            ready = ~done[index]
            for source, span in waits.edges[index]:
                have = before[source][span.stop] - before[source][span.first]
                ready &= have == span.stop - span.first
            visits = np.flatnonzero(ready)
            if len(visits):
                self._play(index, visits)
                done[index][visits] = True
                before[index][1:] = np.cumsum(done[index])
                queue |= dict.fromkeys(sorted(readers[index]))
        left = [i for i, each in enumerate(done) if not each.all()]
        self.stuck = self.sight.plan.steps[left[0]].name if left else ""
        return self.sight.store.results

    def _play(self, index: int, visits: np.ndarray) -> None:
        what = self.sight.roles[index].what
        if what == "port":
            self._served.port(index, visits)
        elif what == "serve":
            self._served.play(index, visits)
        elif what not in ("carry", "write"):
            self._gemv.play(index, visits)
