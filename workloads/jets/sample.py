"""The jets that come with hyflexsim: which classes, and how many particles each has.

A run needs no more of them than that, and reading it from the Parquet file takes longer than all
the rest of a run's preparation; so it is kept, as what the file with this content says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hyflexsim.sim import cache
from hyflexsim.sim.errors import InputError

LABELS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
"""The classes of JetClass (arXiv 2202.03772), in the order of ParT's ten logits."""

MAX_PARTICLES = 128
"""A jet's further particles are not read (rule of JetClass)."""

SAMPLE = Path(__file__).parents[1] / "data" / "jets.parquet"
"""The sample that comes with the package."""


def sample_lengths(
    classes: Sequence[str] | None = None, limit: int | None = None
) -> tuple[list[int], list[str]]:
    """Token counts and labels of the sample's jets, as ``load_jets`` (jets.py) gives them.

    >>> counts, labels = sample_lengths(limit=3)
    >>> len(counts), len(labels)
    (3, 3)
    """
    for name in classes or ():
        if name not in LABELS:
            raise InputError(f"classes must be of {', '.join(LABELS)}; got {name!r}")
    jets = [
        (min(count, MAX_PARTICLES), label)
        for count, label in _columns()
        if not classes or label in classes
    ][:limit]
    return [count for count, _ in jets], [label for _, label in jets]


def _columns() -> list[tuple[int, str]]:
    name = f"jets-{hashlib.sha256(SAMPLE.read_bytes()).hexdigest()[:32]}"
    kept = cache.read(name)
    if kept is not None:
        with suppress(ValueError, TypeError):  # not what we write
            return [(int(count), str(label)) for count, label in json.loads(kept)]
    import pyarrow.parquet as pq  # noqa: PLC0415 (what is kept for)

    table = pq.ParquetFile(SAMPLE).read(["jet_nparticles", "label"]).to_pydict()
    columns = list(zip(table["jet_nparticles"], table["label"], strict=True))
    cache.keep(name, json.dumps(columns).encode())
    return columns
