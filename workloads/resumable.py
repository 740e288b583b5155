"""Finished pieces of a long job, kept beside its result, so that it can be interrupted and resumed.

A job that writes ``runs/x`` works in ``runs/x.work``: the settings it was started with, facts
(JSON) and tensors of the stages that are done. The folder goes when the job is done.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hyflexsim.models.whole_file import whole
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.outputs import Output, owned

T = TypeVar("T")
_SETTINGS, _FACTS, _ROWS = "settings.json", "facts.json", "rows.jsonl"


class Work:
    """The working folder of a job; made by :func:`working`."""

    def __init__(self, folder: Path, output: Output):
        self.folder, self.output = folder, output
        path = folder / _FACTS
        self._facts: dict[str, Any] = _read(path) if path.is_file() else {}

    def fact(self, name: str, make: Callable[[], T]) -> T:
        """A JSON value by name; made and kept if it is not there yet."""
        if name not in self._facts:
            value = make()
            self._facts[name] = json.loads(json.dumps(value))
            _write(self.folder / _FACTS, json.dumps(self._facts))
        return self._facts[name]  # type: ignore[no-any-return]

    def has(self, name: str) -> bool:
        """Whether a fact is there."""
        return name in self._facts

    def path(self, name: str) -> Path:
        """A file or folder of a stage, there or not."""
        return self.folder / name

    @contextmanager
    def result(self) -> Iterator[Path]:
        """The folder of the result, whole when the block ends well."""
        with self.output.new() as folder:
            folder.mkdir()
            yield folder

    def rows(self, key: Iterable[str]) -> Rows:
        """The table of the job, a row at a time; `key`: columns that tell rows apart."""
        return Rows(self.folder / _ROWS, tuple(key))


class Rows:
    """Rows done so far, appended one by one to a file of JSON lines."""

    def __init__(self, path: Path, key: tuple[str, ...]):
        self._path, self.key = path, key
        self._done: dict[tuple[Any, ...], dict[str, Any]] = {}
        if not path.is_file():
            return
        whole, newline, _ = path.read_text("utf-8", "replace").rpartition("\n")
        _write(path, whole + newline)  # without a line that was being written when interrupted
        for line in whole.splitlines():
            self._keep(_parsed(path, line))

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        return tuple(row[name] for name in self.key) in self._done

    def __getitem__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return self._done[tuple(row[name] for name in self.key)]

    def add(self, row: dict[str, Any]) -> None:
        """One row more, on disk when this returns."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._keep(row)

    def all(self) -> list[dict[str, Any]]:
        """All rows, in the order in which they were made."""
        return list(self._done.values())

    def _keep(self, row: dict[str, Any]) -> None:
        self._done[tuple(row[name] for name in self.key)] = row


@contextmanager
def working(out: str | Path, settings: Mapping[str, Any], *, fresh: bool = False) -> Iterator[Work]:
    """The working folder of a job with result `out`, removed when the block ends well.

    `fresh`: start anew. Raises InputError if the folder is that of other settings, naming the
    first key that differs, and as :func:`~hyflexsim.workloads.outputs.owned` does. A job that fails
    before a stage is done leaves nothing.
    """
    with owned(out) as output:
        folder = working_folder(output.path)
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            _claim(folder, json.loads(json.dumps(settings)))
            yield Work(folder, output)
        except BaseException:
            if folder.is_dir() and not {path.name for path in folder.iterdir()} - {_SETTINGS}:
                shutil.rmtree(folder, ignore_errors=True)  # nothing worth keeping
            raise
        shutil.rmtree(folder, ignore_errors=True)


def working_folder(out: Path) -> Path:
    """Where a job keeps what it has of `out`.

    >>> working_folder(Path("runs/x")).name
    'x.work'
    """
    return out.parent / f"{out.name}.work"


def _claim(folder: Path, wanted: Any) -> None:
    """Write whose the folder is, or see that it is the same job's."""
    path = folder / _SETTINGS
    if path.is_file():
        other = differing(_read(path), wanted)
        if other:
            raise InputError(
                f"{folder}: is of an unfinished job with another {other}; finish that one, or "
                "start anew with --fresh"
            )
    folder.mkdir(exist_ok=True)
    _write(path, json.dumps(wanted))


def differing(a: Any, b: Any, key: str = "") -> str:
    """Dotted name of the first key in which two trees of plain values differ; "" for none."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in (*a, *(n for n in b if n not in a)):
            here = f"{key}.{name}" if key else name
            if name not in a or name not in b:
                return here
            found = differing(a[name], b[name], here)
            if found:
                return found
        return ""
    return "" if a == b else key or "setting"


def _read(path: Path) -> Any:
    return _parsed(path, path.read_bytes().decode("utf-8", "replace"))


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged, {error}; delete its folder or start anew with --fresh"
        ) from None


def _write(path: Path, text: str) -> None:
    with whole(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
