"""Fig 15: energy of whole inferences, other chips over HyFlexPIM, and HyFlexPIM's own breakdown."""

from __future__ import annotations

from dataclasses import replace

from hyflexsim.workloads.reproduction.blocks import (
    LINEAR,
    PARTS,
    Blocks,
    Case,
    Changes,
    energies,
    with_set,
)
from hyflexsim.workloads.reproduction.claims import Claim, Figure, Switch, paper, table
from hyflexsim.workloads.terminal import Say

OURS = {
    "BERT-Large, 5 % SLC": Case(model="bert-large", slc_rate=0.05),
    "GPT-2, 30 % SLC": Case(model="gpt2", slc_rate=0.3),
}
OTHERS = {
    "ASADI†": "hyflexpim-slc",
    "NMP": "nmp",
    "SPRINT": "sprint",
    "non-PIM": "non-pim",
}
TRANSFERS = "transfers"
EQUAL = "all-SLC, equal attention"
"""HyFlexPIM with all ranks in single-level cells: what is left of ASADI† without its attention."""

SWITCHES: dict[str, Changes] = {
    "mask.kept = 0.1 (ASADI's own analysis)": (("mask.kept", 0.1),),
    "mask.kept = 0.05": (("mask.kept", 0.05),),
    "mask.kept = 1 (no mask)": (("mask.kept", 1.0),),
}


def energy_pj(case: Case) -> float:
    """pJ of a request, all parts of the blocks."""
    return sum(energies(case)[0].values())


def other(case: Case, preset: str) -> Case:
    """The same model and length on another chip."""
    return replace(case, preset=preset, slc_rate=1.0)


def ratio(case: Case, preset: str = "hyflexpim-slc", changes: Changes = ()) -> float:
    """Energy of another chip over HyFlexPIM's; ``changes``: of the other's parameters.

    >>> round(ratio(OURS["BERT-Large, 5 % SLC"]), 2)  # the paper's 1.45
    1.49
    """
    return energy_pj(with_set(other(case, preset), changes)) / energy_pj(case)


def fig15(say: Say) -> Figure:
    """The table and its claims."""
    bars = paper("fig15")
    rows, broken = [], []
    for model, short in OURS.items():
        for i, tokens in enumerate(bars["tokens"]):
            say(f"fig15: {model}, N = {tokens}", i, len(bars["tokens"]))
            case = replace(short, tokens=tokens)
            for name, preset in OTHERS.items():
                rows.append((model, name, str(tokens), ratio(case, preset), bars[model][name][i]))
            rows.append((model, EQUAL, str(tokens), ratio(case, "hyflexpim"), float("nan")))
            broken += _breakdown(model, case)
    return Figure(
        "fig15",
        "Fig 15: energy of an inference, other chips over HyFlexPIM; HyFlexPIM's own",
        table(rows + broken),
        ("tokens N", "ratio, or share in %"),
        _claims(bars),
        log=True,
    )


def breakdown(case: Case) -> dict[str, float]:
    """pJ of a request by part, with what moves over buses and links in a part of its own."""
    blocks = Blocks.of(case)
    links = blocks.ready.chip.links
    parts = {LINEAR: 0.0, TRANSFERS: 0.0} | dict.fromkeys(PARTS, 0.0)
    for (part, kind), pj in blocks.energy_by_kind_pj().items():
        parts[TRANSFERS if kind in links else part] += pj
    return parts


def _breakdown(model: str, case: Case) -> list[tuple[str, str, str, float, float]]:
    parts = breakdown(case)
    whole = sum(parts.values())
    return [
        (f"{model}: % of HyFlexPIM", part, str(case.tokens), 100 * pj / whole, float("nan"))
        for part, pj in parts.items()
    ]


def _claims(bars: dict[str, dict[str, list[float]]]) -> tuple[Claim, ...]:
    claims = []
    for model, short in OURS.items():
        for i, tokens in enumerate((128, 512, 1024)):
            case = replace(short, tokens=tokens)
            claims.append(
                Claim(
                    figure="fig15",
                    claim=f"{model}: energy of ASADI† over HyFlexPIM, N = {tokens}",
                    paper=bars[model]["ASADI†"][i],
                    ours=ratio(case),
                    rests="NOR steps of an FP32 product (3,360, FloatPIM) times the share of "
                    "products that ASADI's mask keeps (1/8)",
                    why=_WHY if (model, tokens) == ("BERT-Large, 5 % SLC", 128) else "",
                    switches=_switches(case),
                )
            )
        for name in ("NMP", "SPRINT", "non-PIM"):
            claims.append(
                Claim(
                    figure="fig15",
                    claim=f"{model}: energy of {name} over HyFlexPIM, N = 128",
                    paper=bars[model][name][0],
                    ours=ratio(short, OTHERS[name]),
                    rests="its linear layers (Fig 14)",
                    why="As in Fig 14: linear layers are over nine tenths of it."
                    if name == "non-PIM"
                    else "",
                )
            )
    return tuple(claims)


_WHY = (
    "With equal attention on both chips the ratio is that of the linear layers, diluted, and falls "
    "with N; the paper's rises. All of the rest is ASADI†'s FP32 attention: 5.3 times the NOR of "
    "ours, and four times the bits of Q, K and V. The paper's rise with N needs about half of "
    "that: fewer products, or cheaper ones. Ours take 1.9 pJ a MAC (64 and 96 NOR of 23.8 fJ)."
)


def _switches(case: Case) -> tuple[Switch, ...]:
    equal = Switch("chip.preset = hyflexpim (equal attention)", ratio(case, "hyflexpim"))
    rest = (Switch(name, ratio(case, changes=changes)) for name, changes in SWITCHES.items())
    return (equal, *rest)
