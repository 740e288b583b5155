"""Every line with which a chip's file or an override is refused, and what it names."""

from typing import Annotated

import pytest
from pydantic import ValidationError

from hyflexsim.sim.chip.kind import Kind, UnitValues
from hyflexsim.sim.chip.load import PRESETS, resolve
from hyflexsim.sim.chip.parameters import Follows, Section, choice, fill, parameter, parameters_of
from hyflexsim.sim.chip.provenance import Record
from hyflexsim.sim.chip.rules import proportional, shared_by
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip


@pytest.fixture
def chip(tmp_path):
    """Load a chip that extends a preset by some lines."""

    def load(text, overrides=None, kinds=None, base="hyflexpim"):
        path = tmp_path / "mine.toml"
        path.write_text(f'extends = "{base}"\n{text}\n', encoding="utf-8")
        return load_chip(path, overrides, kinds)

    return load


def refused(call, *arguments, **options):
    with pytest.raises(InputError) as error:
        call(*arguments, **options)
    return str(error.value)


def given(value, unit=""):
    return {"value": value, "unit": unit, "status": "assumed", "source": "x"}


def table(value, unit=""):
    return f'{{ value = {value}, unit = "{unit}", status = "assumed", source = "x" }}'


# ---- structure


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[links]\npu_bus = 3", "links.pu_bus must be a table; got 3"),
        ("[units]\nanalog = 3", "units.analog must be a table; got 3"),
        ("[serves]\nnorm = 3", "serves.norm must be a table such as { unit = NAME }; got 3"),
        (
            '[serves]\nnorm = { unit = "sfu", forms = "int8" }',
            "serves.norm: unknown key 'forms'; nearest: format",
        ),
        (
            '[units.sfu]\nwhere = "chip"',
            "units.sfu.where must be pu, as digital is, or left out; got 'chip'",
        ),
        (
            '[links.x]\njoins = ["digital", "analog"]',
            "links.x.joins must differ from that of pu_bus; got ['digital', 'analog']",
        ),
        (
            '[units."a b"]\nkind = "mask"\nwhere = "pu"',
            "units.a b must be named with letters, digits and _; got 'a b'",
        ),
        (
            '[units.pu_bus]\nkind = "mask"\nwhere = "pu"',
            "units.pu_bus must have a name of its own; 'pu_bus' is taken",
        ),
        (
            '[serves]\n"norm.values" = { unit = "sfu" }',
            "serves.norm.values must be an op class or one of matmul.values, matmul.probabilities",
        ),
        (
            '[serves]\n"norm" = { unit = "sfu", weights = "analog" }',
            "serves.norm.weights goes with gemv; norm has none",
        ),
        (
            '[serves]\n"norm" = { unit = "sfu", keys = "analog" }',
            "serves.norm.keys goes with matmul and softmax; norm has none",
        ),
        (
            '[serves]\nnorm = { unit = "sfu", format = "int8" }',
            "serves.norm.format must be left out, for a sfu; got 'int8'",
        ),
        (
            '[serves]\n"partial-sums" = { unit = "sfu" }',
            "serves.partial-sums.unit must be one of accumulator, which serve partial-sums; got "
            "'sfu', a sfu",
        ),
        (
            '[units.m]\nkind = "mask"\nwhere = "pu"\nkept = '
            + table(1)
            + '\n[serves]\nmatmul = { unit = "digital", keys = "sfu" }',
            "serves.matmul.keys must be one of m, which choose keys; got 'sfu'",
        ),
        (
            '[units.x]\nkind = "mask"\nbeside = "x"\n',
            "units.x.beside must be one of analog, digital; got 'x'",
        ),
    ],
)
def test_structure(chip, text, message):
    assert refused(chip, text) == f"mine.toml: {message}"


def test_an_op_class_that_no_unit_of_the_chip_can_serve(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        f"[chip]\npus = {table(1)}\nmax_tokens = {table(1)}\ntechnology_nm = {table(65)}\n"
        f'[units.m]\nkind = "mask"\nwhere = "pu"\nkept = {table(1)}\n'
        '[serves]\nnorm = { unit = "m" }\n',
        encoding="utf-8",
    )
    assert refused(load_chip, path) == (
        "mine.toml: serves.norm: no unit of the chip can serve norm; got 'm'"
    )


def test_errors_name_the_file_that_said_it_last(tmp_path):
    """A file that only changes numbers of a unit is not blamed for its structure."""
    base = '[units.x]\nkind = "abacus"\nwhere = "pu"\n'
    (tmp_path / "base.toml").write_text(f'extends = "hyflexpim"\n{base}', encoding="utf-8")
    mine = tmp_path / "mine.toml"
    for text, file in (("", "base.toml"), ("[units.x]\nwhere = 'chip'\n", "mine.toml")):
        mine.write_text(f'extends = "base.toml"\n{text}', encoding="utf-8")
        assert refused(load_chip, mine).startswith(f"{file}: units.x.kind must be one of ")


def test_an_extending_file_may_give_an_op_to_another_unit(chip):
    mine = chip(
        '[units.other]\nkind = "sfu"\nbeside = "digital"\ncount = '
        + table(2)
        + "".join(
            f"\n{key} = {table(1, unit)}"
            for key, unit in {
                "lanes": "",
                "clock_period": "ps",
                "softmax_passes": "",
                "norm_passes": "",
                "depth": "cycle",
                "energy.sfu_element": "pJ",
                "power.lanes": "mW",
                "area.lanes": "mm2",
            }.items()
        )
        + '\n[serves]\nnorm = { unit = "other" }'
    )
    assert mine.unit("norm").name == "other"
    assert mine.unit("softmax").name == "sfu"
    assert (mine.unit("norm").where, mine.unit("norm").beside) == ("pu", "digital")
    assert mine.unit("norm").total == 2 * mine["digital.count"]


# ---- records and numbers


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"value": 3}, "analog.rows.status must be one of "),
        (given(3) | {"note": 3}, "analog.rows.note must be a text; got 3"),
        (given(3) | {"unit": 3}, "analog.rows.unit must be a text; got 3"),
        (given(3) | {"source": ""}, "analog.rows.source must be a text that names the paper and "),
        (given([3]), "analog.rows must be a whole number from 1 to 65536; got [3]"),
        (given("three"), "analog.rows must be a whole number from 1 to 65536; got 'three'"),
        (given(1.5), "analog.rows must be a whole number from 1 to 65536; got 1.5"),
        (given(65537), "analog.rows must be a whole number from 1 to 65536; got 65537"),
    ],
)
def test_records(chip, record, message):
    inner = ", ".join(f"{key} = {value!r}" for key, value in record.items())
    assert refused(chip, f"[units.analog]\nrows = {{ {inner} }}").startswith(
        f"mine.toml: {message}"
    )


@pytest.mark.parametrize("value", [1, 65536])
def test_both_ends_of_a_range_are_allowed(value):
    assert load_chip("hyflexpim", {"digital.rows": value})["digital.rows"] == value


def test_whole_numbers_may_be_written_with_a_point():
    chip = load_chip("hyflexpim", {"digital.rows": 64.0})
    assert (chip["digital.rows"], type(chip["digital.rows"])) == (64, int)


def test_a_word_has_no_unit(chip):
    text = '[units.analog.adc]\nmodel = { value = "survey", unit = "V", status = "assumed", '
    assert refused(chip, text + 'source = "x" }') == (
        "mine.toml: analog.adc.model must be one of doubling, isaac-split, survey; got 'survey V'"
    )


def test_a_parameter_is_overridden_by_one_name():
    assert refused(load_chip, "hyflexpim", {"adc.slc_bits": 5, "analog.adc.slc_bits": 6}) == (
        "overrides: analog.adc.slc_bits is given twice, once as 'analog.adc.slc_bits'"
    )


def test_a_parameter_that_counts_only_beside_a_word():
    assert refused(load_chip, "hyflexpim", {"cells.drift": 0.5}) == (
        "overrides: analog.cells.drift goes with analog.cells.noise = conductance; it is sigma"
    )
    both = {"cells.drift": 0.5, "cells.noise": "conductance"}
    assert load_chip("hyflexpim", both)["analog.cells.drift"] == 0.5


def test_a_rule_that_leaves_the_range():
    """65536 rows of 4-bit cells need 19 bit, beyond the 16 of a converter."""
    changes = {"analog.rows": 65536, "analog.mlc_bits": 4}
    assert refused(load_chip, "hyflexpim", changes) == (
        "hyflexpim.toml with overrides: analog.adc.mlc_bits would be 19 by "
        "converter_bits(analog.rows, analog.mlc_bits); it must be a whole number from 1 to 16, no "
        "unit or unit bit"
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (3, "mine: keys must be names of parameters; got 3"),
        ("c", "mine: key 'c' must be one of a.c, b.c"),
        ("x.cc", "mine: unknown key 'x.cc'; known: a, b"),
        ("xyz.c", "mine: unknown key 'xyz.c'; nearest: a.c, b.c"),
    ],
)
def test_names_of_parameters(key, message):
    assert refused(resolve, key, {"a.c": 0, "b.c": 0}, "mine") == message


def test_at_most_three_names_are_near():
    known = dict.fromkeys(f"{unit}.rows" for unit in ("one", "two", "six", "ten"))
    assert refused(resolve, "zzz.rows", known).count(".rows") == 1 + 3


def test_what_can_be_read_but_not_found():
    assert refused(load_chip, PRESETS).startswith("chip must be one of the presets ")


# ---- what follows


class MadeValues(UnitValues):
    """A unit with a word, parameters that follow from each other, and one that need not be."""

    one: Annotated[float, parameter("", 0, 99, "one", "time")]
    two: Annotated[float, parameter("", 0, 99, "", "time", [Follows(shared_by, ("one",), "is")])]
    whole: Annotated[int, parameter("", 0, 99, "", "time", [Follows(proportional, ("one",), "is")])]
    sum: Annotated[float, parameter("", 0, 99, "", "time", [Follows(proportional, ("one",))])]
    shift: Annotated[
        float, parameter("", 0, 99, "", "time", [Follows(proportional, ("one",), "shifts")])
    ]
    free: Annotated[float, parameter("", 0, 9, "", "time", default=7.0)]
    word: Annotated[str, choice(("a", "b"), "word", "time , energy")]


class Made(Kind):
    """For these tests."""

    name = "made"
    Values = MadeValues


MADE = {"made": Made()}
UNIT = (
    f'[units.x]\nkind = "made"\nwhere = "pu"\ncount = {table(1)}\none = {table(2)}\n'
    f"sum = {table(6)}\nshift = {table(6)}\n"
    'word = { value = "a", status = "assumed", source = "x" }\n'
)


def test_what_a_file_leaves_out_is_made_by_its_rule(chip):
    mine = chip(UNIT, kinds=MADE)
    assert (mine["x.two"], mine["x.whole"], type(mine["x.whole"])) == (0.5, 2, int)
    assert mine.provenance["x.two"].status == "derived"
    assert mine.provenance["x.two"].source == "rule shared_by(x.one)"
    assert "x.two" not in mine.derived


def test_what_nobody_gives_has_its_default(chip):
    mine = chip(UNIT, kinds=MADE)
    assert mine["x.free"] == 7
    assert "x.free" not in mine.provenance
    assert "x.free" not in mine.parameters


def test_scales_and_shifts(chip):
    """From 2 to 5: 6 becomes 15 where it scales, 9 where it shifts; where it is, 1/5."""
    mine = chip(UNIT, {"x.one": 5}, MADE)
    assert [mine[f"x.{key}"] for key in ("sum", "shift", "two", "whole")] == [15, 9, 0.2, 5]
    assert mine.derived["x.sum"] == "proportional(x.one)"
    assert mine.provenance["x.sum"].note == "was 6"


def test_a_rule_that_was_nothing_scales_nothing(chip):
    """From 0 there is no ratio: the stated value stays."""
    text = UNIT.replace(f"one = {table(2)}", f"one = {table(0)}\ntwo = {table(1)}")
    assert chip(text, {"x.one": 5, "x.two": 1}, MADE)["x.sum"] == 6


def test_a_missing_parameter_that_no_rule_makes(chip):
    text = UNIT.replace(f"sum = {table(6)}\n", "").replace(f"shift = {table(6)}\n", "")
    assert refused(chip, text, kinds=MADE) == "mine.toml: missing x.sum, x.shift"


class LostValues(UnitValues):
    """It follows from what is not there."""

    one: Annotated[float, parameter("", 0, 9, "one", "time", [Follows(shared_by, ("gone",))])]


class Lost(Kind):
    """Refused."""

    name = "lost"
    Values = LostValues


def test_a_rule_of_no_parameter(chip):
    text = '[units.x]\nkind = "lost"\nwhere = "pu"\n'
    assert refused(chip, text, kinds={"lost": Lost()}) == (
        "mine.toml: x.one follows from x.gone, which is no parameter"
    )


def test_declarations_read_back():
    """Answers are cut at commas, options kept in their order; what has no range has 0."""
    word = dict(parameters_of(MadeValues))["word"]
    assert word.acts == ("time", "energy")
    assert (word.options, word.unit, word.low, word.high) == (("a", "b"), "", 0, 0)
    assert (word.allowed, word.whole, word.required) == ("one of a, b", False, True)
    assert not dict(parameters_of(MadeValues))["free"].required


def test_sections_are_filled_by_dotted_name():
    class Outer(Section):
        inner: MadeValues
        own: Annotated[int, parameter("", 0, 9, "own")]

    numbers = {"o.own": 3, "o.inner.count": 1, "o.inner.whole": 2, "o.inner.word": "b"}
    numbers |= {f"o.inner.{name}": 4.0 for name in ("one", "two", "sum", "shift")}
    filled = fill(Outer, numbers, "o.")
    assert (filled.own, filled.inner.one, filled.inner.word) == (3, 4.0, "b")
    assert {*numbers, "o.inner.free"} == set(dict(parameters_of(Outer, "o.")))


def test_strangers_are_equal_only_to_their_class():
    assert Made() == Made()
    assert Made() != Lost()
    assert len({Made(), Made(), Lost()}) == 2


class Two(Section):
    """A number and a whole number."""

    number: Annotated[float, parameter("", 0, 9, "number")]
    whole: Annotated[int, parameter("", 0, 9, "whole")]


@pytest.mark.parametrize(
    "values",
    [
        {"number": "1", "whole": 1},  # no text for a number
        {"number": 1.0, "whole": 1.0},
        {"number": float("nan"), "whole": 1},
        {"number": float("inf"), "whole": 1},
        {"number": -1e-9, "whole": 1},
        {"number": 9.000001, "whole": 1},
        {"number": 1.0, "whole": -1},
        {"number": 1.0, "whole": 10},
        {"number": 1.0},
        {"number": 1.0, "whole": 1, "more": 1},
    ],
)
def test_sections_take_what_is_declared_and_nothing_else(values):
    with pytest.raises(ValidationError):
        Two(**values)


def test_sections_and_records_do_not_change():
    for frozen in (Two(number=1.0, whole=1), Record(**given(1))):
        with pytest.raises(ValidationError):
            setattr(frozen, next(iter(type(frozen).model_fields)), 2)


@pytest.mark.parametrize("change", [{"page": 3}, {"note": 3}, {"value": None}])
def test_records_take_what_is_declared_and_nothing_else(change):
    with pytest.raises(ValidationError):
        Record(**given(1) | change)
