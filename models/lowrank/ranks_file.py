"""ranks.json of a compressed checkpoint: what of a model is factorised, as readable text.

It is made of the model alone, whose layers may be without values (torch's meta device), so that the
weights of a model that is larger than the memory can be written beside it one by one. How it is
read: checkpoint.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.adapted import adapted_ranks
from hyflexsim.models.lowrank.compress import low_rank_layers
from hyflexsim.models.lowrank.layers import LowRankLinear, SplitLinear, check_weight, linear_weight

RANKS_FILE, FORMAT = "ranks.json", "hyflexsim-lowrank-2"


def ranks_text(
    model: nn.Module,
    tied: Mapping[str, str],
    *,
    scores: Mapping[str, Mapping[str, Tensor]] | None = None,
    about: Mapping[str, Any] | None = None,
) -> str:
    """ranks.json of a model, which may be without values, as ``save_compressed`` describes it.

    Raises ModelError if no layer is factorised or adapted, one still has a learned threshold,
    scores do not fit, or `about` is not JSON.
    """
    layers, adapted = low_rank_layers(model), adapted_ranks(model)
    if not layers and not adapted:
        raise ModelError(f"{type(model).__name__} has no factorised layers; compress it first")
    for name, layer in layers.items():
        if type(layer) is not LowRankLinear:
            raise ModelError(f"{name}: its threshold must be truncated before it can be saved")
    entries = {name: _layer_entry(layer) for name, layer in layers.items()}
    for score, by_path in (scores or {}).items():
        for name, values in by_path.items():
            if name not in layers or values.shape != (layers[name].rank,):
                raise ModelError(
                    f"score {score} of {name} must be of a factorised layer, one value a rank; "
                    f"got shape {tuple(values.shape)}"
                )
            check_weight(values, f"score {score} of {name}")
            entries[name]["scores"][score] = [float(f"{value:.9g}") for value in values.tolist()]
    entry = {
        "format": FORMAT,
        "model": type(model).__name__,
        "layers": entries,
        "split": {
            p: _split_entry(m) for p, m in model.named_modules() if isinstance(m, SplitLinear)
        },
        "adapted": adapted,
        "tied": dict(tied),
        "about": dict(about or {}),
    }
    try:
        return json.dumps(entry, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ModelError(f"about must hold plain JSON values; {error}") from None


def _layer_entry(layer: LowRankLinear) -> dict[str, Any]:
    return {
        "m": layer.in_features,
        "n": layer.out_features,
        "rank": layer.rank,
        "bias": layer.bias is not None,
        "folded": layer.sigma is None,
        "transposed": layer.transposed,
        "scores": {},
    }


def _split_entry(layer: nn.Module) -> dict[str, Any]:
    assert isinstance(layer, SplitLinear)
    outputs = [linear_weight(part).shape[0] for part in layer.parts()]
    return {"names": list(layer.names), "outputs": outputs, "transposed": layer.transposed}
