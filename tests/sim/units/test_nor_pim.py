"""NOR-based digital PIM, by hand."""

import pytest

from hyflexsim.sim.chip.service import Access, Action, Task
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.nor_pim import products_per_cycle


@pytest.fixture(scope="module")
def unit(hw):
    return hw.units["digital"]


def service(unit, task):
    (visit,) = unit.kind.write(unit, task) if task.op == "write" else unit.kind.serve(unit, task)
    return visit.service


def test_products(unit):
    """8 modules x 273 products a cycle: 2184 x 2 + 1 need three cycles; 64 NOR a product."""
    found = service(unit, Task("matmul", macs=1))
    assert found.rate.ps(2 * 2184) == 2000
    assert found.rate.ps(2 * 2184 + 1) == 3000
    assert found.actions == (Action("nor", 0, 64),)


def test_rows_at_once():
    """Three rows: 819 products a cycle and module for 273.07, as many NOR operations for each."""
    unit = load_chip("hyflexpim", {"digital.rows_at_once": 3}).units["digital"]
    found = service(unit, Task("matmul", macs=1))
    assert found.rate.ps(8 * 819) == 1000
    assert found.rate.ps(8 * 819 + 1) == 2000
    assert found.actions == (Action("nor", 0, 64),)
    with pytest.raises(InputError, match=r"rows_at_once must be at most digital\.rows \(1024\); g"):
        load_chip("hyflexpim", {"digital.rows_at_once": 1025})


def test_probabilities_are_wider(unit):
    """12 x 8 bits: 96 NOR, 182 products a cycle and module."""
    found = service(unit, Task("matmul", macs=1, probabilities=True))
    assert found.rate.ps(8 * 182) == 1000
    assert found.actions == (Action("nor", 0, 96),)


def test_their_width_is_the_chips():
    unit = load_chip("hyflexpim", {"digital.probability_bits": 16}).units["digital"]
    assert service(unit, Task("matmul", macs=1, probabilities=True)).actions == (
        Action("nor", 0, 128),
    )


def test_floating_point_products(unit):
    """3360 NOR by FloatPIM's formula: five products a cycle and module, operands of 32 bits."""
    found = service(unit, Task("matmul", macs=1, format="fp32"))
    assert found.actions == (Action("nor", 0, 3360),)
    assert found.rate.ps(8 * 5) == 1000
    assert service(unit, Task("write", width=4, format="fp32")).actions == (
        Action("cell_write", 0, 128),
    )


def test_writes_take_four_cycles_a_row(unit):
    """8 modules write 8 x 1024 bits at once: 1024 INT8 values in 4 ns, one more in 8 ns."""
    assert service(unit, Task("write", width=1024)).rate.ps(1) == 4000
    assert service(unit, Task("write", width=1025)).rate.ps(1) == 8000


def test_look_up_takes_one_cycle_a_row(unit):
    assert service(unit, Task("lookup", width=1024)).rate.ps(1) == 1000
    assert service(unit, Task("lookup", width=2048)).actions == (Action("cell_read", 0, 16384),)


def test_a_module_too_small_for_one_product():
    """959 columns hold no 64 NOR of 3 columns in a row step of 5 cycles."""
    tiny = load_chip("hyflexpim", {"digital.arrays": 1, "digital.columns": 959}).units["digital"]
    with pytest.raises(InputError) as error:
        products_per_cycle(tiny, 64)
    assert str(error.value) == (
        "digital.arrays (1) x digital.columns (959) must be at least 960 for one product of 64 NOR "
        "operations"
    )


def test_a_module_just_large_enough_for_one_product():
    small = load_chip("hyflexpim", {"digital.arrays": 1, "digital.columns": 960}).units["digital"]
    assert products_per_cycle(small, 64) == 1


def test_registers_hold_whole_tokens_and_at_least_one(unit):
    """8 x 1 KiB a PU: ten tokens of 768 B, 21 of them on two PUs; a larger one streams through."""
    assert unit.kind.waiting_tokens(unit, "input", 768, 1) == 10
    assert unit.kind.waiting_tokens(unit, "output", 128_256, 1) == 1
    assert unit.kind.waiting_tokens(unit, "input", 768, 2) == 21


def test_units_beside_it_read_and_write_rows(unit):
    """8 x 1024 bits a cycle of 1 ns, 4 to write them; on two PUs twice as many."""
    (read,) = unit.kind.access(unit, Access(".read", 1024))
    assert (read.service.rate.ps(1), read.label) == (1000, ".read")
    assert read.service.actions == (Action("cell_read", 0, 8192),)
    (write,) = unit.kind.access(unit, Access(".write", 1025, write=True))
    assert (write.service.rate.ps(1), write.service.actions[0].name) == (8000, "cell_write")
    (wide,) = unit.kind.access(unit, Access(".write", 1025, write=True, group=2))
    assert wide.service.rate.ps(1) == 4000
