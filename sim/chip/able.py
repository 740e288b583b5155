"""What a chip lacks: without some of it no model runs, without the rest some do not."""

from __future__ import annotations

from hyflexsim.sim.chip.chip import Chip

_WITHOUT = {
    "matmul": "attention",
    "softmax": "attention",
    "norm": "norms",
    "pointwise": "activations or residuals",
    "lookup": "tables of embeddings",
    "scan": "state-space blocks",
}


def must_have(chip: Chip) -> list[str]:
    """What is missing for any model at all, a line each; empty where some model can run."""
    lines = []
    if "gemv" not in chip.serves:
        lines.append("serves.gemv must name the unit that multiplies with weights")
    if "results" not in chip.serves:
        lines.append("serves.results must name the memory where results lie")
    if chip.link("host", "chip") is None:
        lines.append('links must join host and chip: [links.NAME] with joins = ["host", "chip"]')
    if {"gemv", "results"} <= set(chip.serves):
        one, other = chip.unit("gemv"), chip.unit("results")
        if one.kind.crosses and chip.link(one.name, other.name) is None:
            lines.append(
                f"links must join {one.name}, which multiplies with weights, and {other.name}, "
                f'where results lie: [links.NAME] with joins = ["{one.name}", "{other.name}"]'
            )
    return lines


def cannot_run(chip: Chip) -> list[str]:
    """Models that the chip refuses for what it lacks, a line each."""
    lines = [
        f"no unit serves {op}: models with {what} are refused"
        for op, what in _WITHOUT.items()
        if not any(served.partition(".")[0] == op for served in chip.serves)
    ]
    cuts = "gemv" in chip.serves and chip.unit("gemv").kind.crosses
    if cuts and "partial-sums" not in chip.serves:
        lines.append("no unit serves partial-sums: matrices taller than an array are refused")
    return lines
