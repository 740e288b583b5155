"""Loading, overriding, extending and refusing chips; the numbers are in another file."""

import pickle
import subprocess
import sys

import pytest
from pydantic import ValidationError

from hyflexsim.sim.chip.area import analog_parts, chip_area, digital_parts
from hyflexsim.sim.chip.hardware import PRESETS, Hardware, Row, presets, used_assumptions
from hyflexsim.sim.chip.parameters import PARAMETERS, SECTIONS
from hyflexsim.sim.errors import InputError

ROWS_128 = '[analog.rows]\nvalue = 128\nstatus = "assumed"\nsource = "what if"\n'


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
    return str(error.value)


# ---- loading


@pytest.mark.parametrize("name", presets())
def test_every_preset_gives_every_parameter_a_source(name):
    hw = load_chip(name)
    assert list(hw.provenance) == list(PARAMETERS)
    assert all(record.source and "override" not in record.source for record in hw.describe())
    assert hw.stale == ()


def test_values_are_plain_numbers_in_canonical_units(hw):
    assert (hw.analog.rows, hw.analog.read_cycle, hw.adc.rate) == (64, 100_000, 1_280_000_000)
    assert type(hw.analog.read_cycle) is int
    assert (hw.energy.nor, hw.buffer.digital_input_register) == (0.0238, 1024)
    assert type(hw.interconnect.pu_bandwidth) is float


def test_provenance_keeps_what_was_written(hw):
    record = hw.provenance["energy.nor"]
    assert (record.value, record.unit, record.status) == (23.8, "fJ", "third-party")
    assert hw.describe()[3] == Row("pu.analog_modules", 24, "", "stated", "HyFlexPIM §3.1, Table 2")


def test_chip_is_frozen_and_travels_between_processes(hw):
    with pytest.raises(ValidationError):
        hw.analog.rows = 1
    assert pickle.loads(pickle.dumps(hw)) == hw


def test_parameters_are_described():
    assert all(parameter.meaning for parameter in PARAMETERS.values())
    assert set(SECTIONS) <= set(Hardware.model_fields)


def test_import_is_light():
    code = (
        "import sys, hyflexsim.sim.chip.hardware as h; h.load_chip('hyflexpim');"
        "print(sorted({'torch', 'pandas', 'numpy', 'simpy', 'networkx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- overrides


def test_override_is_an_assumption():
    hw = load_chip("hyflexpim", {"adc.slc_bits": 5, "interconnect.pu_bandwidth": "500 MB/s"})
    assert (hw.adc.slc_bits, hw.interconnect.pu_bandwidth) == (5, 0.5)
    record = hw.provenance["interconnect.pu_bandwidth"]
    assert (record.value, record.unit) == (500, "MB/s")
    assert (record.status, record.source) == ("assumed", "override")
    assert {"adc.slc_bits", "interconnect.pu_bandwidth"} <= set(used_assumptions(hw))


def test_stale_names_what_was_derived_from_a_changed_value():
    def stale(**values):
        return load_chip("hyflexpim", {k.replace("__", "."): v for k, v in values.items()}).stale

    assert stale(digital__write_cycles=3) == ("device.slc_write_time",)
    assert stale(digital__write_cycles=4) == ()  # the same value as before
    assert stale(digital__write_cycles=3, device__slc_write_time="3 ns") == ()
    assert stale(digital__write_cycles=3, device__slc_write_time="4 ns") == ()  # given anew


LANES = "sfu.lanes must be a whole number from 1 to 1048576; got "
BITS = "adc.slc_bits must be a whole number from 1 to 16, no unit or unit bit; got "
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
        ("sfu.lanes", 0, LANES + "0"),
        ("sfu.lanes", float("nan"), LANES + "nan"),
        ("sfu.lanes", float("inf"), LANES + "inf"),
        (
            "buffer.input_bytes",
            -5,
            f"buffer.input_bytes must be a whole number from 1 to 1099511627776, {BYTES}-5",
        ),
        (
            "interconnect.pu_bandwidth",
            "500 W",
            "interconnect.pu_bandwidth must be a number from 1e-06 to 1000000000 GB/s,"
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
            "energy.nor must be a number from 0 to 1000000000 pJ,"
            " unit aJ, fJ, pJ, nJ, uJ, mJ or J; got '1e308 J'",
        ),
        (
            "adc.slc_bit",
            5,
            "unknown key 'adc.slc_bit'; nearest: adc.slc_bits, adc.mlc_bits, analog.slc_bits",
        ),
        ("42", 5, f"unknown key '42'; sections: {', '.join(SECTIONS)}"),
    ],
)
def test_refused_override(key, value, message):
    assert refused(Hardware.load, "hyflexpim", {key: value}) == f"overrides: {message}"


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
    assert refused(Hardware.load, "hyflexpim", overrides) == expected


# ---- files


def test_extending_file_changes_what_it_names(chip, hw):
    mine = chip('extends = "hyflexpim"\n' + ROWS_128)
    assert (mine.name, mine.analog.rows, mine.analog.columns) == ("mine", 128, 128)
    assert mine.provenance["analog.rows"].source == "what if"
    assert mine.provenance["analog.columns"] == hw.provenance["analog.columns"]
    assert "shift_add.partial_sum_bits" in mine.stale


def test_file_extends_a_file_beside_it_and_takes_overrides(chip, tmp_path):
    (tmp_path / "base.toml").write_text('extends = "hyflexpim"\n' + ROWS_128, encoding="utf-8")
    assert chip('extends = "base.toml"\n').analog.rows == 128
    assert chip('extends = "base.toml"\n', {"analog.rows": 32}).analog.rows == 32


def test_complete_file_needs_no_base(chip, hw):
    mine = chip((PRESETS / "hyflexpim.toml").read_text(encoding="utf-8"))
    assert mine.model_copy(update={"name": "hyflexpim"}) == hw


EXTENDS = 'extends = "hyflexpim"\n'
ROWS = "analog.rows must be a whole number from 1 to 65536; got "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            EXTENDS + "[analog]\nrows = 128",
            "analog.rows must be a table with value, status and source; got 128",
        ),
        (EXTENDS + ROWS_128.replace("128", "0"), ROWS + "0"),
        (EXTENDS + ROWS_128.replace("128", "nan"), ROWS + "nan"),
        (EXTENDS + ROWS_128.replace("128", "true"), ROWS + "True"),
        (EXTENDS + ROWS_128.replace("128", '"128"'), ROWS + "'128'"),
        (EXTENDS + ROWS_128 + 'unit = "V"', ROWS + "'128 V'"),
        (
            EXTENDS + ROWS_128.replace('"assumed"', '"guessed"'),
            "analog.rows.status must be one of stated, derived, third-party, inferred, assumed;"
            " got 'guessed'",
        ),
        (
            EXTENDS + ROWS_128.replace('source = "what if"', ""),
            "analog.rows.source must be a text that names the paper and its section; got nothing",
        ),
        (
            EXTENDS + "[analog.rows]\n",
            "analog.rows.value must be a whole number from 1 to 65536; got nothing",
        ),
        (EXTENDS + ROWS_128 + "page = 3", "analog.rows.page must be left out; got 3"),
        (
            EXTENDS + ROWS_128 + 'derived_from = ["adc.rates"]',
            "analog.rows.derived_from: unknown key 'adc.rates'; nearest: adc.rate",
        ),
        (
            EXTENDS + ROWS_128.replace("rows", "row"),
            "unknown key 'analog.row'; nearest: analog.rows, analog.arrays, analog.columns",
        ),
        (EXTENDS + "[analogue]", "unknown key 'analogue'; nearest: analog"),
        (EXTENDS + "analog = 3", "analog must be a section; got 3"),
        ("extends = 3", "extends must be a preset or a file; got 3"),
        ('extends = "mine.toml"', "extends must not lead back to the file itself"),
    ],
)
def test_refused_file(chip, text, message):
    assert refused(chip, text) == f"mine.toml: {message}"


def test_incomplete_file_names_what_is_missing(chip):
    text = (PRESETS / "hyflexpim.toml").read_text(encoding="utf-8")
    section = text[text.index("[analog.rows]") : text.index("[analog.columns]")]
    assert refused(chip, text.replace(section, "")) == "mine.toml: missing analog.rows"


def test_not_toml(chip):
    assert refused(chip, "[").startswith("mine.toml: cannot be read as TOML: ")


@pytest.mark.parametrize("name", ["hyflexpin", "no/such.toml", "README.md"])
def test_unknown_chip(name):
    assert refused(Hardware.load, name) == (
        f"chip must be one of the presets {', '.join(presets())} or an existing .toml file;"
        f" got {name!r}"
    )


# ---- sums follow the chip


def test_parts_scale_with_their_instances(hw):
    half = load_chip("hyflexpim", {"analog.columns": 64, "adc.mlc_bits": 6, "sfu.lanes": 512})
    whole, less = analog_parts(hw, hw.area), analog_parts(half, half.area)
    assert less["arrays"] == whole["arrays"] / 2
    assert less["adcs"] == whole["adcs"] / 2  # one bit less
    assert less["wordline_drivers"] == whole["wordline_drivers"]
    assert digital_parts(half, half.area)["sfu"] == 2 * hw.area.digital_sfu
    twice = load_chip("hyflexpim", {"chip.pus": 48})
    assert chip_area(twice) == 2 * chip_area(hw)
