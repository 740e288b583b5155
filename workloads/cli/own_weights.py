"""``hyflexsim compress FOLDER``: the weights of a folder instead of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hyflexsim.workloads.compression.name_mapping import Mapping
from hyflexsim.workloads.compression.own_weights import compress_folder
from hyflexsim.workloads.compression.recipe import Compress
from hyflexsim.workloads.extraction.quantised_weights import KEY, said_of
from hyflexsim.workloads.resumable import working_folder
from hyflexsim.workloads.scenario import overrides
from hyflexsim.workloads.scenario.refusals import refusal
from hyflexsim.workloads.scenario.schema import Section
from hyflexsim.workloads.terminal import console, progress, resumable

LEAST_KEPT = 5
"""Matrices to show: those of which the factors keep least."""


class _Settings(Section):
    """What may be changed: the part of a recipe on ranks."""

    compress: Compress = Compress()


def compress_own(
    folder: Path,
    changes: Sequence[str],
    out: Path | None,
    mapping: Path | None,
    adapter: Path | None,
    *,
    keep_adapter: bool,
    threads: int,
    fresh: bool,
) -> None:
    """Factorise a folder's weights, and say what they lose. Refusals as of what it calls."""
    content: dict[str, Any] = {}
    changed = overrides.put(content, changes)
    try:
        how = _Settings.model_validate(content).compress
    except ValidationError as error:
        raise refusal(_Settings, "--set", error, changed) from None
    names = None if mapping is None else Mapping.load(mapping)
    target = out or Path("runs") / folder.resolve().name
    with progress() as say, resumable(working_folder(target)):
        about = compress_folder(
            *(folder, target, how),
            mapping=names,
            adapter=adapter,
            keep_adapter=keep_adapter,
            threads=threads,
            say=say,
            fresh=fresh,
        )
    _show(about)
    if about["config"].get(KEY) is not None:
        print(f"note: {said_of(about['config'][KEY])}")
    unused = how.unused()
    if unused:
        print(f"note: method {how.method} does not read {', '.join(unused)}")
    print(f"written to {target}")


def _show(about: dict[str, Any]) -> None:
    from hyflexsim.workloads.cli.terminal_tables import table  # noqa: PLC0415

    kept, counts = about["kept"], about["counts"]
    if kept:
        rows = table("factors keep least of", "matrix", ">sum of squares")
        for matrix, share in sorted(kept.items(), key=lambda item: item[1])[:LEAST_KEPT]:
            rows.add_row(matrix, f"{share:.2%}")
        console().print(rows, "")
    print(
        f"parameters: {counts['linears'] / counts['linears_dense']:.1%} of the blocks' linear "
        f"weights, {counts['total'] / counts['total_dense']:.1%} of all {counts['total_dense']:,}"
    )
