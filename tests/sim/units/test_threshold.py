"""Analog thresholding and masks, by hand."""

from hyflexsim.sim.chip.service import Action, Task
from hyflexsim.sim.plan.chosen import kept_share
from hyflexsim.sim.units.catalogue import load_chip


def test_a_read_answers_so_many_keys():
    """128 scores a read of 100 ns; each key costs its products, and a comparison a head."""
    unit = load_chip("sprint").units["thresholds"]
    (visit,) = unit.kind.serve(unit, Task("matmul", macs=768, heads=12))
    assert visit.service.rate.ps(10) == 100_000  # 120 scores
    assert visit.service.rate.ps(11) == 200_000  # 132
    assert visit.service.actions == (
        Action("threshold_mac", 0, 768),
        Action("comparison", 0, 12),
    )


def test_shares_are_exact_fractions():
    assert kept_share(load_chip("sprint").units["thresholds"]) == (127, 500)
    assert kept_share(load_chip("hyflexpim-slc").units["mask"]) == (1, 8)


def test_a_mask_costs_nothing():
    unit = load_chip("hyflexpim-slc").units["mask"]
    assert unit.kind.serve(unit, Task("matmul")) == ()
