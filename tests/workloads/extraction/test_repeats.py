"""Layers that are alike: the graph that follows from three is that of all of them, exported."""

from __future__ import annotations

import functools
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim import graph as vocabulary
from hyflexsim.workloads.extraction import extract, model_zoo, repeats, unrolling
from hyflexsim.workloads.extraction.families import FAMILIES

SLIDING, FULL = "sliding_attention", "full_attention"
DEEP = {
    "t5": {"num_layers": 5},  # the first layer's bias of distances is read by all
    "bart": {"encoder_layers": 4, "decoder_layers": 5},
    "whisper": {"encoder_layers": 5, "decoder_layers": 4},
    "gemma3_text": {"num_hidden_layers": 10, "layer_types": [SLIDING, FULL] * 5},
    "gpt_oss": {"num_hidden_layers": 8, "layer_types": [SLIDING, FULL] * 4},
    "gemma2": {"num_hidden_layers": 9},  # the last has a window, as has the first
    "modernbert": {"num_hidden_layers": 9, "global_attn_every_n_layers": 2},
    "bloom": {"n_layer": 4},
    "gptj": {"n_layer": 4},
    "deepseek_v3": {"num_hidden_layers": 5},  # the first is dense
    "jamba": {"num_hidden_layers": 8},
}
"""Where four layers are not four rounds, or are called otherwise."""
WHOLE = ("rwkv", "swin", "xlnet")
"""Exported whole: RWKV's layers ask which of them is the first, Swin's lie in stages of few, and
XLNet's have parameters of a second segment, which nothing reaches."""
SERVED = [n for n, family in FAMILIES.items() if family.state != "refused" and n not in WHOLE]
KINDS = ("t5", "gemma2", "clip", "mixtral", "jamba")
"""One of each way to repeat; ``make fuzz`` takes every family."""
CHECKED = SERVED if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else KINDS


def deep(name):
    config = FAMILIES[name].configs[0] | DEEP.get(name, {"num_hidden_layers": 4})
    return model_zoo.build(name, dict(config))


def all_of(graph):
    edges = [list(graph.edges(data=True)), list(graph.in_edges)]
    return list(graph.nodes(data=True)), *edges, graph.graph


@pytest.mark.parametrize("name", CHECKED)
def test_the_graph_is_that_of_all_layers(name, monkeypatch):
    model = deep(name)
    runs = repeats.runs_of(model)
    assert runs, name
    whole = extract._extract(model, None, name)
    monkeypatch.setattr(extract, "_extract", None)  # it must not be needed again
    assert all_of(extract._extract_layers(model, name)) == all_of(whole)
    assert repeats.runs_of(model) == runs  # the model is as it was


def naive(marks):
    """Layers that the best repetition leaves out, by trying all."""
    best = 0
    for period in range(1, len(marks) + 1):
        for first in range(len(marks)):
            rounds = 1
            while (
                first + (rounds + 1) * period <= len(marks)
                and marks[first : first + period]
                == marks[first + rounds * period : first + (rounds + 1) * period]
            ):
                rounds += 1
            best = max(best, (rounds - repeats.ROUNDS) * period)
    return best


@given(st.lists(st.sampled_from("ab"), max_size=24))
def test_the_longest_repetition_is_found(marks):
    found = repeats.longest(marks)
    assert (found is None) == (naive(marks) == 0)
    if found is not None:
        first, period, rounds = found
        assert marks[first : first + period] * rounds == marks[first : first + rounds * period]
        assert (rounds - repeats.ROUNDS) * period == naive(marks)


class Block(torch.nn.Module):
    """A layer that may mind where it is."""

    def __init__(self, place, wide=8, minds=False):
        super().__init__()
        self.layer_idx, self.minds = place, minds
        self.up = torch.nn.Linear(8, wide)
        self.act = functools.partial(torch.nn.functional.gelu, approximate="tanh")
        self.down = torch.nn.Linear(wide, 8)

    def forward(self, x):
        if self.minds and self.layer_idx % 2:
            return self.down(self.up(x))
        return x + self.down(self.act(self.up(x)))


class Stack(torch.nn.Module):
    """Such layers, one after the other; the sum of some is the answer."""

    def __init__(self, layers, summed=()):
        super().__init__()
        self.layers, self.summed = torch.nn.ModuleList(layers), summed

    def forward(self, x):
        seen = []
        for layer in self.layers:
            x = layer(x)
            seen.append(x)
        return sum((seen[i] for i in self.summed), x)


def of_stack(monkeypatch, model):
    """(graph by rounds or None where it does not follow, graph of all)."""
    shape = {"x": (1, "N", 8)}
    whole = extract._extract(model, shape, "s")
    read, tried = extract._read, []
    monkeypatch.setattr(extract, "_read", lambda model, _, name: read(model, shape, name))
    monkeypatch.setattr(extract, "_extract", lambda *_: tried.append(1) or whole)
    graph = extract._extract_layers(model, "s")
    return None if tried else graph, whole


def test_own_layers_follow(monkeypatch):
    graph, whole = of_stack(monkeypatch, Stack([Block(i) for i in range(6)]))
    assert all_of(graph) == all_of(whole)
    assert vocabulary.parameters(graph) == 6 * (2 * 64 + 16)


@pytest.mark.parametrize(
    "model",
    [
        Stack([Block(i, minds=True) for i in range(6)]),  # what the place decides
        Stack([Block(i) for i in range(6)], summed=(1,)),  # an answer from the middle
        Stack([Block(i) for i in range(6)], summed=(-2,)),
        Stack([Block(i, wide=8 + i) for i in range(6)]),
    ],
)
def test_what_does_not_follow_is_exported_whole(monkeypatch, model):
    assert of_stack(monkeypatch, model)[0] is None


def test_rounds_that_differ_are_unlike():
    graph = vocabulary.new_graph("g", prefix="", unreached={})
    for i in range(3):
        name = f"layers.{i}.n"
        vocabulary.add_op(graph, name, "norm", layer=f"layers.{i}", width=4 + i, elements=4)
    with pytest.raises(unrolling.UnlikeError):
        unrolling.unroll(graph, repeats.Run("layers", 5, 0, 1, 5))
