"""Fixtures: tiny random models of every family, and a toy whose layers matter unequally."""

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)

from hyflexsim.models.part.transformer import ParticleTransformer

torch.set_num_threads(1)
COMMON = {"num_hidden_layers": 2, "hidden_size": 32}
TOKENS = torch.tensor([[1, 5, 2, 7, 3]])


def bert():
    config = BertConfig(vocab_size=20, num_attention_heads=2, intermediate_size=64, **COMMON)
    return BertForSequenceClassification(config), lambda m: m(TOKENS).logits


def gpt2():
    special = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=20, n_positions=8, n_embd=32, n_layer=2, n_head=2, **special)
    return GPT2LMHeadModel(config), lambda m: m(TOKENS).logits


def llama():
    config = LlamaConfig(
        vocab_size=20,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        tie_word_embeddings=True,
        **COMMON,
    )
    return LlamaForCausalLM(config), lambda m: m(TOKENS).logits


def vit():
    config = ViTConfig(
        image_size=8, patch_size=4, num_attention_heads=2, intermediate_size=64, **COMMON
    )
    image = torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8)
    return ViTForImageClassification(config), lambda m: m(image.to(m.dtype)).logits


def mamba():
    config = MambaConfig(vocab_size=20, state_size=4, **COMMON)
    return MambaForCausalLM(config), lambda m: m(TOKENS).logits


def part():
    model = ParticleTransformer(
        7,
        3,
        embed_dims=(16, 32),
        pair_embed_dims=(8,),
        num_heads=4,
        num_layers=2,
        num_cls_layers=1,
        fc_params=((16, 0.1),),
    )
    x, v = torch.randn(2, 7, 6), torch.randn(2, 4, 6)
    v[:, 3] = 1 + v[:, :3].norm(dim=1)
    return model, lambda m: m(*(t.to(next(m.parameters()).dtype) for t in (x, v)))


FAMILIES = {f.__name__: f for f in (bert, gpt2, llama, vit, mamba, part)}


@pytest.fixture(scope="session")
def families():
    """Name of a family -> a function that makes (model, how to run it)."""
    return FAMILIES


@pytest.fixture(params=FAMILIES)
def family(request):
    """(name, model in evaluation mode, how to run it) of each family, random but repeatable."""
    torch.manual_seed(0)
    model, run = FAMILIES[request.param]()
    for p in model.parameters():  # transformers starts with weights too small to tell outputs apart
        if p.dim() == 2:
            nn.init.normal_(p, std=0.15)
    return request.param, model.eval(), torch.no_grad()(run)


class Toy(nn.Module):
    """Square residual layers; `odd` scales every second one, so that it matters less."""

    def __init__(self, width=48, depth=8, odd=0.02):
        super().__init__()
        self.odd = odd
        self.embed = nn.Linear(width, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x):
        x = self.embed(x)
        for i, block in enumerate(self.blocks):
            x = x + (self.odd if i % 2 else 1.0) * torch.tanh(block(x))
        return x


@pytest.fixture(scope="session")
def new_toy():
    """The class of the toy."""
    return Toy


@pytest.fixture(scope="session")
def loss():
    """Mean squared error of a batch (x, y)."""
    return lambda model, batch: (model(batch[0]) - batch[1]).square().mean()
