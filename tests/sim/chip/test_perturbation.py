"""Every parameter of every chip moves the answers that it says it acts on, and no others.

One small model has every op class; it is placed three ways. The answers are compared as a whole:
``time`` durations and finishing times, ``energy`` both energy modes and peak power, ``area``,
``wear`` what writing weights takes and how cells last (without copies, whose choice hangs on
time), and ``capacity`` what fits. (``values`` are of another room.) A parameter may be idle on one
chip, such as the precision of cells that hold no weight; on one of the chips below it must act.
"""

import functools

import pytest

from hyflexsim.sim import energy
from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.area import chip_area, chip_power, link_power
from hyflexsim.sim.chip.load import presets
from hyflexsim.sim.engine.compiled.compiled import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.mapping import Options, pieces_per_pu, place
from hyflexsim.sim.placement.memory import requests_at_once
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.wear import programming, wear

TOKENS = 5
BASES = [
    *((name, ()) for name in presets()),
    # what a preset leaves idle: chips in a row, slow units, conversions faster than their corner
    ("hyflexpim", (("chip.pus", 1),)),
    ("hyflexpim", (("sfu.lanes", 1), ("sfu.count", 1))),
    ("hyflexpim", (("adc.model", "survey"), ("adc.mlc_bits", 9), ("adc.slc_bits", 9))),
    ("sprint", (("thresholds.keys", 1),)),
    ("hyflexpim-topk", (("selector.lanes", 1), ("selector.count", 1))),
    ("non-pim", (("dram.energy.dram_activation", "900 pJ"), ("dram.banks", 1))),
]


@functools.cache
def model(width, blocks, heads):
    graph = g.new_graph("every op class")

    def op(name, kind, *sources, rule="stream", **shape):
        g.add_op(graph, name, kind, layer=name.rpartition(".")[0] or "stem", **shape)
        for source in sources:
            g.connect(graph, source, name, rule)
        return name

    op("in", "input", width=width)
    last = op("table", "lookup", "in", width=width, parameters=1000)
    each = {"heads": heads, "inner": width // heads, "context": "all"}
    for b in range(blocks):
        at = f"b.{b}."
        square = {"width": width, "rows": width, "cols": width}
        q, k, v = (
            op(at + x, "gemv", last, weight=at + x, rank=width - 16, **square) for x in "qkv"
        )
        qk = op(at + "qk", "matmul", q, width=heads, multiplies=["values", "values"], **each)
        g.connect(graph, k, qk, "all")
        soft = op(at + "soft", "softmax", qk, width=heads, elements=heads, context="all")
        pv = op(
            at + "pv", "matmul", soft, width=width, multiplies=["probabilities", "values"], **each
        )
        g.connect(graph, v, pv, "all")
        scan = op(at + "scan", "scan", pv, width=width, channels=width, state=4)
        norm = op(at + "norm", "norm", scan, width=width, elements=width)
        add = op(at + "add", "pointwise", norm, last, width=width, elements=width, function="add")
        last = op(at + "fc", "gemv", add, weight=at + "fc", **square)
    op("b.0.out", "output", last, width=width)
    return graph


WAYS = [
    ((96, 2, 4), Options(slc_rate=0.3, copies="fill", chips=4)),
    ((96, 2, 4), Options(slc_rate=0.3, copies="none", pus_per_layer=2, chips=4)),
    ((768, 1, 64), Options(slc_rate=0.5, copies="none", chips=16)),
]


def answers(chip):
    """By answer, one value a way of placing; None where the model does not fit that way."""
    powers = chip_power(chip), *map(link_power, chip.links.values())
    time, joules, worn = [], [powers], []
    room = [pieces_per_pu(chip), chip.values.max_tokens]
    for shape, options in WAYS:
        graph = model(*shape)
        try:
            single = place(graph, chip, options)
            placement = apply_copies(graph, single, TOKENS)
            room.append((requests_at_once(graph, placement, TOKENS), placement.pus_used))
        except CapacityError as error:
            room.append(str(error))
            time.append(None)
            joules.append(None)
            worn.append(None)
            continue
        room.append([weight.pieces for weight in placement.weights.values()])
        plan = build_plan(graph, placement)
        unrolled = shape_of(plan, TOKENS)
        steps = [(s.places, s.lanes) for s in plan.steps]
        played = play(plan, [Request(0, TOKENS), Request(0, TOKENS)])
        finished = played.finished
        time.append((unrolled.durations, steps, finished))
        worn.append((programming(single), wear(single, energy.ledger(plan, played, chip), 2)))
        powers = {(c.kind, c.power_mw, c.shadow) for c in plan.components}
        joules.append((energy.request_energy_pj(plan, unrolled, chip, "action"), powers))
    found = {"time": time, "energy": joules, "wear": worn}
    return found | {"area": chip_area(chip), "capacity": room}


@functools.cache
def base(name, changes):
    chip = load_chip(name, dict(changes))
    return chip, answers(chip)


def others(one, now):
    """Values to try: a little off, far off, and the ends of the range."""
    if one.options:
        return [option for option in one.options if option != now]
    tried = [now * 2, now / 2, now + 1, now - 1, now * 64, now / 64, one.low] if now else [1, 3]
    exact = [int(v) if one.whole and float(v).is_integer() else v for v in tried]
    return [
        v for v in dict.fromkeys(exact)
        if v != now and one.low <= v <= one.high and isinstance(v, int) >= one.whole
    ]  # fmt: skip


def given(one, value):
    bare = one.options or one.unit in ("", "bit", "cycle", "B", "nm")
    return value if bare else f"{value:.17g} {one.unit}" if not one.whole else f"{value} {one.unit}"


def changed(chip, changes, key, value):
    """Overrides with one more; a count of instances goes with the rows that it counts."""
    one, owner = chip.parameters[key], key.partition(".")[0]
    rows = [f"{owner}.{row}" for row in one.counts]
    kept = {row: given(chip.parameters[row], chip[row]) for row in rows}
    return dict(changes) | kept | {key: given(one, value)}


@functools.cache
def moved(name, changes, key):
    """Answers that change with a parameter; stops when all have that it says it acts on."""
    chip, before = base(name, changes)
    one, found = chip.parameters[key], set()
    for value in others(one, chip[key]):
        try:
            after = answers(load_chip(name, changed(chip, changes, key, value)))
        except InputError:
            continue  # contradicts another parameter
        for answer in ("area", "capacity"):
            if after[answer] != before[answer]:
                found.add(answer)
        for answer in ("time", "energy", "wear"):
            pairs = zip(after[answer], before[answer], strict=True)
            if any(a != b for a, b in pairs if None not in (a, b)):
                found.add(answer)
        if found >= declared(chip, key) != set():
            break
    return found


def declared(chip, key):
    return set(chip.parameters[key].acts) - {"values"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes"), BASES)
def test_no_parameter_acts_unseen(name, changes):
    chip, _ = base(name, changes)
    for key in chip.parameters:
        found = moved(name, changes, key)
        assert found <= declared(chip, key), f"{key} moves {found}"


@pytest.mark.slow
def test_no_parameter_is_dead():
    """On some chip, every kind's parameter moves each answer that it says it acts on."""
    left = {}
    for name, changes in BASES:
        chip, _ = base(name, changes)
        for key in chip.parameters:
            owner, _, parameter = key.partition(".")
            kind = chip.units[owner].kind.name if owner in chip.units else "link or chip"
            wanted = left.setdefault((kind, parameter), declared(chip, key))
            if wanted:
                wanted -= moved(name, changes, key)
    assert {key: wanted for key, wanted in left.items() if wanted} == {}
