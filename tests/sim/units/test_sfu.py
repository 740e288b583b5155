"""Special function units, by hand."""

from hyflexsim.sim.chip.service import Task
from hyflexsim.sim.units.catalogue import load_chip


def time(chip, op, elements):
    unit = chip.units["sfu"]
    (visit,) = unit.kind.serve(unit, Task(op, elements=elements))
    return visit.service.rate.ps(1)


def test_elements_a_cycle(hw):
    """2048 elements a cycle; passes and depth where the chip has them."""
    assert time(hw, "pointwise", 2049) == 2000
    slow = load_chip("hyflexpim", {"sfu.softmax_passes": 3, "sfu.depth": 10})
    assert time(slow, "softmax", 2048) == 13_000
    assert time(slow, "norm", 2048) == 11_000
