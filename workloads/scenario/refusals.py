"""Refusals in one line: what pydantic complains about, in the words of a file's author."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest
from hyflexsim.workloads.scenario.schema import KINDS, Section


class _Place(NamedTuple):
    key: str
    allowed: str
    fields: tuple[str, ...]  # of the innermost table on the way


def find_file(what: str, name_or_path: str | Path, folder: Path) -> Path:
    """A TOML file by path, or by the exact name of one that comes in `folder`.

    Raises InputError, naming the nearest, for neither; `what` is a noun such as "scenario".
    """
    names = sorted(path.stem for path in folder.glob("*.toml"))
    if str(name_or_path) in names:
        return folder / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise InputError(f"{path}: no such file")
    near = difflib.get_close_matches(str(name_or_path), names, n=3, cutoff=0.4) or names
    raise InputError(
        f"{what} must be a name or a .toml file; got {str(name_or_path)!r}; "
        f"nearest names: {', '.join(near)}"
    )


def refusal(
    root: type[Section], file: str, error: ValidationError, changed: Sequence[str] = ()
) -> InputError:
    """The first complaint as an InputError: file, key, what is allowed, what was given.

    `root`: the class that was validated. `changed`: keys that ``--set`` gave instead of the file.
    """
    first = error.errors()[0]
    place = _locate(root, first["loc"])
    kind = first["type"]
    given = "nothing" if kind == "missing" else repr(first["input"])
    key = place.key
    source = (
        "--set"
        if any(f"{c}.".startswith(f"{key}.") or key.startswith(f"{c}.") for c in changed)
        else file
    )
    if kind == "extra_forbidden":
        last = key.rpartition(".")[2]
        return InputError(f"{source}: unknown key {key!r}; {nearest(last, place.fields)}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        table = first["input"]
        got = table.get("kind") if isinstance(table, dict) else table
        given = "nothing" if got is None else repr(got)
        return InputError(
            f"{source}: {key}.kind must be one of {', '.join(KINDS[key])}; got {given}"
        )
    if kind == "value_error" and not place.allowed:
        return InputError(f"{source}: {first['ctx']['error']}")
    return InputError(f"{source}: {key} must be {place.allowed or 'a table'}; got {given}")


def _locate(root: type[Section], loc: tuple[int | str, ...]) -> _Place:
    """Key, allowed values and neighbours of what pydantic complains about."""
    section: type[Section] | None = root
    keys: list[str] = []
    allowed = ""
    fields: tuple[str, ...] = tuple(name for name in root.model_fields if name != "name")
    parts = iter(loc)
    for part in parts:
        if section is None:
            if isinstance(part, str) and allowed.startswith("a table"):
                keys.append(part)
            break
        keys.append(str(part))
        field = section.model_fields.get(str(part))
        if field is None:
            allowed = ""
            break
        extra = field.json_schema_extra
        allowed = str(extra["allowed"]) if isinstance(extra, dict) else ""
        where = ".".join(keys)
        if where in KINDS:
            section = KINDS[where].get(str(next(parts, "")))
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            section = field.annotation
        else:
            allowed = allowed or _allowed_inside(field.annotation)
            section = None
        if section is not None:
            fields = tuple(section.model_fields)
    return _Place(".".join(keys), allowed or ("a text" if keys == ["title"] else ""), fields)


def _allowed_inside(annotation: Any) -> str:
    """Words of an annotated alternative, as in ``Seed | None``."""
    for option in getattr(annotation, "__args__", ()):
        for note in getattr(option, "__metadata__", ()):
            extra = getattr(note, "json_schema_extra", None)
            if isinstance(extra, dict):
                return str(extra["allowed"])
    return ""
