"""Which ranks of a checkpoint's matrices are protected: from the file to the placement, and back.

::

    checkpoint, selection --scores--> graph (importance) --place--> regions --> masks of the model

"gradient" (|dL/dσ|, mean over the last epoch of fine-tuning; "gradient-last": of its last batch, as
released), "rank" (largest singular values) or "magnitude": the paper's comparison without SVD, so
the same function is multiplied out into dense matrices whose outputs of largest norm are protected.
"saliency" is ours: σ |dL/dσ|, the change of the loss by a relative error of the rank, which is what
multiplicative noise makes. Outputs of layers that the checkpoint keeps dense are chosen by norm.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch import Tensor, nn

from hyflexsim.models.cells.broken import Broken, Damage
from hyflexsim.models.cells.on_chip import matrices
from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.models.lowrank.layers import LowRankLinear, linear_weight
from hyflexsim.models.lowrank.redistribution import magnitude_scores, rank_scores
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.broken_cells import ON, broken_cells
from hyflexsim.sim.placement.cells import factor_regions
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.placement.weight import Weight
from hyflexsim.workloads.extraction.extract import TRAINED, extract_config
from hyflexsim.workloads.extraction.ranks import with_ranks
from hyflexsim.workloads.scenario.checkpoints import read_about

SELECTS = ("gradient", "gradient-last", "rank", "saliency", "magnitude")
"""Ways to choose the ranks that are protected."""

_COLUMNS = re.compile(r"\[(\d+):(\d+)\](?: of each (\d+))?$")


def rank_scores_of(model: nn.Module, checkpoint: Path, select: str) -> dict[str, Tensor]:
    """Scores to choose protected ranks by, (r,) by path; of outputs (n,) where a layer is dense.

    `model`: as :func:`prepared` for that selection.
    """
    scores = magnitude_scores(model)
    if select == "magnitude":
        return scores
    sigma = rank_scores(model)
    scores |= sigma
    if select == "rank":
        return scores
    stored = "gradient" if select == "saliency" else select
    for path, layer in read_ranks(checkpoint)["layers"].items():
        if stored not in layer.get("scores", {}):
            raise InputError(f"{checkpoint}: ranks.json has no scores {stored!r} of {path}")
        gradient = torch.tensor(layer["scores"][stored])
        scores[path] = gradient * sigma[path] if select == "saliency" else gradient
    return scores


@contextmanager
def prepared(model: nn.Module, select: str) -> Iterator[nn.Module]:
    """The model that goes on cells: as it is, or multiplied out for selection by magnitude."""
    if select == "magnitude":
        yield low_rank.expand(copy.deepcopy(model))
    else:
        yield model


def protected_graph(model: nn.Module, checkpoint: Path, select: str) -> nx.DiGraph:
    """The graph of a checkpoint's model as :func:`prepared`, with what its ranks are worth.

    Raises InputError for scores that the checkpoint does not have.
    """
    about = read_about(checkpoint)
    graph = extract_config(about["recipe"]["name"], about["config"], leave_out=TRAINED)
    return with_importance(graph, model, rank_scores_of(model, checkpoint, select))


def with_importance(
    graph: nx.DiGraph, model: nn.Module, scores: Mapping[str, Tensor]
) -> nx.DiGraph:
    """A copy of a dense graph with the ranks of a model, and the scores (by path) of its matrices.

    Raises InputError for a matrix without scores, and one that the graph does not have.
    """
    layers = matrices(model)
    ranks = {
        _op(graph, path): layer.rank
        for path, layer in layers.items()
        if isinstance(layer, LowRankLinear)
    }
    result = with_ranks(graph, ranks)
    for path in layers:
        if path not in scores:
            raise InputError(f"{path}: no scores to choose protected ranks by")
        for op, columns in ops_of(result, path):
            chosen = scores[path] if columns is None else scores[path][columns]
            result.nodes[op]["importance"] = chosen.double().tolist()
    return result


def masks_of(
    layers: Mapping[str, nn.Module], graph: nx.DiGraph, chip: Chip, weights: Mapping[str, Weight]
) -> dict[str, list[Tensor]]:
    """What of each matrix lies in SLC, by path: a mask a factor, as the weights were placed.

    `layers`: the model's matrices by path. It goes into
    :meth:`hyflexsim.models.cells.on_chip.Chip.protect`. Raises InputError for a matrix that the
    graph does not have, or has in another number of factors.
    """
    by_op = {op: weight for weight in weights.values() for op in weight.ops}
    masks: dict[str, list[Tensor]] = {}
    for path, layer in layers.items():
        sizes = _sizes(layer)
        found = [torch.zeros(size, dtype=torch.bool) for size in sizes]
        for op, columns in ops_of(graph, path):
            factors = factor_regions(chip, by_op[op])
            if len(factors) != len(sizes):
                raise InputError(
                    f"{op} is placed in {len(factors)} factors, {path} has {len(sizes)}"
                )
            for mask, areas, axis in zip(found, factors, ("outputs", "inputs"), strict=False):
                for area in areas:
                    if area.mode == "slc":
                        places = torch.tensor(getattr(area, axis))
                        mask[places if columns is None else columns[places]] = True
        masks[path] = found
    return masks


def damage_of(
    layers: Mapping[str, nn.Module], graph: nx.DiGraph, placement: Placement
) -> dict[str, Damage]:
    """What the placement says is broken of each matrix, by path; those without are left out.

    Of several copies the first counts. It goes into
    :meth:`hyflexsim.models.cells.on_chip.Chip.break_cells`.
    """
    found: dict[str, Damage] = {}
    for path in layers:
        broken: dict[tuple[int, bool], list[Broken]] = {}
        for op, columns in ops_of(graph, path):
            last = len(_sizes(layers[path])) - 1
            for cell in broken_cells(placement, op):
                if cell.copy:
                    continue
                fused = columns is not None and cell.factor == last
                output = int(columns[cell.output]) if fused else cell.output  # type: ignore[index]
                broken.setdefault((cell.factor, cell.mode == "slc"), []).append(
                    Broken(cell.tile, cell.input, output, cell.slice, cell.state == ON, cell.pair)
                )
        if broken:
            found[path] = broken
    return found


def ops_of(graph: nx.DiGraph, path: str) -> list[tuple[str, Tensor | None]]:
    """The ops of a matrix by its path in the model, each with the outputs it has (None: all).

    A fused projection that is one matrix in the model is several ops of the graph. Ops that
    share a weight (``@cls``) lie in the same cells: one stands for them.
    """
    name = _op(graph, path)
    if name in graph:
        return [(name, None)]
    parts = [
        op
        for op, kind in graph.nodes(data="kind")
        if kind == "gemv" and op.startswith(f"{name}.") and "@" not in op
    ]
    if not parts:
        raise InputError(f"{path}: the graph of {graph.graph['name']!r} has no such matrix")
    widths = {op: graph.nodes[op]["cols"] for op in parts}
    return [(op, _columns(graph.nodes[op]["weight"], sum(widths.values()))) for op in parts]


def _columns(weight: str, size: int) -> Tensor:
    """Outputs that ``name[a:b]`` or ``name[a:b] of each c`` is of a matrix with ``size`` of them.

    >>> _columns("c_attn.weight[2:4] of each 6", 12).tolist()
    [2, 3, 8, 9]
    """
    cut = _COLUMNS.search(weight)
    assert cut is not None, weight
    first, last, period = int(cut[1]), int(cut[2]), int(cut[3] or size)
    numbers = torch.arange(size)
    return numbers[(numbers % period >= first) & (numbers % period < last)]


def _op(graph: nx.DiGraph, path: str) -> str:
    return path.removeprefix(graph.graph.get("prefix", ""))


def _sizes(layer: Any) -> list[int]:
    """Length of the mask of each factor."""
    if isinstance(layer, LowRankLinear):
        return [layer.rank, layer.rank]
    return [linear_weight(layer).shape[0]]
