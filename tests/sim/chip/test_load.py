"""Loading, overriding, extending and refusing chips; the numbers are in another file."""

import dataclasses
import pickle
import re
import subprocess
import sys
from typing import Annotated

import pytest
from pydantic import ValidationError

from hyflexsim.sim.chip.chip import used_assumptions
from hyflexsim.sim.chip.kind import Kind, UnitValues
from hyflexsim.sim.chip.load import PRESETS, presets
from hyflexsim.sim.chip.parameters import Follows, parameter
from hyflexsim.sim.chip.provenance import Row
from hyflexsim.sim.chip.rules import proportional
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip

ROWS_128 = '[units.analog.rows]\nvalue = 128\nstatus = "assumed"\nsource = "what if"\n'


@pytest.fixture(scope="module")
def hw():
    return load_chip("hyflexpim")


@pytest.fixture
def chip(tmp_path):
    """Write a chip file and load it."""

    def load(text, overrides=None):
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        return load_chip(tmp_path / "mine.toml", overrides)

    return load


def refused(call, *arguments):
    with pytest.raises(InputError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- loading


@pytest.mark.parametrize("name", presets())
def test_every_preset_gives_every_parameter_a_source(name):
    hw = load_chip(name)
    assert list(hw.provenance) == list(hw.parameters)
    assert all(record.source and "override" not in record.source for record in hw.describe())


def test_values_are_plain_numbers_in_canonical_units(hw):
    values = [hw[f"analog.{key}"] for key in ("rows", "read_cycle", "adc.rate")]
    assert values == [64, 100_000, 1_280_000_000]
    assert type(hw["analog.read_cycle"]) is int
    assert (hw["digital.energy.nor"], hw["digital.registers.input_bytes"]) == (0.0238, 1024)
    assert type(hw["pu_bus.bandwidth"]) is float


def test_provenance_keeps_what_was_written(hw):
    record = hw.provenance["digital.energy.nor"]
    assert (record.value, record.unit, record.status) == (23.8, "fJ", "third-party")
    assert hw.describe()[3] == Row("analog.count", 24, "", "stated", "HyFlexPIM §3.1, Table 2")


def test_chip_is_frozen_and_travels_between_processes(hw):
    with pytest.raises(ValidationError):
        hw.units["analog"].values.rows = 1
    assert pickle.loads(pickle.dumps(hw)) == hw


def test_parameters_are_described(hw):
    assert all(one.meaning for one in hw.parameters.values())


def test_import_is_light():
    code = (
        "import sys; from hyflexsim.sim.units.catalogue import load_chip; load_chip('hyflexpim');"
        "print(sorted({'torch', 'pandas', 'numpy', 'simpy', 'networkx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- overrides


def test_override_is_an_assumption():
    hw = load_chip("hyflexpim", {"adc.slc_bits": 5, "pu_bus.bandwidth": "500 MB/s"})
    assert (hw["analog.adc.slc_bits"], hw["pu_bus.bandwidth"]) == (5, 0.5)
    record = hw.provenance["pu_bus.bandwidth"]
    assert (record.value, record.unit) == (500, "MB/s")
    assert (record.status, record.source) == ("assumed", "override")
    assert {"analog.adc.slc_bits", "pu_bus.bandwidth"} <= set(used_assumptions(hw))


def test_a_key_may_be_an_end_that_only_one_parameter_has():
    full, end = (
        load_chip("hyflexpim", {key: 5}) for key in ("analog.adc.slc_bits", "adc.slc_bits")
    )
    assert full == end
    message = refused(load_chip, "hyflexpim", {"rows": 32})
    assert message == "overrides: key 'rows' must be one of analog.rows, digital.rows"


def test_a_parameter_is_overridden_once():
    """Two names of one parameter contradict each other."""
    refused(load_chip, "hyflexpim", {"adc.slc_bits": 5, "analog.adc.slc_bits": 6})


COUNT = "analog.count must be a whole number from 1 to 1048576; got "
LANES = "sfu.lanes must be a whole number from 1 to 1048576; got "
BITS = "analog.adc.slc_bits must be a whole number from 1 to 16, no unit or unit bit; got "
MODEL = "analog.adc.model must be one of doubling, isaac-split, survey; got "
BYTES = "no unit or unit B, KiB, MiB or GiB; got "


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("adc.slc_bits", -1, BITS + "-1"),
        ("adc.slc_bits", 17, BITS + "17"),
        ("adc.slc_bits", 5.5, BITS + "5.5"),
        ("adc.slc_bits", True, BITS + "True"),
        ("adc.slc_bits", None, BITS + "None"),
        ("adc.slc_bits", "six", BITS + "'six'"),
        ("analog.count", -1, COUNT + "-1"),
        ("adc.model", "linear", MODEL + "'linear'"),
        ("adc.model", 3, MODEL + "3"),
        ("sfu.lanes", 0, LANES + "0"),
        ("sfu.lanes", float("nan"), LANES + "nan"),
        ("sfu.lanes", float("inf"), LANES + "inf"),
        (
            "digital.registers.input_bytes",
            -5,
            "digital.registers.input_bytes must be a whole number from 1 to 1099511627776, "
            f"{BYTES}-5",
        ),
        (
            "pu_bus.bandwidth",
            "500 W",
            "pu_bus.bandwidth must be a number from 1e-06 to 1000000000 GB/s,"
            " unit B/s, kB/s, MB/s, GB/s or TB/s; got '500 W'",
        ),
        (
            "analog.read_cycle",
            100,
            "analog.read_cycle must be a whole number from 1 to 1000000000000 ps,"
            " unit fs, ps, ns, us, ms or s; got 100",
        ),
        (
            "analog.read_cycle",
            "0.5 ps",
            "analog.read_cycle must be a whole number from 1 to 1000000000000 ps,"
            " unit fs, ps, ns, us, ms or s; got '0.5 ps'",
        ),
        (
            "energy.nor",
            "1e308 J",
            "digital.energy.nor must be a number from 0 to 1000000000000 pJ,"
            " unit aJ, fJ, pJ, nJ, uJ, mJ or J; got '1e308 J'",
        ),
        (
            "adc.slc_bit",
            5,
            "unknown key 'adc.slc_bit'; nearest: analog.adc.slc_bits, analog.slc_bits, "
            "analog.adc.mlc_bits",
        ),
        (
            "42",
            5,
            "unknown key '42'; known: chip, analog, digital, accumulator, sfu, pu_bus, global_bus, "
            "chip_link, host_port",
        ),
    ],
)
def test_refused_override(key, value, message):
    assert refused(load_chip, "hyflexpim", {key: value}) == f"overrides: {message}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"analog.slc_bits": 3},
            "analog.mlc_bits must be at least analog.slc_bits (3 bit); got 2",
        ),
        (
            {"digital.write_cycles": 6},
            "digital.write_cycles must be at most digital.cycles_per_step (5 cycle); got 6",
        ),
    ],
)
def test_refused_contradiction(overrides, message):
    expected = f"hyflexpim.toml with overrides: {message}"
    assert refused(load_chip, "hyflexpim", overrides) == expected


# ---- files


def test_extending_file_changes_what_it_names(chip, hw):
    mine = chip('extends = "hyflexpim"\n' + ROWS_128)
    assert (mine.name, mine["analog.rows"], mine["analog.columns"]) == ("mine", 128, 128)
    assert mine.provenance["analog.rows"].source == "what if"
    assert mine.provenance["analog.columns"] == hw.provenance["analog.columns"]
    assert "analog.shift_add.partial_sum_bits" in mine.derived


def test_file_extends_a_file_beside_it_and_takes_overrides(chip, tmp_path):
    (tmp_path / "base.toml").write_text('extends = "hyflexpim"\n' + ROWS_128, encoding="utf-8")
    assert chip('extends = "base.toml"\n')["analog.rows"] == 128
    assert chip('extends = "base.toml"\n', {"analog.rows": 32})["analog.rows"] == 32


def test_complete_file_needs_no_base(chip, hw):
    mine = chip((PRESETS / "hyflexpim.toml").read_text(encoding="utf-8"))
    assert dataclasses.replace(mine, name="hyflexpim") == hw


EXTENDS = 'extends = "hyflexpim"\n'
ROWS = "analog.rows must be a whole number from 1 to 65536; got "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            EXTENDS + "[units.analog]\nrows = 128",
            "analog.rows must be a table with value, status and source; got 128",
        ),
        (EXTENDS + ROWS_128.replace("128", "0"), ROWS + "0"),
        (EXTENDS + ROWS_128.replace("rows", "count").replace("128", "-1"), COUNT + "-1"),
        (EXTENDS + ROWS_128.replace("128", "nan"), ROWS + "nan"),
        (EXTENDS + ROWS_128.replace("128", "true"), ROWS + "True"),
        (EXTENDS + ROWS_128.replace("128", '"128"'), ROWS + "'128'"),
        (EXTENDS + ROWS_128 + 'unit = "V"', ROWS + "'128 V'"),
        (
            EXTENDS + ROWS_128.replace('"assumed"', '"guessed"'),
            "analog.rows.status must be one of stated, derived, third-party, fitted, inferred, "
            "assumed; got 'guessed'",
        ),
        (
            EXTENDS + ROWS_128.replace('source = "what if"', ""),
            "analog.rows.source must be a text that names the paper and its section; got nothing",
        ),
        (
            EXTENDS + "[units.analog.rows]\n",
            "analog.rows.value must be a whole number from 1 to 65536; got nothing",
        ),
        (EXTENDS + ROWS_128 + "page = 3", "analog.rows.page must be left out; got 3"),
        (
            EXTENDS + ROWS_128.replace("rows", "row"),
            "unknown key 'analog.row'; nearest: analog.rows, analog.count, analog.arrays",
        ),
        (EXTENDS + "[unit]", "unknown key 'unit'; nearest: units"),
        (EXTENDS + "units = 3", "units must be a section; got 3"),
        ("extends = 3", "extends must be a preset or a file; got 3"),
        ('extends = "mine.toml"', "extends must not lead back to the file itself"),
    ],
)
def test_refused_file(chip, text, message):
    assert refused(chip, text) == f"mine.toml: {message}"


def test_incomplete_file_names_what_is_missing(chip):
    text = (PRESETS / "hyflexpim.toml").read_text(encoding="utf-8")
    start = text.index("[units.analog.rows]")
    section = text[start : text.index("[units.analog.columns]")]
    assert refused(chip, text.replace(section, "")) == "mine.toml: missing analog.rows"


def test_not_toml(chip):
    assert refused(chip, "[").startswith("mine.toml: cannot be read as TOML: ")


@pytest.mark.parametrize("name", ["hyflexpin", "no/such.toml", "README.md"])
def test_unknown_chip(name):
    assert refused(load_chip, name) == (
        f"chip must be one of the presets {', '.join(presets())} or an existing .toml file;"
        f" got {name!r}"
    )


# ---- structure: units, links, who serves what

SERVES = "[serves]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[units.x]\nkind = "abacus"\nwhere = "pu"',
            "units.x.kind must be one of analog_array, nor_pim, sfu, adder, mac_array, sram, dram, "
            "near_bank, threshold, mask, selector; got 'abacus'",
        ),
        (
            '[units.x]\nwhere = "pu"',
            "units.x.kind must be one of analog_array, nor_pim, sfu, adder, mac_array, sram, dram, "
            "near_bank, threshold, mask, selector; got None",
        ),
        (
            '[units.x]\nkind = "mask"',
            "units.x.where must be one of pu, chip, system; got None",
        ),
        (
            '[units.x]\nkind = "mask"\nbeside = "sfu"',  # which is itself beside another
            "units.x.beside must be one of analog, digital; got 'sfu'",
        ),
        (
            '[units.pu]\nkind = "mask"\nwhere = "pu"',
            "units.pu must have a name of its own; 'pu' is taken",
        ),
        (
            '[links.x]\njoins = ["analog"]',
            "links.x.joins must be two of pu, chip, host, analog, digital, accumulator, sfu; got "
            "['analog']",
        ),
        (
            '[links.host_port]\nports = "all"',
            "links.host_port.ports must be one of first, each; got 'all'",
        ),
        (
            SERVES + "norm = {}",
            "serves.norm.unit must be one of analog, digital, accumulator, sfu; got None",
        ),
        (
            '[units.x]\nkind = "mask"\nwhere = "moon"',
            "units.x.where must be one of pu, chip, system; got 'moon'",
        ),
        (
            '[units.x]\nkind = "mask"\nbeside = "moon"',
            "units.x.beside must be one of analog, digital; got 'moon'",
        ),
        (
            '[links.x]\njoins = ["analog", "nowhere"]',
            "links.x.joins must be two of pu, chip, host, analog, digital, accumulator, sfu; got "
            "['analog', 'nowhere']",
        ),
        (
            '[links.pu_bus]\nkind = "ring"',
            "links.pu_bus.kind must be one of bus, mesh; got 'ring'",
        ),
        (
            SERVES + 'gemv = { unit = "sfu" }',
            "serves.gemv.unit must be one of analog, which serve gemv; got 'sfu', a sfu",
        ),
        (
            SERVES + 'norm = { unit = "moon" }',
            "serves.norm.unit must be one of analog, digital, accumulator, sfu; got 'moon'",
        ),
        (
            SERVES + '"softmax|norm" = { unit = "sfu" }\nnorm = { unit = "sfu" }',
            "serves.norm must have one unit; got 'sfu' and 'sfu'",
        ),
        (
            SERVES + 'gemv = { unit = "analog", weights = "digital" }',
            "serves.gemv.weights must be one of analog, which can hold weights; got 'digital'",
        ),
        (
            SERVES + 'matmul = { unit = "digital", format = "fp8" }',
            "serves.matmul.format must be one of int8, fp16, fp32, for a nor_pim; got 'fp8'",
        ),
        (
            SERVES + 'matmul = { unit = "digital", keys = "sfu" }',
            "serves.matmul.keys: no unit of the chip chooses keys; got 'sfu'",
        ),
        (SERVES + "norm = 3", "serves.norm must be a table such as { unit = NAME }; got 3"),
        (
            SERVES + 'nrm = { unit = "sfu" }',
            "serves: unknown key 'nrm'; nearest: norm",
        ),
    ],
)
def test_refused_structure(chip, text, message):
    assert refused(chip, EXTENDS + text) == f"mine.toml: {message}"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ('[units.x]\nkind = ["mask"]\nwhere = "pu"', "units.x.kind must be one of "),
        ('[units.x]\nkind = "mask"\nbeside = ["analog"]', "units.x.beside must be one of "),
        (SERVES + 'gemv = { unit = ["analog"] }', "serves.gemv.unit must be one of "),
        (SERVES + 'matmul = { unit = "digital", format = [] }', "serves.matmul.format must be "),
    ],
)
def test_a_list_where_a_name_belongs(chip, text, at):
    assert refused(chip, EXTENDS + text).startswith(f"mine.toml: {at}")


def test_a_gemv_unit_that_cannot_hold_weights_needs_one_that_can():
    """non-pim multiplies in MAC arrays and keeps its weights in memory."""
    chip = load_chip("non-pim")
    gemv = chip.served_by("gemv")
    assert not chip.units[gemv.unit].kind.holds
    assert chip.holder is chip.units[gemv.weights]


def test_without_weights_a_gemv_unit_that_cannot_hold_them_is_refused(chip):
    text = (PRESETS / "non-pim.toml").read_text(encoding="utf-8")
    gemv = load_chip("non-pim").served_by("gemv")
    holders = [name for name, one in load_chip("non-pim").units.items() if one.kind.holds]
    less = re.sub(r', *weights = "[^"]*"', "", text)
    assert less != text
    assert refused(chip, less) == (
        f"mine.toml: serves.gemv.weights must be one of {', '.join(holders)}, which can hold "
        f"weights; got {gemv.unit!r}"
    )


def test_a_link_has_a_name_of_its_own(chip):
    """Else its parameters are taken for those of the chip."""
    link = (
        '[links.chip]\njoins = ["pu", "pu"]\n'
        'bandwidth = { value = 1, unit = "GB/s", status = "assumed", source = "x" }\n'
        'latency = { value = 1, unit = "ns", status = "assumed", source = "x" }\n'
        'energy.bit = { value = 1, unit = "pJ", status = "assumed", source = "x" }\n'
    )
    assert refused(chip, EXTENDS + link).startswith("mine.toml: links.chip must have a name of ")


def test_an_op_class_that_no_unit_serves():
    chip = load_chip("hyflexpim")
    serves = {op: one for op, one in chip.serves.items() if op != "scan"}
    less = dataclasses.replace(chip, serves=serves)
    assert refused(less.served_by, "scan") == (
        "hyflexpim: no unit serves scan; serves has gemv, matmul, lookup, softmax, norm, "
        "pointwise, partial-sums, results"
    )


class CircleValues(UnitValues):
    """Two parameters that follow from each other."""

    one: Annotated[float, parameter("", 0, 9, "one", "time", [Follows(proportional, ("other",))])]
    other: Annotated[float, parameter("", 0, 9, "other", "time", [Follows(proportional, ("one",))])]


class Circle(Kind):
    """Refused."""

    name = "circle"
    Values = CircleValues


def test_rules_that_go_round(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(EXTENDS + '[units.x]\nkind = "circle"\nwhere = "pu"\n', encoding="utf-8")
    message = refused(load_chip, path, None, {"circle": Circle()})
    assert message in (
        "mine.toml: rules go round: x.one -> x.other -> x.one",
        "mine.toml: rules go round: x.other -> x.one -> x.other",
    )


# ---- files and names


def test_a_file_with_the_name_of_a_preset_is_called_by_its_path(tmp_path):
    mine = tmp_path / "isaac.toml"
    mine.write_text('extends = "isaac"\n[serves]\nlookup = { unit = "buffer" }\n', "utf-8")
    assert load_chip(mine).name == str(mine)
    assert load_chip("isaac").name == "isaac"
    mine.write_text('extends = "isaac"\n[chip]\npus = 3\n', "utf-8")
    assert refused(load_chip, mine).startswith(f"{mine}: chip.pus must be a table")


@pytest.mark.parametrize("section", ["links", "units"])
def test_no_name_of_a_kind_of_component(chip, section):
    said = refused(chip, f'extends = "non-pim"\n[{section}.adc]\nkind = "sram"\nwhere = "pu"\n')
    assert said == (
        f"mine.toml: {section}.adc must have another name: adc is a kind of component, under which "
        "others are counted"
    )


def test_a_unit_may_be_named_like_its_own_kind(hw):
    assert hw.units["sfu"].kind.name == "sfu"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'extends = "non-pim"\n[units.macs]\nkind = "sram"\n',
            "mine.toml: units.macs.kind must be one that serves gemv, which non-pim.toml gives to "
            "macs; got 'sram'",
        ),
        (
            'extends = "non-pim"\n[links.macs]\njoins = ["macs", "cache"]\n',
            "mine.toml: links.macs must have a name of its own; 'macs' is taken",
        ),
        (
            'extends = "non-pim"\n[units.host_port]\nkind = "sram"\nwhere = "pu"\n',
            "mine.toml: units.host_port must have a name of its own; 'host_port' is taken",
        ),
        (
            'extends = "non-pim"\n[serves]\nmatmul = { unit = "macs", format = "fp32" }\n',
            "mine.toml: serves.matmul: macs.energy.mac_fp32 must be given",
        ),
    ],
)
def test_the_file_that_said_it_last_is_named(chip, text, said):
    assert refused(chip, text) == said


def test_two_files_of_one_name_are_told_apart(tmp_path):
    base = tmp_path / "base" / "mine.toml"
    base.parent.mkdir()
    base.write_text('extends = "non-pim"\n[serves]\nlookup = { unit = "cache" }\n', "utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text('extends = "base/mine.toml"\n[serves]\nlookup = { unit = "dram" }\n', "utf-8")
    assert load_chip(mine).serves["lookup"].unit == "dram"
    base.write_text('extends = "non-pim"\n[chip]\npus = 3\n', "utf-8")
    assert refused(load_chip, mine).startswith(f"{base}: chip.pus must be a table")


def test_an_extended_file_that_is_not_there(chip):
    said = refused(chip, 'extends = "nothere"\n')
    assert said.startswith("mine.toml: extends must be one of the presets asadi, ")
    assert said.endswith("or an existing .toml file; got 'nothere'")


# ---- instances


def test_instances_go_with_the_rows_that_they_count():
    said = refused(load_chip, "hyflexpim", {"analog.instances.cells": 7})
    assert said == (
        "overrides: analog.instances.cells says how many instances analog.power.arrays and "
        "analog.area.arrays stand for; give analog.power.arrays and analog.area.arrays with it, or "
        "leave it out; got 7"
    )
    half = {"analog.power.arrays": "30.39 mW", "analog.area.arrays": "0.024 mm2"}
    load_chip("hyflexpim", {"analog.instances.cells": 2_097_152, **half})


def test_instances_may_be_said_again():
    same = load_chip("hyflexpim")["analog.instances.cells"]
    load_chip("hyflexpim", {"analog.instances.cells": same})
