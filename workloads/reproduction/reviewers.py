"""What reviewers of the paper have asked, answered in its own machine: no figure of the paper's.

Absolute latency of a prompt and of generated text, the area that each speed-up takes, cells of
more bits, whether the scores of a long sequence fit the memory, sequences beyond what a PU takes,
and NOR logic that works on many rows of an array at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import networkx as nx

from hyflexsim.sim.placement.memory import capacity_bytes, request_bytes
from hyflexsim.workloads.reproduction import end_to_end, linear_energy, scaling, throughput
from hyflexsim.workloads.reproduction.blocks import Blocks, Case
from hyflexsim.workloads.reproduction.claims import Claim, Figure, Switch, paper, table
from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.schema import Generate
from hyflexsim.workloads.terminal import Say

NAN = float("nan")
FIVE = replace(throughput.TURNS, slc_rate=0.05)
GPT2 = replace(throughput.TURNS, model="gpt2", slc_rate=0.3)
WORDS = {"layer-serial": "in turns", "pipelined": "pipelined"}
GENERATED = 9
MIB = 2**20
LONGEST = 8192
BEYOND = {8192: 1, 16384: 2, 32768: 4}
"""Tokens beyond what a PU takes (chip.max_tokens), and PUs a layer that they need."""
TOGETHER = (1, 8, 64, 1024)
"""Rows of an array in which NOR logic works at once: one in the paper, all."""
Rows = list[tuple[str, str, str, float, float]]


@cache
def prompt_us(case: Case) -> float:
    """µs of the part that sets the pace, a token and layer."""
    return Blocks.of(case).bound()[1] / 1e6 / case.tokens


@cache
def generated_us(case: Case) -> float:
    """µs from one generated token to the next, from a run of one request.

    The whole model runs, its head included.
    """
    scenario = case.scenario()
    workload = Generate(prefill=case.tokens, decode=GENERATED)
    (row,) = simulate(scenario.model_copy(update={"workload": workload})).tables["requests"]
    return float(row["finish_ps"] - row["first_token_ps"]) / (GENERATED - 1) / 1e6


def with_bits(case: Case, bits: int) -> Case:
    """A case with so many bits in a multi-level cell; converters follow."""
    return replace(case, set=(("analog.mlc_bits", bits),))


def reviewers(say: Say) -> Figure:
    """The tables and their claims."""
    rows: Rows = []
    for i, tokens in enumerate((128, 1024, LONGEST)):
        say("reviewers: latency", i, 7)
        for overlap, word in WORDS.items():
            case = replace(FIVE, overlap=overlap, tokens=tokens)  # type: ignore[arg-type]
            panel = "µs a token of a prompt and layer: BERT-Large, 5 % SLC"
            rows.append((panel, word, f"N = {tokens}", prompt_us(case), NAN))
    for i, tokens in enumerate((16, 128, 1024, 4096)):
        say("reviewers: text", i + 3, 7)
        for overlap, word in WORDS.items():
            case = replace(GPT2, overlap=overlap, tokens=tokens)  # type: ignore[arg-type]
            panel = "µs a generated token after a prompt: GPT-2, 30 % SLC"
            rows.append((panel, word, f"N = {tokens}", generated_us(case), NAN))
    rows += _areas() + _cells() + _memory() + _beyond() + _row_parallel()
    return Figure(
        "reviewers",
        "What reviewers asked: absolute latency, cells of more bits, long sequences",
        table(rows),
        ("", ""),
        _claims(),
    )


def _cells() -> Rows:
    rows: Rows = []
    for bits in (1, 2, 3, 4):
        case, label = with_bits(FIVE, bits), f"{bits} bit"
        energy = 100 * linear_energy.mac_pj(case) / linear_energy.mac_pj(with_bits(FIVE, 1))
        pace = throughput.per_area(case)
        rows.append(("cells: linear energy, % of single bits, 5 % SLC", "", label, energy, NAN))
        rows.append(("cells: throughput per area over all-SLC, 5 % SLC", "", label, pace, NAN))
    return sorted(rows)


def _areas() -> Rows:
    """Every speed-up of the paper with the area that it takes."""
    rows: Rows = []
    for bar, ours, other in _speed_ups():
        panel = "every speed-up with its area: over ASADI†, or over fewer PUs"
        rows.append((panel, "throughput", bar, ours.per_s / other.per_s, NAN))
        rows.append((panel, "area", bar, ours.area_mm2 / other.area_mm2, NAN))
    for bar, ours, other in _speed_ups():
        panel = "the same: mm² at 65 nm of the PUs that hold blocks"
        rows.append((panel, "with it", bar, ours.area_mm2, NAN))
        rows.append((panel, "without", bar, other.area_mm2, NAN))
    return rows


def _five_over_all_slc() -> float:
    _, ours, other = next(_speed_ups())
    return ours.per_s / other.per_s


def _speed_ups() -> Iterator[tuple[str, Blocks, Blocks]]:
    """Figs 16 and 17: bar, blocks that are faster, and those that they are compared with."""
    for rate, tokens in ((0.05, 128), (0.5, LONGEST)):
        case = replace(throughput.TURNS, slc_rate=rate, tokens=tokens)
        other = replace(case, slc_rate=1.0)
        yield f"{100 * rate:g} % SLC, N = {tokens}", Blocks.of(case), Blocks.of(other)
    for name, scaled in scaling.MODELS.items():
        few = scaling.blocks_of(scaled, 0)
        for bar, pus in enumerate(scaled.pus[1:], start=1):
            label = f"{name}, {pus} for {scaled.pus[0]} PUs a layer"
            yield label, scaling.blocks_of(scaled, bar), few


def _beyond() -> Rows:
    panel = "beyond 8,192 tokens, more PUs a layer: µs a token and layer, in turns"
    return [
        (panel, "", f"{tokens:,}: {pus} PU", prompt_us(over(tokens, pus)), NAN)
        for tokens, pus in BEYOND.items()
    ]


def over(tokens: int, pus: int) -> Case:
    """A long sequence on so many PUs a layer."""
    return replace(FIVE, tokens=tokens, pus_per_layer=pus)


def row_parallel(case: Case, rows: int) -> Case:
    """A case whose NOR logic works on so many rows of an array at once."""
    return replace(case, set=(*case.set, ("digital.rows_at_once", rows)))


def _row_parallel() -> Rows:
    found: Rows = []
    for tokens in (128, LONGEST):
        panel = f"rows of NOR logic at once: µs a token and layer, N = {tokens}"
        for rows in TOGETHER:
            for overlap, word in WORDS.items():
                case = replace(FIVE, overlap=overlap, tokens=tokens)  # type: ignore[arg-type]
                found.append((panel, word, str(rows), prompt_us(row_parallel(case, rows)), NAN))
    return found


def _memory() -> Rows:
    ready = Blocks.of(replace(FIVE, tokens=LONGEST)).ready
    layer = next(layer for layer in ready.placement.pus if layer[-1:].isdigit())
    waits = request_bytes(ready.graph, ready.placement, LONGEST)[layer]
    panel = f"MiB a layer of BERT-Large at N = {LONGEST}"
    found = {
        "scores, whole": _heads(ready.graph, layer) * LONGEST**2,
        "what waits, row by row": waits,
        "memory of a PU": capacity_bytes(ready.chip, 1),
    }
    return [(panel, "", name, size / MIB, NAN) for name, size in found.items()]


def _heads(graph: nx.DiGraph, layer: str) -> int:
    ops = (op for _, op in graph.nodes(data=True) if op["layer"] == layer)
    return int(next(op["heads"] for op in ops if op["kind"] == "matmul"))


def _claims() -> tuple[Claim, ...]:
    three = with_bits(FIVE, 3)
    slow, fast = (replace(GPT2, tokens=1024, slc_rate=rate) for rate in (1.0, 0.3))
    return (
        Claim(
            figure="reviewers",
            claim="a generated token of GPT-2 after 1,024: µs in turns",
            paper=NAN,
            ours=generated_us(fast),
            rests="one vector passing every layer after the other, 12 GEMVs of 0.9 µs each",
            why="Longer keys and values add some 11 µs a thousand tokens.",
            kind="shape",
            how="run",
        ),
        Claim(
            figure="reviewers",
            claim="the same, all-SLC over 30 % SLC: what multi-level cells are worth to one vector",
            paper=NAN,
            ours=generated_us(slow) / generated_us(fast),
            rests="copies, which serve other tokens and do not shorten one",
            why="Multi-level cells are for throughput; text for one user gains nothing.",
            kind="shape",
            how="run",
        ),
        Claim(
            figure="reviewers",
            claim="throughput alone over ASADI†, 5 % SLC, N = 128, on half of its area",
            paper=NAN,
            ours=_five_over_all_slc(),
            rests="ASADI†'s second PU a layer, which holds copies as well",
            why="So the headline's factor is area, not speed: the chip is a little slower, on half "
            "as many PUs. Speed-ups of Fig 17 take as much more area as they give.",
            kind="shape",
        ),
        Claim(
            figure="reviewers",
            claim="3-bit cells: linear energy over that of 2-bit ones, 5 % SLC",
            paper=NAN,
            ours=linear_energy.mac_pj(three) / linear_energy.mac_pj(with_bits(FIVE, 2)),
            rests="the energy of an 8-bit conversion: twice that of 7 bits",
            why="Three cells a weight (of 8 bits) instead of four save less than the converters' "
            "eighth bit costs; throughput per area still grows. The paper rejects them for their "
            "errors; docs/chips.md has the accuracy.",
            kind="shape",
        ),
        Claim(
            figure="reviewers",
            claim=f"scores of all heads at N = {LONGEST}, of a PU's memory (MiB over MiB)",
            paper=NAN,
            ours=16 * LONGEST**2 / capacity_bytes(Blocks.of(FIVE).ready.chip, 1),
            rests="INT8 scores of 16 heads",
            why="Four times what a PU holds. Row by row, as planned here, no more than the keys, "
            "values and residuals wait.",
            kind="shape",
            how="arithmetic",
        ),
        *_of_row_parallel(),
    )


def _of_row_parallel() -> tuple[Claim, ...]:
    """What the usual strength of digital PIM would do to the paper's ratios."""
    theirs, ends = paper("headline"), paper("fig16")
    energy, many = end_to_end.OURS["BERT-Large, 5 % SLC"], TOGETHER[-1]
    turns = throughput.TURNS
    return (
        Claim(
            figure="reviewers",
            claim="NOR logic on all rows at once: energy end to end over ASADI†, 5 %, N = 128",
            paper=theirs["energy_end_to_end"],
            ours=end_to_end.ratio(row_parallel(energy, many)),
            rests="no operation more or less: Fig 15 stays what it is",
            kind="shape",
        ),
        Claim(
            figure="reviewers",
            claim="the same: throughput per area over ASADI†, 5 % SLC, N = 128",
            paper=ends["best"],
            ours=throughput.at(0.05, 128, row_parallel(turns, many)),
            rests="attention taking no time",
            why="The printed value to the digit, and the other end of the same curve is then off.",
            kind="shape",
            switches=(Switch("one row at once", throughput.at(0.05, 128)),),
        ),
        Claim(
            figure="reviewers",
            claim="the same: throughput per area over ASADI†, 50 % SLC, N = 8192",
            paper=ends["worst"],
            ours=throughput.at(0.5, 8192, row_parallel(turns, many)),
            rests="attention taking no time",
            why="In this model it is NOR logic of one row that makes it fall at long sequences; "
            "with all rows at once multi-level cells would be worth a third more there as well.",
            kind="shape",
            switches=tuple(
                Switch(f"{rows} rows at once", throughput.at(0.5, 8192, row_parallel(turns, rows)))
                for rows in TOGETHER[:-1]
            ),
        ),
    )
