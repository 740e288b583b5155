"""What a chip's file may say is a promise to users and changes only on purpose.

``declared.csv`` has a row a parameter, for every kind of unit, the chip and its links: unit, range,
answers it acts on, rules it follows, words it may be. After a change that is meant::

    python tests/sim/units/test_declared.py
"""

import csv
from pathlib import Path

import pytest

from hyflexsim.sim.chip.chip import ENDS, OPERANDS, SERVED, ChipValues, link_values
from hyflexsim.sim.chip.parameters import Section, parameters_of
from hyflexsim.sim.units.catalogue import KINDS

TABLE = Path(__file__).with_name("declared.csv")
SECTIONS = {
    "chip": ChipValues,
    "link": link_values(("pu", "pu")),
    "port": link_values(("host", "chip")),
} | {name: kind.Values for name, kind in KINDS.items()}


def declared():
    """A row a parameter."""
    for owner, section in SECTIONS.items():
        for key, one in parameters_of(section, f"{owner}."):
            follows = [f"{e.how} {e.rule.__name__}({', '.join(e.of)})" for e in one.follows]
            kind = "word" if one.options else "whole" if one.whole else "number"
            yield {
                "key": key,
                "kind": kind,
                "unit": one.unit,
                "low": "" if one.options else repr(one.low),
                "high": "" if one.options else repr(one.high),
                "acts": " ".join(one.acts),
                "required": "yes" if one.required else "no",
                "when": " = ".join(one.when or ()),
                "follows": "; ".join(follows),
                "options": " ".join(one.options),
            }


def written():
    """The committed table, by key."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def test_declarations_are_those_of_the_table():
    assert {row["key"]: row for row in declared()} == written()


@pytest.mark.parametrize("name", SECTIONS)
def test_pydantic_holds_values_to_the_same_ranges(name):
    """Values built in Python are held to what a file is held to."""

    def check(section):
        for field in section.model_fields.values():
            nested = field.annotation
            if isinstance(nested, type) and issubclass(nested, Section):
                check(nested)
            elif not field.json_schema_extra.get("options"):
                bounds = [getattr(each, "ge", getattr(each, "le", None)) for each in field.metadata]
                extra = field.json_schema_extra
                assert bounds == [extra["low"], extra["high"]]

    check(SECTIONS[name])


@pytest.mark.parametrize(
    ("name", "serves", "formats", "holds"),
    [
        ("analog_array", "gemv", "", "arrays"),
        ("nor_pim", "lookup matmul results scan", "fp16 fp32 int8", ""),
        ("sfu", "norm pointwise softmax", "", ""),
        ("adder", "partial-sums", "", ""),
        ("mac_array", "gemv matmul scan", "fp16 fp32 int12 int8", ""),
        ("sram", "lookup results", "", "bytes"),
        ("dram", "lookup results", "", "bytes"),
        ("near_bank", "gemv lookup matmul results scan", "int8", "bytes"),
        ("threshold", "keys", "", ""),
        ("mask", "keys", "", ""),
        ("selector", "keys", "", ""),
    ],
)
def test_what_a_kind_can_do(name, serves, formats, holds):
    kind = KINDS[name]
    assert " ".join(sorted(kind.serves)) == serves
    assert " ".join(sorted(kind.formats)) == formats
    assert kind.holds == holds
    assert kind.copied == (name == "analog_array")


def test_every_kind_is_in_the_list_above():
    assert len(KINDS) == 11


def test_what_serves_and_links_may_name():
    assert " ".join(SERVED) == (
        "gemv matmul softmax norm pointwise lookup scan results partial-sums"
    )
    assert OPERANDS == ("matmul.values", "matmul.probabilities")
    assert ENDS == ("pu", "chip", "host")


if __name__ == "__main__":
    with TABLE.open("w", encoding="utf-8", newline="") as out:
        rows = list(declared())
        writer = csv.DictWriter(out, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
