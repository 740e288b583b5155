"""Compressed models on disk: a folder with model.safetensors (or shards of it) and ranks.json.

The weights are plain tensors, the ranks are readable text, and nothing in either is executed: a
pickled checkpoint is refused. A folder is read into the dense model of the same architecture,
whose layers then become those that the folder describes.

Left out: optimisers, learned thresholds (truncate first), quantised codes.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.adapted import AdaptedLinear
from hyflexsim.models.lowrank.compress import replace
from hyflexsim.models.lowrank.layers import (
    LowRankLinear,
    SplitLinear,
    bias_of,
    check_weight,
    dense_layer,
    inherit,
    is_linear,
    linear_weight,
    rank_of,
)
from hyflexsim.models.lowrank.ranks_file import FORMAT, RANKS_FILE, ranks_text
from hyflexsim.models.tensor_files import INDEX_FILE, SHARDS, WEIGHTS_FILE, TensorFiles
from hyflexsim.models.whole_file import whole

HOST_FILE = "host.json"
"""What may lie beside these two: how long the job took that wrote them."""


def save_compressed(
    model: nn.Module,
    path: str | Path,
    *,
    scores: Mapping[str, Mapping[str, Tensor]] | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write folder `path`: model.safetensors (all parameters and buffers) and ranks.json.

    `scores`: a value a rank, by name of the score ("gradient-mean") and path; nine digits are
    kept. `about`: anything else worth keeping, in plain JSON values. ranks.json: `format`, `model`
    (class), `layers` {path: m, n, rank, bias, folded, transposed, scores {name: list}}, `split`
    {path of a fused layer: names, transposed, outputs}, `adapted` {path of a dense layer: rank of
    the change beside it}, `tied` {name: the name that holds its
    values}, `about`. A checkpoint of this kind at `path` is replaced; the folder appears whole or
    not at all.

    Raises ModelError if no layer is factorised or adapted, one still has a learned threshold, a
    weight is not finite, scores do not fit, `about` is not JSON, or `path` is something else.
    """
    path = Path(path)
    state, tied = _untied(model)
    text = ranks_text(model, tied, scores=scores, about=about)
    for name, value in state.items():
        check_weight(value, name)
    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as scratch:
        scratch.mkdir()
        save_file(state, scratch / WEIGHTS_FILE)
        (scratch / RANKS_FILE).write_text(text, encoding="utf-8")
        if path.exists():
            shutil.rmtree(path)


def check_target(path: str | Path) -> None:
    """Raise ModelError unless :func:`save_compressed` may write folder `path`.

    It is new, empty, or a checkpoint to be replaced.
    """
    path = Path(path)
    if not path.name or path.name == "..":
        raise ModelError(f"a checkpoint must have a folder's name; got {str(path)!r}")
    if path.is_file():
        raise ModelError(f"{path}: must be a folder; got a file")
    ours = {WEIGHTS_FILE, INDEX_FILE, RANKS_FILE, HOST_FILE}
    if path.exists() and not all(p.name in ours or p.match(SHARDS) for p in path.iterdir()):
        raise ModelError(f"{path}: must be a new folder or a checkpoint to replace")


def read_ranks(path: str | Path) -> dict[str, Any]:
    """ranks.json of a checkpoint folder, see :func:`save_compressed`.

    `about`, `adapted` and a layer's `scores` are {} where absent. Raises ModelError for a missing,
    unreadable or foreign file, and for scores that are not lists of finite numbers, one a rank.
    """
    file = Path(path) / RANKS_FILE
    try:
        if not file.is_file():  # a device may have no end
            raise FileNotFoundError
        entry = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(
            f"{path}: must be a folder with {WEIGHTS_FILE} and {RANKS_FILE} (pickled checkpoints "
            "are not read)"
        ) from None
    except ValueError as error:
        raise ModelError(f"{file}: not a JSON file ({error})") from None
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        got = entry.get("format") if isinstance(entry, dict) else type(entry).__name__
        raise ModelError(f"{file}: format must be {FORMAT!r}; got {got!r}")
    for key in ("about", "adapted"):
        entry.setdefault(key, {})
    for key in ("layers", "split", "adapted", "tied", "about"):
        if not isinstance(entry.get(key), dict):
            raise ModelError(f"{file}: key {key!r} must be an object")
    for name, layer in entry["layers"].items():
        if not isinstance(layer, dict):
            raise ModelError(f"{file}: layers.{name} must be an object")
        _check_scores(f"{file}: layers.{name}", layer)
    return entry


def load_compressed(model: nn.Module, path: str | Path) -> nn.Module:
    """Make the dense `model` the compressed one of a checkpoint folder, in place; returns it.

    `model`: the same architecture, any weights. Nothing in the files is executed. Raises
    ModelError for an unreadable file, a layer the model lacks, wrong shapes, missing or unknown
    keys, NaN or infinity, before the model is touched.
    """
    entry = read_ranks(path)
    files = TensorFiles(path)
    file = files.files[0] if len(files.files) == 1 else Path(path) / INDEX_FILE
    state = {name: files.read(name) for name in files.names}
    for name, value in state.items():
        check_weight(value, f"{file}: {name}")
    for name, source in entry["tied"].items():
        if not isinstance(source, str) or source not in state:
            raise ModelError(f"{file}: lacks key {source}, to which {name} is tied")
        state[name] = state[source]
    swaps = _empty_layers(model, entry, Path(path) / RANKS_FILE)
    expected = _expected_shapes(model, swaps)
    for what, keys in (
        ("lacks", sorted(expected.keys() - state.keys())),
        ("has unknown", sorted(state.keys() - expected.keys())),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(f"{file}: {what} key {keys[0]}{more}; it needs this model's names")
    for key, value in state.items():
        if value.shape != expected[key]:
            raise ModelError(
                f"{file}: {key} must have shape {tuple(expected[key])}; got {tuple(value.shape)}"
            )
    replace(model, swaps)
    model.load_state_dict(state)
    return model


def _check_scores(where: str, layer: dict[str, Any]) -> None:
    scores = layer.setdefault("scores", {})
    if not isinstance(scores, dict):
        raise ModelError(f"{where}.scores must be an object")
    for name, values in scores.items():
        numbers = isinstance(values, list) and all(
            type(value) in (int, float) and math.isfinite(value) for value in values
        )
        if not numbers or len(values) != layer.get("rank"):
            raise ModelError(
                f"{where}.scores.{name} must be a list of finite numbers, one a rank "
                f"({layer.get('rank')})"
            )


def _untied(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state dict without names that share another's tensor, and whose they share."""
    state: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    for name, value in model.state_dict().items():
        key = (value.data_ptr(), value.shape, value.stride())
        if value.numel() and key in first:
            tied[name] = first[key]
            continue
        first[key] = name
        state[name] = value.detach().clone().contiguous()
    return state, tied


def _empty_layers(model: nn.Module, entry: dict[str, Any], file: Path) -> dict[str, nn.Module]:
    """Modules of the shapes a checkpoint describes, their values not yet filled in."""
    dense = {path: m for path, m in model.named_modules() if is_linear(m)}
    pieces: dict[str, tuple[nn.Module, int]] = {}  # a fused layer and the outputs of its part
    layers: dict[str, nn.Module] = {}
    swaps: dict[str, nn.Module] = {}
    try:
        for path, about in entry["split"].items():
            like = _original(dense, path, file)
            outputs, n = sum(about["outputs"]), linear_weight(like).shape[0]
            if outputs != n or min(about["outputs"]) < 1:
                raise ModelError(f"{file}: {path} has {outputs} outputs; the model {n}")
            for name, n in zip(about["names"], about["outputs"], strict=True):
                pieces[f"{path}.{name}"] = (like, n)
        for path, about in entry["layers"].items():
            like, outputs = pieces.get(path) or (_original(dense, path, file), 0)
            n = outputs or linear_weight(like).shape[0]
            layers[path] = _empty_layer(like, n, about, f"{file}: {path}")
        for path, about in entry["split"].items():
            like = _original(dense, path, file)
            made: dict[str, nn.Module] = {}
            for name, n in zip(about["names"], about["outputs"], strict=True):
                w = linear_weight(like)
                bias = None if bias_of(like) is None else w.new_zeros(n)
                blank = inherit(like, dense_layer(w.new_zeros(n, w.shape[1]), bias, False))
                made[name] = layers.pop(f"{path}.{name}", blank)
            swaps[path] = SplitLinear(made, transposed=about["transposed"]).train(like.training)
        adapted = {
            path: AdaptedLinear(_original(dense, path, file), rank, f"{file}: adapted.{path}")
            for path, rank in entry["adapted"].items()
        }
        return swaps | layers | adapted
    except ModelError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"{file}: broken entry; {type(error).__name__} {error}") from None


def _empty_layer(
    like: nn.Module, outputs: int, about: Mapping[str, Any], name: str
) -> LowRankLinear:
    """Factors of zeros in place of a dense layer, or of the part of one with so many outputs."""
    w = linear_weight(like)
    m, n, rank = int(about["m"]), int(about["n"]), int(about["rank"])
    if (m, n) != (w.shape[1], outputs):
        raise ModelError(f"{name} is {m} x {n}; the model has {w.shape[1]} x {outputs}")
    rank_of(torch.empty(0), m, n, rank, name)
    layer = LowRankLinear(
        w.new_zeros(n, rank),
        None if about["folded"] else w.new_zeros(rank),
        w.new_zeros(m, rank),
        w.new_zeros(n) if about["bias"] else None,
        transposed=bool(about["transposed"]),
    )
    return inherit(like, layer)


def _original(dense: Mapping[str, nn.Module], path: str, file: Path) -> nn.Module:
    if path not in dense:
        raise ModelError(f"{file}: the model has no dense linear layer {path!r}")
    return dense[path]


def _expected_shapes(model: nn.Module, swaps: Mapping[str, nn.Module]) -> dict[str, torch.Size]:
    shapes = {
        key: value.shape
        for key, value in model.state_dict().items()
        if key.rpartition(".")[0] not in swaps
    }
    for path, layer in swaps.items():
        shapes |= {f"{path}.{key}": value.shape for key, value in layer.state_dict().items()}
    return shapes
