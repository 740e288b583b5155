"""The table of docs/how-to.md: chips that each preset needs for the scenarios that come along."""

import functools
import re
from pathlib import Path

import pytest

from hyflexsim.sim.errors import CapacityError
from hyflexsim.sim.placement.mapping import place
from hyflexsim.sim.placement.memory import requests_at_once
from hyflexsim.workloads.run import prepare
from hyflexsim.workloads.scenario.scenario import Scenario

PAGE = (Path(__file__).parents[3] / "docs" / "how-to.md").read_text(encoding="utf-8")


def table():
    """Preset, scenario, cell."""
    found = re.search(r"^\| preset \| bert-base(.*\n(\|.*\n)+)", PAGE, re.MULTILINE).group()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]
    scenarios = rows[0][1:]
    return [(row[0], *pair) for row in rows[2:] for pair in zip(scenarios, row[1:], strict=True)]


@functools.cache
def graph(scenario):
    return prepare.load_graph(Scenario.load(scenario))


def fits(scenario, preset, chips, *more):
    loaded = Scenario.load(scenario, [f"chip.preset={preset}", f"chip.chips={chips}", *more])
    model = graph(scenario)
    longest = max(request.tokens for request in prepare.load_requests(loaded, model)[0])
    try:
        placement = place(model, loaded.hardware(), loaded.options())
        return requests_at_once(model, placement, longest) > 0
    except CapacityError:
        return False


@pytest.mark.parametrize(("preset", "scenario", "cell"), table())
def test_chips_needed(preset, scenario, cell):
    chips = int(re.match(r"\d+", cell).group())
    more = ["mapping.pus_per_layer=2"] if "two PUs" in cell else []
    assert fits(scenario, preset, chips, *more)
    assert chips == 1 or not fits(scenario, preset, chips - 1)
    assert not more or not fits(scenario, preset, 4096)


def test_the_table_is_whole():
    assert len(table()) == 8 * 4
