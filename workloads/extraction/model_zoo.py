"""Models known by name: the shapes of published checkpoints, and how to build them empty.

Nothing is downloaded. A model is built from its configuration on torch's *meta* device, where
tensors have a shape and no values, so TinyLlama's 1.1 billion weights cost no memory.

Sources of the values: the ``config.json`` of the checkpoints named beside each entry.
Importing this file imports neither torch nor transformers.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError, shortened
from hyflexsim.workloads.extraction.config_limits import check_config, check_keys, read_config
from hyflexsim.workloads.extraction.quiet import quiet
from hyflexsim.workloads.nearest import nearest

_BERT = {"model_type": "bert", "vocab_size": 30522, "max_position_embeddings": 512}
_LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 2048}

ZOO: dict[str, dict[str, Any]] = {
    "bert-base": _BERT  # google-bert/bert-base-uncased, encoder and pooler
    | {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    | {"intermediate_size": 3072},
    "bert-large": _BERT  # google-bert/bert-large-uncased
    | {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    | {"intermediate_size": 4096},
    "gpt2": {  # openai-community/gpt2, lm_head tied to wte
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
    },
    "distilgpt2": {  # distilbert/distilgpt2
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 6,
        "n_head": 12,
    },
    "tinyllama-1.1b": _LLAMA  # TinyLlama/TinyLlama-1.1B-Chat-v1.0, lm_head of its own
    | {"vocab_size": 32000, "num_hidden_layers": 22, "intermediate_size": 5632}
    | {"num_attention_heads": 32, "num_key_value_heads": 4, "tie_word_embeddings": False}
    | {"max_position_embeddings": 2048},
    "llama-3.2-1b": _LLAMA  # meta-llama/Llama-3.2-1B, lm_head tied to embed_tokens
    | {"vocab_size": 128256, "num_hidden_layers": 16, "intermediate_size": 8192}
    | {"num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": True}
    | {"max_position_embeddings": 131072},
    "vit-base": {  # google/vit-base-patch16-224: 196 patches and a class token, 1000 classes
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "image_size": 224,
        "patch_size": 16,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "num_labels": 1000,
    },
    "mamba-130m": {  # state-spaces/mamba-130m-hf, lm_head tied to embeddings
        "model_type": "mamba",
        "architectures": ["MambaForCausalLM"],
        "vocab_size": 50280,
        "hidden_size": 768,
        "num_hidden_layers": 24,
        "state_size": 16,
        "conv_kernel": 4,
        "expand": 2,
        "time_step_rank": 48,
        "tie_word_embeddings": True,
    },
    "part-full": {"model_type": "part", "published": "part-full"},
    "part-kin": {"model_type": "part", "published": "part-kin"},
    "part-kinpid": {"model_type": "part", "published": "part-kinpid"},
}
"""Configurations by name, as in a checkpoint's config.json.

``architectures`` names the class; without it the bare model (no task head) is built.
``model_type`` "part" stands for :data:`hyflexsim.models.part.transformer.PART_CONFIGS`.
"""


COMMON = ("num_labels", "id2label", "label2id", "architectures", "tie_word_embeddings")
"""Keys that all families know."""
SAID = ("quantization_config",)
"""Keys that have a note of their own (extract.py)."""
BOOKKEEPING = ("model_type", "transformers_version", "torch_dtype", "dtype", "auto_map")
"""Keys of files that say nothing of a model's shape."""


def config_of(name: str | Path) -> tuple[str, dict[str, Any]]:
    """(short name, configuration) of a zoo name or of a path to a ``config.json``.

    A path is anything that ends in ``.json`` or is a directory with a ``config.json`` in it.
    ``{"model_type": "part", "num_layers": 4, ...}`` gives a ParT of other shape (arguments of
    :class:`hyflexsim.models.part.transformer.ParticleTransformer`).

    Raises InputError for an unknown name (listing the nearest) or an unreadable file.

    >>> config_of("gpt2")[1]["n_layer"]
    12
    """
    if isinstance(name, str) and name in ZOO:
        return name, dict(ZOO[name])
    path = Path(name)
    try:
        if path.is_dir() and (path / "config.json").is_file():
            path = path / "config.json"
    except OSError as error:
        raise InputError(f"model: {shortened(str(name))}: {error.strerror}") from None
    if path.suffix == ".onnx":
        raise InputError(
            f"{path}: ONNX is not read; give the model's config.json, a name (see list), or "
            "extract(module, inputs) in Python"
        )
    if path.suffix != ".json":
        near = difflib.get_close_matches(str(name), ZOO, n=3, cutoff=0.4) or sorted(ZOO)
        raise InputError(
            f"model: no model {str(name)!r}; nearest names: {', '.join(near)} "
            "(or give the path of a config.json)"
        )
    config = read_config(path)
    short = path.parent.name if path.name == "config.json" else path.stem
    return short or path.stem, config


def build(name: str, config: dict[str, Any], *, empty: bool = True) -> Any:
    """The torch module of a configuration, in evaluation mode.

    `empty`: on the meta device, shapes without values; else with weights drawn from torch's
    global generator.

    Raises InputError if the model type or a value is not known to transformers or to ParT.
    """
    check_config(name, config)
    import torch  # noqa: PLC0415

    with torch.device("meta" if empty else "cpu"):
        part = config["model_type"] == "part"
        model = _part(name, config) if part else _hf(name, config, empty)
    if config["model_type"] == "mamba" and not empty:
        from hyflexsim.models import mamba_scan  # noqa: PLC0415

        mamba_scan.install()
    return model.eval()


def _part(name: str, config: dict[str, Any]) -> Any:
    from hyflexsim.models.part.transformer import PART_CONFIGS, ParticleTransformer  # noqa: PLC0415

    arguments = {k: v for k, v in config.items() if k not in ("model_type", "published")}
    published = config.get("published")
    if published is not None:
        if not isinstance(published, str) or published not in PART_CONFIGS:
            raise InputError(
                f"{name}: published must be a model; got {shortened(published)}; "
                f"{nearest(str(published), PART_CONFIGS)}"
            )
        arguments = PART_CONFIGS[published] | arguments
    known = inspect.signature(ParticleTransformer).parameters.keys()
    check_keys(name, arguments, set(known), others=False)
    try:
        return ParticleTransformer(**arguments)
    except Exception as error:  # values of any kind, far inside of torch
        raise InputError(f"{name}: {_reason(error, arguments)}") from error


def _hf(name: str, config: dict[str, Any], empty: bool) -> Any:
    import transformers  # noqa: PLC0415

    values = {k: v for k, v in config.items() if k != "model_type"}
    known = transformers.CONFIG_MAPPING
    if config["model_type"] not in known:
        near = difflib.get_close_matches(config["model_type"], list(known), n=3)
        raise InputError(
            f"{name}: model_type {config['model_type']!r} is not known to transformers"
            f"{'; nearest: ' + ', '.join(near) if near else ''}"
        )
    _check_keys(name, config["model_type"], values)
    architecture = (values.get("architectures") or [None])[0]
    cls = getattr(transformers, architecture, None) if architecture else transformers.AutoModel
    if cls is None:
        raise InputError(f"{name}: architecture {architecture!r} is not known to transformers")
    try:
        with quiet(), _no_initialisation() if empty else nullcontext():
            hf_config = transformers.AutoConfig.for_model(config["model_type"], **values)
            _check_class(name, cls, hf_config)
            model = cls.from_config(hf_config) if architecture is None else cls(hf_config)
        model.tie_weights()  # left out together with the initialisation
        if empty:
            _leave_values(model)
        return model
    except InputError:
        raise
    except Exception as error:  # a config of any origin may fail anywhere in any model's code
        raise InputError(
            f"{name}: transformers cannot build it: {_reason(error, values)}"
        ) from error


def _leave_values(model: Any) -> None:
    """Put to the meta device what a model makes elsewhere (``torch.FloatTensor``: XLNet)."""
    import torch  # noqa: PLC0415

    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.is_meta:
                empty = torch.nn.Parameter(parameter.to("meta"), parameter.requires_grad)
                setattr(module, name, empty)


def _check_class(name: str, cls: Any, config: Any) -> None:
    """Refuse an architecture of another family, which would ask for keys that this one has not."""
    wanted = getattr(cls, "config_class", None)
    if wanted is not None and not isinstance(config, wanted):
        raise InputError(
            f"{name}: architectures must be of model_type {config.model_type!r}; {cls.__name__} is "
            f"of {wanted.model_type!r}"
        )


def _reason(error: Exception, values: dict[str, Any]) -> str:
    """What another library says, in one line: where its first one is a heading, the next."""
    if isinstance(error, KeyError):
        given = error.args[0] if error.args else None
        keys = [key for key, value in values.items() if isinstance(value, str) and value == given]
        near = f"; {nearest(str(given), _activations())}" if any("act" in k for k in keys) else ""
        return f"{' and '.join(keys) or 'a key'} {given!r} is not known{near}"
    lines = [line.strip() for line in (str(error).strip() or repr(error)).splitlines()]
    if lines[0].endswith(":") and len(lines) > 1:
        return lines[1].removeprefix("ValueError: ")
    return lines[0]


def _activations() -> list[str]:
    from transformers.activations import ACT2CLS  # noqa: PLC0415

    return list(ACT2CLS)


def _check_keys(name: str, family: str, values: dict[str, Any]) -> None:
    """Refuse keys that are nearly those that the family knows."""
    check_keys(name, values, _known_keys(family), others=True)


def _known_keys(family: str) -> set[str]:
    import transformers  # noqa: PLC0415

    cls = transformers.CONFIG_MAPPING[family]
    known = {*inspect.signature(cls).parameters, *getattr(cls, "attribute_map", ())}
    return known | {key for key in dir(cls) if not key.startswith("_")} | set(COMMON)


def _asked_for(family: str) -> set[str]:
    """Keys that a family's configuration does not name, but its model asks for (DeBERTa's)."""
    import transformers  # noqa: PLC0415

    module = transformers.CONFIG_MAPPING[family].__module__
    spec = find_spec(module.replace("configuration_", "modeling_"))
    if spec is None or spec.origin is None:
        return set()
    source = Path(spec.origin).read_text(encoding="utf-8")
    return set(re.findall(r'getattr\(\s*(?:self\.)?config,\s*"(\w+)"', source))


def unknown_keys(config: Mapping[str, Any]) -> list[str]:
    """Keys of a configuration that its family does not know, in order; bookkeeping is left out.

    >>> unknown_keys({"model_type": "bert", "hidden_size": 8, "made_by": "me", "_name": "x"})
    ['made_by']
    """
    if config["model_type"] == "part":
        return []
    family = config["model_type"]
    known = _known_keys(family) | {*BOOKKEEPING, *SAID} | _asked_for(family)
    return sorted(key for key in config if key not in known and not key.startswith("_"))


@contextmanager
def _no_initialisation() -> Iterator[None]:
    """Meta tensors have no values to initialise; skipping that saves seconds."""
    from transformers import initialization  # noqa: PLC0415

    with initialization.no_init_weights():
        yield
