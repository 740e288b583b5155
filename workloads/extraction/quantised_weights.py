"""What ``quantization_config`` of a config.json says: how codes are packed, or what converts them.

GPTQ and AWQ are unpacked where they are read (models/packed_files.py). Other methods are refused,
with the command that makes 16-bit weights where transformers has one. What such a file says of
each key: docs of transformers on GPTQConfig and AwqConfig; AutoGPTQ and AutoAWQ call some of them
otherwise.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyflexsim.sim.errors import InputError, shortened

if TYPE_CHECKING:
    from hyflexsim.models.packed_files import PackedFiles, Packing
    from hyflexsim.models.tensor_files import TensorFiles

KEY = "quantization_config"
BITS = {"gptq": (2, 3, 4, 8), "awq": (4,)}
"""Codes that are unpacked, by method."""
FORMATS = {"gptq": ("gptq", "gptq_v2"), "awq": ("gemm",)}
"""Layouts that are unpacked, by method; the first one where a file names none."""
MOST_INPUTS = 2**20
_BITS, _GROUP = ("bits", "w_bit"), ("group_size", "q_group_size")
"""What tools call the bits of a code, and the inputs that share a scale."""
PLAIN: dict[str, tuple[Any, ...]] = {
    "dynamic": (None, {}, False),
    "is_marlin_format": (None, False),
}
"""What may be said of these keys: all matrices are packed alike, and not for one kernel."""
_OWN = "give the model's weights in 16 or 32 bits"
_READERS = {
    "bitsandbytes": ("", ".dequantize()", "save_original_format=False", " bitsandbytes"),
    "fp8": ("quantization_config=t.FineGrainedFP8Config(dequantize=True)", "", "", ""),
}
"""By method: what transformers must be told to read, change and write it, and what it needs."""


def packing_of(folder: Path, config: Mapping[str, Any]) -> Packing | None:
    """How the weights of a folder are packed, by its configuration; None: they are not.

    Raises InputError for a method, layout or number of bits that is not read, with what converts
    it, and for values of its keys that no file has.
    """
    how = config.get(KEY)
    if how is None:
        return None
    at = f"{folder / 'config.json'}: {KEY}"
    if not isinstance(how, dict):
        raise InputError(f"{at} must be an object; got {shortened(how)}")
    method = how.get("quant_method")
    if method not in ("gptq", "awq"):
        raise InputError(
            f"{at}: weights quantised by {shortened(method)} are not read; "
            f"{_conversion(folder, config, how, method)}"
        )
    from hyflexsim.models.packed_files import Packing  # noqa: PLC0415 (torch)

    for key, allowed in PLAIN.items():
        if how.get(key) not in allowed:
            raise InputError(f"{at}.{key}: {shortened(how[key])} is not read; {_OWN}")
    if method == "awq" and how.get("zero_point", True) is not True:
        raise InputError(f"{at}.zero_point must be true; got {shortened(how['zero_point'])}")
    _, bits = _said(how, *_BITS)
    if type(bits) is not int or bits not in BITS[method]:
        allowed_bits = ", ".join(map(str, BITS[method]))
        raise InputError(f"{at}.bits must be {allowed_bits} of {method}; got {shortened(bits)}")
    key, group = _said(how, *_GROUP)
    if type(group) is not int or not (group == -1 or 1 <= group <= MOST_INPUTS):
        raise InputError(
            f"{at}.{key} must be -1 (all inputs) or an integer from 1 to {MOST_INPUTS}; got "
            f"{shortened(group)}"
        )
    layout = _layout(at, how, method)
    return Packing(method, bits, max(group, 0), int(layout == "gptq"))


def tensor_files(folder: Path, config: Mapping[str, Any]) -> TensorFiles | PackedFiles:
    """The tensors of a folder by its configuration, unpacked where they are packed.

    Raises InputError as :func:`packing_of`, and for packed tensors of which the configuration says
    nothing; ModelError as the files themselves do.
    """
    from hyflexsim.models.packed_files import PackedFiles  # noqa: PLC0415 (torch)
    from hyflexsim.models.tensor_files import TensorFiles  # noqa: PLC0415

    packing = packing_of(folder, config)
    if packing is not None:
        return PackedFiles(folder, packing)
    files = TensorFiles(folder)
    packed = next((name for name in files.names if name.endswith(".qweight")), None)
    if packed is not None:
        raise InputError(
            f"{folder / 'config.json'}: must have {KEY} (quant_method, bits, group_size), since "
            f"the weights hold {packed}; older tools write it in quantize_config.json or "
            "quant_config.json"
        )
    return files


def said_of(how: Any) -> str:
    """A note on a model with a ``quantization_config``: what of it a run knows.

    >>> said_of({"quant_method": "fp8"})
    'quantization_config is not read: weights have as many bits as the chip gives them'
    """
    method = how.get("quant_method") if isinstance(how, dict) else None
    if method not in ("gptq", "awq"):
        return f"{KEY} is not read: weights have as many bits as the chip gives them"
    bits, group = (_said(how, *keys)[1] for keys in (_BITS, _GROUP))
    inputs = f"every {group} inputs" if isinstance(group, int) and group > 0 else "all inputs"
    return (
        f"weights come from codes of {shortened(bits)} bits ({method}), each output with a scale "
        f"and a zero for {inputs}; the chip holds what they stand for in bits of its own "
        "(analog.weight_bits), a scale a matrix"
    )


def _said(how: Mapping[str, Any], *keys: str) -> tuple[str, Any]:
    """The first of some keys that is there, and what it says; None of the first, if none is."""
    key = next((key for key in keys if key in how), keys[0])
    return key, how.get(key)


def _layout(at: str, how: Mapping[str, Any], method: str) -> str:
    names = ("checkpoint_format", "format") if method == "gptq" else ("version", "format")
    key, layout = _said(how, *names)
    layout = FORMATS[method][0] if layout is None else layout
    if not isinstance(layout, str) or layout.lower() not in FORMATS[method]:
        raise InputError(
            f"{at}.{key} must be {' or '.join(FORMATS[method])} of {method}; got "
            f"{shortened(layout)}: {_OWN}"
        )
    return layout.lower()


def _conversion(
    folder: Path, config: Mapping[str, Any], how: Mapping[str, Any], method: object
) -> str:
    """The command that makes 16-bit weights of a folder, where transformers can."""
    if not isinstance(method, str) and (how.get("load_in_4bit") or how.get("load_in_8bit")):
        method = "bitsandbytes"  # which older files do not name
    if method not in _READERS:
        return f"{_OWN} (the chip's own bits quantise them)"
    reading, then, writing, needs = _READERS[method]
    kind = (config.get("architectures") or ["AutoModel"])[0]
    if not (isinstance(kind, str) and kind.isidentifier()):  # it becomes part of a command
        kind = "AutoModel"
    read, write = (
        ", ".join(filter(None, (argument, option)))
        for argument, option in (("sys.argv[1]", reading), ("sys.argv[2]", writing))
    )
    text = (
        f"import sys, transformers as t; t.{kind}.from_pretrained({read}){then}"
        f".save_pretrained({write})"
    )
    out = shlex.quote(f"{folder}-16-bits")
    return (
        f"convert them by: python -c {shlex.quote(text)} {shlex.quote(str(folder))} {out} "
        f"(with pip install accelerate{needs})"
    )
