"""Which weights are read, and how to convert the others: .safetensors and nothing else.

A pickled file may run code when it is opened, so none is; what is refused comes with the command
that makes .safetensors of it (of pickles: unpickle.py).
"""

from __future__ import annotations

import shlex
from pathlib import Path

from hyflexsim.sim.errors import InputError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
OTHERS = {
    ".gguf": "GGUF",
    ".onnx": "ONNX",
    ".h5": "Keras",
    ".msgpack": "Flax",
    ".npz": "NumPy",
    ".tflite": "TensorFlow Lite",
}
"""Formats by the end of a file's name, beside pickles."""
ADAPTER = "adapter_config.json"
"""What a folder of PEFT has, whose weights are changes to those of another model."""


def looks_like_weights(name: str) -> bool:
    """Whether it is a folder, or a file of weights in any format, there or not.

    >>> looks_like_weights("model.gguf"), looks_like_weights("vit-digits")
    (True, False)
    """
    return Path(name).is_dir() or Path(name).suffix in (".safetensors", *PICKLES, *OTHERS)


def check_weights(path: Path) -> Path:
    """The folder, if its weights are .safetensors with a config.json.

    Raises InputError for anything else, with the command that converts it where there is one.
    """
    if path.suffix in (".safetensors", *PICKLES, *OTHERS) and not path.is_dir():
        if not path.exists():
            raise InputError(f"{path}: no such file")
        _refuse(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if (path / ADAPTER).is_file():
        raise InputError(
            f"{path}: holds changes to another model, by {ADAPTER}; give that model's folder, and "
            f"--adapter {path}"
        )
    if not any(path.glob("*.safetensors")):
        other = next((file for file in sorted(path.iterdir()) if _other(file)), None)
        if other is None:
            raise InputError(
                f"{path}: must hold model.safetensors, or shards with an index, and config.json"
            )
        _refuse(other)
    if not (path / "config.json").is_file():
        raise InputError(
            f"{path}: must hold config.json beside its weights, which says what model they are of"
        )
    return path


def _other(file: Path) -> bool:
    # of files that lie beside weights these two are pickled, too, and are none
    training = file.name in ("training_args.bin", "optimizer.pt", "scheduler.pt")
    return file.suffix in (*PICKLES, *OTHERS) and not training


def _refuse(file: Path) -> None:
    if file.suffix == ".safetensors":
        raise InputError(f"{file}: give the folder, which holds config.json beside it")
    folder = shlex.quote(str(file.parent))
    if file.suffix in PICKLES:
        files = " ".join(shlex.quote(str(shard)) for shard in _shards(file))
        raise InputError(
            f"{file}: pickled weights are not read, since a pickle may run code; if you trust it: "
            f"python -m hyflexsim.workloads.extraction.unpickle {files}"
        )
    if file.suffix == ".gguf":
        convert = (
            "import sys, transformers as t; "
            "t.AutoModelForCausalLM.from_pretrained(sys.argv[1], gguf_file=sys.argv[2])"
            ".save_pretrained(sys.argv[3])"
        )
        out = shlex.quote(f"{file.parent / file.stem}-safetensors")
        raise InputError(
            f"{file}: GGUF is not read; convert it by: python -c {shlex.quote(convert)} {folder} "
            f"{shlex.quote(file.name)} {out} (with pip install gguf accelerate)"
        )
    raise InputError(
        f"{file}: {OTHERS[file.suffix]} is not read; weights must be .safetensors, as "
        "save_pretrained of transformers writes them"
    )


def _shards(file: Path) -> list[Path]:
    """The file, or all shards of which it is one: pytorch_model-00001-of-00002.bin."""
    head, of, total = file.stem.rpartition("-of-")
    if not of:
        return [file]
    return sorted(file.parent.glob(f"{head.rpartition('-')[0]}-*{of}{total}{file.suffix}"))
