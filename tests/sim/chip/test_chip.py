"""What a loaded chip answers about itself."""

import dataclasses
from fractions import Fraction

import pytest

from hyflexsim.sim.chip.chip import PortValues, link_values, used_assumptions
from hyflexsim.sim.chip.measure import BARE, UNITS, convert, unit_names
from hyflexsim.sim.chip.parameters import ANSWERS, Parameter
from hyflexsim.sim.chip.provenance import ASSUMPTIONS, STATUSES
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip


def test_a_link_is_found_from_both_ends(hw):
    assert hw.link("analog", "digital") is hw.link("digital", "analog") is hw.links["pu_bus"]
    assert hw.link("analog", "sfu") is None
    with pytest.raises(
        InputError,
        match=r"^hyflexpim: links must join analog and sfu for this model; none does: add \[links",
    ):
        hw.need_link("analog", "sfu")


@pytest.mark.parametrize(
    ("joins", "port"), [(("pu", "pu"), False), (("chip", "chip"), True), (("host", "chip"), True)]
)
def test_circuits_of_ports_are_not_of_the_chips_node(joins, port):
    assert (link_values(joins) is PortValues) == port


def test_an_operand_may_be_served_by_another_unit():
    """non-pim's keys go by the operand where the chip says so, else by the class."""
    chip = load_chip("sprint")
    assert chip.served_by("matmul", "values").op == (
        "matmul.values" if "matmul.values" in chip.serves else "matmul"
    )
    less = dataclasses.replace(
        chip, serves={"matmul": chip.served_by("matmul"), "matmul.values": chip.served_by("gemv")}
    )
    assert less.served_by("matmul", "values") is chip.served_by("gemv")
    assert less.served_by("matmul", "probabilities") is chip.served_by("matmul")
    assert less.unit("matmul", "values").name == chip.served_by("gemv").unit


def test_where_weights_lie_and_how_wide_vectors_are(hw):
    assert (hw.holder.name, hw.vector_bits, hw.weight_bits) == ("analog", 8, 8)
    other = load_chip("non-pim")
    assert other.holder.name == "dram"
    thin = load_chip("hyflexpim", {"analog.input_bits": 5, "analog.weight_bits": 3})
    assert (thin.vector_bits, thin.weight_bits) == (5, 3)


def test_energies_of_units_and_links_with_their_status(hw):
    key = "digital.energy.nor"
    assert hw.action_energy("digital", "nor") == (hw[key], hw.provenance[key].status)
    key = "pu_bus.energy.bit"
    assert hw.action_energy("pu_bus", "pu_bus_bit") == (hw[key], hw.provenance[key].status)


def test_actions_are_reported_under_components(hw):
    assert hw.component_kind("analog", "array_read") == "bank"
    assert hw.component_kind("pu_bus", "pu_bus_bit") == "pu_bus"


def test_parameters_of_the_chip_itself(hw):
    assert (hw["chip.pus"], hw["chip.technology_nm"], hw["host_port.latency"]) == (24, 65, 0)


def test_a_chip_prints_as_its_name(hw):
    assert repr(hw) == "Chip('hyflexpim')"


def test_assumptions_are_what_no_paper_gives(hw):
    assert STATUSES == ("stated", "derived", "third-party", "fitted", "inferred", "assumed")
    assert ASSUMPTIONS == ("fitted", "inferred", "assumed")
    every = {key for key, record in hw.provenance.items() if record.status in ASSUMPTIONS}
    alone = {answer: {k for k in every if hw.parameters[k].acts == (answer,)} for answer in ANSWERS}
    assert alone["values"]
    assert alone["wear"]
    assert used_assumptions(hw, values=True) == sorted(every - alone["wear"])
    assert used_assumptions(hw) == sorted(every - alone["wear"] - alone["values"])


def test_answers_by_name():
    assert ANSWERS == ("time", "energy", "area", "capacity", "values", "wear")


@pytest.mark.parametrize(
    ("one", "allowed"),
    [
        (Parameter("", True, 1, 9, ""), "a whole number from 1 to 9"),
        (Parameter("", False, 0, 1, ""), "a number from 0 to 1, no unit or unit %"),
        (
            Parameter("ps", False, 0, 1e12, ""),
            "a number from 0 to 1000000000000 ps, unit fs, ps, ns, us, ms or s",
        ),
        (Parameter("bit", True, 1, 16, ""), "a whole number from 1 to 16, no unit or unit bit"),
    ],
)
def test_what_a_parameter_allows_in_words(one, allowed):
    assert one.allowed == allowed


# powers of ten (of two for bytes) that a unit is of its canonical one
PREFIXES = {
    "ps": {"fs": -3, "ps": 0, "ns": 3, "us": 6, "ms": 9, "s": 12},
    "S/s": {"S/s": 0, "kS/s": 3, "MS/s": 6, "GS/s": 9},
    "GB/s": {"B/s": -9, "kB/s": -6, "MB/s": -3, "GB/s": 0, "TB/s": 3},
    "pJ": {"aJ": -6, "fJ": -3, "pJ": 0, "nJ": 3, "uJ": 6, "mJ": 9, "J": 12},
    "mW": {"nW": -6, "uW": -3, "mW": 0, "W": 3},
    "mm2": {"um2": -6, "mm2": 0},
    "V": {"mV": -3, "V": 0},
    "ohm": {"ohm": 0, "kohm": 3, "Mohm": 6},
    "uS": {"nS": -3, "uS": 0, "mS": 3, "S": 6},
    "nm": {"nm": 0, "um": 3},
    "": {"": 0, "%": -2},
    "bit": {"bit": 0},
    "cycle": {"cycle": 0},
}


def test_every_unit_is_its_power_of_ten():
    tens = {to: {u: Fraction(10) ** n for u, n in units.items()} for to, units in PREFIXES.items()}
    twos = {"B": {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}}
    assert tens | twos == UNITS
    assert set(BARE) == {"", "bit", "cycle", "B", "nm"}
    assert convert(3, "GiB", "B") == 3 * 2**30


@pytest.mark.parametrize(
    ("to", "names"),
    [
        ("mm2", "unit um2 or mm2"),
        ("bit", "no unit or unit bit"),
        ("B", "no unit or unit B, KiB, MiB or GiB"),
        ("", "no unit or unit %"),
    ],
)
def test_units_in_words(to, names):
    assert unit_names(to) == names
