"""From a torch model to a workload graph, symbolic in the token count.

``extract("bert-base")`` builds the model without weights, exports it once and reads the export::

    model_zoo.py          name or config.json -> torch module on the meta device
    attention_capture.py  torch module -> exported program, one node an attention
    read_export.py        exported program -> ops and flows (flowing.py), operators in read_ops.py
                          (products, attention), read_positions.py (scores of distances) and
                          read_wires.py (choices, pooling)
    fold.py               ops -> graph in the vocabulary of hyflexsim.sim.graph
    repeats.py            layers that are alike: three of them are exported
    unrolling.py          ... and the graph of all of them follows from theirs

What the numbers of an op mean, beyond the vocabulary:

- ``width`` of QK^T, softmax and score bias: ``heads``, for each token of context; of PV: heads
  times head dimension.
- ``elements``: results of an op per token (per token of context where it has one), except
  ``conv1d`` (channels times taps) and ``pair_features`` (the two four-vectors that enter).
- ``weight``: name of the parameter in the state dict without the graph attribute ``prefix``;
  ``[a:b]`` are the output columns a to b - 1 of a fused projection. Where the checkpoint keeps
  heads one after the other, each with its q, k, v, ``[a:b] of each c``.
- ``name@cls``: the same weights once more, on the class token; ``name@table``: on a table.

Results are cached as JSON, so only the first call for a model needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx

from hyflexsim.sim import cache as kept
from hyflexsim.sim import graph as vocabulary
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.flowing import Flow, Op, Sizes
from hyflexsim.workloads.extraction.model_zoo import ZOO
from hyflexsim.workloads.extraction.quantised_weights import said_of
from hyflexsim.workloads.extraction.unreached import named, refuse_unreached, unreached

Shape = tuple[int | str, ...]

SOURCE = 128
"""Tokens of an encoder's input beside a decoder, until ``with_source`` says otherwise."""

__all__ = ["ZOO", "extract"]

TRAINED = ("*",)
"""What a checkpoint leaves out: whatever its training did not reach either."""


def extract(
    model: str | Path | Any,
    *,
    inputs: Mapping[str, Shape] | None = None,
    name: str | None = None,
    leave_out: Sequence[str] = (),
    cache: bool = True,
) -> nx.DiGraph:
    """The workload graph of a model.

    ``model``: a name in :data:`ZOO`, the path of a ``config.json`` (transformers, or
    ``"model_type": "part"`` for a Particle Transformer of other shape), or a torch module.
    ``inputs``: for a torch module other than transformers' and ParT: the shape of each argument
    of ``forward``, "N" for the token axis, such as ``{"x": (1, "N", 64)}`` (float32; int64 if
    two-dimensional). ``name``: the graph's, by default the model's. ``leave_out``: patterns of
    modules that the forward pass need not reach (``vision_tower``, ``*``). ``cache``: read and
    write ``sim/cache.py``; torch modules are never cached.

    The graph has attributes ``causal``, ``family`` (model type), ``prefix`` (of the base model in
    parameter names), ``vocab`` where there is one, ``tokens`` where the length is fixed (ViT: 197),
    ``positions`` and ``source_positions`` where a table of positions has so many rows,
    ``unused_parameters`` and ``unreached`` (of modules that the forward pass does not reach, in all
    and by path; none in the zoo) and ``notes`` (what was simplified). Of several results of
    ``forward`` the last is the output (BERT: the pooled token).

    Raises InputError for an unknown name, a broken configuration, an operator outside the
    vocabulary, naming the operator and the path of its module, and for modules that the forward
    pass does not reach and ``leave_out`` does not name.

    >>> g = extract("bert-base")                                        # doctest: +SKIP
    >>> vocabulary.parameters(g), sum(vocabulary.macs(g, 128).values())   # doctest: +SKIP
    (109482240, 11174215680)
    """
    if not isinstance(model, str | Path):
        if not hasattr(model, "named_modules"):
            raise InputError(
                "model must be a name, the path of a config.json or a torch module; "
                f"got {type(model).__name__}"
            )
        graph = _extract(model, inputs, name or type(model).__name__)
        refuse_unreached(graph.graph["name"], graph.graph["unreached"], leave_out)
        return graph
    short, config = model_zoo.config_of(model)
    if inputs is not None:
        raise InputError(f"{short}: inputs may be given for a torch module only")
    return extract_config(name or short, config, leave_out=leave_out, cache=cache)


def extract_config(
    short: str,
    config: Mapping[str, Any],
    *,
    leave_out: Sequence[str] = (),
    adapted: Mapping[str, int] | None = None,
    cache: bool = True,
) -> nx.DiGraph:
    """The graph of a configuration, called ``short``; cached and refused as by :func:`extract`.

    ``adapted``: ranks of changes beside dense layers, by path (models/lowrank/adapted.py). Raises
    ModelError where these do not fit the model.
    """
    key = f"graph-{_key(short, config, adapted or {})}"
    graph = _load(key) if cache else None
    if graph is None:
        model = model_zoo.build(short, dict(config))
        if adapted:
            from hyflexsim.models.lowrank.adapted import adapt  # noqa: PLC0415

            adapt(model, adapted)
        graph = _extract_layers(model, short)
        unknown = model_zoo.unknown_keys(config)
        if unknown:
            graph.graph["notes"].append(
                f"keys that the configuration of {config['model_type']} does not name: "
                f"{', '.join(unknown)}"
            )
        if cache:
            kept.keep(key, vocabulary.dumps(graph).encode())
    refuse_unreached(short, graph.graph["unreached"], leave_out)
    return graph


class Extracted(NamedTuple):
    """A graph with the exported program it was read from.

    ``ops``: of the graph, by name, each with the nodes it computes; ``output``: what leaves,
    by the node ``leaving``; ``sizes``: which shapes count tokens; ``sources``: inputs of an encoder
    beside a decoder.
    """

    graph: nx.DiGraph
    program: Any
    ops: dict[str, Op]
    output: Flow
    leaving: Any
    sizes: Sizes
    sources: frozenset[str]


def _extract(model: Any, inputs: Mapping[str, Shape] | None, name: str) -> nx.DiGraph:
    return extract_program(model, inputs, name).graph


def _extract_layers(model: Any, name: str) -> nx.DiGraph:
    """The graph of a model that may be changed meanwhile: of layers that are alike three are
    exported, and the rest follows from them (repeats.py, unrolling.py); else all are.
    """
    from hyflexsim.workloads.extraction import repeats, unrolling  # noqa: PLC0415

    runs = repeats.runs_of(model)
    if not runs:
        return _extract(model, None, name)
    try:
        with repeats.shortened(model, runs):
            graph = _read(model, None, name).graph
            left_over = _values(model) - vocabulary.parameters(graph)
        for run in runs:
            graph = unrolling.unroll(graph, run)
        if _values(model) - vocabulary.parameters(graph) != left_over:
            raise unrolling.UnlikeError("parameters")
    except (InputError, unrolling.UnlikeError):  # read whole, or refused by the layer in question
        return _extract(model, None, name)
    vocabulary.validate(graph)
    _account(graph, model)
    return graph


def extract_program(model: Any, inputs: Mapping[str, Shape] | None, name: str) -> Extracted:
    """The graph of a torch module and how its ops are computed; refused as by :func:`extract`.

    A module with weights gives a program with weights.
    """
    extracted = _read(model, inputs, name)
    _account(extracted.graph, model)
    return extracted


def _read(model: Any, inputs: Mapping[str, Shape] | None, name: str) -> Extracted:
    """The same without what compares the graph with the model's parameters."""
    from hyflexsim.workloads.extraction import (  # noqa: PLC0415
        attention_capture,
        family_patches,
        fold,
    )
    from hyflexsim.workloads.extraction.read_export import Reader  # noqa: PLC0415
    from hyflexsim.workloads.extraction.read_ops import HANDLERS  # noqa: PLC0415

    base = getattr(model, "base_model_prefix", "")
    prefix = f"{base}." if base and hasattr(model, base) else ""
    exported = attention_capture.export(model, inputs, name)
    reader = Reader(exported, model, prefix, HANDLERS)
    try:
        reader.read()
        flows = [v for v in reader.outputs if isinstance(v, Flow)]
        if not flows:
            raise InputError("forward must return a tensor that depends on the input tokens")
        output = next((f for f in reversed(flows) if f.axis != "source"), flows[-1])
        ops = fold.live(reader.ops, [output])
        fold.merge_rotary(ops)
        ops = fold.live(ops, [output])
        ops = fold.split_projections(fold.fold_scales(ops))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    config = getattr(model, "config", None)
    attributes: dict[str, Any] = {
        "causal": _causal(ops),
        "family": getattr(config, "model_type", "part" if "part" in type(model).__module__ else ""),
        "prefix": prefix,
        "notes": sorted(set(reader.notes)),
    }
    if family_patches.rotary_by_length(model):
        attributes["notes"].append(
            "rotary frequencies change with the length (rope_scaling); here they are those of "
            "inputs no longer than in training, which takes as much time and energy"
        )
    vocab = getattr(config, "vocab_size", None)
    if isinstance(vocab, int):
        attributes["vocab"] = vocab
    if reader.sizes.fixed is not None:
        attributes["tokens"] = reader.sizes.fixed
    keys = {"sequence": "positions", "source": "source_positions"}
    for axis, limit in reader.positions.items():
        if axis in keys:
            attributes[keys[axis]] = limit
    if exported.sources:
        fixed_source = reader.sizes.fixed_source
        attributes["source"] = fixed_source or min(SOURCE, reader.positions.get("source", SOURCE))
        attributes["source_fixed"] = fixed_source is not None
    graph = fold.build(name, ops, output, **attributes)
    graph.graph["unreached"] = unreached(model, exported.program, output.op.nodes[-1])
    by_name = {op.name: op for op in ops if op.kind != "cat"}
    leaving = reader.leaving[reader.outputs.index(output)]
    return Extracted(
        graph, exported.program, by_name, output, leaving, reader.sizes, exported.sources
    )


def _values(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def _account(graph: nx.DiGraph, model: Any) -> None:
    """Say in the graph what of the model is not in it."""
    total, left = _values(model), graph.graph["unreached"]
    unused = total - vocabulary.parameters(graph)
    if unused < 0:  # not the user's to mend
        raise RuntimeError(f"{graph.graph['name']}: {-unused} parameters counted twice")
    graph.graph["unused_parameters"] = unused
    if unused:
        where = f" ({named(left)})" if left else ""
        graph.graph["notes"].append(
            f"{unused:,} of {total:,} parameters are of parts that the forward pass does not "
            f"reach{where}: they are not on the chip"
        )
    quantised = getattr(getattr(model, "config", None), "quantization_config", None)
    if quantised is not None:
        graph.graph["notes"].append(said_of(quantised))


def _causal(ops: list[Op]) -> bool:
    """Whether tokens see only earlier ones (and an encoder's): attention, or scans alone."""
    looking = [op.attributes for op in ops if op.kind == "matmul" and op.axis != "source"]
    beside = [a for a in looking if a["context"] != "source"]
    back = all(a["context"] == "prefix" or a.get("ahead") == 0 for a in beside)
    return back and (bool(beside) or any(op.kind == "scan" for op in ops))


# -- cache ----------------------------------------------------------------------------------------


def _key(short: str, config: Mapping[str, Any], adapted: Mapping[str, int]) -> str:
    """Hash of all that determines a graph: name, configuration, changes beside its layers, our
    code, torch, transformers."""
    here = Path(__file__).parent
    sources = ["extract", "fold", "read_export", "read_ops", "read_wires", "flowing", "model_zoo"]
    sources += ["read_experts", "read_positions", "written_attention", "family_patches", "repeats"]
    sources += ["unrolling", "attention_capture", "unreached", "quantised_weights"]
    files = [here / f"{stem}.py" for stem in sources]
    files += [
        Path(vocabulary.__file__).with_name(f"{stem}.py")
        for stem in ("graph", "vocabulary", "routing")
    ]
    if config["model_type"] == "part":
        files += _of_models("part/*.py")
    if adapted:
        files += _of_models("lowrank/adapted.py")
    digest = hashlib.sha256(json.dumps([short, config, adapted], sort_keys=True).encode())
    for package in ("torch", "transformers"):
        digest.update(metadata.version(package).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def _of_models(pattern: str) -> list[Path]:
    """Files of the package of models, which is not imported, since that takes seconds."""
    from importlib.util import find_spec  # noqa: PLC0415

    spec = find_spec("hyflexsim.models")
    if spec is None or not spec.submodule_search_locations:
        return []
    return sorted(Path(next(iter(spec.submodule_search_locations))).glob(pattern))


def _load(key: str) -> nx.DiGraph | None:
    content = kept.read(key)
    try:
        return None if content is None else vocabulary.loads(content, key)
    except InputError:
        return None
