"""Attention that keeps k keys, inside a library's model: k of all keys is what it was."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from hyflexsim.models.errors import ModelError
from hyflexsim.models.top_k_attention import top_k_attention

SIZES = {"vocab_size": 11, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=11, n_positions=16, n_embd=16, n_layer=2, n_head=4)
    ),
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(**SIZES, intermediate_size=24, num_key_value_heads=2)
    ),
    "bert": lambda: BertModel(BertConfig(**SIZES, intermediate_size=24)),
}
IDS = torch.tensor([[1, 5, 3, 9, 2, 7, 7, 4]])


def made(name):
    torch.manual_seed(0)
    return MODELS[name]().eval()


def first(output):
    return output[0] if not hasattr(output, "logits") else output.logits


@pytest.mark.parametrize("name", MODELS)
def test_all_keys_are_the_models_own_attention(name):
    model = made(name)
    with torch.no_grad():
        own = first(model(input_ids=IDS))
        with top_k_attention(model, 8):
            torch.testing.assert_close(first(model(input_ids=IDS)), own, rtol=1e-5, atol=1e-5)
        with top_k_attention(model, 2):
            few = first(model(input_ids=IDS))
        assert torch.equal(first(model(input_ids=IDS)), own)  # as before
    assert not torch.allclose(few, own, atol=1e-4)
    if name != "bert":  # the first two tokens see no more than two keys
        torch.testing.assert_close(few[:, :2], own[:, :2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_of_a_row_k_weights_are_left(name):
    model = made(name)
    with top_k_attention(model, 3), torch.no_grad():
        weights = model(input_ids=IDS, output_attentions=True).attentions
    for layer in weights:
        assert (((layer > 0).sum(-1)) <= 3).all()
        torch.testing.assert_close(layer.sum(-1), torch.ones(layer.shape[:-1]))


def test_keys_that_are_left_out_get_no_gradient():
    model = made("gpt2")
    ends = {}
    for keys in (1, 8):
        model.zero_grad()
        with top_k_attention(model, keys):
            model(input_ids=IDS, labels=IDS).loss.backward()
        ends[keys] = model.transformer.h[1].attn.c_attn.weight.grad[:, 16:32].abs().max()
    assert ends[1] == 0  # one key has the weight 1, whatever its score
    assert ends[8] > 0


def test_refusals():
    with (
        pytest.raises(ModelError, match="keys must be at least 1; got 0"),
        top_k_attention(made("gpt2"), 0),
    ):
        pass
    with (
        pytest.raises(ModelError, match="Linear has no attention"),
        top_k_attention(torch.nn.Linear(2, 2), 1),
    ):
        pass
