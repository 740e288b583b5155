"""Directories of accuracy studies: scores under noise, studies of ranks, Pareto points.

:data:`STUDIES` says which files and columns each kind of directory has, :data:`INFO` which keys
its JSON file has; :func:`load_study` checks all of them, so everything after it can rely on them.

Left out: what made the scores. Nothing here loads a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hyflexsim.analysis.run.run import read_json, undamaged
from hyflexsim.analysis.shown import Shown
from hyflexsim.sim.errors import InputError

STUDIES: dict[str, dict[str, dict[str, str]]] = {
    "accuracy": {
        "accuracy": {
            "select": "text",  # gradient, gradient-last, rank, magnitude
            "sigma": "float",  # 0: no noise
            "slc_rate": "float",  # 0 to 1
            "adc_bits": "int",  # 0: products exact, no converter
            "seed": "int",
            "score": "float",
        }
    },
    "study": {
        "study": {
            "method": "text",  # tanh, …; " rounded" after it: ranks rounded to tiles
            "budget": "float",  # wanted share of the parameters of linears
            "seed": "int",
            "linears_share": "float",  # achieved
            "total_share": "float",
            "macs_share": "float",
            "before": "float",  # score before and after recovery
            "after": "float",
            "arrays": "int",
            "latency_ps": "int",
            "makespan_ps": "int",
            "energy_pj": "float",
            "dense_arrays": "int",
            "dense_latency_ps": "int",
            "dense_makespan_ps": "int",
            "dense_energy_pj": "float",
        },
        "ranks": {
            "method": "text",
            "budget": "float",
            "seed": "int",
            "matrix": "text",
            "rank": "int",  # 0: dense
            "full": "int",  # break-even
        },
    },
    "pareto": {
        "pareto": {
            "budget": "float",
            "chip": "text",  # its name, or what differs
            "slc_rate": "float",
            "noise": "text",  # what the study was asked for; its σ may differ by chip
            "sigma": "float",
            "seeds": "int",
            "score": "float",
            "half_width": "float",  # of the 95 % interval; none with one seed
            "latency_ps": "int",
            "energy_pj": "float",
            "area_mm2": "float",
            "arrays": "int",
            "throughput_per_s": "float",
            "front": "bool",  # none of this noise is better in score, latency, energy and area
        }
    },
}
"""Tables of each kind of directory: ``<table>.parquet``, its columns and what they hold."""

_COMMON: dict[str, Any] = {
    "title": "text",
    "model": "text",
    "data": "text",
    "metric": {"name": "text", "higher_is_better": "true or false", "floor": "a number or null"},
}
INFO: dict[str, dict[str, Any]] = {
    "accuracy": _COMMON
    | {
        "references": [{"name": "text", "score": "a number"}],
        "noise": [{"sigma": "a number", "name": "text", "report": "text"}],
        "importance": "an object or null",
        "chip": "an object",
    },
    "study": _COMMON
    | {"dense": "a number", "paper": [{"what": "text", "low": "a number", "high": "a number"}]},
    "pareto": _COMMON | {"reference": {"name": "text", "score": "a number"}, "chips": "an object"},
}
"""Keys of ``<kind>.json``; a list holds any number of its one element."""

STAGES = {"before": "before SVD", "svd": "after SVD", "tuned": "after fine-tuning"}
"""Keys of ``importance`` in accuracy.json, in the order of the paper's Fig 11."""

_KEYS = (
    *("select", "method", "budget", "chip", "noise", "sigma"),
    *("slc_rate", "adc_bits", "seed", "matrix"),
)
_LEAST = {"sigma": 0, "slc_rate": 0, "adc_bits": 0, "rank": 0, "seeds": 1, "half_width": 0}
_LEAST |= dict.fromkeys(("full", "arrays", "latency_ps", "makespan_ps"), 1)
_LEAST |= dict.fromkeys(("dense_arrays", "dense_latency_ps", "dense_makespan_ps"), 1)
_ABOVE_ZERO = ("energy_pj", "dense_energy_pj")


@dataclass(frozen=True, eq=False)
class Study(Shown):
    """A directory of an accuracy study: ``kind`` is accuracy, study or pareto.

    ``tables`` has the frames of :data:`STUDIES`, ``info`` the JSON object of :data:`INFO`.
    """

    SHOWN: ClassVar[str] = "studies.shown"

    kind: str
    tables: dict[str, pd.DataFrame]
    info: dict[str, Any]
    path: Path

    @property
    def table(self) -> pd.DataFrame:
        """The table that is named like the kind."""
        return self.tables[self.kind]

    @property
    def higher(self) -> bool:
        """Whether a higher score is better."""
        return bool(self.info["metric"]["higher_is_better"])


StudyLike = Study | str | Path


def study_kinds(study_dir: str | Path) -> list[str]:
    """Kinds of study that a directory holds, of accuracy, study, pareto; at least one."""
    path = Path(study_dir)
    if not path.is_dir():
        raise InputError(f"{path}: no such directory")
    found = [kind for kind in STUDIES if (path / f"{kind}.parquet").exists()]
    if not found:
        wanted = [f"{kind}.parquet" for kind in STUDIES]
        raise InputError(f"{path}: must hold one of {', '.join(wanted)}; it holds none")
    return found


def load_study(study_dir: StudyLike, kind: str) -> Study:
    """Read and check one kind of study; a study already loaded is passed through.

    Raises
    ------
    InputError
        A file, column or key is missing, has another type or a value out of range, or rows repeat
        each other; one line that names file and column.
    """
    if kind not in STUDIES:
        raise InputError(f"kind must be of {', '.join(STUDIES)}; got {kind!r}")
    if isinstance(study_dir, Study):
        if study_dir.kind != kind:
            raise InputError(f"{study_dir.path}: must be of kind {kind!r}; got {study_dir.kind!r}")
        return study_dir
    path = Path(study_dir)
    if not path.is_dir():
        raise InputError(f"{path}: no such directory")
    file = path / f"{kind}.json"
    info = read_json(file, INFO[kind])
    for key, wanted in INFO[kind].items():
        _check(file, key, info[key], wanted)
    if info.get("importance") is not None:
        _check_importance(file, info["importance"])
    tables = {name: _table(path / f"{name}.parquet", of) for name, of in STUDIES[kind].items()}
    if kind == "pareto":
        _check_chips(file, info["chips"], set(tables[kind]["chip"]))
    return Study(kind, tables, info, path)


def _table(file: Path, columns: dict[str, str]) -> pd.DataFrame:
    import pyarrow as pa  # noqa: PLC0415 (a third of a second)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        source = pq.ParquetFile(file)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        reason = reason if file.exists() else "No such file or directory"
        raise InputError(f"{file}: {reason}") from error
    except pa.ArrowInvalid as error:
        raise InputError(f"{file}: not a Parquet file") from error
    with source, undamaged(file):
        data = source.read()
        data.validate(full=True)
    for name, kind in columns.items():
        if name not in data.schema.names:
            raise InputError(f"{file}: column {name!r} is missing")
        if data.schema.names.count(name) > 1:
            raise InputError(f"{file}: column {name!r} must be there once")
        given = data.schema.field(name).type
        plain = given.value_type if pa.types.is_dictionary(given) else given
        whole = pa.types.is_integer(plain)
        fits = {
            "text": pa.types.is_string(plain) or pa.types.is_large_string(plain),
            "int": whole,
            "float": whole or pa.types.is_floating(plain),
            "bool": pa.types.is_boolean(plain),
        }
        if not fits[kind]:
            raise InputError(f"{file}: column {name!r} must hold {kind}; got {given}")
        if data.column(name).null_count and name != "half_width":
            raise InputError(f"{file}: column {name!r} must have a value in every row")
    if not data.num_rows:
        raise InputError(f"{file}: no rows in it")
    frame: pd.DataFrame = data.select(list(columns)).to_pandas()
    _check_values(file, frame, columns)
    return frame


def _check_values(file: Path, frame: pd.DataFrame, columns: dict[str, str]) -> None:
    for name, kind in columns.items():
        if kind == "text":
            frame[name] = frame[name].astype(object).astype(str)
        if kind in ("text", "bool"):
            continue
        if kind == "float":
            frame[name] = frame[name].astype(float)
        values = frame[name].to_numpy()
        bad = ~np.isfinite(values)
        if name == "half_width":
            bad &= ~np.isnan(values)
        wanted = "a finite number"
        if name in _LEAST:
            bad |= values < _LEAST[name]
            wanted = f"a number from {_LEAST[name]}"
        if name == "slc_rate":
            bad |= values > 1
            wanted = "a number from 0 to 1"
        if name in _ABOVE_ZERO:
            bad |= values <= 0
            wanted = "a number above 0"
        if bad.any():
            given = values[int(np.argmax(bad))]
            raise InputError(f"{file}: column {name!r} must hold {wanted}; got {given}")
    keys = [name for name in _KEYS if name in columns]
    twice = frame.duplicated(keys)
    if twice.any():
        first = frame[twice].iloc[0]
        row = ", ".join(f"{key} {first[key]}" for key in keys)
        raise InputError(f"{file}: columns {', '.join(keys)} must differ; two rows have {row}")


def _check(file: Path, key: str, value: Any, wanted: Any) -> None:
    """A value of a JSON file against :data:`INFO`: a word, an object or a list of one kind."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "text": isinstance(value, str),
        "true or false": isinstance(value, bool),
        "a number": number and math.isfinite(value),
        "an integer": number and isinstance(value, int),
        "an object": isinstance(value, dict),
        "null": value is None,
        "a list": isinstance(value, list),
    }
    word = wanted if isinstance(wanted, str) else "a list"
    word = "an object" if isinstance(wanted, dict) else word
    if not any(fits[name] for name in ([word] if word in fits else word.split(" or "))):
        shown = repr(value) if number or isinstance(value, str) else type(value).__name__
        raise InputError(f"{file}: key {key!r} must be {word}; got {shown}")
    if isinstance(wanted, dict):
        for name, kind in wanted.items():
            if name not in value:
                raise InputError(f"{file}: key '{key}.{name}' is missing")
            _check(file, f"{key}.{name}", value[name], kind)
    if isinstance(wanted, list):
        for i, one in enumerate(value):
            _check(file, f"{key}[{i}]", one, wanted[0])


def _check_importance(file: Path, importance: dict[str, Any]) -> None:
    wanted: dict[str, Any] = {"layer": "text", "shares": dict.fromkeys(STAGES, "an object")}
    _check(file, "importance", importance, wanted | {stage: ["a number"] for stage in STAGES})
    for stage in STAGES:
        if not importance[stage]:
            raise InputError(f"{file}: key 'importance.{stage}' must not be empty")
        for top, share in importance["shares"][stage].items():
            _check(file, f"importance.shares.{stage}.{top}", share, "a number")
            if not _is_share(top):
                raise InputError(
                    f"{file}: key 'importance.shares.{stage}' must have shares such as '0.05'; "
                    f"got {top!r}"
                )


def _check_chips(file: Path, chips: dict[str, Any], drawn: set[str]) -> None:
    """Chips by name, each with the same parameters, and all that the table has."""
    first = next(iter(chips.values()), None)
    for name, values in chips.items():
        _check(file, f"chips.{name}", values, "an object")
        if values.keys() != first.keys():  # type: ignore[union-attr]
            raise InputError(f"{file}: key 'chips.{name}' must have the parameters of the first")
    missing = drawn - chips.keys()
    if missing:
        raise InputError(
            f"{file}: key 'chips' must have each chip of the table; it lacks {min(missing)!r}"
        )


def _is_share(text: str) -> bool:
    try:
        return 0 < float(text) <= 1
    except ValueError:
        return False
