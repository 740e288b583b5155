"""How right a trained ParT is in a setting of levers, on the cells and converters of its chip.

Matrices of blocks are computed bit by bit through the chip's arrays, as everywhere
(models/cells/on_chip.py): what is in multi-level cells follows from the placement. Outside the
blocks (embedding, pair network, last layer) weights and inputs are rounded to the chip's bits and
weights read from their cells; their products are exact, without converters, as in the released
accuracy code.

Jets are the same in all settings, so that changes are paired; one seed is one chip.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hyflexsim.models.cells.on_chip import Device, generator_of, on_chip, quantized_tokens
from hyflexsim.models.cells.rram_noise import noisy_weight
from hyflexsim.models.lowrank.compress import compress, low_rank_layers
from hyflexsim.models.lowrank.redistribution import magnitude_scores, rank_scores
from hyflexsim.models.part.checkpoint import load_part
from hyflexsim.models.part.training import JetTensors, scores_of
from hyflexsim.models.part.transformer import ParticleTransformer
from hyflexsim.sim.placement.mapping import weights_on
from hyflexsim.workloads.compression.devices import device_of, noises_of
from hyflexsim.workloads.compression.protection import masks_of, with_importance
from hyflexsim.workloads.part.attention_run import choose
from hyflexsim.workloads.part.parts import tensors
from hyflexsim.workloads.scenario.schema import Accuracy
from hyflexsim.workloads.sparsity.lever_costs import graph_of, ranks_of, scenario_of
from hyflexsim.workloads.sparsity.levers import PAIR_OPS, Setting

SEEDS = 2
Right = NDArray[np.bool_]


class FewerPairs(nn.Module):
    """A pair network whose U is 0 but between the leading particles."""

    def __init__(self, inner: nn.Module, particles: int) -> None:
        super().__init__()
        self.inner, self.particles = inner, particles

    def forward(self, v: Tensor) -> Tensor:
        """(B, 4, N) -> (B, H, N, N)."""
        u: Tensor = self.inner(v)
        few = min(self.particles, v.shape[-1])
        kept = torch.zeros_like(u)
        kept[..., :few, :few] = u[..., :few, :few]
        return kept


class Subject:
    """A checkpoint and the jets that it is judged by, so many of each class and as many again.

    ``chosen_on``: which of them may decide what is pulled; the others say what that is worth.
    Raises InputError and ModelError as reading them does.
    """

    def __init__(self, checkpoint: str | Path, jets: str | Path | None, per_class: int) -> None:
        self.model, self.spec = load_part(checkpoint)
        self._jets = choose(jets, self.spec.classes, 2 * per_class)
        self.chosen_on: Right = np.zeros(len(self._jets), dtype=bool)
        for name in dict.fromkeys(self._jets.labels.tolist()):
            of_class = np.flatnonzero(self._jets.labels == name)
            self.chosen_on[of_class[len(of_class) // 2 :]] = True
        self._data: dict[int, JetTensors] = {}

    def __len__(self) -> int:
        return len(self._jets)

    def data(self, particles: int | None) -> JetTensors:
        """The jets, so many leading particles of each."""
        few = min(particles or self.spec.particles, self.spec.particles)
        if few not in self._data:
            self._data[few] = tensors(self._jets, replace(self.spec, particles=few))
        return self._data[few]

    def model_in(self, setting: Setting, graph: nx.DiGraph) -> ParticleTransformer:
        """The model with the ranks of a setting, and the pairs that it has."""
        model = copy.deepcopy(self.model)
        ranks = ranks_of(graph, setting)
        blocks = {op: rank for op, rank in ranks.items() if "blocks." in op}
        if blocks:
            compress(model, blocks)
        if setting.pair_rank:
            for name, layer in _outside(model):
                if name in ranks:
                    layer.weight.data = _of_rank(layer.weight.data, ranks[name])
        if setting.pairs == 0:
            model.pair_embed = None
        return model

    def right(self, name: str, setting: Setting) -> list[Right]:
        """Which jets are right, by chip; one where nothing is random. ``name``: of the model."""
        dense = graph_of(name, replace(setting, ranks={}))
        model = self.model_in(setting, dense)
        graph = with_importance(dense, model, _worth(model))
        scenario = scenario_of(setting, graph)
        machine = scenario.hardware()
        weights = weights_on(machine, graph, scenario.options())
        (noise,) = noises_of(machine, Accuracy(sigma=["chip"]))
        device = device_of(machine, noise)
        data, found = self.data(setting.particles), []
        certain = setting.slc_rate == 1 and not setting.slc_rates and device.slc_noise is None
        for seed in range(1 if certain else SEEDS):
            cells = copy.deepcopy(model)
            _on_cells_outside(cells, setting, device, seed)
            if setting.pairs and cells.pair_embed is not None:
                cells.pair_embed = FewerPairs(cells.pair_embed, setting.pairs)  # type: ignore[assignment]
            with on_chip(cells, device, seed) as chip:
                chip.protect(masks_of(chip.held, graph, machine, weights))
                scores = scores_of(cells, data, batch=64)
            found.append(scores.argmax(1) == data.target.numpy())
        return found


def _worth(model: nn.Module) -> dict[str, Tensor]:
    """What each rank is worth, or each output where dense: which are in single-level cells."""
    ranks = rank_scores(model) if low_rank_layers(model) else {}
    return {**magnitude_scores(model), **ranks}


def _outside(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Layers with a matrix outside the blocks, by path."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv1d) and "blocks." not in name:
            yield name, layer


def _of_rank(weight: Tensor, rank: int) -> Tensor:
    """The nearest weight (n, m, ...) of a rank (Eckart-Young)."""
    u, s, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    near: Tensor = (u[:, :rank] * s[:rank]) @ v[:rank]
    return near.reshape(weight.shape)


def _on_cells_outside(model: nn.Module, setting: Setting, device: Device, seed: int) -> None:
    """Round what is outside the blocks and what enters it; read weights from their cells."""
    form = device.crossbar
    for name, layer in _outside(model):
        pair = name.startswith(PAIR_OPS.rstrip("*"))
        layer.weight.data = noisy_weight(
            layer.weight.data,
            not (pair and setting.slc_rates.get(PAIR_OPS, 1.0) == 0),
            noise=device.noise,
            slc_noise=device.slc_noise,
            bits_per_cell=form.mlc_bits,
            slc_bits=form.slc_bits,
            weight_bits=(setting.pair_bits if pair else None) or form.weight_bits,
            clip=device.clip,
            sign=form.sign,
            generator=generator_of(name, seed),
        )
        channels = 1 if isinstance(layer, nn.Conv1d) else -1
        layer.register_forward_pre_hook(partial(_rounded_inputs, device.input_bits, channels))


def _rounded_inputs(bits: int | None, channels: int, _: nn.Module, inputs: Any) -> Tensor:
    """The input of a layer with one scale a token (or pair), whose channels are on that axis."""
    (x,) = inputs
    return quantized_tokens(x.transpose(channels, -1), bits).transpose(channels, -1)
