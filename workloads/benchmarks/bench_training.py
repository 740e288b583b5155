"""What bfloat16 products do to the time of a training step: ratios of CPU time of one run.

Random models with the shapes of the recipes that could use it (SmolLM2 with 4 of its 30 blocks, the
ratio being that of blocks), random data, one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hyflexsim.models.precision import matrix_products
from hyflexsim.workloads.extraction import model_zoo

TURNS = 5
BERT = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 1000,
    "hidden_size": 576,
    "num_hidden_layers": 4,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
}
VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "image_size": 32,
    "patch_size": 4,
    "hidden_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}


def _words(batch: int, tokens: int) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(0, 1000, (batch, tokens))}


SHAPES: dict[str, tuple[dict[str, Any], Callable[[], Mapping[str, Tensor]]]] = {
    "MiniLM, 16 x 64 tokens": (BERT, lambda: _words(16, 64)),
    "SmolLM2's blocks, 4 x 256 tokens": (LLAMA, lambda: _words(4, 256)),
    "ViT of 0.8 M, 64 images": (VIT, lambda: {"pixel_values": torch.rand(64, 3, 32, 32)}),
}


def precision_ratios() -> dict[str, float]:
    """CPU time of a step in bfloat16 over one in float32, by model: medians of steps in turn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: _ratio(*shape) for name, shape in SHAPES.items()}
    finally:
        torch.set_num_threads(threads)


def _ratio(config: dict[str, Any], data: Callable[[], Mapping[str, Tensor]]) -> float:
    model, batch = model_zoo.build("bench", config, empty=False).train(), data()
    ratios = []
    for turn in range(TURNS + 1):
        exact, rounded = (_seconds(model, batch, p) for p in ("float32", "bfloat16"))
        if turn:  # the first chooses its kernels
            ratios.append(rounded / exact)
    return statistics.median(ratios)


def _seconds(model: nn.Module, batch: Mapping[str, Tensor], precision: str) -> float:
    start = time.process_time()
    with matrix_products(precision):
        model.zero_grad()
        model(**batch).logits.square().mean().backward()
    return time.process_time() - start
