"""What a chip lacks is said in a line each."""

import dataclasses

import pytest

from hyflexsim.sim.chip.able import cannot_run, must_have
from hyflexsim.sim.chip.load import presets
from hyflexsim.sim.units.catalogue import load_chip


def without(name, *, ops=(), links=()):
    chip = load_chip(name)
    serves = {op: one for op, one in chip.serves.items() if op not in ops}
    kept = {link: one for link, one in chip.links.items() if link not in links}
    return dataclasses.replace(chip, serves=serves, links=kept)


@pytest.mark.parametrize("name", presets())
def test_presets_lack_nothing(name):
    chip = load_chip(name)
    assert (must_have(chip), cannot_run(chip)) == ([], [])


def test_what_every_model_needs():
    chip = without("hyflexpim", ops=("gemv", "results"), links=("host_port",))
    assert [line.partition(" ")[0] for line in must_have(chip)] == [
        "serves.gemv",
        "serves.results",
        "links",
    ]


def test_analog_arrays_need_a_link():
    assert must_have(without("hyflexpim", links=("pu_bus",))) == [
        "links must join analog, which multiplies with weights, and digital, where results lie: "
        '[links.NAME] with joins = ["analog", "digital"]'
    ]
    assert must_have(without("nmp", links=("stack_bus",))) == []


def test_a_chip_that_does_nothing_else_needs_it_too():
    chip = without("hyflexpim", links=("pu_bus",))
    chip = dataclasses.replace(chip, serves={op: chip.serves[op] for op in ("gemv", "results")})
    assert [line[:23] for line in must_have(chip)] == ["links must join analog,"]


def test_what_some_models_need():
    assert cannot_run(without("hyflexpim", ops=("softmax", "partial-sums"))) == [
        "no unit serves softmax: models with attention are refused",
        "no unit serves partial-sums: matrices taller than an array are refused",
    ]
