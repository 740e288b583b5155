"""GLUE tasks: classes of one sentence or a pair, and similarity of two embeddings.

MRPC is judged by F1, whose floor is that of answering "yes" always (0.812 on the dev set), CoLA by
Matthews' correlation, SST-2 and RTE by accuracy, STS-B by Spearman's rank correlation. For STS-B
a sentence is embedded as the mean of its last hidden states (all-MiniLM's own pooling) and
two are compared by their cosine, so an encoder needs no head and no training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.tasks.base import Batches, Metric, Scores, Split, in_order
from hyflexsim.workloads.tasks.seen import Items

_METRICS = {"glue/mrpc": "f1", "glue/cola": "matthews", "glue/sst2": "accuracy"}


class Classes:
    """Sentence classification with a model of transformers' SequenceClassification kind.

    `max_length` tokens at most; `train_limit`, `dev_limit`: fewer rows. Batches are padded to
    their longest row.
    """

    wants_tokenizer = True

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        *,
        max_length: int = 128,
        train_limit: int | None = None,
        dev_limit: int | None = None,
    ):
        if tokenizer is None:
            raise InputError(f"data.name: {name} is text; the model has no tokenizer")
        self.name, self.tokenizer, self.max_length = name, tokenizer, max_length
        self.train_limit = train_limit
        self._train: list[tuple[Any, Any]] | None = None
        dev = datasets.load(name, "dev", limit=dev_limit)
        self.about, self.classes = dev.about, dev.classes
        self._dev = self._rows(dev)
        labels = np.array([label for _, label in self._dev])
        figure = _METRICS.get(name, "accuracy")
        majority = np.full(len(labels), np.bincount(labels).argmax())
        self.metric = Metric(figure, True, _figures(labels, majority)[figure])

    def batches(self, size: int, seed: int) -> Batches:
        """Mappings of input_ids, attention_mask, token_type_ids (B, T) and labels (B,)."""
        rows = self._train_rows()
        lengths = [len(ids["input_ids"]) for ids, _ in rows]
        return Batches(lambda at: self._batch(rows, at), len(rows), size, seed, lengths)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Cross entropy, as the model computes it."""
        value: Tensor = model(**batch).loss
        return value

    def score(self, model: nn.Module, limit: int | None = None) -> Scores:
        """The task's metric, then accuracy if that is another."""
        rows = self._dev[:limit]
        lengths = np.array([len(ids["input_ids"]) for ids, _ in rows])
        guess = np.zeros(len(rows), dtype=np.int64)
        for at in in_order(len(rows), 64, lengths):
            batch = self._batch(rows, at)
            batch.pop("labels")
            guess[at] = model(**batch).logits.argmax(-1).numpy()
        figures = _figures(np.array([label for _, label in rows]), guess)
        return {self.metric.name: figures[self.metric.name], "accuracy": figures["accuracy"]}

    def items(self, split: Split) -> Items:
        """Tokens, and how many a sentence or pair has."""
        rows = self._train_rows() if split == "train" else self._dev
        return _words([ids["input_ids"] for ids, _ in rows])

    def _train_rows(self) -> list[tuple[Any, Any]]:
        if self._train is None:
            self._train = self._rows(datasets.load(self.name, "train", limit=self.train_limit))
        return self._train

    def _rows(self, data: Any) -> list[tuple[Any, Any]]:
        second = () if data.pairs is None else (data.pairs,)
        encoded = self.tokenizer(data.texts, *second, truncation=True, max_length=self.max_length)
        keys = list(encoded)
        return [
            ({key: encoded[key][i] for key in keys}, data.labels[i].item())
            for i in range(len(data.texts))
        ]

    def _batch(self, rows: list[tuple[Any, Any]], at: np.ndarray) -> dict[str, Tensor]:
        batch = dict(self.tokenizer.pad([rows[i][0] for i in at], return_tensors="pt"))
        return batch | {"labels": torch.tensor([rows[i][1] for i in at])}


class Similarity:
    """STS-B with a bare encoder: cosine of two mean-pooled embeddings against scores of 0 to 5."""

    wants_tokenizer = True
    metric = Metric("spearman", True, 0.0)
    classes = 0

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        *,
        max_length: int = 128,
        train_limit: int | None = None,
        dev_limit: int | None = None,
    ):
        if tokenizer is None:
            raise InputError(f"data.name: {name} is text; the model has no tokenizer")
        self.name, self.tokenizer, self.max_length = name, tokenizer, max_length
        self.train_limit = train_limit
        self._dev = datasets.load(name, "dev", limit=dev_limit)
        self.about = self._dev.about

    def batches(self, size: int, seed: int) -> Batches:
        """(first, second, score): two tokenised batches and scores (B,) from 0 to 1."""
        data = datasets.load(self.name, "train", limit=self.train_limit)
        lengths = [len(a) + len(b) for a, b in zip(data.texts, data.pairs, strict=True)]

        def make(rows: np.ndarray) -> Any:
            pair = [self._tokens([side[i] for i in rows]) for side in (data.texts, data.pairs)]
            return (*pair, torch.tensor(data.labels[rows] / 5, dtype=torch.float32))

        return Batches(make, len(lengths), size, seed, lengths)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Mean squared error of the cosine against score / 5."""
        first, second, wanted = batch
        cosine = functional.cosine_similarity(_embed(model, first), _embed(model, second))
        return functional.mse_loss(cosine, wanted)

    def score(self, model: nn.Module, limit: int | None = None) -> Scores:
        """Spearman's and Pearson's correlation on the dev set."""
        from scipy import stats  # noqa: PLC0415

        texts, pairs = self._dev.texts[:limit], self._dev.pairs[:limit]
        first, second = (self._embeddings(model, side) for side in (texts, pairs))
        cosine = functional.cosine_similarity(first, second).numpy()
        wanted = self._dev.labels[:limit]
        if not np.isfinite(cosine).all() or np.ptp(cosine) == 0:
            return {"spearman": 0.0, "pearson": 0.0}  # embeddings that all coincide rank nothing
        return {
            "spearman": float(stats.spearmanr(cosine, wanted).statistic),
            "pearson": float(stats.pearsonr(cosine, wanted).statistic),
        }

    def items(self, split: Split) -> Items:
        """Tokens, and how many a sentence has."""
        data = (
            datasets.load(self.name, "train", limit=self.train_limit)
            if split == "train"
            else self._dev
        )
        texts = [*data.texts, *data.pairs]
        rows = self.tokenizer(texts, truncation=True, max_length=self.max_length)["input_ids"]
        return _words(rows)

    def _embeddings(self, model: nn.Module, texts: list[str]) -> Tensor:
        lengths = np.array([len(text) for text in texts])
        parts: dict[int, Tensor] = {}
        for at in in_order(len(texts), 64, lengths):
            rows = _embed(model, self._tokens([texts[i] for i in at]))
            parts |= dict(zip(at.tolist(), rows, strict=True))
        return torch.stack([parts[i] for i in range(len(texts))])

    def _tokens(self, texts: list[str]) -> dict[str, Tensor]:
        return dict(
            self.tokenizer(
                texts,
                padding=True,
                truncation=True,
                max_length=self.max_length,
                return_tensors="pt",
            )
        )


def _embed(model: nn.Module, tokens: dict[str, Tensor]) -> Tensor:
    hidden = model(**tokens).last_hidden_state  # (B, T, D)
    mask = tokens["attention_mask"][:, :, None].to(hidden.dtype)
    mean: Tensor = (hidden * mask).sum(1) / mask.sum(1)
    return mean


def _words(rows: list[list[int]]) -> Items:
    lengths = np.array([len(row) for row in rows])
    return Items("sentences", {"number of tokens": lengths}, np.concatenate(rows))


def _figures(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    from sklearn import metrics  # noqa: PLC0415

    figures = {
        "accuracy": float(metrics.accuracy_score(truth, guess)),
        "matthews": float(metrics.matthews_corrcoef(truth, guess)),
    }
    if set(np.unique(truth)) <= {0, 1}:
        figures["f1"] = float(metrics.f1_score(truth, guess, zero_division=0.0))
    return figures
