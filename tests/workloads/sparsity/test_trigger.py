"""A family of ParTs in a trigger: latency of a jet alone, wear in closed form, loss of a queue."""

import pytest

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.workloads.sparsity.trigger import DESIGNS, PLACES, _ready, trigger

LEAST = DESIGNS[-1]


@pytest.fixture(scope="module")
def rows():
    return list(trigger([LEAST], (100_000, 2_000_000), jets=60))


def test_a_jet_alone_waits_for_ten_matrices():
    """Embedding, four of the block, four of the class block, the last: 0.8 µs each and more."""
    ready = _ready(LEAST, 1000, 1, 10)
    (alone,) = engines.play(ready.plan, [Request(0, 16)]).finished
    assert 10 * 800_000 < alone < 12_500_000
    assert max(request.tokens for request in ready.requests) == 16
    assert ready.host.places == PLACES


def test_rows(rows):
    assert [(row["rate_per_s"], row["chips"]) for row in rows] == [
        *((100_000, 1), (100_000, 4)),
        *((2_000_000, 2), (2_000_000, 4)),
    ]
    for row in rows:
        assert row["p50_us"] <= row["p999_us"]
        assert 0 <= row["lost"] < 1
    by_chips = [row for row in rows if row["rate_per_s"] == 2_000_000]
    assert by_chips[1]["p999_us"] <= by_chips[0]["p999_us"]


def test_the_same_cells_every_jet(rows):
    """1e8 writes at 100,000 jets/s: 1,000 s; four chips take turns, so four times as long."""
    assert rows[0]["minutes"] == pytest.approx(1000 / 60)
    assert rows[1]["minutes"] == pytest.approx(4000 / 60)
    assert rows[1]["days"] == pytest.approx(4 * rows[0]["days"])
    assert rows[0]["days"] * 24 * 60 > 1000 * rows[0]["minutes"]
