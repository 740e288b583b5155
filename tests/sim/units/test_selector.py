"""Digital selection of keys, by hand."""

import pytest

from hyflexsim.sim.chip.service import Action, Task
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.selector import CHOICES


@pytest.fixture
def unit():
    return load_chip("hyflexpim-topk", {"selector.lanes": 4, "selector.passes": 3}).units[
        "selector"
    ]


def test_a_score_is_compared_so_often(unit):
    """8 selectors of 4 lanes: 32 comparisons a cycle of 1 ns; 3 passes over 20 scores are 60."""
    (visit,) = unit.kind.serve(unit, Task("softmax", elements=1))
    assert unit.total == 8
    assert visit.service.rate.ps(20) == 2000
    assert visit.service.rate.ps(22) == 3000
    assert visit.service.actions == (Action("comparison", 0, 3),)


@pytest.mark.parametrize("by", CHOICES)
def test_it_chooses_as_it_says(by):
    chooser = load_chip("hyflexpim-topk", {"selector.by": by}).units["selector"]
    assert chooser.kind.chooses(chooser) == by


def test_a_way_that_is_none():
    with pytest.raises(InputError, match=r"selector\.by must be one of scores, bits, bias; got 'k"):
        load_chip("hyflexpim-topk", {"selector.by": "keys"})


def test_products_bit_by_bit_are_as_many_steps(unit):
    """128 products a head and key: 64 NOR steps whole; 8 a bit of the key, eight times as fast."""
    digital = load_chip("hyflexpim-topk").units["digital"]
    whole = digital.kind.serve(digital, Task("matmul", macs=128))[0]
    bit = digital.kind.serve(digital, Task("matmul", macs=128, by_bit=True))[0]
    assert whole.service.actions == (Action("nor", 0, 128 * 64),)
    assert bit.service.actions == (Action("nor", 0, 128 * 8),)
    for keys in (1, 17, 100):
        assert bit.service.rate.ps(8 * keys) == whole.service.rate.ps(keys)
    assert (whole.macs_in, bit.macs_in) == (None, 8)


def test_floating_point_has_no_bits_to_stop_at():
    digital = load_chip("asadi").units["digital"]
    with pytest.raises(InputError, match=r"products in fp32 cannot be made bit by bit$"):
        digital.kind.serve(digital, Task("matmul", macs=1, format="fp32", by_bit=True))
