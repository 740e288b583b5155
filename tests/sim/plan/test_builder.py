"""What the board makes of components and steps."""

import pytest

from hyflexsim.sim.chip.service import Action, Rate, Service, Visit
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.builder import Board, Flow, pu_name
from hyflexsim.sim.plan.plan import Group
from hyflexsim.sim.units.catalogue import load_chip


@pytest.fixture(scope="module")
def placement(chip_of, chain_of):
    """Blocks of 15 arrays on PUs 0, 1 and of 5 on PU 2; a stem lives on 3 with the larger head."""
    layers = {"stem": [3], "b.0": [15], "b.1": [5], "head": [6]}
    return place(chain_of(layers), chip_of(pus=3), Options(chips=2))


@pytest.fixture
def board(placement, chain_of):
    layers = {"stem": [3], "b.0": [15], "b.1": [5], "head": [6]}
    return Board(chain_of(layers), placement, 4)


def test_a_component_is_made_once(board):
    first = board.component("x", "bank", (0,), 2.0)
    assert board.component("y", "bank", (0,)) == first + 1
    assert board.component("x", "bank", (0,)) == first
    assert [each.name for each in board.components] == ["pu00.x", "pu00.y"]


def test_what_a_component_is_told(board):
    shadow = (("adc", 3, 1.5),)
    board.component("x", "bank", (5,), 2.0, layer="l", shadow=shadow, busy_ps=7)
    (made,) = board.components
    assert (made.name, made.kind, made.layer) == ("pu05.x", "bank", "l")
    assert (made.pu, made.chip, made.power_mw) == (5, 1, 2.0)
    assert (made.shadow, made.busy_ps, made.sequencer) == (shadow, 7, None)


def test_a_component_outside_the_pus(board):
    board.component("port", "bus", chip=1)
    (made,) = board.components
    assert (made.name, made.pu, made.chip, made.layer, made.power_mw) == ("port", -1, 1, "", 0.0)


def test_shared_parts_are_listed_under_the_blocks_of_a_pu(board, placement):
    layer = board.components[board.component("sfu", "sfu", placement.pus["b.0"])].layer
    assert layer == "b.0"


def test_blocks_that_share_a_pu_are_both_named(chip_of, chain_of):
    graph = chain_of({"embed": [2], "b.0": [3], "b.1": [3]})
    board = Board(graph, place(graph, chip_of(pus=1), Options()), 1)
    assert board.components[board.component("sfu", "sfu", (0,))].layer == "b.0+b.1"


def test_without_blocks_the_largest_layer_is_named(chip_of, chain_of):
    graph = chain_of({"a": [2], "b": [5], "c": [3]})
    board = Board(graph, place(graph, chip_of(pus=1), Options()), 1)
    assert board.components[board.component("sfu", "sfu", (0,))].layer == "b"


def test_links_inside_a_group_and_between_chips(board, hw):
    bus, far = hw.links["pu_bus"], hw.links["chip_link"]
    names = [
        board.components[i].name
        for i in (
            board.link(bus, (4, 5), inside=True),
            board.link(far, (1, 2)),
            board.link(far, (1,)),
        )
    ]
    assert names == ["pu04-05.pu_bus", "chip1-2.chip_link", "chip1.chip_link"]
    assert [each.chip for each in board.components] == [1, 1, 1]
    assert [each.pu for each in board.components] == [4, -1, -1]
    assert [each.kind for each in board.components] == ["pu_bus", "chip_link", "chip_link"]


def test_units_of_a_pu_and_of_a_chip(board):
    chip = load_chip("non-pim")
    visit = Visit("mac", Service(Rate(1)), part="row", power_mw=3.0)
    sfu = load_chip("hyflexpim").units["sfu"]
    shared = next(unit for unit in chip.units.values() if unit.where != "pu")
    board.unit(sfu, visit, (4,))
    board.unit(shared, visit, (4,))
    board.unit(shared, Visit("mac", Service(Rate(1))), (4,))
    assert [each.name for each in board.components] == [
        "pu04.row",
        "chip1.row",
        f"chip1.{shared.name}",
    ]
    assert [(each.pu, each.chip, each.power_mw) for each in board.components] == [
        (4, 1, 3.0),
        (-1, 1, 3.0),
        (-1, 1, 0.0),
    ]


def add(board, flow, **options):
    """One step of two actions, the second of which is nothing."""
    actions = (Action("a", 2, 3), Action("b"), Action("c", 0, 1), Action("d", 1))
    lane = board.component("x", "bank", (0,))
    service = Service(Rate(9), actions, lead_ps=4)
    at = board.add("s", "in", (lane,), service, [], flow, "analog", **options)
    return board.finish()[0][at]


def test_a_step_is_what_it_was_given(board):
    flow = Flow("sequence", 1, True, "window", 2, 7, 4, None, (1, 3))
    step = add(board, flow, places=5, macs=6, macs_per_size=7, macs_in=8, planes=2, split=True)
    assert (step.name, step.op, step.kind, step.layer) == ("s", "in", "bank", "stem")
    assert (step.axis, step.extra, step.head) == ("sequence", 1, True)
    assert (step.size, step.context_extra, step.kept) == ("window", 2, (1, 3))
    assert (step.behind, step.ahead) == (7, 4)
    assert (step.wave, step.planes, step.split, step.parts) == (1, 2, True, 2)
    assert (step.places, step.macs, step.macs_in, step.lead_ps) == (5, (6, 7), 8, 4)
    assert step.actions == (Action("a", 2, 3), Action("c", 0, 1), Action("d", 1))
    assert (step.unit, step.rate, step.inputs, step.reserves) == ("analog", Rate(9), (), ())


def test_a_step_of_its_own_defaults(board):
    step = add(board, Flow("sequence"))
    assert (step.places, step.macs, step.macs_in, step.planes) == (None, (0, 0), 1, 1)
    assert (step.split, step.head, step.size, step.kept) == (False, False, "one", (1, 1))
    assert (step.extra, step.context_extra) == (0, 0)


def test_in_a_wave_every_pair_costs_what_one_costs(board):
    """Counts of a visit become counts of a pair; the wave is the board's."""
    step = add(board, Flow("pair", size="wave"), macs=6, macs_per_size=7)
    assert step.wave == 4
    assert step.macs == (0, 13)
    assert step.actions == (Action("a", 0, 5), Action("c", 0, 1), Action("d", 0, 1))


def test_steps_reserve_where_there_is_a_buffer(board):
    lane = board.component("x", "bank", (0,))
    rows = [
        board.add("s", "in", (lane,), Service(Rate(1)), [], Flow("sequence"), "x", places=places)
        for places in (None, 3, None)
    ]
    board.reserve(0, 1)
    board.reserve(0, 2)
    board.wait(2, Group(0))
    board.wait(2, Group(1))
    steps, _ = board.finish()
    assert rows == [0, 1, 2]
    assert [step.reserves for step in steps] == [(1,), (), ()]
    assert steps[2].inputs == (Group(0), Group(1))


@pytest.mark.parametrize(
    ("pus", "name"), [((3,), "pu03"), ((4, 5, 6), "pu04-06"), ((123,), "pu123")]
)
def test_names_of_groups(pus, name):
    assert pu_name(pus) == name
