"""Each rule of sim/chip/rules.py against what its sources print: docs/pictures/rules.png.

``python -m hyflexsim.workloads.benchmarks.rules_page`` draws it; docs/rules.md says what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyflexsim.analysis import save, style
from hyflexsim.sim.chip import rules

RATE = 1_280_000_000
BITS = range(4, 11)
Points = Sequence[tuple[float, float]]

SHEET_PJ: Points = list(
    zip(BITS, (0.7863, 0.9879, 1.1962, 1.4180, 1.6667, 1.9691, 2.379), strict=True)
)
"""accelergy-library-plug-in, isaac_adc.xlsx: pJ a conversion, 32 nm."""
SHEET_UM2: Points = list(
    zip(BITS, (361.04, 476.91, 626.91, 845.18, 1200, 1827.91, 3002.01), strict=True)
)
"""The same: um2."""
SURVEY_PJ: Points = list(
    zip(BITS, (3.5007, 3.5481, 4.0364, 4.9728, 7.3112, 20.957, 62.221), strict=True)
)
"""hwcomponents-adc run at 65 nm and 1.28 GS/s: pJ a conversion."""
CROSSBAR_MW: Points = [(32, 0.01875), (64, 0.075), (128, 0.3), (256, 1.2)]
"""puma-simulator, constants.py: mW of a crossbar of n x n cells, at 2, 4 and 6 bits a cell."""
SRAM_PJ: Points = [(8, 10.0), (32, 20.0), (1024, 100.0)]
"""Horowitz, ISSCC 2014: pJ a 64-bit read against KB, 45 nm."""
SRAM_MNSIM: Points = [(2, 8.2), (8, 15.9), (32, 35.0), (128, 90.5), (512, 205.6)]
"""MNSIM 2.0, Buffer.py (CACTI): pJ a 64-bit read against KB, 65 nm."""
NODE_POWER: Points = [(32, 1.0), (65, 2.326)]
"""HyFlexPIM Table 2 against ISAAC Table I: power of the same parts."""
NODE_AREA: Points = [(32, 1.0), (65, 3.25)]
"""The same: area."""


def draw() -> Figure:
    """Six panels: a line is a rule, a mark what a source prints, both relative to one point."""
    with style.context():
        figure, axes = plt.subplots(2, 3, figsize=(style.PAGE * 1.25, style.PAGE * 0.78))
        (energy, area, array), (sram, node, bits) = axes
        _converters(energy, "conversion energy", rules.converter_energy, SHEET_PJ, SURVEY_PJ)
        _converters(area, "converter area", rules.converter_area, SHEET_UM2, None)
        sizes = np.array([16, 32, 64, 128, 256, 512])
        _against(
            array,
            "array read energy",
            "rows = columns",
            sizes,
            [rules.array_read_energy(int(n), int(n), 1) for n in sizes],
            {"PUMA's table, any bits a cell": CROSSBAR_MW},
            64,
        )
        kilobytes = np.array([1, 4, 8, 32, 128, 512, 2048])
        _against(
            sram,
            "SRAM energy a byte",
            "KB",
            kilobytes,
            [rules.sram_energy(int(n) * 1024) for n in kilobytes],
            {"Horowitz, 45 nm": SRAM_PJ, "CACTI in MNSIM, 65 nm": SRAM_MNSIM},
            32,
        )
        _nodes(node)
        _bits(bits)
        figure.tight_layout()
    return figure


def _converters(ax: Axes, title: str, rule: object, sheet: Points, survey: Points | None) -> None:
    for model in rules.CONVERTER_MODELS:
        values = [rule(model, b, RATE) for b in BITS]  # type: ignore[operator]
        ax.plot(BITS, np.array(values) / values[2], label=model)
    _marks(ax, sheet, 6, "ISAAC's sheet", "o")
    if survey:
        _marks(ax, survey, 6, "survey model, run", "s")
    _finish(ax, title, "bits")


def _against(
    ax: Axes,
    title: str,
    axis: str,
    at: np.ndarray,
    values: Sequence[float],
    marks: dict[str, Points],
    base: float,
) -> None:
    ax.plot(at, np.array(values) / values[list(at).index(base)], label="rule")
    for shape, (name, points) in zip("os", marks.items(), strict=False):
        _marks(ax, points, base, name, shape)
    ax.set_xscale("log", base=2)
    _finish(ax, title, axis)


def _nodes(ax: Axes) -> None:
    at = np.array([7, 10, 14, 16, 20, 32, 45, 65, 90, 130])
    for name, rule in (("energy", rules.node_energy), ("area", rules.node_area)):
        values = np.array([rule(int(nm)) for nm in at])
        ax.plot(at, values / values[list(at).index(32)], label=name)
    _marks(ax, NODE_POWER, 32, "power, HyFlexPIM : ISAAC", "o")
    _marks(ax, NODE_AREA, 32, "area, HyFlexPIM : ISAAC", "s")
    ax.set_xscale("log")
    ax.set_xticks(at[[0, 2, 4, 5, 7, 9]], [str(nm) for nm in at[[0, 2, 4, 5, 7, 9]]])
    ax.minorticks_off()
    _finish(ax, "technology node", "nm")


def _bits(ax: Axes) -> None:
    rows = [16, 32, 64, 128, 256, 512]
    for cell in (1, 2, 3):
        ax.plot(rows, [rules.converter_bits(n, cell) for n in rows], label=f"{cell} bit a cell")
    ax.plot([64, 64, 128], [6, 7, 8], "ko", markersize=5, label="HyFlexPIM, ISAAC")
    ax.set_xscale("log", base=2)
    ax.set_title("converter bits")
    ax.set_xlabel("rows")
    ax.legend(fontsize="x-small")


def _marks(ax: Axes, points: Points, base: float, name: str, shape: str) -> None:
    at, values = zip(*points, strict=True)
    scale = dict(points)[base]
    ax.plot(at, np.array(values) / scale, f"k{shape}", markersize=4, fillstyle="none", label=name)


def _finish(ax: Axes, title: str, axis: str) -> None:
    ax.set_yscale("log")
    ax.set_title(title)
    ax.set_xlabel(axis)
    ax.set_ylabel("relative")
    ax.legend(fontsize="x-small")


def main(
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path(
        "docs/pictures/rules.png"
    ),
) -> None:
    """Draw the rules beside their sources."""
    save(draw().axes[0], out)
    print(f"written to {out}")


if __name__ == "__main__":
    typer.run(main)
