"""Reading a TOML file that somebody wrote by hand: whatever is wrong with it is one line."""

from __future__ import annotations

import functools
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.regular_file import regular

DEEPEST = 64
"""Tables and lists inside each other; no file of ours has more than five."""


def read(path: Path, named: str = "") -> dict[str, Any]:
    """The content of a TOML file in UTF-8, with or without a byte order mark.

    ``named``: how errors (:class:`InputError`) call the file, if not by its path.
    """
    at = named or str(path)
    try:
        text = regular(path).read_text(encoding="utf-8-sig")
        content = deepcopy(_parsed(text))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{at}: cannot be read as TOML: it must be UTF-8; byte {error.start} is not"
        ) from None
    except OSError as error:
        raise InputError(f"{at}: {error.strerror or 'cannot be read'}") from None
    except ValueError as error:
        raise InputError(f"{at}: cannot be read as TOML: {error}") from None
    except RecursionError:
        raise _too_deep(at) from None
    _refuse_deep(at, content)
    return content


@functools.lru_cache(maxsize=16)
def _parsed(text: str) -> dict[str, Any]:
    """Kept, since a sweep reads the same chip at each point."""
    return tomllib.loads(text)


def _refuse_deep(at: str, content: object) -> None:
    """What comes after walks through tables by calling itself; so far it may go."""
    level = [content]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise _too_deep(at)


def _too_deep(at: str) -> InputError:
    return InputError(
        f"{at}: cannot be read as TOML: tables and lists must be at most {DEEPEST} deep"
    )
