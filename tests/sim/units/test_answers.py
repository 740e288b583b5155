"""What units answer beside times: power while busy, capacity, bytes, parts, defaults of a kind."""

from fractions import Fraction

import pytest

from hyflexsim.sim.chip.kind import Kind, Unit
from hyflexsim.sim.chip.service import (
    Access,
    Action,
    Rate,
    Service,
    Shadow,
    Task,
    Visit,
    cycles,
    millionths,
    transfer,
)
from hyflexsim.sim.units.catalogue import KINDS, load_chip
from hyflexsim.sim.units.stored import Stored, stored_parts
from hyflexsim.sim.units.tiling import factors


def only(chain):
    (visit,) = [each for each in chain if isinstance(each, Visit)]
    return visit


# ---- power is drawn by all units of a place, and by the places of a group


@pytest.mark.parametrize(
    ("preset", "name", "op"),
    [
        ("hyflexpim", "sfu", "softmax"),
        ("hyflexpim", "accumulator", "partial-sums"),
        ("non-pim", "macs", "matmul"),
        ("nmp", "banks", "matmul"),
    ],
)
@pytest.mark.parametrize("group", [1, 3])
def test_power_while_busy_is_that_of_all(preset, name, op, group):
    unit = load_chip(preset, {f"{name}.count": 2}).units[name]
    one = sum(unit.kind.power(unit).values())
    visit = only(unit.kind.serve(unit, Task(op, macs=8, elements=8, group=group)))
    assert visit.power_mw == pytest.approx(one * unit.total * group, rel=1e-12)


@pytest.mark.parametrize("group", [1, 3])
def test_a_buffer_draws_power_for_all_its_ways(group):
    unit = load_chip("isaac", {"buffer.count": 2}).units["buffer"]
    visit = only(unit.kind.access(unit, Access(".read", 64, group=group)))
    assert visit.power_mw == 2 * group * 20.7
    assert visit.service.rate.ps(1) == -(-1000 // group)


@pytest.mark.parametrize("group", [1, 3])
def test_digital_pim_draws_the_power_of_its_modules(hw, group):
    unit = hw.units["digital"]
    visit = only(unit.kind.serve(unit, Task("matmul", macs=8, group=group)))
    assert visit.power_mw == pytest.approx(sum(unit.kind.power(unit).values()) * 8 * group)
    assert visit.macs == (0, 8)
    assert (visit.kind, visit.label) == ("digital_pim", "")


def test_a_matrix_draws_its_share_of_a_module(hw):
    """4 of 512 arrays, all columns busy: bank 4/512 of its rows; converters theirs."""
    unit = hw.units["analog"]
    (weight,) = factors(unit.values, 128, 32, None, 1.0, "row-tile")
    _, bank, converter, *_ = unit.kind.multiply(unit, weight, Task("gemv"), planes=False)
    rows = unit.kind.power(unit)
    parts = ("arrays", "wordline_drivers", "sample_holds", "input_register", "output_register")
    assert bank.power_mw == pytest.approx(sum(rows[part] for part in parts) * 4 / 512)
    assert converter.power_mw == pytest.approx(rows["adcs"] * 4 / 512)
    assert converter.shadow == (
        Shadow("shift_add", 800_000, pytest.approx(rows["shift_adds"] * 4 / 512)),
    )
    assert (bank.busy_ps, converter.busy_ps) == (800_000, 800_000)


def test_a_half_used_converter_draws_half(hw):
    """8 outputs are 64 of 128 columns: 50 of 100 ns."""
    unit = hw.units["analog"]
    full, half = (
        only(unit.kind.multiply(unit, f, Task("gemv"), planes=False)[2:3])
        for (f,) in (factors(unit.values, 64, n, None, 1.0, "row-tile") for n in (16, 8))
    )
    assert half.power_mw == pytest.approx(full.power_mw / 2)


def test_bit_planes_draw_what_whole_vectors_draw(hw):
    unit = hw.units["analog"]
    (weight,) = factors(unit.values, 128, 32, None, 1.0, "row-tile")
    _, bank, converter, adding, *_ = unit.kind.multiply(unit, weight, Task("gemv"), planes=True)
    assert [each.kind for each in (bank, converter, adding)] == ["bank", "adc", "shift_add"]
    assert [each.part for each in (bank, converter, adding)] == ["W.bank", "W.adc", "W.shift_add"]
    assert [each.busy_ps for each in (bank, converter, adding)] == [100_000] * 3
    assert [each.rigid for each in (bank, converter, adding)] == [False, True, True]
    assert [each.own for each in (bank, converter, adding)] == [True] * 3
    rows = unit.kind.power(unit)
    assert adding.power_mw == pytest.approx(rows["shift_adds"] * 4 / 512)
    assert converter.service.rate.ps(1) == 100_000 - 782  # hands over one slot early
    assert (converter.shadow, adding.shadow) == ((), ())
    assert converter.service.actions[0] == Action("adc_conversion_slc", 512)
    assert adding.service.actions == (Action("shift_add", 512), Action("output_register", 4))
    assert bank.macs == (128 * 32, 0)


# ---- capacities


@pytest.mark.parametrize(
    ("preset", "name", "each"),
    [("isaac", "buffer", 65536), ("non-pim", "dram", 6_280_000_000), ("nmp", "banks", 2**33)],
)
def test_memories_hold_their_capacity(preset, name, each):
    unit = load_chip(preset, {f"{name}.count": 3}).units[name]
    assert unit.kind.capacity(unit) == unit.kind.memory_bytes(unit) == 3 * each
    assert unit.kind.hold(unit, 4, 6, 2, 0.5, "row-tile") == stored_parts(4, 6, 2)
    assert unit.kind.waiting_tokens(unit, "input", 8, 1) is None


def test_arrays_of_all_modules(hw):
    unit = hw.units["analog"]
    assert unit.kind.capacity(unit) == 24 * 512
    assert (unit.kind.input_bits(unit, ""), unit.kind.weight_bits(unit, "")) == (8, 8)
    assert unit.kind.partial_bits(unit) == 22
    digital = hw.units["digital"]
    assert digital.kind.memory_bytes(digital) == 8 * 256 * 1024 * 1024 // 8


@pytest.mark.parametrize(("format", "bits"), [("", 8), ("int12", 12), ("fp16", 16), ("fp32", 32)])
def test_a_mac_array_takes_what_its_format_has(format, bits):
    """The vector and all weights are read in it; results leave in it."""
    chip = load_chip("non-pim", {"macs.energy.mac_fp16": "1 pJ", "macs.energy.mac_fp32": "1 pJ"})
    unit = chip.units["macs"]
    assert unit.kind.input_bits(unit, format) == unit.kind.weight_bits(unit, format) == bits
    read, _ = unit.kind.multiply(unit, Stored("W", 5, 3), Task("gemv", format=format), False)
    assert read == Access(".W.read", -(-20 * bits // 8))
    read, _ = unit.kind.serve(unit, Task("matmul", macs=5, format=format))
    assert read == Access(".read", -(-5 * bits // 8))
    assert unit.kind.write(unit, Task("write", width=5, format=format)) == (
        Access(".write", -(-5 * bits // 8), True),
    )
    assert unit.kind.partial_bits(unit) == 32


@pytest.mark.parametrize("number", ["int8", "int12", "fp16", "fp32"])
def test_probabilities_keep_a_format_that_is_wide_enough(number):
    """Only INT8 gives way to 12 bits (HyFlexPIM §3.3)."""
    energies = {f"macs.energy.mac_{name}": "1 pJ" for name in ("int8", "int12", "fp16", "fp32")}
    unit = load_chip("non-pim", energies).units["macs"]
    task = Task("matmul", macs=5, format=number, probabilities=True)
    wide = "int12" if number == "int8" else number
    assert only(unit.kind.serve(unit, task)).service.actions == (Action(f"mac_{wide}", 0, 5),)


# ---- tables and accesses


@pytest.mark.parametrize(
    ("preset", "name", "time"),
    [
        ("isaac", "buffer", 2000),  # 64 B at 32 GB/s
        ("non-pim", "dram", 100_000 + 1250),  # 64 B over four channels of 12.8 GB/s
        ("nmp", "banks", 32_000 + 32),  # 64 B over 256 banks of 8 GB/s: 31.25 ps
    ],
)
def test_a_row_of_a_table_is_an_access_of_its_bytes(preset, name, time):
    unit = load_chip(preset).units[name]
    looked = only(unit.kind.serve(unit, Task("lookup", width=64)))
    assert looked.service.rate.ps(1) == time
    assert looked.service == only(unit.kind.access(unit, Access(".x", 64))).service
    wide = only(unit.kind.serve(unit, Task("lookup", width=64, group=2)))
    assert wide.service.rate.ps(1) < time


def test_banks_take_keys_and_values():
    unit = load_chip("nmp").units["banks"]
    visit = only(unit.kind.write(unit, Task("write", width=64)))
    assert visit.label == ".write"
    assert visit.service.actions == (
        Action("bank_activation", 0, 64),
        Action("bank_bit", 0, 512),
    )


def test_products_in_banks_are_those_of_a_matrix():
    unit = load_chip("nmp").units["banks"]
    matrix = only(unit.kind.multiply(unit, Stored("W", 8, 8), Task("gemv"), False))
    product = only(unit.kind.serve(unit, Task("matmul", macs=64)))
    assert matrix.service == product.service
    assert (matrix.label, product.label, matrix.macs) == (".W.bank", "", (0, 64))


@pytest.mark.parametrize(("count", "group"), [(2, 1), (1, 2)])
def test_thresholds_side_by_side_answer_more(count, group):
    """12 heads and 22 keys are 264 scores: two reads of 2 x 128, three of 128."""
    unit = load_chip("sprint", {"thresholds.count": count}).units["thresholds"]
    visit = only(unit.kind.serve(unit, Task("matmul", macs=1, heads=12, group=group)))
    assert visit.service.rate.ps(22) == 200_000
    assert unit.kind.area(unit) == {"unit": 0.06}
    assert visit.label == ".threshold"


def test_sfu_passes_are_counted():
    chip = load_chip("hyflexpim", {"sfu.softmax_passes": 3, "sfu.norm_passes": 2})
    unit = chip.units["sfu"]
    counts = {
        op: only(unit.kind.serve(unit, Task(op, elements=7))).service.actions[0].per_size
        for op in ("softmax", "norm", "pointwise")
    }
    assert counts == {"softmax": 21, "norm": 14, "pointwise": 7}


# ---- closed forms


@pytest.mark.parametrize(
    ("rate", "size", "ps"),
    [
        (Rate(), 5, 1),
        (Rate(7), 5, 7),
        (Rate(7, 10, 3, 4), 1, 17),  # 3/4 of a cycle is begun
        (Rate(7, 10, 3, 4), 4, 37),
        (Rate(0, 1, 1, 1), 0, 1),
    ],
)
def test_rates(rate, size, ps):
    assert rate.ps(size) == ps


def test_pipelines_are_filled_once():
    assert cycles(10, 3, 2, depth=4).ps(1) == 60
    assert cycles(10, 3, 2).ps(2) == 30


def test_transfers_side_by_side():
    """100 B at 12.8 GB/s are 7812.5 ps; twice as wide 3906.25."""
    assert transfer(100, 12.8, 5, ()).rate.ps(1) == 5 + 7813
    assert transfer(100, 12.8, 5, (), 2).rate.ps(1) == 5 + 3907
    assert transfer(100, 12.8, 5, (Action("x"),)) == Service(
        transfer(100, 12.8, 5, ()).rate, (Action("x"),)
    )


@pytest.mark.parametrize(("speed", "ps"), [(1e-6, 10**9), (0.123456, 8101), (1e9, 1)])
def test_bandwidths_are_exact_to_a_kilobyte_a_second(speed, ps):
    """From the smallest to the largest that a chip may give: a byte at 1 kB/s takes a ms."""
    assert transfer(1, speed, 0, ()).rate.ps(1) == ps


def test_fractions_have_at_most_a_million_parts():
    """1.5e-6 is 3 of 2,000,000 parts: of what has fewer than a million, 1 of 666,667 is next."""
    assert millionths(1.5e-6) == Fraction(1, 666_667)
    assert millionths(0.0254) == Fraction(127, 5000)


def test_banks_are_as_exact():
    """256 B over 256 banks of 1 kB/s: a ms behind the row's 32 ns."""
    unit = load_chip("nmp", {"banks.bandwidth": "1 kB/s"}).units["banks"]
    visit = only(unit.kind.serve(unit, Task("matmul", macs=256)))
    assert visit.service.rate.ps(1) == 10**9 + 32_000


# ---- a kind that does nothing


def test_a_bare_kind_has_no_parts_and_writes_nothing():
    kind = Kind()
    unit = Unit("x", kind, "pu", 1, None)
    assert (kind.area(unit), kind.power(unit)) == ({}, {})
    assert kind.write(unit, Task("write")) == kind.access(unit, Access("", 1)) == ()
    assert kind.partial_bits(unit) == 32
    assert kind.waiting_tokens(unit, "input", 1, 1) is None
    assert (kind.name, kind.holds, kind.copied, kind.per_mac) == ("", "", False, "")
    assert (kind.serves, kind.formats, kind.actions) == (frozenset(), frozenset(), {})
    assert kind.check(unit) is None


def test_what_it_cannot_do_it_refuses():
    kind, task = Kind(), Task("x")
    for ask in (
        lambda: kind.hold(None, 1, 1, None, 1.0, ""),
        lambda: kind.capacity(None),
        lambda: kind.multiply(None, None, task, False),
        lambda: kind.interval_ps(None, ()),
        lambda: kind.fetch(None, 1),
        lambda: kind.input_bits(None, ""),
        lambda: kind.weight_bits(None, ""),
        lambda: kind.serve(None, task),
        lambda: kind.memory_bytes(None),
        lambda: kind.kept(None),
    ):
        with pytest.raises(NotImplementedError):
            ask()


def test_kinds_are_known_by_their_names():
    assert list(KINDS) == [kind.name for kind in KINDS.values()]
