"""What is executed: a scenario's model with weights, and inputs for each of its requests.

Weights and data are those of the checkpoint, or of a folder with weights; a model known by its
configuration only gets random weights and random inputs, and says so in a note. Texts, images and
jets are cut to the length of the requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hyflexsim.models.cells.on_chip import factors as factors_of
from hyflexsim.models.lowrank import compress
from hyflexsim.models.part.inputs import FEATURES, jet_features
from hyflexsim.models.tensor_files import INDEX_FILE, WEIGHTS_FILE
from hyflexsim.sim import graph as g
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.compression.judged_models import open_checkpoint, open_model
from hyflexsim.workloads.extraction import model_zoo, weights
from hyflexsim.workloads.extraction.extract import extract_program
from hyflexsim.workloads.jets.jets import load_jets
from hyflexsim.workloads.scenario.checkpoints import find_checkpoint, is_scored
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Jets
from hyflexsim.workloads.tasks.catalogue import load_task
from hyflexsim.workloads.values.program import Program

MOST_PARAMETERS = 200_000_000
"""Weights are held in float64 and as codes: 16 bytes each and more."""

Inputs = dict[str, Tensor]
"""By name of the argument of ``forward``, batch 1."""


@dataclass
class Subject:
    """A model with weights and its inputs.

    ``factors``: of a compressed checkpoint, by name of op: (rank, in) and (out, rank).
    ``inputs``: one a request. ``model``: as it is in torch, dense.
    """

    program: Program
    model: nn.Module
    factors: dict[str, list[Tensor]]
    inputs: list[Inputs]
    notes: list[str] = field(default_factory=list)


def open_subject(scenario: Scenario, requests: list[Request], graph: Any, limit: int) -> Subject:
    """The model of a scenario and inputs for its first ``limit`` requests.

    Raises InputError for a scenario whose model is a graph, since a graph has no weights, and for
    more than :data:`MOST_PARAMETERS`.
    """
    size = g.parameters(graph)
    if size > MOST_PARAMETERS:
        raise InputError(
            f"values: a model may have {MOST_PARAMETERS:,} parameters; {graph.graph['name']} has "
            f"{size:,}"
        )
    notes: list[str] = []
    task = tokenizer = None
    factors: dict[str, list[Tensor]] = {}
    if scenario.model.checkpoint is not None:
        folder = find_checkpoint(scenario.model.checkpoint)
        if is_scored(folder):
            opened = open_checkpoint(folder)
            model, task = opened.model, opened.task
        else:
            model = open_model(folder)
        prefix = graph.graph["prefix"]
        for path, layer in compress.low_rank_layers(model).items():
            factors[path.removeprefix(prefix)] = [w.detach() for w in factors_of(layer)]
        compress.expand(model)
    elif scenario.model.name is not None:
        model, tokenizer, task = _named(scenario.model.name, scenario.run.seed, notes)
    else:
        raise InputError("values: model.graph has no weights; give model.name or model.checkpoint")
    extracted = extract_program(model.eval(), None, graph.graph["name"])
    program = Program(extracted)
    for name, data in graph.nodes(data=True):  # ranks and importance, which the export has not
        if name not in extracted.graph:
            raise InputError(f"values: op {name!r} is not in the export of the model")
        extracted.graph.nodes[name].update(data)
    inputs = _Inputs(scenario, task, tokenizer, model, notes, graph.graph.get("source"))
    with torch.no_grad():
        made = [inputs.of(i, request) for i, request in enumerate(requests[:limit])]
    return Subject(program, model, factors, made, sorted(set(notes)))


def _named(name: str, seed: int, notes: list[str]) -> tuple[nn.Module, Any, Any]:
    folder = Path(name)
    held = any((folder / file).is_file() for file in (WEIGHTS_FILE, INDEX_FILE))
    if held and (folder / "config.json").is_file():
        loaded = weights.load(name)
        task = None
        if folder == datasets.folder("stories260k"):
            task = load_task("stories", options={"window": 64, "texts": 4})
        return loaded.model, loaded.tokenizer, task
    short, config = model_zoo.config_of(name)
    notes.append(f"weights of {short} are random (seed {seed}): no checkpoint is named")
    return weights.fresh(short, config, seed).model, None, None


class _Inputs:
    """Makes the inputs of one request after the other."""

    def __init__(
        self,
        scenario: Scenario,
        task: Any,
        tokenizer: Any,
        model: Any,
        notes: list[str],
        source: int | None,
    ):
        self.source = source
        self.scenario, self.task, self.tokenizer = scenario, task, tokenizer
        self.model, self.notes = model, notes
        self.main = getattr(model, "main_input_name", "x")
        self._made: Iterator[Inputs] | None = None

    def of(self, i: int, request: Request) -> Inputs:
        """Inputs of request i: all tokens, or those of the prompt (then 0: not known yet)."""
        if self.main == "x":
            return self._jet(i, request.tokens)
        if self.main == "pixel_values":
            return {"pixel_values": self._image(i)}
        ids = self._ids(i, request.tokens)
        prompt = request.tokens if request.prefill is None else request.prefill
        ids[:, prompt:] = 0
        if self.source is not None:
            return {"decoder_input_ids": ids} | self._beside(i, self.source)
        return {"input_ids": ids}

    def _beside(self, i: int, tokens: int) -> Inputs:
        """What the encoder beside the decoder reads: words, or the spectrum of a sound."""
        if self.main == "input_ids":
            return {"input_ids": self._ids(i + 1, tokens)}
        draw = torch.Generator().manual_seed(self.scenario.run.seed + i)
        config = self.model.config
        frames = 2 * config.max_source_positions
        sound = torch.randn(1, config.num_mel_bins, frames, generator=draw)
        return {self.main: sound.double()}

    def _jet(self, i: int, tokens: int) -> Inputs:
        workload = self.scenario.workload
        features = {len(columns): name for name, columns in FEATURES.items()}
        width = self.model.embed.input_bn.num_features
        if isinstance(workload, Jets) and width in features:
            jets = load_jets(workload.file, workload.classes, workload.count)
            x, v = jet_features(jets.inputs(i), features[width], jets.axis(i))
            made = {"x": torch.from_numpy(x)[None, :, :tokens], "v": torch.from_numpy(v)[None]}
        else:
            self.notes.append("inputs are random: the workload is no jets of known features")
            draw = torch.Generator().manual_seed(self.scenario.run.seed + i)
            momenta = torch.randn(1, 3, tokens, generator=draw) * 20
            energy = momenta.square().sum(1, keepdim=True).sqrt() + 0.1
            made = {
                "x": torch.randn(1, width, tokens, generator=draw),
                "v": torch.cat([momenta, energy], 1),
            }
        if self.model.pair_embed is None:
            del made["v"]
        return {name: value.double() for name, value in made.items()}

    def _image(self, i: int) -> Tensor:
        if self.task is not None:
            batch: Any = next(iter(self.task.batches(i + 1, 0)))
            pixels: Tensor = batch["pixel_values"][i : i + 1]
            return pixels.double()
        self.notes.append("inputs are random: no task gives images")
        config = self.model.config
        draw = torch.Generator().manual_seed(self.scenario.run.seed + i)
        side = config.image_size
        return torch.randn(1, config.num_channels, side, side, generator=draw).double()

    def _ids(self, i: int, tokens: int) -> Tensor:
        if self.task is not None and hasattr(self.task, "test_rows"):
            rows = self.task.test_rows.flatten()
            own: Tensor = rows[i * tokens : (i + 1) * tokens].clone()[None]
            return own
        if self.tokenizer is not None:
            text = datasets.load("pydoc", "test").text[: 200 * tokens * (i + 1)]
            found = self.tokenizer(text, verbose=False, add_special_tokens=True)["input_ids"]
            return torch.tensor(found[i * tokens : (i + 1) * tokens])[None]
        self.notes.append("inputs are random token ids: no task or tokenizer is known")
        draw = np.random.default_rng([self.scenario.run.seed, i])
        return torch.from_numpy(draw.integers(0, self.model.config.vocab_size, (1, tokens)))
