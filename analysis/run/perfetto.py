"""A run's trace for the Perfetto viewer (ui.perfetto.dev): visits, tokens' ways, queues and power.

A process a PU, or a chip for what lies outside PUs; in it a track a component, and on that a slice
a visit. A flow joins the slices of one token in the order in which they were served. Counters: how
many tokens wait, and the power drawn, by kind of component. Visits of a component that overlap (a
transfer that is under way while the next one starts) get tracks of the same name below each other,
since slices of one track must nest.

The viewer counts in whole nanoseconds and a visit may last one picosecond, so **a nanosecond there
is a picosecond here**.

Format: perfetto's ``trace_packet.proto`` and ``track_event.proto``, by the classes of its package.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hyflexsim.analysis.run.over_time import edges_of, power_by_kind
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.whole_file import whole
from hyflexsim.sim.errors import InputError

MOST = 100_000
"""Visits of a trace that nobody has chosen requests of; a file of 15 MB."""

_BINS = 1000  # of the counters of power
_SEQUENCE = 1  # all packets are of one writer


def write_perfetto(run: Run, file: Path, requests: Sequence[int] | None = None) -> int:
    """Write the visits of some requests (default: the first ones, up to :data:`MOST` visits).

    Returns how many there are. Raises InputError where the perfetto package is missing, and for
    requests that the trace does not have.
    """
    try:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "a Perfetto trace needs the perfetto package: pip install 'hyflexsim[perfetto]'"
        ) from None
    visits = _chosen(run, requests)
    with whole(file) as made, made.open("wb") as out:
        for packet in _packets(run, visits, proto):
            packet.trusted_packet_sequence_id = _SEQUENCE
            out.write(proto.Trace(packet=[packet]).SerializeToString())
    return len(visits)


def _chosen(run: Run, requests: Sequence[int] | None) -> pd.DataFrame:
    """Visits of the requests, in order of their start."""
    counts = run.trace["request"].value_counts().sort_index()
    if requests is None:
        whole = counts.cumsum() <= MOST
        requests = counts.index[whole if whole.any() else [0]].tolist()
    for number in requests:
        if number not in counts.index:
            raise InputError(
                f"{run.path}: requests must be of those in the trace, {counts.index[0]} to "
                f"{counts.index[-1]}; got {number}"
            )
    visits = run.trace[run.trace["request"].isin(requests)]
    return visits.sort_values(["start_ps", "end_ps"], kind="stable", ignore_index=True)


def _packets(run: Run, visits: pd.DataFrame, proto: Any) -> Iterator[Any]:
    tracks = _Tracks(run, proto)
    names = [str(name) for name in visits["component"].cat.categories]
    codes = visits["component"].cat.codes.to_numpy()
    lanes = _lanes(codes, visits["start_ps"].to_numpy(), visits["end_ps"].to_numpy())
    flows = _flows(visits)
    ops = [str(op) for op in visits["op"].cat.categories]
    columns = ("start_ps", "end_ps", "arrival_ps", "request", "token", "plane")
    rows = zip(*(visits[name].tolist() for name in columns), strict=True)
    op_codes = visits["op"].cat.codes.tolist()
    ends: list[tuple[int, int]] = []  # slices of a track end before the next one begins
    for number, (start, end, arrival, request, token, plane) in enumerate(rows):
        while ends and ends[0][0] <= start:
            yield _end(proto, *heapq.heappop(ends))
        track, made = tracks.of(names[codes[number]], int(lanes[number]))
        yield from made
        op = ops[op_codes[number]]
        event = proto.TrackEvent(
            type=proto.TrackEvent.TYPE_SLICE_BEGIN,
            track_uuid=track,
            name=op,
            categories=[run.classes.get(op, "other")],
            flow_ids=[int(flows[number])],
            debug_annotations=[
                proto.DebugAnnotation(name="request", int_value=request),
                proto.DebugAnnotation(name="token", int_value=token),
                proto.DebugAnnotation(name="plane", int_value=plane),
                proto.DebugAnnotation(name="waited_ps", int_value=start - arrival),
            ],
        )
        yield proto.TracePacket(timestamp=start, track_event=event)
        heapq.heappush(ends, (end, track))
    while ends:
        yield _end(proto, *heapq.heappop(ends))
    yield from _counters(tracks, "waiting", _waiting(visits), proto)
    yield from _counters(tracks, "power", _power(run, visits), proto)


def _end(proto: Any, at: int, track: int) -> Any:
    event = proto.TrackEvent(type=proto.TrackEvent.TYPE_SLICE_END, track_uuid=track)
    return proto.TracePacket(timestamp=at, track_event=event)


class _Tracks:
    """Numbers of tracks, each described when it is first asked for."""

    def __init__(self, run: Run, proto: Any) -> None:
        table = run.components
        self._places = {
            name: f"PU {pu}" if pu >= 0 else f"chip {chip}"
            for name, pu, chip in zip(table["component"], table["pu"], table["chip"], strict=True)
        }
        self._proto = proto
        self._numbers: dict[tuple[str, ...], int] = {}

    def of(self, component: str, lane: int) -> tuple[int, list[Any]]:
        """Of a component: its number, and packets that must come before it is used."""
        place = self._places.get(component, "elsewhere")
        made = list(self._process(place))
        key = (place, component, str(lane))
        if key not in self._numbers:
            made.append(self._described(key, component, self._numbers[place,]))
        return self._numbers[key], made

    def counter(self, group: str, name: str, unit: str) -> tuple[int, list[Any]]:
        """Of a counter, likewise."""
        made = list(self._process(group))
        key = (group, name)
        made.append(self._described(key, name, self._numbers[group,]))
        made[-1].track_descriptor.counter.unit_name = unit
        return self._numbers[key], made

    def _process(self, name: str) -> Iterator[Any]:
        if (name,) not in self._numbers:
            packet = self._described((name,), "", None)
            process = packet.track_descriptor.process
            process.pid, process.process_name = len(self._numbers), name
            yield packet

    def _described(self, key: tuple[str, ...], name: str, parent: int | None) -> Any:
        number = self._numbers[key] = len(self._numbers) + 1
        described = self._proto.TrackDescriptor(uuid=number)
        if name:
            described.name = name
        if parent is not None:
            described.parent_uuid = parent
        return self._proto.TracePacket(track_descriptor=described)


def _lanes(
    component: np.ndarray[Any, Any], start: np.ndarray[Any, Any], end: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """The first lane of its component that is free when a visit starts; visits in that order."""
    lanes = np.zeros(len(start), dtype=np.int64)
    free: dict[int, list[int]] = {}
    for number, (owner, begin, finish) in enumerate(
        zip(component.tolist(), start.tolist(), end.tolist(), strict=True)
    ):
        until = free.setdefault(owner, [])
        lane = next((lane for lane, at in enumerate(until) if at <= begin), len(until))
        until[lane : lane + 1] = [finish]
        lanes[number] = lane
    return lanes


def _flows(visits: pd.DataFrame) -> np.ndarray[Any, Any]:
    """A number from 1 for each token of each request."""
    return visits.groupby(["request", "token"], sort=False).ngroup().to_numpy() + 1


def _waiting(visits: pd.DataFrame) -> dict[str, list[tuple[int, float]]]:
    """By kind of component: how many tokens wait, at each time when that changes."""
    found = {}
    for kind, some in visits.groupby("kind", observed=True):
        waits = some[some["start_ps"] > some["arrival_ps"]]
        changes = pd.concat(
            [
                pd.Series(1, index=waits["arrival_ps"]),
                pd.Series(-1, index=waits["start_ps"]),
            ]
        )
        length = changes.groupby(level=0).sum().cumsum()
        found[str(kind)] = list(zip(length.index.tolist(), length.astype(float), strict=True))
    return found


def _power(run: Run, visits: pd.DataFrame) -> dict[str, list[tuple[int, float]]]:
    """mW by kind of component, in bins; nothing where the trace has not all visits."""
    if len(run.trace) != run.summary["visits"]:
        return {}
    edges = edges_of(visits, _BINS)
    table = power_by_kind(run, edges, visits)
    times = edges.astype(int).tolist()
    return {
        str(kind): list(zip(times, [*table[kind].tolist(), 0.0], strict=True)) for kind in table
    }


def _counters(
    tracks: _Tracks, what: str, values: dict[str, list[tuple[int, float]]], proto: Any
) -> Iterator[Any]:
    unit = {"waiting": "tokens", "power": "mW"}[what]
    for kind, points in values.items():
        track, made = tracks.counter(f"{what}, by kind", kind, unit)
        yield from made
        for at, value in _changes(points):
            event = proto.TrackEvent(
                type=proto.TrackEvent.TYPE_COUNTER, track_uuid=track, double_counter_value=value
            )
            yield proto.TracePacket(timestamp=at, track_event=event)


def _changes(points: list[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Those that differ from the one before."""
    yield from points[:1]
    yield from (point for before, point in pairwise(points) if point[1] != before[1])
