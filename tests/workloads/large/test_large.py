"""Large models by hand, on small ones: cuts, rings, fewest chips, one more token."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.extraction.extract import extract_config
from hyflexsim.workloads.large import decoding, table
from hyflexsim.workloads.large.tensor import all_reduce, part_of
from hyflexsim.workloads.run.prepare import prepare

L, D, HEADS, SHARED, WIDE, WORDS, TOKENS = 5, 512, 8, 4, 1024, 1024, 6
LLAMA = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": WORDS},
    **{"hidden_size": D, "num_hidden_layers": L, "num_attention_heads": HEADS},
    **{"num_key_value_heads": SHARED, "intermediate_size": WIDE, "tie_word_embeddings": False},
}
NORMS = (2 * L + 1) * D


@pytest.fixture(scope="module")
def graphs():
    return {ways: extract_config("tiny", part_of("tiny", LLAMA, ways)) for ways in (1, 2, 4)}


@pytest.mark.parametrize("ways", [2, 4])
def test_parts_hold_the_model_and_norms_each(graphs, ways):
    whole, part = graphs[1], graphs[ways]
    assert ways * g.parameters(part) == g.parameters(whole) + (ways - 1) * NORMS
    assert ways * sum(g.macs(part, 9).values()) == sum(g.macs(whole, 9).values())


def test_what_cannot_be_shared_out_is_refused():
    with pytest.raises(InputError, match="num_key_value_heads must be a multiple of 8; got 4"):
        part_of("tiny", LLAMA, 8)
    with pytest.raises(InputError, match=r"tensor parallel knows llama, .*; got gpt2"):
        part_of("tiny", {"model_type": "gpt2"}, 2)


@given(st.integers(1, 10**5), st.integers(2, 64))
def test_a_ring_sends_each_piece_twice_around(width, ways):
    chip = load_chip("hyflexpim")
    ring, piece = all_reduce(chip, width, ways), math.ceil(width / ways)
    assert chip.vector_bits == 8
    assert ring.bytes == 2 * (ways - 1) * ways * piece
    assert ring.time_ps == 2 * (ways - 1) * math.ceil(1000 * piece / chip["chip_link.bandwidth"])
    assert ring.energy_pj(chip) == 8 * ring.bytes * chip["chip_link.energy.bit"]


def test_one_chip_less_does_not_hold_it(graphs, tmp_path):
    """A chip of two PUs: three are needed for the blocks and the head."""
    chip = tmp_path / "narrow.toml"
    chip.write_text(
        'extends = "hyflexpim"\n[chip]\n'
        'pus = { value = 1, status = "assumed", source = "a test" }\n'
        '[units.analog]\ncount = { value = 1, status = "assumed", source = "a test" }\n'
    )
    scenario = decoding._on_fewest(graphs[1], str(chip), 0.0, TOKENS)
    assert scenario.chip.chips > 1
    fewer = scenario.model_copy(
        update={"chip": scenario.chip.model_copy(update={"chips": scenario.chip.chips - 1})}
    )
    prepare(scenario, graphs[1])
    with pytest.raises(InputError, match="short"):
        prepare(fewer, graphs[1])


def test_a_row_is_the_parts_and_the_sums_between_them(graphs, monkeypatch):
    monkeypatch.setattr(table.model_zoo, "config_of", lambda _: ("tiny", LLAMA))
    monkeypatch.setattr(
        table,
        "extract_config",
        lambda name, config: graphs[HEADS // config["num_attention_heads"]],
    )
    say = lambda *_: None  # noqa: E731
    rows, notes = table.rows(["tiny"], ways=(2, 8), slc_rates=(0.0,), context=TOKENS, say=say)
    assert [row.ways for row in rows] == [1, 2]
    assert notes == ["tiny: num_key_value_heads must be a multiple of 8; got 4"]
    part = decoding.decode(graphs[2], "hyflexpim", 0.0, TOKENS)
    ring = all_reduce(load_chip("hyflexpim"), D, 2)
    assert rows[1].further_us == (part.further_ps + 2 * L * ring.time_ps) * 1e-6
    assert rows[1].link_kb == (2 * part.link_bytes + 2 * L * ring.bytes) * 1e-3
    assert rows[1].chips == 2 * part.chips
    assert rows[0].parameters == rows[1].parameters == g.parameters(graphs[1])


def test_the_longest_way_is_no_longer_than_the_token_takes(graphs):
    found = decoding.decode(graphs[1], "hyflexpim", 0.0, TOKENS)
    scenario = decoding._on_fewest(graphs[1], "hyflexpim", 0.0, TOKENS)
    way = decoding.longest_way(prepare(scenario, graphs[1]).plan, TOKENS)
    assert way[found.bound] == found.bound_ps == max(way.values())
    assert found.further_ps * 0.5 < sum(way.values()) <= found.further_ps
