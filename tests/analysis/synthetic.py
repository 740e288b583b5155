"""Run directories that follow the schema of docs/architecture.md, made by a toy simulator.

The toy is a pipelined encoder: components serve one token at a time in (arrival, step, request,
token) order, Q·Kᵀ waits for all keys. Its times are made up; its files have the real form.
"""

from __future__ import annotations

import heapq
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TEXT = ("step", "op", "kind", "component", "layer")
UNIT_PJ = {"bank": 180.0, "adc": 100.0, "sfu": 40.0, "digital_pim": 900.0}
ARRAYS = 12_288


@dataclass(frozen=True)
class Step:
    name: str
    op: str
    kind: str
    layer: str
    lanes: tuple[str, ...]
    service: int
    inputs: tuple[int, ...] = ()  # indices of steps
    barrier: bool = False
    planes: int = 1


def chain(steps, layer, pu, op, copies, source, *, planes=1):
    """Bus, bank, ADC, (shift-and-add,) bus, accumulator of one matrix; index of its last step."""

    def add(part, kind, lanes, service, inputs, planes=1):
        steps.append(Step(f"{op}.{part}", op, kind, layer, lanes, service, inputs, planes=planes))
        return len(steps) - 1

    def unit(kind):
        return tuple(f"{pu}.{op}.{kind}.{i}" for i in range(copies))

    whole = 1 if planes > 1 else 8
    step = add("in", "pu_bus", (f"{pu}.bus",), 1_000, source)
    step = add("bank", "bank", unit("bank"), whole * 100_000, (step,), planes)
    step = add("adc", "adc", unit("adc"), 99_000, (step,), planes)
    if planes > 1:
        step = add("shift_add", "shift_add", unit("shift_add"), 20_000, (step,), planes)
    step = add("out", "pu_bus", (f"{pu}.bus",), 3_000, (step,))
    return add("sum", "accumulator", (f"{pu}.accumulator",), 6_000, (step,))


def encoder(layers, copies, shared_pu=False):
    """Steps of an encoder, its op classes, and the PU of each layer."""
    steps = [Step("in", "input_ids", "host_port", "embed", ("host.in",), 8_000)]
    classes = {"input_ids": "input"}
    last = 0
    pus = {}
    for i in range(layers):
        layer, pu = f"encoder.layer.{i}", f"pu{0 if shared_pu else i}"
        pus[layer] = i

        def single(op, kind, service, inputs, cls, barrier=False, layer=layer, pu=pu):
            name = f"{layer}.{op}"
            classes[name] = cls
            component = "global_bus" if kind == "global_bus" else f"{pu}.{kind}"
            step = Step(name, name, kind, layer, (component,), service, inputs, barrier)
            steps.append(step)
            return len(steps) - 1

        def gemv(op, source, layer=layer, pu=pu):
            classes[f"{layer}.{op}"] = "gemv"
            return chain(steps, layer, pu, f"{layer}.{op}", copies, (source,))

        moved = single("hop", "global_bus", 6_000, (last,), "pointwise")
        q, k, v = (gemv(op, moved) for op in ("q", "k", "v"))
        scores = single("scores", "digital_pim", 45_000, (q, k), "matmul", barrier=True)
        soft = single("softmax", "sfu", 9_000, (scores,), "softmax")
        mixed = single("mix", "digital_pim", 68_000, (soft, v), "matmul", barrier=True)
        residual = single("add1", "sfu", 3_000, (gemv("proj", mixed), moved), "pointwise")
        norm = single("norm1", "sfu", 4_000, (residual,), "norm")
        hidden = single("gelu", "sfu", 12_000, (gemv("ffn1", norm),), "pointwise")
        residual = single("add2", "sfu", 3_000, (gemv("ffn2", hidden), norm), "pointwise")
        last = single("norm2", "sfu", 4_000, (residual,), "norm")
    classes["logits"] = "output"
    steps.append(Step("out", "logits", "host_port", "head", ("host.out",), 8_000, (last,)))
    return steps, classes, pus


def one_bank(planes=8):
    """One matrix alone."""
    steps = [Step("in", "x", "host_port", "fc", ("host.in",), 5_000)]
    last = chain(steps, "fc", "pu0", "fc", 1, (0,), planes=planes)
    steps.append(Step("out", "y", "host_port", "fc", ("host.out",), 5_000, (last,)))
    return steps, {"x": "input", "fc": "gemv", "y": "output"}, {"fc": 0}


def play(steps, requests):
    """Visits (step, request, part, component, arrival, start, end); components work on one part."""
    counts = [[tokens * s.planes for s in steps] for _, tokens in requests]
    waiting = {}
    released = defaultdict(list)
    for index, step in enumerate(steps):
        for source in step.inputs:
            released[source].append(index)
    done = defaultdict(int)
    ready = defaultdict(list)
    idle_from = defaultdict(int)
    arrivals = [
        (arrival, 0, request, token)
        for request, (arrival, tokens) in enumerate(requests)
        for token in range(tokens)
    ]
    events = list(arrivals)
    heapq.heapify(events)
    ends = []
    rows = []

    def begin(name, now):
        if ready[name] and idle_from[name] <= now:
            arrival, step, request, part = heapq.heappop(ready[name])
            end = now + steps[step].service
            idle_from[name] = end
            rows.append((step, request, part, name, arrival, now, end))
            heapq.heappush(ends, (end, step, request, part, name))

    def deliver(step, request, part, now):
        lanes = steps[step].lanes
        name = lanes[part // steps[step].planes % len(lanes)]
        heapq.heappush(ready[name], (now, step, request, part))
        touched.add(name)

    def finish(step, request, part, now):
        done[step, request] += 1
        for target in released[step]:
            if steps[target].barrier:
                if done[step, request] < counts[request][step]:
                    continue
                parts = range(counts[request][target])
            elif steps[step].planes < steps[target].planes:
                first = part * steps[target].planes
                parts = range(first, first + steps[target].planes)
            elif steps[step].planes > steps[target].planes:
                if (part + 1) % steps[step].planes:
                    continue
                parts = range(part // steps[step].planes, part // steps[step].planes + 1)
            else:
                parts = range(part, part + 1)
            for p in parts:
                key = target, request, p
                waiting[key] = waiting.get(key, len(steps[target].inputs)) - 1
                if waiting[key] == 0:
                    del waiting[key]
                    deliver(target, request, p, now)

    while events or ends:
        now = min(q[0][0] for q in (events, ends) if q)
        touched = set()
        while ends and ends[0][0] == now:
            _, step, request, part, name = heapq.heappop(ends)
            touched.add(name)
            finish(step, request, part, now)
        while events and events[0][0] == now:
            _, step, request, token = heapq.heappop(events)
            deliver(step, request, token, now)
        for name in sorted(touched):
            begin(name, now)
    return rows


def write_run(path, model, requests, labels=None):
    """Write a run of what :func:`encoder` gives, with requests (arrival, tokens)."""
    steps, classes, pus = model
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    rows = sorted(play(steps, requests), key=lambda r: (r[6], r[0], r[1], r[2]))
    step, request, part, component, arrival, start, end = zip(*rows, strict=True)
    step = np.array(step)
    planes = np.array([s.planes for s in steps])[step]
    trace = pd.DataFrame(
        {
            **{key: [getattr(steps[i], key) for i in step] for key in ("op", "kind", "layer")},
            "step": [steps[i].name for i in step],
            "component": component,
            "request": np.array(request, np.int32),
            "token": (np.array(part) // planes).astype(np.int32),
            "plane": (np.array(part) % planes).astype(np.int16),
            "arrival_ps": np.array(arrival, np.int64),
            "start_ps": np.array(start, np.int64),
            "end_ps": np.array(end, np.int64),
        }
    )
    trace = trace[[*TEXT, "request", "token", "plane", "arrival_ps", "start_ps", "end_ps"]]
    write_trace(path, trace)
    makespan = int(trace.end_ps.max())
    energy = _energy(trace)
    energy.to_parquet(path / "energy.parquet")
    components = _components(trace, makespan, pus)
    components.to_parquet(path / "components.parquet")
    table = _requests(trace, requests, labels, energy.energy_pj.sum())
    table.to_parquet(path / "requests.parquet")
    place(pus, classes).to_parquet(path / "placement.parquet")
    latency = table.latency_ps.to_numpy()
    p50, p95, p99 = np.quantile(latency, [0.5, 0.95, 0.99])
    n = len(table)
    by_kind = energy.groupby("kind").energy_pj.sum() / n
    summary = {
        "scenario": path.name,
        "model": "toy",
        "preset": "hyflexpim",
        "requests": n,
        "tokens": int(table.tokens.sum()),
        "fidelity": "bit" if planes.max() > 1 else "token",
        "overlap": "pipelined",
        "energy_mode": "action",
        "makespan_ps": makespan,
        "latency_ps": {
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "mean": latency.mean(),
            "max": int(max(latency)),
        },
        "throughput_per_s": n / makespan * 1e12,
        "energy_per_request_pj": energy.energy_pj.sum() / n,
        "energy_by_kind_pj": by_kind.to_dict(),
        "utilisation_by_kind": components.groupby("kind").utilisation.mean().to_dict(),
        "area_mm2": {"chip": 1807.0, "used": 75.3 * len(pus)},
        "writes_per_request": 1234,
        "visits": len(trace),
        "macs": 10**9,
        "lost_by": {"queue": 0, "client": 0, "death": 0},
        "stream": {"served_at_most_per_s": None, "offered_per_s": None, "deadline_ps": None},
        "power_w": {"mean": 12.0, "peak": 75.0},
        "tops": {"achieved": 2.0, "per_w": 1.6, "per_mm2": 0.03},
        "energy_per_token_pj": 1e6,
        "energy_delay_pj_s": 1e3,
        "bound": {"kind": "bank", "component": "pu00.x", "utilisation": 0.6, "roofline": "compute"},
        "assumptions": [],
        "notes": [],
    }
    (path / "summary.json").write_text(json.dumps(summary))
    (path / "scenario.json").write_text(json.dumps({"op_kinds": classes}))
    return path


def write_trace(path, trace):
    table = pa.Table.from_pandas(trace, preserve_index=False)
    for name in TEXT:
        column = table[name]
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path / "trace.parquet")


def _energy(trace):
    counts = trace.groupby(["layer", "op", "kind"], sort=True).size().rename("count").reset_index()
    counts["action"] = counts.kind + "_use"
    counts["unit_pj"] = counts.kind.map(UNIT_PJ).fillna(5.0)
    counts["energy_pj"] = counts["count"] * counts.unit_pj
    counts["status"] = "assumed"
    columns = ["layer", "op", "kind", "action", "count", "unit_pj", "energy_pj", "status"]
    return counts[columns]


def _components(trace, makespan, pus):
    trace = trace.assign(busy=trace.end_ps - trace.start_ps, wait=trace.start_ps - trace.arrival_ps)
    table = trace.groupby("component", sort=False).agg(
        kind=("kind", "first"),
        layer=("layer", "first"),
        visits=("busy", "size"),
        busy_ps=("busy", "sum"),
        wait_ps=("wait", "sum"),
    )
    table["layer"] = table.layer.where(~table.index.isin(["global_bus", "host.in"]), "")
    table["pu"] = table.layer.map(pus).fillna(-1).astype(np.int16)
    table["chip"] = 0
    table["utilisation"] = table.busy_ps / makespan
    table["peak_queue"] = 3
    columns = ["component", "kind", "layer", "pu", "chip", "visits", "busy_ps", "wait_ps"]
    return table.reset_index()[[*columns, "utilisation", "peak_queue"]]


def _requests(trace, requests, labels, energy):
    spans = trace.groupby("request").agg(start=("start_ps", "min"), finish=("end_ps", "max"))
    first = trace[trace.step == trace.step.iloc[-1]].groupby("request").end_ps.min()
    arrival = np.array([a for a, _ in requests], np.int64)
    tokens = np.array([t for _, t in requests], np.int32)
    return pd.DataFrame(
        {
            "request": np.arange(len(requests), dtype=np.int32),
            "label": labels or [""] * len(requests),
            "tokens": tokens,
            "prefill": tokens,
            "arrival_ps": arrival,
            "start_ps": spans.start.to_numpy(),
            "first_token_ps": first.to_numpy(),
            "finish_ps": spans.finish.to_numpy(),
            "latency_ps": spans.finish.to_numpy() - arrival,
            "energy_pj": energy * tokens / tokens.sum(),
        }
    )


def place(pus, classes, pus_per_layer=1, arrays=None):
    """A placement: every gemv in each PU of its layer."""
    rows = []
    for layer, pu in pus.items():
        ops = [
            op
            for op, cls in classes.items()
            if cls == "gemv" and (op == layer or op.startswith(f"{layer}."))
        ]
        for op in ops:
            for i in range(pus_per_layer):
                slc, mlc = arrays or (300, 500)
                rows.append((layer, op, f"{op}.weight", pu * pus_per_layer + i, slc, mlc))
    frame = pd.DataFrame(rows, columns=["layer", "op", "weight", "pu", "arrays_slc", "arrays_mlc"])
    frame["chip"] = frame.pu // 24
    frame["rows"], frame["cols"], frame["rank"] = 768, 768, pd.array([384] * len(frame), "Int64")
    frame["copies"] = 2
    frame["arrays_total"] = (frame.arrays_slc + frame.arrays_mlc) * frame.copies
    columns = ["layer", "op", "weight", "pu", "chip", "rows", "cols", "rank"]
    return frame[[*columns, "arrays_slc", "arrays_mlc", "copies", "arrays_total"]]
