"""What waits in digital-PIM memory, in bytes by hand."""

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import CapacityError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.placement.memory import (
    capacity_bytes,
    memory_and_needs,
    request_bytes,
    requests_at_once,
)
from hyflexsim.sim.units.catalogue import load_chip


@pytest.fixture(scope="module")
def attention():
    """x feeds q, k, v (64 wide); qk and pv wait for all keys and values."""
    graph = g.new_graph("attention")
    g.add_op(graph, "x", "input", layer="b.0", width=64)
    for name in "qkv":
        g.add_op(graph, name, "gemv", layer="b.0", rows=64, cols=64, width=64, weight=name)
        g.connect(graph, "x", name)
    common = {"layer": "b.0", "context": "all", "heads": 1, "inner": 64}
    g.add_op(graph, "qk", "matmul", width=1, multiplies=["values", "values"], **common)
    g.add_op(graph, "pv", "matmul", width=64, multiplies=["probabilities", "values"], **common)
    g.connect(graph, "q", "qk")
    g.connect(graph, "k", "qk", "all")
    g.connect(graph, "qk", "pv")
    g.connect(graph, "v", "pv", "all")
    return graph


def test_keys_values_queries_and_shared_results_wait(attention, hw):
    """x (three readers), q, k and v: 4 x 64 B a token; scores and results pass through."""
    placement = place(attention, hw, Options())
    assert request_bytes(attention, placement, 10) == {"b.0": 4 * 64 * 10}


def test_a_pu_holds_256_mib(hw):
    assert capacity_bytes(hw, 1) == 256 * 2**20
    assert capacity_bytes(hw, 3) == 3 * 256 * 2**20


def test_requests_at_once(attention, hw):
    """4 x 64 x 100 B each: 256 MiB hold 10,485, and twice as much on two PUs 20,971."""
    assert requests_at_once(attention, place(attention, hw, Options()), 100) == 10_485
    wide = place(attention, hw, Options(pus_per_layer=2))
    assert requests_at_once(attention, wide, 100) == 20_971


def test_a_request_that_does_not_fit(attention):
    """8 modules of one array of 16 x 16 bit hold 256 B: one token, not two."""
    tiny = {"digital.arrays": 1, "digital.rows": 16, "digital.columns": 16}
    hw = load_chip("hyflexpim", tiny)
    placement = place(attention, hw, Options())
    assert requests_at_once(attention, placement, 1) == 1
    with pytest.raises(CapacityError) as error:
        requests_at_once(attention, placement, 2)
    assert str(error.value) == (
        "b.0: a request of 2 tokens keeps 512 bytes waiting; digital of 1 PU(s) holds "
        "256 bytes: 256 short"
    )


def test_long_sequences_need_several_pus(attention, hw):
    """HyFlexPIM §3.1: more than 8192 tokens share a layer among PUs."""
    assert requests_at_once(attention, place(attention, hw, Options()), 8192) > 0
    with pytest.raises(CapacityError) as error:
        requests_at_once(attention, place(attention, hw, Options()), 8193)
    assert str(error.value) == (
        "8193 tokens need 2 PUs per layer (chip.max_tokens = 8192); b.0 has 1"
    )
    wide = place(attention, hw, Options(pus_per_layer=2))
    assert requests_at_once(attention, wide, 8193) > 0


def test_tables_take_memory_even_when_tied(attention, hw):
    """A table of 200 MiB leaves 56 MiB."""
    graph = attention.copy()
    g.add_op(graph, "table", "lookup", layer="b.0", width=64, stored=200 * 2**20)
    placement = place(graph, hw, Options())
    assert requests_at_once(graph, placement, 100) == 56 * 2**20 // (4 * 64 * 100)


def test_tables_that_do_not_fit(attention, hw):
    """257 MiB of table in 256 MiB: short by 1 MiB and the request's 4 x 64 x 100 B."""
    graph = attention.copy()
    g.add_op(graph, "table", "lookup", layer="b.0", width=64, stored=257 * 2**20)
    with pytest.raises(CapacityError) as error:
        requests_at_once(graph, place(graph, hw, Options()), 100)
    assert str(error.value) == (
        "b.0: a request of 100 tokens keeps 25600 bytes waiting beside 269484032 bytes "
        "of tables; "
        "digital of 1 PU(s) holds 268435456 bytes: 1074176 short"
    )


@pytest.mark.parametrize(("bits", "size"), [(8, 5), (4, 3)])
def test_pairs_wait_as_many_as_there_are(bits, size):
    """N = 10: 55 pairs of 5 values wait for the rows of the queries; values in whole bytes."""
    hw = load_chip("hyflexpim", {"analog.input_bits": bits})
    graph = g.new_graph("pairs")
    g.add_op(graph, "u", "pointwise", axis="pair", layer="p", width=5, elements=5, function="gelu")
    g.add_op(graph, "a", "pointwise", layer="b.0", width=5, elements=5, function="add")
    g.connect(graph, "u", "a", "pair")
    assert request_bytes(graph, place(graph, hw, Options()), 10) == {"p": 55 * size, "b.0": 0}


@pytest.mark.parametrize("longest", [1, 7, 100, 8192])
def test_equal_requests_fill_the_memory_as_counted(attention, hw, longest):
    placement = place(attention, hw, Options())
    memory, needs = memory_and_needs(attention, placement, [longest])
    assert memory // needs[longest] == requests_at_once(attention, placement, longest)


def test_each_length_takes_its_own_bytes(attention, hw):
    placement = place(attention, hw, Options())
    memory, needs = memory_and_needs(attention, placement, [30, 10, 30])
    assert memory == capacity_bytes(hw, 1)
    assert needs == {n: sum(request_bytes(attention, placement, n).values()) for n in (10, 30)}
