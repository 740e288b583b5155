"""Take the attention of a ParT over many jets and write it to a directory.

Jets go through the model batch by batch and each batch is written and forgotten, so memory
does not grow with the number of jets. Only entries of real queries and real keys are stored:
for a batch, jet after jet, the n x n block of each head, row by row::

    weights-00000.npy   (layers, heads, P)   P = sum of n_j^2      after softmax
    qk-00000.npy        (layers, heads, P)   QK^T / sqrt(D), before U and before softmax
    u-00000.npy         (heads, P)           U, the same in every layer (none: model without U)
    cls-00000.npy       (class layers, heads, S)   S = sum of n_j + 1, class token first

in `trained/` and, with the same shape and random weights, in `untrained/` (it computes its
own U). jets.parquet and particles.parquet say what the jets are: class, prediction,
observables; type, place, subjet and b-subjet of each particle. The format is specified in
docs/architecture.md; hyflexsim.analysis.attention.directory reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from hyflexsim.models.part.attention import AttentionRecord
from hyflexsim.models.part.checkpoint import PartSpec, load_part
from hyflexsim.models.part.feature_ranges import far_outside
from hyflexsim.models.part.topk import attention_shape
from hyflexsim.models.part.training import JetTensors
from hyflexsim.models.part.transformer import ParticleTransformer
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.jets import Jets
from hyflexsim.workloads.jets.observables import axes_of, delta_r, observables
from hyflexsim.workloads.jets.sample import LABELS
from hyflexsim.workloads.jets.sets import fingerprint, load_set
from hyflexsim.workloads.jets.subjets import PRONGS
from hyflexsim.workloads.outputs import new_folder
from hyflexsim.workloads.part.parts import tensors
from hyflexsim.workloads.run.run_dir import write_json

FORMAT = "hyflexsim-attention-1"
MARKS = ("manifest.json", "jets.parquet", "particles.parquet")
DTYPES = ("float16", "float32")
BATCH = 32  # jets: 85 MB of float16 a batch for the published model at 128 particles each
B_QUARK = 5

Report = Callable[[str, int, int], None]


def take_attention(
    out: Path,
    checkpoint: str | Path,
    jets: str | Path | None = None,
    *,
    per_class: int = 50,
    spec: PartSpec | None = None,
    head_order: str | None = None,
    dtype: str = "float16",
    seed: int = 0,
    report: Report = lambda *_: None,
) -> None:
    """Fill the existing folder `out` with the attention of a checkpoint and of its random twin.

    Of each class the checkpoint knows and the set has, the last `per_class` jets are taken:
    the ones train-part holds out. `spec` and `head_order` as in load_part; `seed` draws the
    untrained weights. Raises InputError for what reading jets raises, an unknown dtype, scores
    that float16 cannot hold; ModelError for a bad checkpoint.
    """
    if dtype not in DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed must be from 0 to {2**63 - 1}; got {seed}")
    model, spec = load_part(checkpoint, spec, head_order)
    chosen = choose(jets, spec.classes, per_class)
    data = tensors(chosen, spec, lambda done: report("reading jets", done, len(chosen)))
    torch.manual_seed(seed)
    twins = {"trained": model, "untrained": spec.build()}
    scores: dict[str, NDArray[Any]] = {}
    for name, twin in twins.items():
        (out / name).mkdir()
        say = _about(report, name, len(chosen))
        scores[name] = _stream(out / name, twin, data, np.dtype(dtype), say)
    describe(out, chosen, data, scores, spec, report)
    file = Path(checkpoint) / "model.safetensors" if Path(checkpoint).is_dir() else checkpoint
    manifest = {
        "format": FORMAT,
        "checkpoint": Path(file).name,
        "checkpoint_sha256": fingerprint(file),
        "jets_sha256": fingerprint(jets),
        "features": spec.features,
        "particles": spec.particles,
        "classes": list(spec.classes),
        "layers": len(model.blocks),
        "class_layers": len(model.cls_blocks),
        "heads": attention_shape(model)[1],
        "bias": model.pair_embed is not None,
        "jets": len(chosen),
        "batch": BATCH,
        "dtype": dtype,
        "models": list(twins),
        "untrained_seed": seed,
        "notes": far_outside(data, spec.features, spec.ranges),
        "versions": {name: version(name) for name in ("torch", "numpy", "hyflexsim")},
    }
    write_json(out / "manifest.json", manifest)


def new_attention_dir(path: str | Path) -> Any:
    """A folder to fill that takes its name when the block ends well; see outputs.new_folder."""
    return new_folder(path, MARKS, "one of this command")


def choose(path: str | Path | None, classes: tuple[str, ...], per_class: int) -> Jets:
    """The last `per_class` jets of each of the classes that the set has, with their decays."""
    if per_class < 1:
        raise InputError(f"--per-class must be at least 1; got {per_class}")
    loaded = load_set(path, truth=True)
    rows = [np.flatnonzero(loaded.labels == name)[-per_class:] for name in classes]
    found = np.concatenate(rows)
    if len(found) == 0:
        raise InputError(f"{path}: no jet of the checkpoint's classes, {', '.join(classes)}")
    return loaded.take(found)


def unlike_training(checkpoint: str | Path, jets: str | Path | None, per_class: int) -> list[str]:
    """What of these jets lies far outside of what a checkpoint was trained on, by feature.

    Raises InputError and ModelError as reading them does.
    """
    _, spec = load_part(checkpoint)
    data = tensors(choose(jets, spec.classes, per_class), spec)
    return far_outside(data, spec.features, spec.ranges)


def _about(report: Report, name: str, jets: int) -> Callable[[int], None]:
    return lambda done: report(f"{name} attention", done, jets)


@torch.no_grad()
def _stream(
    folder: Path,
    model: ParticleTransformer,
    data: JetTensors,
    dtype: np.dtype[Any],
    report: Callable[[int], None],
) -> NDArray[Any]:
    """Write the arrays of every batch; returns the probabilities (J, C)."""
    scores = []
    for index, first in enumerate(range(0, len(data), BATCH)):
        rows = torch.arange(first, min(first + BATCH, len(data)))
        x, v, mask = data.batch(rows)
        logits, records = model(x, v, mask, return_attention=True)
        scores.append(logits.softmax(-1).numpy())
        counts = mask[:, 0].sum(-1).tolist()
        for name, array in _arrays(records, counts).items():
            np.save(folder / f"{name}-{index:05d}.npy", _narrow(name, array, dtype))
        report(int(rows[-1]) + 1)
    return np.concatenate(scores)


def _arrays(records: list[AttentionRecord], counts: list[int]) -> dict[str, NDArray[Any]]:
    """The entries of real queries and keys of one batch, flat."""
    particle = [r for r in records if r.name.startswith("blocks")]
    single = [r for r in records if r.name.startswith("cls")]
    arrays = {
        "weights": np.stack([_blocks(r.weights, counts) for r in particle]),
        "qk": np.stack([_blocks(r.qk, counts) for r in particle]),
    }
    if particle[0].bias is not None:
        arrays["u"] = _blocks(particle[0].bias, counts)
    if single:
        rows = [[r.weights[b, :, 0, : n + 1] for b, n in enumerate(counts)] for r in single]
        arrays["cls"] = np.stack([torch.cat(row, dim=-1).numpy() for row in rows])
    return arrays


def _blocks(t: torch.Tensor, counts: list[int]) -> NDArray[Any]:
    """(B, H, N, N) -> (H, P): the n x n corner of each jet, row by row."""
    flat = [t[b, :, :n, :n].flatten(1) for b, n in enumerate(counts)]
    out: NDArray[Any] = torch.cat(flat, dim=1).numpy()
    return out


def _narrow(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    limit = float(np.finfo(dtype).max)
    largest = float(np.abs(array).max())
    if not largest <= limit:
        raise InputError(f"--dtype float16 holds at most 65504; a {name} is {largest:.3g}: float32")
    return array.astype(dtype)


def describe(
    out: Path,
    jets: Jets,
    data: JetTensors,
    scores: dict[str, NDArray[Any]],
    spec: PartSpec,
    report: Report = lambda *_: None,
) -> None:
    """Write jets.parquet and particles.parquet."""
    columns, subjet = observables(jets, lambda done: report("observables", done, len(jets)))
    read = data.offsets.diff().numpy()
    right = data.target.numpy()
    table: dict[str, Any] = {
        "jet": np.arange(len(jets), dtype=np.int32),
        "label": jets.labels.astype(object),
        "particles": read.astype(np.int16),
        "prongs": np.array([PRONGS[str(label)] for label in jets.labels], dtype=np.int8),
        "jet_pt": jets.jet["jet_pt"],
    }
    for name, probability in scores.items():
        table[f"predicted_{name}"] = np.array(spec.classes, dtype=object)[probability.argmax(1)]
        table[f"probability_{name}"] = probability[np.arange(len(right)), right]
    table |= columns
    pq.write_table(pa.table(table), out / "jets.parquet")
    pq.write_table(pa.table(_particles(jets, read, subjet)), out / "particles.parquet")


def _particles(jets: Jets, read: NDArray[Any], subjet: NDArray[Any]) -> dict[str, Any]:
    """A row a particle that the model read: the leading ones of each jet."""
    columns: dict[str, list[NDArray[Any]]] = {
        name: []
        for name in ("jet", "index", "pt", "deta", "dphi", "charge", "pid", "subjet", "b_subjet")
    }
    for j, n in enumerate(read):
        own = jets.inputs(j)
        p = np.stack([own[k].astype(np.float64) for k in ("px", "py", "pz", "energy")], 1)
        mine = subjet[jets.offsets[j] : jets.offsets[j + 1]]
        axis = np.array([jets.axis(j)])
        pt = np.hypot(p[:, 0], p[:, 1])
        eta = np.arcsinh(p[:, 2] / pt) - np.arcsinh(axis[0, 2] / np.hypot(*axis[0, :2]))
        phi = np.arctan2(p[:, 1], p[:, 0]) - np.arctan2(axis[0, 1], axis[0, 0])
        row = {
            "jet": np.full(len(p), j, dtype=np.int32),
            "index": np.arange(len(p), dtype=np.int16),
            "pt": pt.astype(np.float32),
            "deta": eta.astype(np.float32),
            "dphi": ((phi + np.pi) % (2 * np.pi) - np.pi).astype(np.float32),
            "charge": own["charge"],
            "pid": own["pid"],
            "subjet": mine,
            "b_subjet": np.isin(mine, _b_subjets(jets, j, axes_of(p, mine))),
        }
        for name, values in row.items():
            columns[name].append(values[:n])
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _b_subjets(jets: Jets, j: int, axes: NDArray[Any]) -> list[int]:
    """Of each b quark of the decay the subjet whose axis is nearest; none without a truth."""
    if jets.truth is None or jets.truth_offsets is None or len(axes) < 2:
        return []
    own = slice(int(jets.truth_offsets[j]), int(jets.truth_offsets[j + 1]))
    b = np.abs(jets.truth["truth_pdg"][own]) == B_QUARK
    names = ("truth_px", "truth_py", "truth_pz", "truth_energy")
    quarks = np.stack([jets.truth[name][own][b].astype(np.float64) for name in names], axis=1)
    return [int(k) for k in delta_r(quarks, axes).argmin(1)] if len(quarks) else []


def classes_of(jets: str | Path | None) -> tuple[str, ...]:
    """Classes that a set of jets has, in the order of LABELS."""
    there = set(load_set(jets).labels.tolist())
    return tuple(name for name in LABELS if name in there)
