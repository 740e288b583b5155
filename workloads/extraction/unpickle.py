"""Make .safetensors of pickled weights: ``python -m hyflexsim.workloads.extraction.unpickle``.

Not a part of any command, which never open a pickle: whoever trusts a file runs this once. It reads
with ``weights_only=True``, which builds tensors and nothing else, and needs memory for all of them.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

from hyflexsim.models.tensor_files import WEIGHTS_FILE
from hyflexsim.models.whole_file import whole
from hyflexsim.sim.errors import InputError

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training loops keep the state dict."""


def unpickle(files: list[Path]) -> Path:
    """Write the tensors of pickled state dicts of one folder to its model.safetensors.

    Raises InputError for files that hold anything else than tensors by name.
    """
    from safetensors.torch import save_file  # noqa: PLC0415

    state: dict[str, Any] = {}
    for file in files:
        state |= _tensors(file)
    out = files[0].parent / WEIGHTS_FILE
    if out.exists():
        raise InputError(f"{out}: is there already")
    with whole(out) as scratch:
        save_file({name: t.clone().contiguous() for name, t in state.items()}, scratch)
    return out


def _tensors(file: Path) -> dict[str, Any]:
    import torch  # noqa: PLC0415

    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"{file}: cannot be read as weights alone: {reason}") from None
    for key in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(t, torch.Tensor) for t in found.values()):
        raise InputError(f"{file}: must hold tensors by name")
    return found


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("usage: python -m hyflexsim.workloads.extraction.unpickle FILE ...")
    try:
        print(f"written to {unpickle([Path(name) for name in sys.argv[1:]])}")
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
