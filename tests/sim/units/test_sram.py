"""An SRAM buffer, by hand."""

from hyflexsim.sim.chip.service import Access, Action
from hyflexsim.sim.units.catalogue import load_chip


def test_bytes_over_bandwidth():
    """64 B at 32 GB/s: 2 ns."""
    unit = load_chip("isaac").units["buffer"]
    (visit,) = unit.kind.access(unit, Access(".read", 64))
    assert visit.service.rate.ps(1) == 2000
    assert visit.service.actions == (Action("sram_byte", 0, 64),)


def test_buffers_side_by_side_share_an_access():
    """Two halve the time; bytes and their energy stay."""
    unit = load_chip("isaac", {"buffer.count": 2}).units["buffer"]
    (visit,) = unit.kind.access(unit, Access(".read", 64))
    assert visit.service.rate.ps(1) == 1000
    assert visit.service.actions == (Action("sram_byte", 0, 64),)


def test_four_times_the_capacity_doubles_the_energy_of_a_byte():
    small, large = load_chip("isaac"), load_chip("isaac", {"buffer.capacity": "256 KiB"})
    assert large["buffer.energy.sram_byte"] == 2 * small["buffer.energy.sram_byte"]
    assert large["buffer.area.buffer"] == 4 * small["buffer.area.buffer"]
