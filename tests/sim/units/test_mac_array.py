"""A digital MAC array, by hand."""

import pytest

from hyflexsim.sim.chip.service import Access, Action, Task
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.stored import Stored


def test_a_matrix_and_a_vector():
    """100 x 50 on 4096 lanes: two cycles; 5000 weights and 100 inputs are read."""
    unit = load_chip("non-pim").units["macs"]
    read, visit = unit.kind.multiply(unit, Stored("W", 100, 50), Task("gemv"), False)
    assert read == Access(".W.read", 5100)
    assert visit.service.rate.ps(1) == 2000
    assert visit.service.actions == (Action("mac_int8", 0, 5000),)
    assert visit.macs == (0, 5000)


def test_tokens_share_a_weight_that_was_read():
    unit = load_chip("non-pim", {"macs.sharing": 8}).units["macs"]
    read, _ = unit.kind.multiply(unit, Stored("W", 100, 50), Task("gemv"), False)
    assert read.size_bytes == 5000 // 8 + 100
    read, _ = unit.kind.multiply(unit, Stored("W", 101, 50), Task("gemv"), False)
    assert read.size_bytes == 632 + 101  # 631.25 weights


def test_a_cycle_that_is_begun_is_a_cycle():
    """4096 products in one, 4097 in two; two PUs have twice the lanes."""
    unit = load_chip("non-pim").units["macs"]

    def time(macs, group=1):
        _, visit = unit.kind.serve(unit, Task("matmul", macs=macs, group=group))
        return visit.service.rate.ps(1)

    assert (time(4096), time(4097), time(4097, group=2)) == (1000, 2000, 1000)


def test_formats_have_their_own_energies():
    chip = load_chip("non-pim", {"macs.energy.mac_int12": "0.7 pJ"})
    unit = chip.units["macs"]
    for task, action in (
        (Task("matmul", macs=7), "mac_int8"),
        (Task("matmul", macs=7, probabilities=True), "mac_int12"),
    ):
        read, visit = unit.kind.serve(unit, task)
        assert visit.service.actions == (Action(action, 0, 7),)
        assert read.size_bytes == 7


def test_a_format_needs_its_energy():
    unit = load_chip("non-pim").units["macs"]
    with pytest.raises(InputError) as error:
        unit.kind.check_served(unit, "matmul.values", "fp32")
    assert str(error.value) == "macs.energy.mac_fp32 must be given"
