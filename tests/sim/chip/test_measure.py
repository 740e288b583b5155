"""Values enter exactly, or not at all."""

from fractions import Fraction

import pytest

from hyflexsim.sim.chip.measure import BARE, UNITS, convert, exact, read, split
from hyflexsim.sim.errors import InputError


@pytest.mark.parametrize(
    ("text", "to", "expected"),
    [
        ("100 ns", "ps", 100_000),
        ("0.78125 ns", "ps", Fraction(78125, 100)),  # whole picoseconds are the field's business
        ("1 s", "ps", 10**12),
        ("1.28 GS/s", "S/s", 1_280_000_000),
        ("1000 GB/s", "GB/s", 1000),
        ("1 TB/s", "GB/s", 1000),
        ("23.8 fJ", "pJ", Fraction(238, 10_000)),
        ("1.2e-5 mW", "mW", Fraction(12, 10**6)),
        ("9.085 uW", "mW", Fraction(9085, 10**6)),
        ("587 um2", "mm2", Fraction(587, 10**6)),
        ("1 KiB", "B", 1024),
        ("6 kohm", "ohm", 6000),
        ("1.62 V", "V", Fraction(162, 100)),
        ("4.04 %", "", Fraction(404, 10_000)),
        ("7", "bit", 7),
        ("-5 B", "B", -5),
        ("  .5ns ", "ps", 500),
    ],
)
def test_reads_exactly(text, to, expected):
    assert read(text, to) == expected


@pytest.mark.parametrize(
    ("text", "same", "to"),
    [
        ("1 µs", "1 us", "ps"),
        ("1 μs", "1 us", "ps"),
        ("6 kΩ", "6 kohm", "ohm"),
        ("6 k\u2126", "6 kohm", "ohm"),
        ("2 µm²", "2 um2", "mm2"),
    ],
)
def test_reads_the_signs_people_type(text, same, to):
    assert read(text, to) == read(same, to)


def test_every_canonical_unit_counts_once():
    assert [factors[to] for to, factors in UNITS.items()] == [1] * len(UNITS)


@pytest.mark.parametrize("to", BARE)
def test_unit_may_be_left_out_where_no_other_is_meant(to):
    assert convert(3, "", to) == 3


def test_split_keeps_the_number_as_written():
    assert [split(text) for text in ("100 ns", "1e2 ns", "8")] == [
        (100, "ns"),
        (100.0, "ns"),
        (8, ""),
    ]
    assert isinstance(split("100 ns")[0], int)


@pytest.mark.parametrize(
    ("text", "to", "message"),
    [
        ("500 W", "GB/s", "must have unit B/s, kB/s, MB/s, GB/s or TB/s; got '500 W'"),
        ("500", "GB/s", "must have unit B/s, kB/s, MB/s, GB/s or TB/s; got '500'"),
        ("5 KB", "B", "must have no unit or unit B, KiB, MiB or GiB; got '5 KB'"),
        ("5 b", "bit", "must have no unit or unit bit; got '5 b'"),
        ("ns", "ps", "must be a number and a unit; got 'ns'"),
        ("1 000 ns", "ps", "must be a number and a unit; got '1 000 ns'"),
        ("nan ns", "ps", "must be a number and a unit; got 'nan ns'"),
        ("1e999999999 ns", "ps", "must be a finite number; got inf"),
    ],
)
def test_refuses(text, to, message):
    with pytest.raises(InputError) as error:
        read(text, to)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [True, None, "1", float("nan"), float("-inf"), 10**400])
def test_not_a_number(value):
    with pytest.raises(InputError, match=r"^must be a finite number; got "):
        exact(value)
