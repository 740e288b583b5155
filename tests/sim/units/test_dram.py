"""DRAM, by hand."""

from hyflexsim.sim.chip.service import Action
from hyflexsim.sim.units.catalogue import load_chip


def stream(overrides, size):
    unit = load_chip("non-pim", overrides).units["dram"]
    (visit,) = unit.kind.fetch(unit, size)
    return visit.service


def test_a_stream_is_latency_plus_size_over_bandwidth():
    """100 ns, then 51,200 B over four channels of 12.8 GB/s: 1 us. 25 rows of 2 KiB are opened."""
    service = stream({}, 51_200)
    assert service.rate.ps(1) == 100_000 + 1_000_000
    assert service.actions == (Action("dram_activation", 0, 25), Action("dram_bit", 0, 409_600))


def test_a_row_that_is_begun_is_opened():
    """51,201 B are 25 rows and one byte; one byte alone opens a row."""
    assert stream({}, 51_201).actions[0] == Action("dram_activation", 0, 26)
    assert stream({}, 1).actions == (Action("dram_activation", 0, 1), Action("dram_bit", 0, 8))


def test_packages_side_by_side():
    """Two of them halve what is behind the latency."""
    assert stream({"dram.count": 2}, 51_200).rate.ps(1) == 100_000 + 500_000


def test_banks_that_open_rows_too_slowly_hold_the_channel_up():
    """One bank of 2048 B rows every 320 ns gives 6.4 GB/s, half of the channel."""
    slow = {"dram.banks": 1, "dram.row_cycle": "320 ns"}
    assert stream(slow, 51_200).rate.ps(1) == 100_000 + 2_000_000
