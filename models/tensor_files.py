"""Tensors of a folder of .safetensors, one at a time: a single file, or shards with an index.

This is how weights are published: ``model.safetensors``, or ``model-00001-of-00004.safetensors``
and so on with ``model.safetensors.index.json``, whose ``weight_map`` says which file has which
tensor. A model that is larger than the memory is read and written this way; names and shapes are
known from the heads of the files alone. Nothing in such a file is executed.

Left out: pickled weights (.bin, .pt), which are never opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hyflexsim.models.errors import ModelError

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
SHARD = "model-{number:05d}-of-{count:05d}.safetensors"
SHARDS = "model-*-of-*.safetensors"
"""How shards are called: as a format and as a pattern."""
POINTER = b"version https://git-lfs"
"""How a file begins that only says where Git LFS keeps the file."""
REAL = ("F16", "BF16", "F32", "F64")
"""Precisions of numbers, as the heads of files call them."""


class _Head(NamedTuple):
    file: Path
    shape: tuple[int, ...]
    dtype: str


class TensorFiles:
    """The tensors of a folder by name; a tensor is read when it is asked for, and not kept.

    `single`: what the file is called where there are no shards. Raises ModelError for a folder
    without such files, an index that names files or tensors that are not there, and files that are
    damaged.
    """

    def __init__(self, folder: str | Path, single: str = WEIGHTS_FILE):
        self.folder = Path(folder)
        self._heads = dict(_heads(self.folder, single))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, file by file."""
        return tuple(self._heads)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold them."""
        return tuple(dict.fromkeys(head.file for head in self._heads.values()))

    def __contains__(self, name: object) -> bool:
        return name in self._heads

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape, from the head of its file."""
        return self._heads[name].shape

    def kind(self, name: str) -> str:
        """The precision of its values, as the head of its file calls it: BF16, I32."""
        return self._heads[name].dtype

    def is_real(self, name: str) -> bool:
        """Whether its values are floating-point numbers of 16 bits or more, not codes of fewer."""
        return self.kind(name) in REAL

    def is_packed(self, name: str) -> bool:
        """Whether the tensor is unpacked where it is read (packed_files.py)."""
        return False

    def is_empty_bias(self, name: str) -> bool:
        """Whether it stands for no bias at all (packed_files.py)."""
        return False

    def read(self, name: str) -> Tensor:
        """A copy of the tensor, in the precision of the file."""
        with _opened(self._heads[name].file) as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor.clone()


def write_shards(folder: Path, shards: Iterable[Mapping[str, Tensor]], count: int) -> None:
    """Write `count` shards and their index into a folder that is there, one shard in memory.

    Raises OSError where nothing can be written.
    """
    where: dict[str, str] = {}
    size = 0
    for number, tensors in enumerate(shards, start=1):
        name = SHARD.format(number=number, count=count)
        save_file(dict(tensors), folder / name, metadata={"format": "pt"})
        where |= dict.fromkeys(tensors, name)
        size += sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _heads(folder: Path, single: str) -> Iterator[tuple[str, _Head]]:
    index = folder / INDEX_FILE
    if single == WEIGHTS_FILE and index.is_file():
        yield from _indexed(folder, _weight_map(index))
        return
    file = folder / single
    if not file.is_file():
        shard = next(iter(sorted(folder.glob(SHARDS))), None)
        if single == WEIGHTS_FILE and shard is not None:
            raise ModelError(f"{index}: no such file, though there are shards such as {shard.name}")
        raise ModelError(f"{file}: no such file (pickled checkpoints are not read)")
    yield from _heads_of(file)


def _indexed(folder: Path, places: Mapping[str, str]) -> Iterator[tuple[str, _Head]]:
    for name in sorted(set(places.values())):
        file = folder / name
        if not file.is_file():
            raise ModelError(f"{file}: no such file, though {INDEX_FILE} names it")
        found = dict(_heads_of(file))
        for tensor in (key for key, place in places.items() if place == name):
            if tensor not in found:
                raise ModelError(f"{file}: lacks {tensor}, though {INDEX_FILE} places it there")
            yield tensor, found[tensor]


def _weight_map(index: Path) -> dict[str, str]:
    try:
        places: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, RecursionError, KeyError, TypeError, OSError) as error:
        raise ModelError(
            f"{index}: must be JSON with an object weight_map; {type(error).__name__} {error}"
        ) from None
    if not isinstance(places, dict) or not places:
        raise ModelError(f"{index}: weight_map must be an object, of files by tensor")
    for tensor, name in places.items():
        if not isinstance(name, str) or Path(name).name != name or not name:
            raise ModelError(
                f"{index}: weight_map.{tensor} must name a file of this folder; got {name!r}"
            )
    return places


def _heads_of(file: Path) -> Iterator[tuple[str, _Head]]:
    with _opened(file) as opened:
        for name in opened.keys():  # noqa: SIM118 (no dict)
            head = opened.get_slice(name)
            yield name, _Head(file, tuple(head.get_shape()), head.get_dtype())


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A file for as long as it is read: pages of an open one count as memory of the process."""
    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        if _is_pointer(file):
            reason = "it is a pointer of Git LFS; `git lfs pull` brings the file itself"
        raise ModelError(f"{file}: not a safetensors file; {reason}") from None


def _is_pointer(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(POINTER)) == POINTER
    except OSError:
        return False
