"""What a model's configuration may say: checked before anything is built of it.

A configuration may come from anywhere, and a number in it decides how much memory and time a model
takes before its first weight is there (a layer is a module, a label a word in a table). Limits lie
far above every published model's; keys that a family does not know are told from those that were
meant.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError, shortened
from hyflexsim.sim.regular_file import regular

LAYERS = (
    *("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_cls_layers"),
    *("encoder_layers", "decoder_layers", "num_hidden_groups"),
)
MOST_LAYERS = 1000
LABELS = ("num_labels", "num_classes")
MOST_LABELS = 10**6
LARGEST = 2**27
"""Of any other number: 134 million; the longest context published is 10 million tokens."""
DEEPEST = 16
"""Tables and lists inside each other; four are in use."""
ALIKE = 0.9
"""From which share of equal characters on a key is taken for another one misspelt."""


def read_config(path: Path) -> dict[str, Any]:
    """The content of a ``config.json``; refused by file, key, value and what is allowed."""
    config = read_object(path)
    check_config(str(path), config)
    return config


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises InputError for what is none, and for no such file."""
    try:
        config = json.loads(regular(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: must hold an object; got {type(config).__name__}")
    return config


def check_config(at: str, config: Mapping[str, Any]) -> None:
    """Raise InputError, beginning with ``at``, for a value that no model has.

    >>> check_config("config.json", {"model_type": "bert", "n_layer": 0})
    Traceback (most recent call last):
    hyflexsim.sim.errors.InputError: config.json: n_layer must be an integer from 1 to 1000; got 0
    """
    if not isinstance(config.get("model_type"), str):
        raise InputError(
            f"{at}: key 'model_type' must be a model type such as 'bert'; "
            f"got {shortened(config.get('model_type'))}"
        )
    architectures = config.get("architectures")
    if architectures is not None and not (
        isinstance(architectures, list) and all(isinstance(name, str) for name in architectures)
    ):
        raise InputError(
            f"{at}: architectures must be a list of names; got {shortened(architectures)}"
        )
    for key, value in _numbers(at, config):
        name = key.rpartition(".")[2]
        low, high = -LARGEST, LARGEST
        if name in LAYERS:
            low, high = 1, MOST_LAYERS
        elif name in LABELS:
            low, high = 0, MOST_LABELS
        whole = isinstance(value, int) or name not in (*LAYERS, *LABELS)
        if not (whole and low <= value <= high):
            kind = "a number" if low < 0 else "an integer"
            raise InputError(
                f"{at}: {key} must be {kind} from {low} to {high}; got {shortened(value)}"
            )
    _check_heads(at, config)


def check_keys(at: str, config: Mapping[str, Any], known: Set[str], *, others: bool) -> None:
    """Raise InputError for a key that is not known; with ``others`` only for one that is misspelt.

    Files of other tools carry keys of their own; one that is nearly a known key that the file lacks
    is taken for that key.
    """
    for key in config:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known - config.keys(), n=1, cutoff=ALIKE)
        if near:
            raise InputError(f"{at}: unknown key {key!r}; nearest: {near[0]}")
        if not others:
            raise InputError(f"{at}: unknown key {key!r}; known: {', '.join(sorted(known))}")


def _check_heads(at: str, config: Mapping[str, Any]) -> None:
    """Heads that share keys and values share them evenly."""
    heads, shared = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if not (isinstance(heads, int) and isinstance(shared, int)):
        return
    if shared < 1 or heads % shared:
        raise InputError(
            f"{at}: num_key_value_heads must divide num_attention_heads ({heads}); got {shared}"
        )


def _numbers(at: str, config: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    """All numbers, by dotted key."""
    level: list[tuple[str, Any]] = list(config.items())
    for _ in range(DEEPEST):
        below: list[tuple[str, Any]] = []
        for key, value in level:
            if isinstance(value, dict):
                below += [(f"{key}.{name}", inner) for name, inner in value.items()]
            elif isinstance(value, list):
                below += [(key, inner) for inner in value]
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield key, value
        level = below
    if level:
        raise InputError(f"{at}: objects and lists must be at most {DEEPEST} deep")
