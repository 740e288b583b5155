"""What the user may have meant, for refusals of unknown names and keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(key: str, known: Iterable[str]) -> str:
    """Names like the given one, or else all.

    >>> nearest("tokns", ["kind", "tokens"])
    'nearest: tokens'
    """
    names = list(known)
    near = difflib.get_close_matches(key, names, n=3, cutoff=0.6)
    return f"nearest: {', '.join(near)}" if near else f"known: {', '.join(names)}"
