"""A trace for Perfetto, read back by its own classes: every visit once, slices nest, sums hold."""

from collections import defaultdict

import numpy as np
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

from hyflexsim.analysis import load
from hyflexsim.analysis.run.perfetto import _lanes, write_perfetto
from hyflexsim.sim.errors import InputError

BEGIN, END, COUNTER = (
    getattr(proto.TrackEvent, f"TYPE_{name}") for name in ("SLICE_BEGIN", "SLICE_END", "COUNTER")
)


@pytest.fixture(scope="module")
def written(bert_dir, tmp_path_factory):
    """The run, and its trace parsed."""
    run, file = load(bert_dir), tmp_path_factory.mktemp("perfetto") / "t.pftrace"
    assert write_perfetto(run, file) == len(run.trace)
    return run, proto.Trace.FromString(file.read_bytes())


def tracks(trace):
    """Descriptors by number; each comes before what uses it."""
    found = {}
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            found[packet.track_descriptor.uuid] = packet.track_descriptor
        else:
            assert packet.track_event.track_uuid in found
    return found


def slices(trace):
    """(track, begin, end, event), each track's one after the other: none overlaps the next."""
    found, running = [], {}
    for packet in trace.packet:
        event = packet.track_event
        if event.type == BEGIN:
            assert event.track_uuid not in running
            running[event.track_uuid] = packet.timestamp, event
        elif event.type == END:
            begin, of = running.pop(event.track_uuid)
            found.append((event.track_uuid, begin, packet.timestamp, of))
    assert not running
    return found


def counters(trace, group):
    """Points by kind of component."""
    described, points = tracks(trace), defaultdict(list)
    for packet in trace.packet:
        event = packet.track_event
        if event.type == COUNTER:
            track = described[event.track_uuid]
            if described[track.parent_uuid].process.process_name == group:
                points[track.name].append((packet.timestamp, event.double_counter_value))
    return points


def test_a_slice_is_a_visit(written):
    run, trace = written
    described = tracks(trace)
    got = sorted(
        (described[track].name, event.name, begin, end, *_notes(event))
        for track, begin, end, event in slices(trace)
    )
    table = run.trace.assign(waited=run.trace["start_ps"] - run.trace["arrival_ps"])
    columns = ["component", "op", "start_ps", "end_ps", "request", "token", "plane", "waited"]
    wanted = sorted(table[columns].itertuples(index=False, name=None))
    assert got == wanted


def _notes(event):
    return [each.int_value for each in event.debug_annotations]


def test_components_lie_in_their_pu(written):
    run, trace = written
    described = tracks(trace)
    pus = dict(zip(run.components["component"], run.components["pu"], strict=True))
    for track, *_ in slices(trace):
        parent = described[described[track].parent_uuid].process.process_name
        pu = pus[described[track].name]
        assert parent == (f"PU {pu}" if pu >= 0 else "chip 0")


def test_a_flow_is_a_token(written):
    _, trace = written
    tokens = defaultdict(set)
    for *_, event in slices(trace):
        (flow,) = event.flow_ids
        tokens[flow].add(tuple(_notes(event)[:2]))
    assert all(len(each) == 1 for each in tokens.values())
    assert len(set.union(*tokens.values())) == len(tokens) == 3 * 24


def test_those_who_wait_come_and_go(written):
    run, trace = written
    found = counters(trace, "waiting, by kind")
    for kind, points in found.items():
        some = run.trace[run.trace["kind"] == kind]
        waited = (some["start_ps"] - some["arrival_ps"]).sum()
        times, lengths = np.array(points).T
        assert lengths[-1] == 0
        assert (np.diff(times) * lengths[:-1]).sum() == waited
    assert found


def test_power_over_time_adds_up_to_the_energy(written):
    run, trace = written
    visited = run.trace["kind"].unique()
    energy = run.energy.groupby("kind")["energy_pj"].sum()
    found = counters(trace, "power, by kind")
    assert set(found) == set(energy.index) & set(visited)
    for kind, points in found.items():
        times, mw = np.array(points).T
        assert (np.diff(times) * mw[:-1]).sum() * 1e-3 == pytest.approx(energy[kind], rel=2e-3)


def test_some_requests(bert_dir, tmp_path):
    run = load(bert_dir)
    some = write_perfetto(run, tmp_path / "t", [2])
    assert some == (run.trace["request"] == 2).sum()
    with pytest.raises(InputError, match="requests must be of those in the trace, 0 to 2; got 3"):
        write_perfetto(run, tmp_path / "u", [3])
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_visits_that_overlap_get_lanes():
    start, end = np.array([0, 1, 2, 5, 5]), np.array([4, 2, 3, 6, 6])
    assert _lanes(np.array([0, 0, 0, 0, 1]), start, end).tolist() == [0, 1, 1, 0, 0]


def test_power_is_left_out_where_visits_are(bert_dir, tmp_path):
    run = load(bert_dir)
    run.summary["visits"] += 1
    write_perfetto(run, tmp_path / "t")
    trace = proto.Trace.FromString((tmp_path / "t").read_bytes())
    assert not counters(trace, "power, by kind")
    assert counters(trace, "waiting, by kind")
