"""Which ranks are protected: from scores to the placement and back to the model."""

import pytest
import torch
from torch import nn

from hyflexsim.models.cells.on_chip import matrices
from hyflexsim.models.lowrank.compress import compress
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, weights_on
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.compression.protection import masks_of, ops_of, with_importance
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.extract import extract_config

GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 20}
GPT2 |= {"n_positions": 16, "n_embd": 32, "n_layer": 1, "n_head": 2}
GPT2 |= {"bos_token_id": 0, "eos_token_id": 0}
FUSED = "transformer.h.0.attn.c_attn"


@pytest.fixture(scope="module")
def dense():
    torch.manual_seed(0)
    return extract_config("tiny", GPT2), model_zoo.build("tiny", GPT2, empty=False)


def counting(model):
    """The last ranks or outputs are the most important."""
    return {
        path: torch.arange(layer.rank if hasattr(layer, "rank") else width(layer)).float()
        for path, layer in matrices(model).items()
    }


def width(layer):
    return layer.out_features if isinstance(layer, nn.Linear) else layer.nf


def masks(model, graph, rate, **changes):
    chip = load_chip("hyflexpim", changes)
    weights = weights_on(chip, graph, Options(slc_rate=rate))
    return masks_of(matrices(model), graph, chip, weights)


def test_a_fused_matrix_is_three_placed_ones(dense):
    """Each of q, k and v has its own quota: 8 of 32 outputs, the last of each."""
    graph, model = dense
    parts = ops_of(graph, FUSED)
    assert [op for op, _ in parts] == [f"h.0.attn.c_attn.{part}" for part in "qkv"]
    assert torch.cat([columns for _, columns in parts]).tolist() == list(range(96))
    found = masks(model, with_importance(graph, model, counting(model)), 0.25)
    (mask,) = found[FUSED]
    assert mask.nonzero()[:, 0].tolist() == [*range(24, 32), *range(56, 64), *range(88, 96)]


def test_factors_have_masks_of_their_own(dense):
    graph, _ = dense
    torch.manual_seed(0)
    model = compress(model_zoo.build("tiny", GPT2, empty=False), 10)
    ranked = with_importance(graph, model, counting(model))
    v, u = masks(model, ranked, 0.3, **{"analog.rows": 4})[f"{FUSED}.q"]
    assert v.nonzero()[:, 0].tolist() == [7, 8, 9]
    assert u.nonzero()[:, 0].tolist() == [6, 7, 8, 9]  # a row tile of 4 is filled up
    for mask in masks(model, ranked, 0.0)[f"{FUSED}.q"]:
        assert not mask.any()


def test_refusals(dense):
    graph, model = dense
    with pytest.raises(InputError, match=r"c_attn: no scores to choose protected ranks by"):
        with_importance(graph, model, {})
    with pytest.raises(InputError, match=r"^h.9.fc: the graph of 'tiny' has no such matrix$"):
        ops_of(graph, "h.9.fc")
    ranked = compress(model_zoo.build("tiny", GPT2, empty=False), 4)
    with pytest.raises(InputError, match="is placed in 1 factors"):
        masks(ranked, graph, 0.5)
