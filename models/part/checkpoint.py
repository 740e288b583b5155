"""A trained ParT in one file: weights and what is needed to build and feed the model.

The file is .safetensors; its metadata holds, under the key `hyflexsim`, a JSON object with
the constructor's arguments, the feature set, the number of leading particles the model was
trained on and its classes. So a checkpoint is enough to run it, and nothing is unpickled.
Published weights have no such metadata: there the caller names the configuration.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.inputs import FEATURES, MAX_PARTICLES
from hyflexsim.models.part.transformer import PART_CONFIGS, ParticleTransformer
from hyflexsim.models.part.weights import load_state_dict_any
from hyflexsim.models.whole_file import whole

KEY, FORMAT = "hyflexsim", "hyflexsim-part-1"


@dataclass(frozen=True)
class PartSpec:
    """How to build and feed a ParT.

    `model` are arguments of ParticleTransformer, `features` a key of FEATURES, `particles` the
    leading particles read (1 ... 128), `classes` the meaning of the logits, in order, `ranges` what
    each feature was in training (feature_ranges.py; None: not known).
    """

    model: dict[str, Any]
    features: str
    particles: int
    classes: tuple[str, ...]
    ranges: dict[str, tuple[float, float]] | None = None

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise ModelError(
                f"features must be one of {', '.join(FEATURES)}; got {self.features!r}"
            )
        width = len(FEATURES[self.features])
        if self.model.get("input_dim") != width:
            raise ModelError(
                f"input_dim must be {width} for features={self.features!r}; "
                f"got {self.model.get('input_dim')!r}"
            )
        if not 1 <= self.particles <= MAX_PARTICLES:
            raise ModelError(f"particles must be 1 ... {MAX_PARTICLES}; got {self.particles}")
        if self.model.get("num_classes") != len(self.classes):
            raise ModelError(
                f"classes must name num_classes={self.model.get('num_classes')!r} classes; "
                f"got {len(self.classes)}"
            )

        if self.ranges is not None:
            self._check_ranges(self.ranges)

    def _check_ranges(self, ranges: dict[str, tuple[float, float]]) -> None:
        names = FEATURES[self.features]
        if set(ranges) != set(names):
            raise ModelError(
                f"ranges must be of the features {', '.join(names)}; got {', '.join(ranges)}"
            )
        for name, (low, high) in ranges.items():
            if not -math.inf < low <= high < math.inf:
                raise ModelError(f"ranges.{name} must be two numbers; got {low!r}, {high!r}")

    def build(self) -> ParticleTransformer:
        """A new model with random weights, in evaluation mode."""
        return ParticleTransformer(**self.model).eval()


def named_spec(
    name: str,
    classes: tuple[str, ...],
    particles: int = MAX_PARTICLES,
    shape: Mapping[str, Any] | None = None,
) -> PartSpec:
    """The spec of one of PART_CONFIGS, for so many classes; `shape` changes its arguments.

    >>> spec = named_spec("part-kin", ("QCD", "Tbqq"))
    >>> spec.features, spec.model["num_classes"]
    ('kin', 2)
    """
    if name not in PART_CONFIGS:
        raise ModelError(f"model must be one of {', '.join(PART_CONFIGS)}; got {name!r}")
    config = {**PART_CONFIGS[name], **(shape or {}), "num_classes": len(classes)}
    unknown = set(config) - set(inspect.signature(ParticleTransformer).parameters)
    if unknown:
        raise ModelError(
            f"shape may set arguments of ParticleTransformer; got {', '.join(sorted(unknown))}"
        )
    features = next(f for f, names in FEATURES.items() if len(names) == config["input_dim"])
    return PartSpec(config, features, particles, tuple(classes))


def save_part(path: str | Path, model: ParticleTransformer, spec: PartSpec) -> Path:
    """Write weights and spec to a .safetensors file, in one step; returns the path."""
    path = Path(path)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    about = json.dumps({"format": FORMAT} | asdict(spec), sort_keys=True)
    with whole(path) as scratch:
        save_file(state, scratch, metadata={KEY: about})
    return path


def load_part(
    path: str | Path, spec: PartSpec | None = None, head_order: str | None = None
) -> tuple[ParticleTransformer, PartSpec]:
    """Model (evaluation mode) and spec of a checkpoint.

    `path` is a file of :func:`save_part`, a folder with such a `model.safetensors`, or any file
    load_state_dict_any reads; then `spec` says what is in it. Raises ModelError, in one line,
    for a file without spec where none is given, a damaged one, weights of another shape.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise ModelError(f"{path}: no such file; a .safetensors, .pt or .pth file is needed")
    spec = _read_spec(path) or spec
    if spec is None:
        raise ModelError(
            f"{path}: does not say what it holds; name the model, one of {', '.join(PART_CONFIGS)}"
        )
    return load_state_dict_any(spec.build(), path, head_order), spec


def _read_spec(path: Path) -> PartSpec | None:
    """The spec in a file's metadata; None if it has none (or is no such file: see the loader)."""
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
        if text is None:
            return None
        about = json.loads(text)
        if about.pop("format") != FORMAT:
            raise ValueError(f"format must be {FORMAT}")
        about["classes"] = tuple(about["classes"])
        about["model"] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in about["model"].items()
        }
        if about.get("ranges") is not None:
            about["ranges"] = {name: tuple(ends) for name, ends in about["ranges"].items()}
        return PartSpec(**about)
    except ModelError:
        raise
    except Exception as error:  # the reader has its own kinds of exception
        raise ModelError(f"{path}: not a ParT checkpoint; {str(error).splitlines()[0]}") from None
