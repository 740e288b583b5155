"""What low rank costs a lone token is said where it costs something."""

import re

import pytest

from hyflexsim.workloads import Scenario, simulate
from hyflexsim.workloads.run.low_rank_note import low_rank_note
from hyflexsim.workloads.run.prepare import prepare


def note(*changes):
    scenario = Scenario.load("part-jets", ["workload.count=1", *changes])
    return low_rank_note(scenario, prepare(scenario))


def test_two_factors_are_two_reads():
    """64 matrices, of which a read takes 8 bit-planes of 100 ns and a ninth for its last sums."""
    (said,) = note("model.rank=0.1")
    now, then = map(float, re.findall(r"([\d.]+) us", said))
    low, dense = map(int, re.search(r"takes (\d+) arrays instead of (\d+)$", said).groups())
    assert "its 64 factorised matrices" in said
    assert 64 * 0.9 < then < now < 2 * then
    assert low < dense
    assert note("model.rank=0.1", "run.fidelity=bit") == [said]


def test_dense_matrices_and_a_chip_without_arrays_have_none():
    assert note() == []
    assert note("model.rank=0.1", "chip.preset=non-pim", "chip.chips=1") == []


@pytest.mark.parametrize("rank", ["dense", "0.1"])
def test_a_run_says_it(rank):
    scenario = Scenario.load("part-jets", ["workload.count=1", f"model.rank={rank}"])
    notes = simulate(scenario).summary["notes"]
    assert [n.startswith("low rank: ") for n in notes].count(True) == (rank != "dense")
