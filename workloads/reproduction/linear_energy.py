"""Fig 14: energy of linear layers on six chips, per cent of the non-PIM baseline at the same N."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hyflexsim.workloads.reproduction.blocks import LINEAR, Case, Changes, energies, with_set
from hyflexsim.workloads.reproduction.claims import Claim, Figure, Switch, paper, table
from hyflexsim.workloads.terminal import Say

SLC = Case(preset="hyflexpim-slc")
SYSTEMS: dict[str, Case] = {
    **{f"HyFlexPIM {s} %": Case(slc_rate=s / 100) for s in (5, 10, 30, 40, 50)},
    "ASADI†": SLC,
    "ASADI": replace(SLC, set=(("analog.input_bits", 24), ("analog.weight_bits", 24))),
    "NMP": Case(preset="nmp"),
    "SPRINT": Case(preset="sprint"),
    "non-PIM": Case(preset="non-pim"),
}
"""Bars of the figure; ASADI multiplies FP32, whose 24 bits of mantissa a bit-serial array reads."""

FIVE = SYSTEMS["HyFlexPIM 5 %"]
SEVEN = "analog.energy.adc_conversion_slc = 0.390625 pJ (1 mW is the 7-bit figure)"
SWITCHES: dict[str, Changes] = {
    "pu_bus.energy.bit = global_bus.energy.bit = 0 pJ": (
        ("pu_bus.energy.bit", "0 pJ"),
        ("global_bus.energy.bit", "0 pJ"),
    ),
    "adc.model = isaac-split": (("adc.model", "isaac-split"),),
    "adc.model = survey": (("adc.model", "survey"),),
    SEVEN: (("analog.energy.adc_conversion_slc", "0.390625 pJ"),),
    "analog.energy.unhalved_mac = 0.119 pJ (fitted)": (("analog.energy.unhalved_mac", "0.119 pJ"),),
}
"""Readings of what the paper leaves open, by what one would set."""


def mac_pj(case: Case) -> float:
    """pJ of a multiply-accumulate of the linear layers.

    >>> round(mac_pj(Case(slc_rate=0.05)), 4)
    1.1752
    """
    joules, macs = energies(case)
    return joules[LINEAR] / macs[LINEAR]


def gain(other: Case = SLC, ours: Case = FIVE, changes: Changes = ()) -> float:
    """How many times HyFlexPIM's energy another chip takes; ``changes``: of parameters of both."""
    return mac_pj(with_set(other, changes)) / mac_pj(with_set(ours, changes))


def fig14(say: Say) -> Figure:
    """The table and its claims."""
    bars = paper("fig14")
    rows = []
    for i, tokens in enumerate(bars["tokens"]):
        say(f"fig14: N = {tokens}", i, len(bars["tokens"]))
        whole = mac_pj(replace(SYSTEMS["non-PIM"], tokens=tokens))
        for name, case in SYSTEMS.items():
            ours = 100 * mac_pj(replace(case, tokens=tokens)) / whole
            rows.append(("", name, str(tokens), ours, bars["percent"][name][i]))
    return Figure(
        "fig14",
        "Fig 14: energy of BERT-Large's linear layers",
        table(rows),
        ("tokens N", "% of non-PIM"),
        _claims(bars["percent"]),
        log=True,
    )


def _claims(bars: dict[str, list[float]]) -> tuple[Claim, ...]:
    def theirs(other: str, rate: int, at: int = 0) -> float:
        return bars[other][at] / bars[f"HyFlexPIM {rate} %"][at]

    ideal = (replace(SLC, tiles="ideal"), replace(FIVE, tiles="ideal"))
    claims = [
        Claim(
            figure="fig14",
            claim="linear layers: energy of ASADI† over HyFlexPIM, 5 % SLC",
            paper=theirs("ASADI†", 5),
            ours=gain(),
            rests="the energy of a 7-bit against a 6-bit conversion: twice (§3.2)",
            why="All-SLC needs 12,416 arrays a layer once 819 ranks fill rows of 64, and a PU has "
            "12,288: a second PU a layer, and partial sums over the global bus. MLC halves all but "
            "conversions, bus and sums: 3 to 4 % stay in ours, 7 to 8 % by the paper's bars. That "
            "Table 2's 1 mW is the 6-bit figure is the reading which these very bars suggest, so "
            "this is not independent of them; the other reading is the next row.",
            switches=(
                Switch("mapping.tiles = ideal", gain(*ideal)),
                *(Switch(name, gain(changes=changes)) for name, changes in SWITCHES.items()),
            ),
        )
    ]
    claims.append(
        Claim(
            figure="fig14",
            claim="the same, Table 2's 1 mW read as the 7-bit figure, as by its provenance",
            paper=theirs("ASADI†", 5),
            ours=gain(changes=SWITCHES[SEVEN]),
            rests="as above",
            why="1 mW and 587 µm² are twice ASADI's 6-bit converter: one more bit.",
        )
    )
    claims += [
        Claim(
            figure="fig14",
            claim=f"linear layers: ASADI† over HyFlexPIM, {rate} % SLC",
            paper=theirs("ASADI†", rate),
            ours=gain(ours=SYSTEMS[f"HyFlexPIM {rate} %"]),
        )
        for rate in (10, 30, 40, 50)
    ]
    longest = (replace(SLC, tokens=8192), replace(FIVE, tokens=8192))
    claims.append(
        Claim(
            figure="fig14",
            claim="linear layers: ASADI† over HyFlexPIM, 5 %, N = 8192",
            paper=theirs("ASADI†", 5, -1),
            ours=gain(*longest),
            rests="no part of a linear layer's energy depending on N",
            why="The same at every N, as in the paper.",
        )
    )
    return (*claims, *_digital(theirs))


def _digital(theirs: Callable[[str, int], float]) -> tuple[Claim, ...]:
    def at(name: str, pj: str) -> Switch:
        changes = (("dram.energy.dram_bit", pj.partition(" (")[0]),)
        return Switch(f"dram.energy.dram_bit = {pj}", gain(with_set(SYSTEMS[name], changes)))

    return (
        Claim(
            figure="fig14",
            claim="linear layers: non-PIM over HyFlexPIM, 5 % SLC, N = 128",
            paper=theirs("non-PIM", 5),
            ours=gain(SYSTEMS["non-PIM"]),
            rests="the energy of a DRAM bit (20.3 pJ, Horowitz), and of a MAC with its operands",
            why="The bars need 57 pJ a DRAM bit and 4.3 pJ a MAC. Public values are 4 to 20 pJ a "
            "bit; ours is 0.47 pJ a MAC and 1.49 pJ for its weight out of a buffer.",
            switches=(at("non-PIM", "57 pJ (fitted)"), at("non-PIM", "3.5 pJ (HBM2)")),
        ),
        Claim(
            figure="fig14",
            claim="linear layers: SPRINT over HyFlexPIM, 5 % SLC, N = 128",
            paper=theirs("SPRINT", 5),
            ours=gain(SYSTEMS["SPRINT"]),
            rests="SPRINT's unit energies, known from a summary only (3.1 pJ to read an RRAM bit)",
            why="The bars need 36 pJ an RRAM bit and 4.3 pJ a MAC. Were weights also written once "
            "an inference (24.4 pJ), it would be 27.5 pJ.",
            switches=(at("SPRINT", "27.5 pJ"), at("SPRINT", "36 pJ (fitted)")),
        ),
        Claim(
            figure="fig14",
            claim="linear layers: NMP over HyFlexPIM, 5 % SLC, N = 128",
            paper=theirs("NMP", 5),
            ours=gain(SYSTEMS["NMP"]),
            rests="how often a bank gives a weight: once a token (ours) or less often",
            why="Near-bank units that store no weights read 8 bits at 1.5 pJ for each product: "
            "13.3 pJ. The bars leave 3.7 pJ, and 0.3 pJ less at long N: there a weight "
            "serves several tokens, in what store, the paper does not say.",
        ),
        Claim(
            figure="fig14",
            claim="linear layers: ASADI (FP32) over ASADI† (INT8)",
            paper=paper("fig14")["percent"]["ASADI"][0] / paper("fig14")["percent"]["ASADI†"][0],
            ours=gain(SYSTEMS["ASADI"], SLC),
            rests="the bits that FP32 takes in bit-serial arrays",
            why="Mantissas of 24 bits are 24 × 24 instead of 8 × 8 products of single bits: nine "
            "times. Where 2.24 comes from neither paper says.",
        ),
    )
