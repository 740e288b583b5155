"""The recorder packs rows into columns, spills them beyond a bound, drops what a filter says."""

import re
import subprocess
import sys

import numpy as np
import pytest

from hyflexsim.sim.engine import engine
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.trace import BLOCK, MEMORY, ROW_BYTES, Keep, Recorder
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Group

ENGINES = pytest.mark.parametrize("play", [engine.play, compiled.play])


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
    assert trace.nbytes == ROW_BYTES * count == 36 * count


def test_times_beyond_32_bits():
    """A second is 10^12 ps."""
    recorder = Recorder()
    recorder.rows.extend((0, 0, 0, 10**12, 10**13, 10**14))
    trace = recorder.finish()
    assert [int(c[0]) for c in (trace.arrival, trace.start, trace.end)] == [10**12, 10**13, 10**14]


def test_an_empty_trace():
    assert len(Recorder().finish()) == 0


@pytest.fixture
def plan(plan_of):
    """Two layers of two lanes each behind a bus."""
    return plan_of(
        (0, 1, [], None, {"layer": "a"}),
        ((1, 2), 3, [Group(0)], None, {"layer": "a"}),
        ((3, 4), 2, [Group(1)], None, {"layer": "b"}),
        components=["bus", "a[0]", "a[1]", "b[0]", "b[1]"],
    )


@ENGINES
@pytest.mark.parametrize("block", [1, 3, BLOCK])
def test_a_trace_beyond_the_bound_goes_through_a_file(plan, monkeypatch, play, block):
    """Bound of 10 rows: never more in memory, and the same trace comes back."""
    monkeypatch.setattr("hyflexsim.sim.engine.compiled.compiled.BLOCK", block)
    requests = [Request(0, 7), Request(2, 9)]
    whole = play(plan, requests)
    bound = Keep(memory=10 * ROW_BYTES)
    played = play(plan, requests, keep=bound)
    assert played.trace.spilled and not whole.trace.spilled
    assert played.trace.nbytes <= bound.memory
    assert len(played.trace) == len(whole.trace) == 48
    for left, right in zip(played.trace.columns(), whole.trace.columns(), strict=True):
        assert np.array_equal(left, right)


def test_the_scratch_file_goes_with_the_trace(plan):
    trace = engine.play(plan, [Request(0, 9)], keep=Keep(memory=1)).trace
    path = trace._spilled.path
    assert path.is_file()
    del trace
    assert not path.parent.exists()


@pytest.mark.slow
def test_memory_stays_bounded():
    """4 million visits are 144 MB of trace. A process that may keep 32 MB of them takes no more
    than twice that on top of a run whose trace is next to nothing."""
    code = (
        "import resource, sys\n"
        "from hyflexsim.sim.engine.compiled.compiled import play\n"
        "from hyflexsim.sim.engine.request import Request\n"
        "from hyflexsim.sim.plan.plan import Component, Plan, Step\n"
        "from hyflexsim.sim.chip.service import Rate\n"
        "from hyflexsim.sim.engine.trace import Keep\n"
        "step = Step('s', 's', 'bank', 'l', (0,), Rate(7))\n"
        "plan = Plan((step,), (Component('c', 'bank'),), frozenset({0}))\n"
        "requests = [Request(0, 1000)] * 4000\n"
        "keep = Keep(memory=32 * 2**20, every=int(sys.argv[1]))\n"
        "played = play(plan, requests, window=4, keep=keep)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(played.trace))\n"
    )

    def peak_kib(every):
        done = subprocess.run(
            [sys.executable, "-c", code, str(every)], check=True, capture_output=True, text=True
        )
        return [int(word) for word in done.stdout.split()]

    (all_of_it, rows), (hardly_any, few) = peak_kib(1), peak_kib(4000)
    assert (rows, few) == (4_000_000, 1000)
    assert all_of_it - hardly_any < 2 * 32 * 1024


def test_the_default_bound_is_256_mb():
    assert MEMORY == Keep().memory == 256 * 1024 * 1024


@ENGINES
@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ({"components": ("a*",)}, lambda step, request, token: step == 1),
        ({"components": ("a[[]1]", "bus")}, lambda s, r, t: s == 0 or (s == 1 and t % 2 == 1)),
        ({"layers": ("b",)}, lambda step, request, token: step == 2),
        ({"requests": (1, 3)}, lambda step, request, token: 1 <= request < 3),
        ({"every": 2}, lambda step, request, token: request % 2 == 0),
        ({"requests": (1, 9), "every": 2, "layers": ("a",)}, lambda s, r, t: s < 2 and r in (1, 3)),
    ],
)
def test_a_filter_drops_rows_and_no_sums(plan, outcome, play, keep, kept):
    requests = [Request(n, 3) for n in range(5)]
    whole, part = outcome(play, plan, requests), outcome(play, plan, requests, keep=Keep(**keep))
    rows = [row for row in zip(*(whole[c] for c in "srtabe"), strict=True) if kept(*row[:3])]
    assert 0 < len(rows) < 45
    assert list(zip(*(part[c] for c in "srtabe"), strict=True)) == rows
    for name in whole.keys() - set("srtabe"):
        assert part[name] == whole[name]


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (
            {"components": ("pu*",)},
            "trace.components: 'pu*' matches nothing; names are bus, a[0], a[1], b[0], b[1], ...",
        ),
        ({"layers": ("c",)}, "trace.layers: 'c' matches nothing; names are a, b, ..."),
        (
            {"layers": ("a",), "components": ("b[[]*",)},
            "trace.components and trace.layers must have a visit in common",
        ),
    ],
)
def test_a_filter_that_keeps_nothing_is_refused(plan, keep, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        engine.play(plan, [Request(0, 3)], keep=Keep(**keep))


@pytest.mark.parametrize("play", [engine.play, compiled.play])
def test_sums_are_those_of_the_trace(plan, play):
    """Each sum of the tally, once more from the rows; queues by sorting arrivals and starts."""
    played = play(plan, [Request(0, 7), Request(2, 9)])
    trace, tally = played.trace, played.tally
    assert tally.visits.tolist() == np.bincount(trace.step).tolist()
    served = trace.end - trace.start
    wait = trace.start - trace.arrival
    assert [int(served[trace.step == s].sum()) for s in range(3)] == tally.served_ps.tolist()
    assert [int(wait[trace.step == s].sum()) for s in range(3)] == tally.first_wait_ps.tolist()
    assert tally.end_ps == trace.end[-1]
    lanes = [(0,), (1, 2), (3, 4)]
    where = np.array(
        [lanes[s][t % len(lanes[s])] for s, t in zip(trace.step, trace.token, strict=True)]
    )
    for c in range(5):
        arrival, start = np.sort(trace.arrival[where == c]), np.sort(trace.start[where == c])
        queue = np.arange(1, len(arrival) + 1) - np.searchsorted(start, arrival, side="right")
        assert tally.peak_queue[c] == max(queue.max(), 0)
        assert tally.component_wait_ps[c] == (start.sum() - arrival.sum())
        assert tally.component_served_ps[c] == served[where == c].sum()
        assert tally.component_visits[c] == (where == c).sum()


def rows(*numbers):
    """A recorder's rows, all columns alike."""
    recorder = Recorder()
    for n in numbers:
        recorder.rows.extend((n,) * 6)
    return recorder


def test_a_block_is_packed_at_its_bound():
    assert (BLOCK, Recorder().limit) == (2**18, 6 * 2**18)


def test_packing_hands_the_block_over_and_empties_the_buffer():
    recorder = rows(1, 2)
    block = recorder.pack()
    assert [column.tolist() for column in block] == [[1, 2]] * 6
    assert len(recorder.rows) == 0
    assert len(recorder.finish()) == 2


def test_who_watches_sees_each_block_that_is_kept(plan):
    seen = []
    recorder = Recorder(plan, Keep(layers=("b",)), seen.append)
    recorder.rows.extend((2, 0, 0, 1, 2, 3))
    recorder.pack()
    recorder.rows.extend((0, 0, 0, 1, 2, 3))
    recorder.pack()
    recorder.pack()
    assert [block[0].tolist() for block in seen] == [[2]]


@pytest.mark.parametrize(("memory", "spilled"), [(2 * ROW_BYTES, False), (2 * ROW_BYTES - 1, True)])
def test_memory_may_be_full_but_not_more(memory, spilled):
    recorder = Recorder(keep=Keep(memory=memory))
    recorder.rows.extend(range(12))
    trace = recorder.finish()
    assert trace.spilled == spilled
    assert len(trace) == 2
    assert trace.nbytes == (0 if spilled else 72)
    assert [column.tolist() for column in trace.columns()] == [[i, i + 6] for i in range(6)]


def test_what_is_spilled_comes_first():
    """Two blocks in the file, one in memory, in order."""
    recorder = Recorder(keep=Keep(memory=2 * ROW_BYTES))
    for n in (1, 2, 3, 4):
        recorder.rows.extend((n,) * 6)
        recorder.pack()
    trace = recorder.finish()
    assert trace.spilled
    assert trace.step.tolist() == trace.end.tolist() == [1, 2, 3, 4]
    assert trace.nbytes == ROW_BYTES
    assert [len(block[0]) for block in trace.blocks()] == [1] * 4


@pytest.mark.parametrize(
    ("keep", "everything"),
    [
        (Keep(), True),
        (Keep(memory=1), True),
        (Keep(components=("a",)), False),
        (Keep(layers=("a",)), False),
        (Keep(requests=(0, 1)), False),
        (Keep(every=2), False),
    ],
)
def test_what_drops_nothing(keep, everything):
    assert keep.all == everything


def test_planes_are_dropped_with_their_lane(plan_of):
    """Two planes a token on two lanes: lane 1 has tokens 2, 3, 6, 7."""
    plan = plan_of(((0, 1), 1, [], None, {"planes": 2}))
    trace = engine.play(plan, [Request(0, 4)], keep=Keep(components=("c1",))).trace
    assert sorted(trace.token.tolist()) == [2, 3, 6, 7]


def test_each_so_many_th_is_counted_from_the_first(plan_of):
    plan = plan_of((0, 1, [], None, {}))
    keep = Keep(requests=(1, 6), every=2)
    trace = engine.play(plan, [Request(0, 1)] * 8, keep=keep).trace
    assert trace.request.tolist() == [1, 3, 5]


def test_eight_names_are_shown(plan_of):
    plan = plan_of(*((i, 1, [], None, {}) for i in range(10)))
    names = ", ".join(f"c{i}" for i in range(8))
    with pytest.raises(InputError, match=f"names are {names}, ...$"):
        Recorder(plan, Keep(components=("x",)))
