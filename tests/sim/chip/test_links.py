"""A link that no transfer could use is refused; which are used is at the head of links.py."""

import pytest

from hyflexsim.sim.chip.load import presets
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip

LINK = """
[links.mine]
joins = {joins}
bandwidth = {{ value = 1, unit = "GB/s", status = "assumed", source = "test" }}
latency = {{ value = 0, unit = "ns", status = "assumed", source = "test" }}
energy.bit = {{ value = 1, unit = "pJ", status = "assumed", source = "test" }}
{more}
"""


def draw(tmp_path, joins, base="non-pim", more=""):
    text = f'extends = "{base}"\n' + LINK.format(joins=list(joins), more=more).replace("'", '"')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    return load_chip(tmp_path / "mine.toml")


def refused(*arguments, **more):
    with pytest.raises(InputError) as error:
        draw(*arguments, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "joins",
    [
        ("dram", "cache"),  # weights are fetched without a link
        ("macs", "sfu"),
        ("sfu", "sfu"),
        ("cache", "cache"),
        ("pu", "host"),
        ("host", "host"),
        ("pu", "chip"),
        ("dram", "host"),
        ("macs", "pu"),
    ],
)
def test_joins_that_nothing_crosses(tmp_path, joins):
    assert refused(tmp_path, joins) == (
        "mine.toml: links.mine.joins must be host and chip; pu and pu; chip and chip; cache (where "
        f"results lie) and one of macs, sfu; no transfer could use {' and '.join(joins)}"
    )


@pytest.mark.parametrize("joins", [("macs", "cache"), ("cache", "sfu"), ("pu", "pu")])
def test_joins_that_something_crosses(tmp_path, joins):
    assert draw(tmp_path, joins).link(*joins).name == "mine"


def test_a_mesh_is_between_pus(tmp_path):
    said = refused(tmp_path, ("macs", "cache"), more='kind = "mesh"')
    assert said == "mine.toml: links.mine.kind must be bus: only pu and pu are joined by a mesh"
    assert draw(tmp_path, ("pu", "pu"), more='kind = "mesh"').links["mine"].kind == "mesh"


def test_ports_are_the_hosts(tmp_path):
    said = refused(tmp_path, ("macs", "cache"), more='ports = "each"')
    assert said == (
        "mine.toml: links.mine.ports goes with joins of host and chip; it joins macs and cache"
    )


def test_a_link_of_an_extended_file_may_be_left_idle(tmp_path):
    """Serving matmul from another unit takes the operands off a link; a run says so."""
    text = 'extends = "nmp"\n[serves]\n"softmax|norm|pointwise" = { unit = "other" }\n'
    text += '[units.other]\nkind = "sfu"\nwhere = "pu"\n'
    sfu = load_chip("nmp")
    for key, record in sfu.provenance.items():
        owner, _, name = key.partition(".")
        if owner == "sfu":
            text += f"{name} = {{ value = {record.value}, unit = '{record.unit}', "
            text += "status = 'assumed', source = 'test' }\n"
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert load_chip(tmp_path / "mine.toml").links["stack_bus"].joins == ("sfu", "banks")


@pytest.mark.parametrize("name", presets())
def test_every_preset_has_the_link_to_the_host(name):
    assert load_chip(name).need_link("host", "chip")


def test_a_missing_link_says_what_to_add():
    with pytest.raises(InputError) as error:
        load_chip("nmp").need_link("pu", "pu")
    assert str(error.value) == (
        "nmp: links must join pu and pu for this model; none does: add [links.NAME] with joins = "
        '["pu", "pu"]'
    )
