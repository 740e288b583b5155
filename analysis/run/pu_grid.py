"""Processing units (PUs) as squares, chip by chip: the ground of pictures of a chip's floor."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from matplotlib.axes import Axes

from hyflexsim.analysis import style

PUS_PER_CHIP = 24
ROOM = 0.88  # of a cell's side
HEAD = 0.24  # cells, for a chip's name
SIDE = 0.85  # inches of a cell, at most
NARROWEST = 2.6  # inches: the legend is as wide
MOST = 192  # PUs that a page shows legibly
Draw = Callable[[Axes, tuple[float, float], int, int], None]
"""Draws one PU: axes, its upper left corner, chip, PU."""


def pu_grid(
    pus: Iterable[tuple[int, int]],
    draw: Draw,
    *,
    ax: Axes | None = None,
    pus_per_chip: int = PUS_PER_CHIP,
    across: int = 8,
    most: int = MOST,
) -> Axes:
    """Draw PUs in use, given as (chip, PU) in any order and more than once, ``across`` in a row.

    A PU is a square of side :data:`ROOM`. How many PUs a chip has beside those that are drawn
    stands beside its name; beyond ``most`` PUs only chips are counted.
    """
    used = _by_chip(pus)
    drawn = _first(used, most)
    across = min(across, max(map(len, drawn.values())))
    rows = {chip: -(-len(mine) // across) for chip, mine in drawn.items()}
    tall = sum(rows.values()) + HEAD * len(rows)
    if ax is None:
        side = min(style.PAGE / across, SIDE)
        wide = max(side * across + 0.1, NARROWEST)
        ax = style.new_axes(wide, min(side * tall + 0.45, 11.0))
    else:
        side = wide = 1.0
    _limits(ax, max(float(across), (wide - 0.1) / side), tall)
    top = 0.0
    for chip, mine in drawn.items():
        _name_chip(ax, top, chip, (len(mine), len(used[chip]), pus_per_chip))
        for i, pu in enumerate(mine):
            draw(ax, (i % across + 0.07, top + i // across + HEAD), chip, pu)
        top += rows[chip] + HEAD
    if len(drawn) < len(used):
        more = f"… and {len(used) - len(drawn)} more chips in use"
        ax.text(0.07, top, more, fontsize=7, va="top")
    return ax


def _by_chip(pus: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """PUs that hold something, numbered through the chips, by chip."""
    used: dict[int, list[int]] = {}
    for chip, pu in sorted({(int(chip), int(pu)) for chip, pu in pus}):
        used.setdefault(chip, []).append(pu)
    return used


def _first(used: dict[int, list[int]], most: int) -> dict[int, list[int]]:
    """The first ``most`` of them, of as many chips as that takes.

    >>> _first({0: [0, 1], 1: [2, 3], 2: [4]}, 3)
    {0: [0, 1], 1: [2]}
    """
    drawn = {}
    for chip, pus in used.items():
        if most <= 0:
            break
        drawn[chip] = pus[:most]
        most -= len(pus)
    return drawn


def _limits(ax: Axes, wide: float, tall: float) -> None:
    """Cells are squares of side 1; space beside a few stays empty."""
    ax.set_xlim(0, wide)
    ax.set_ylim(tall, -0.05)
    ax.set_axis_off()


def _name_chip(ax: Axes, top: float, chip: int, counts: tuple[int, int, int]) -> None:
    """Name of a chip, and how many of its PUs the picture leaves out."""
    drawn, used, there = counts
    y = top + HEAD / 2 - 0.02
    more = ([f"{used - drawn} more in use"] if used > drawn else []) + (
        [f"{there - used} unused"] if there > used else []
    )
    name = ax.text(0.07, y, f"chip {chip}", fontsize=7, fontweight="bold", va="center")
    if more:
        ax.annotate(
            f"… {' and '.join(more)}",
            (1, 0.5),
            xycoords=name,
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=6,
            va="center",
            color="#606060",
        )
