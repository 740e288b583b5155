"""Adders of partial sums, by hand."""

from hyflexsim.sim.chip.service import Action, Task


def test_one_addition_an_adder_and_cycle(hw):
    """8 groups of 1024 adders: 32 additions in one cycle, 63 x 1024 in 7.9; two PUs halve it."""
    unit = hw.units["accumulator"]

    def visit(additions, group=1):
        (only,) = unit.kind.serve(unit, Task("partial-sums", macs=additions, group=group))
        return only.service

    assert visit(32).rate.ps(1) == 1000
    assert visit(32).actions == (Action("partial_sum_add", 0, 32),)
    assert visit(63 * 1024).rate.ps(1) == 8000
    assert visit(63 * 1024, group=2).rate.ps(1) == 4000
