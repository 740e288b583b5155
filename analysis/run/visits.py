"""Which visits to look at, and how busy they keep what, bin by bin. Only numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.style import CLASS_COLOURS, short
from hyflexsim.sim.errors import InputError

CLASSES = tuple(CLASS_COLOURS)
Window = tuple[int, int]
CHUNK = 1 << 17
"""Visits that are worked on at once: their numbers stay in the cache, and no memory is fetched."""


@dataclass(frozen=True, eq=False)
class Visits:
    """Selected rows of a trace as arrays, clipped to ``window`` (ps).

    ``component`` numbers the names in ``components``, ``op_class`` those in :data:`CLASSES`.
    """

    components: list[str]
    component: NDArray[Any]
    op_class: NDArray[Any]
    request: NDArray[Any]
    token: NDArray[Any]
    plane: NDArray[Any]
    start: NDArray[Any]
    end: NDArray[Any]
    window: Window

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Which components have visits."""
        return seen(self.component, len(self.components))


def select(
    run: Run,
    *,
    layer: str | Iterable[str] | None = None,
    request: int | Iterable[int] | None = None,
    tokens: tuple[int, int] | None = None,
    window: Window | None = None,
    components: Iterable[str] | None = None,
) -> Visits:
    """Visits of some layers, requests and components, tokens ``[first, stop)``, a window in ps.

    Names must exist: anything else raises :class:`InputError`, and so does an empty selection.
    """
    trace = run.trace
    keep: NDArray[np.bool_] | None = None

    def also(mask: NDArray[np.bool_]) -> None:
        nonlocal keep
        keep = mask if keep is None else keep & mask

    if layer is not None:
        also(_among(trace["layer"], _layers(run, layer)))
    if components is not None:
        names = [components] if isinstance(components, str) else list(components)
        _known("components", names, list(trace["component"].cat.categories))
        also(_among(trace["component"], names))
    if request is not None:
        wanted = [request] if isinstance(request, int) else list(request)
        _known("request", wanted, run.requests["request"].tolist())
        also(_numbered(wanted, run)[trace["request"].to_numpy()])
    if tokens is not None:
        first, stop = _span("tokens", tokens)
        numbers = trace["token"].to_numpy()
        also((numbers >= first) & (numbers < stop))
    if window is not None:
        first, stop = _span("window", window)
        also((trace["end_ps"].to_numpy() > first) & (trace["start_ps"].to_numpy() < stop))

    return _visits(run, None if keep is None or keep.all() else keep, window)


def _visits(run: Run, keep: NDArray[np.bool_] | None, window: Window | None) -> Visits:
    """Those marked in ``keep`` (None: all, without copies), clipped to a window."""
    trace = run.trace

    def column(values: NDArray[Any]) -> NDArray[Any]:
        return values if keep is None else values[keep]

    start = column(trace["start_ps"].to_numpy())
    end = column(trace["end_ps"].to_numpy())
    if not len(start):
        raise InputError(f"{run.path}: no visit of that layer, request, token, component and time")
    if window is None:
        window = int(start.min()), int(end.max())
    else:
        start, end = np.clip(start, *window), np.clip(end, *window)
    nought = np.broadcast_to(np.int16(0), len(trace))  # takes no memory
    token = trace["token"].to_numpy() if "token" in trace else nought
    plane = trace["plane"].to_numpy() if "plane" in trace else nought
    return Visits(
        components=[str(c) for c in trace["component"].cat.categories],
        component=column(trace["component"].cat.codes.to_numpy()),
        op_class=_class_of(run)[column(trace["op"].cat.codes.to_numpy())],
        request=column(trace["request"].to_numpy()),
        token=column(token),
        plane=column(plane),
        start=start,
        end=end,
        window=window,
    )


def with_others(run: Run, visits: Visits, present: NDArray[np.bool_]) -> Visits:
    """The same and what other requests did meanwhile on the components marked in ``present``.

    They get an op class of their own, so that they can be drawn as a backdrop.
    """
    trace, (first, stop) = run.trace, visits.window
    apart = ~_numbered(requests_of(visits), run)[trace["request"].to_numpy()]
    apart &= present[trace["component"].cat.codes.to_numpy()]
    apart &= trace["end_ps"].to_numpy() > first
    apart &= trace["start_ps"].to_numpy() < stop
    if not apart.any():
        return visits
    around = _visits(run, apart, visits.window)
    backdrop = np.full(len(around), CLASSES.index("other requests"), dtype=np.int8)
    names = ("component", "request", "token", "plane", "start", "end")
    columns: dict[str, Any] = {
        n: np.concatenate([getattr(visits, n), getattr(around, n)]) for n in names
    }
    return replace(visits, op_class=np.concatenate([visits.op_class, backdrop]), **columns)


def requests_of(visits: Visits) -> NDArray[np.int64]:
    """Numbers of the requests that the visits are of, in order."""
    return np.flatnonzero(seen(visits.request, int(visits.request.max(initial=-1)) + 1))


def _numbered(requests: Iterable[int], run: Run) -> NDArray[np.bool_]:
    """By the number of each request in a run: whether it is one of these."""
    marked = np.zeros(int(run.requests["request"].max()) + 1, dtype=bool)
    marked[list(requests)] = True
    return marked


def seen(numbers: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """Which of the numbers below ``count`` occur.

    >>> seen(np.array([2, 0, 2]), 4)
    array([ True, False,  True, False])
    """
    found = np.zeros(count, dtype=bool)
    for at in range(0, len(numbers), CHUNK):
        found[numbers[at : at + CHUNK]] = True
    return found


def busy(
    start: NDArray[Any], end: NDArray[Any], key: NDArray[Any], keys: int, edges: NDArray[Any]
) -> NDArray[np.float64]:
    """Busy time of each key in each bin between ``edges`` (equally spaced), exact to rounding.

    Every visit counts in the bins where it starts and ends in part, in those between in full.

    >>> busy(np.array([0, 5]), np.array([15, 10]), np.array([0, 0]), 1, np.array([0, 10, 20]))
    array([[15.,  5.]])
    """
    bins = len(edges) - 1
    width = (edges[-1] - edges[0]) / bins
    shape = (keys, bins)

    def fold(times: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Events per bin, and the time left in the bin after them."""
        count, left = np.zeros(keys * bins, dtype=np.int64), np.zeros(keys * bins)
        for at in range(0, len(times), CHUNK):
            position = (times[at : at + CHUNK] - edges[0]) / width
            np.clip(position, 0, bins, out=position)
            index = position.astype(np.int64)
            np.minimum(index, bins - 1, out=index)
            rest = index + 1 - position
            rest *= width
            index += key[at : at + CHUNK] * np.int64(bins)
            count += np.bincount(index, minlength=keys * bins)
            left += np.bincount(index, weights=rest, minlength=keys * bins)
        return count.reshape(shape).astype(float), left.reshape(shape)

    starts, after_start = fold(start)
    ends, after_end = fold(end)
    running = np.cumsum(starts - ends, axis=1) - (starts - ends)  # at the start of each bin
    result: NDArray[np.float64] = np.maximum(running * width + after_start - after_end, 0.0)
    result[result < width * 1e-9] = 0.0
    return result


def _class_of(run: Run) -> NDArray[np.int8]:
    """Class number of each op category."""
    ops = run.trace["op"].cat.categories
    other = CLASSES.index("other")
    number = {name: i for i, name in enumerate(CLASSES)}
    codes = [number.get(run.classes.get(str(op), "other"), other) for op in ops]
    return np.array(codes, dtype=np.int8)


def _among(column: pd.Series, names: Sequence[str]) -> NDArray[np.bool_]:
    categories = column.cat.categories.isin(list(names))
    return np.append(categories, False)[column.cat.codes.to_numpy()]


def _layers(run: Run, layer: str | Iterable[str]) -> list[str]:
    """Layers by full name, or by the end of it where that says which."""
    given = [layer] if isinstance(layer, str) else list(layer)
    names = [str(name) for name in run.trace["layer"].cat.categories]
    ends: dict[str, list[str]] = {}
    for name in names:
        ends.setdefault(short(name), []).append(name)
    full = [ends[n][0] if n not in names and len(ends.get(n, [])) == 1 else n for n in given]
    _known("layer", full, names)
    return full


def _known(key: str, given: Sequence[Any], allowed: Sequence[Any]) -> None:
    known = set(allowed)
    for value in given:
        if value not in known:
            some = ", ".join(map(str, allowed[:8])) + (", …" if len(allowed) > 8 else "")
            raise InputError(f"{key} must be of {some}; got {value!r}")


def _span(key: str, given: tuple[int, int]) -> tuple[int, int]:
    first, stop = given
    if not first < stop:
        raise InputError(f"{key} must be (first, stop) with first < stop; got {given!r}")
    return first, stop
