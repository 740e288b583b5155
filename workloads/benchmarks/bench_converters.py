"""What reading through converters costs: forward passes on a chip's cells over the dense one.

The digits ViT that comes with hyflexsim, on 100 images, factorised; and a model with the shape of
MiniLM, random and dense. The chip is hyflexpim: 6 and 7 bits that clip, σ = 0.025. CPU time of one
thread; medians of passes in turn.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import numba
import torch
from torch import nn

from hyflexsim.models.cells.on_chip import Device, on_chip
from hyflexsim.models.lowrank import compress
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.benchmarks.bench_training import BERT
from hyflexsim.workloads.compression.devices import device_of, noise_named, without_converters
from hyflexsim.workloads.compression.judged_models import open_checkpoint, score
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.scenario.checkpoints import find_checkpoint

TURNS = 5


class Ratio(NamedTuple):
    """CPU time of a forward pass over that of the dense model. ``target``: most it may be."""

    what: str
    value: float
    target: float | None


def converter_ratios() -> Iterator[Ratio]:
    """Of each model: factorised, exact products on cells, converters with and without noise."""
    with one_thread(), torch.inference_mode():
        for name, model, dense, run in (_digits(), _minilm()):
            yield from _ratios(name, model, dense, run)


_Run = Callable[[nn.Module], Any]
_Case = tuple[str, nn.Module, nn.Module, _Run]


def _digits() -> _Case:
    opened = open_checkpoint(find_checkpoint("vit-digits"))
    dense = compress.expand(copy.deepcopy(opened.model))
    return "ViT, 100 digits", opened.model, dense, lambda m: score(m, opened.task, 100)


def _minilm() -> _Case:
    torch.manual_seed(0)
    model = model_zoo.build("bench", BERT, empty=False).eval()
    words = torch.randint(0, 1000, (8, 128))
    dense = copy.deepcopy(model)
    return "MiniLM's shape, 8 x 128 tokens", model, dense, lambda m: m(input_ids=words)


def _ratios(name: str, model: nn.Module, dense: nn.Module, run: _Run) -> Iterator[Ratio]:
    noisy = device_of(load_chip("hyflexpim"), noise_named("released"))
    ways: list[tuple[str, Device | None, float | None]] = [
        ("without cells", None, None),
        ("exact products", without_converters(noisy), None),
        ("converters", noisy, 5),
        ("converters, no noise", replace(noisy, noise=None), 2),
    ]
    for what, device, target in ways:
        with nullcontext() if device is None else on_chip(model, device, 0):
            value = _against(lambda: run(model), lambda: run(dense))
        yield Ratio(f"{name}: {what}", value, target)


def _against(ours: Callable[[], Any], theirs: Callable[[], Any]) -> float:
    ratios = []
    for turn in range(TURNS + 1):
        one, other = _once(ours), _once(theirs)
        if turn:  # the first loads machine code and chooses kernels
            ratios.append(one / other)
    return statistics.median(ratios)


def _once(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch's and of numba's while the block lasts."""
    threads, compiled = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        numba.set_num_threads(compiled)
