"""Language models: the next token of held-out text, judged by perplexity (lower is better).

Text is cut into windows without overlap; a window's first token is context only. A model without
tokenizer reads bytes (vocabulary 256), so its perplexity is per byte and not comparable with
one per word piece. `floor` is the vocabulary: the perplexity of guessing evenly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.extraction import weights
from hyflexsim.workloads.tasks.base import Batches, Metric, Scores, Split, in_order
from hyflexsim.workloads.tasks.seen import Items

BYTES = 256
"""Vocabulary of models without tokenizer."""


class _Windows:
    """Perplexity over rows of token ids (windows, T)."""

    name: str
    metric: Metric
    vocabulary: int
    """How many tokens there are; ids are below it."""
    train_rows: Tensor
    test_rows: Tensor

    def batches(self, size: int, seed: int) -> Batches:
        """Batches of windows (B, T), int64."""
        rows = self.train_rows
        return Batches(lambda at: rows[torch.from_numpy(at)], len(rows), size, seed)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Mean cross entropy of all tokens but each window's first, nat."""
        return _cross_entropy(model, batch)

    def score(self, model: nn.Module, limit: int | None = None) -> Scores:
        """Perplexity and mean loss (nat a token) over the held-out windows."""
        rows = self.test_rows[:limit]
        if not len(rows):
            raise InputError("data: held-out text is shorter than one window")
        total = 0.0
        for at in in_order(len(rows), max(1, 2048 // rows.shape[1])):
            batch = rows[torch.from_numpy(at)]
            total += float(_cross_entropy(model, batch)) * len(batch)
        loss = total / len(rows)
        return {"perplexity": math.exp(min(loss, 700.0)), "loss": loss}

    def items(self, split: Split) -> Items:
        """Tokens of all windows."""
        rows = self.train_rows if split == "train" else self.test_rows
        return Items("windows", {}, rows.flatten().numpy())


class NextToken(_Windows):
    """A text by name; `window` tokens each, at most `train_windows` and `test_windows` of them.

    Training windows are spread evenly over the text, test windows are its first ones.
    """

    wants_tokenizer = True

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        *,
        window: int = 128,
        train_windows: int | None = None,
        test_windows: int | None = None,
        test_split: str = "test",
    ):
        if window < 2:
            raise InputError(f"data.window must be at least 2 tokens; got {window}")
        self.name, self.classes = name, 0
        held_out = datasets.load(name, test_split)
        self.about = held_out.about
        self.vocabulary = BYTES if tokenizer is None else len(tokenizer)
        self.metric = Metric("perplexity", False, float(self.vocabulary))
        self.test_rows = _cut(_encode(held_out.text, tokenizer), window)[:test_windows]
        self._source = (tokenizer, window, train_windows)

    @property
    def train_rows(self) -> Tensor:  # type: ignore[override]
        """Training windows, made when first asked for."""
        if not hasattr(self, "_train_rows"):
            tokenizer, window, wanted = self._source
            rows = _cut(_encode(datasets.load(self.name, "train").text, tokenizer), window)
            if wanted is not None and wanted < len(rows):
                rows = rows[torch.linspace(0, len(rows) - 1, wanted).round().long()]
            self._train_rows = rows
        return self._train_rows


class OwnStories(_Windows):
    """Text that the tiny Llama stories260k writes itself at temperature 1, for lack of its data.

    Perplexity on it is that of a model on its own distribution: of use for the change that
    compression and noise make, not as a language benchmark. `texts` of `window` tokens for
    testing, four times as many for training, from `seed`.
    """

    wants_tokenizer = False
    classes = 0

    def __init__(self, name: str, *, window: int = 250, texts: int = 32, seed: int = 0):
        self.name, self.about = name, "written by stories260k itself at temperature 1"
        model = weights.load("stories260k").model
        self.vocabulary = int(model.config.vocab_size)
        self.metric = Metric("perplexity", False, float(self.vocabulary))
        torch_seed = torch.random.get_rng_state()
        torch.manual_seed(seed)
        start = torch.full((5 * texts, 1), model.config.bos_token_id)
        with torch.no_grad():
            rows = model.generate(
                start,
                attention_mask=torch.ones_like(start),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                max_new_tokens=window - 1,
                min_new_tokens=window - 1,
                pad_token_id=0,
            )
        torch.random.set_rng_state(torch_seed)
        self.test_rows, self.train_rows = rows[:texts], rows[texts:]


def _encode(text: str, tokenizer: Any) -> Tensor:
    if tokenizer is None:
        raw = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
        return torch.from_numpy(raw.astype(np.int64))
    ids: list[int] = tokenizer(text, verbose=False, add_special_tokens=False)["input_ids"]
    return torch.tensor(ids)


def _cut(ids: Tensor, window: int) -> Tensor:
    count = len(ids) // window
    return ids[: count * window].view(count, window)


def _cross_entropy(model: nn.Module, rows: Tensor) -> Tensor:
    logits = model(input_ids=rows).logits[:, :-1]  # (B, T - 1, vocabulary)
    return functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())
