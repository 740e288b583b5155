"""Cutting a weight into arrays: how many, in which cell mode, with how many conversions.

An INT8 weight takes 8 single-level or 4 two-bit multi-level cells, side by side on one wordline::

    x (rows) --> | array | array | array |   row tile 0      every array: 64 rows x 128 columns
                 | array | array | array |   row tile 1      a column tile holds 16 (SLC) or
                    |       |       |                        32 (MLC) outputs; row tiles are added

A matrix kept as two factors is two such grids. In V·Σ a rank is an *output*, so SLC and MLC ranks
can share the rows of an array; in U^T a rank is an *input*: a column has one ADC setting for all
its rows, so ranks in SLC need row tiles of their own, and a tile that is begun is filled up
(``row-tile``). ``ideal`` ignores that granularity: cells divided by cells per array.

Source: HyFlexPIM §3.1, §3.2, §4; the granularity of U^T is our reading, the paper is silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.analog_parameters import AnalogValues

TILES = ("row-tile", "ideal")


@dataclass(frozen=True, slots=True)
class Factor:
    """One matrix in arrays. ``part``: ``W`` (dense), ``V`` (first factor) or ``U`` (second).

    ``rows`` inputs, ``outputs`` results. ``columns_slc``/``_mlc``: cells per wordline and mode,
    over all row tiles: the conversions of one bit-plane. ``wordlines``: driven rows, over all
    arrays. ``fullest``: used columns of the fullest array, which its ADC converts one by one.
    ``cells_slc``/``_mlc``: programmed cells. ``slc``: outputs (of ``U``: inputs) in SLC;
    ``tiles``: how they were counted.
    """

    part: str
    rows: int
    outputs: int
    row_tiles: int
    arrays_slc: int
    arrays_mlc: int
    columns_slc: int
    columns_mlc: int
    wordlines: int
    fullest: int
    cells_slc: int
    cells_mlc: int
    slc: int
    tiles: str

    @property
    def arrays(self) -> int:
        """Arrays of one copy."""
        return self.arrays_slc + self.arrays_mlc

    @property
    def conversions(self) -> int:
        """ADC conversions of one bit-plane of one vector."""
        return self.columns_slc + self.columns_mlc

    @property
    def pieces(self) -> int:
        """The same: capacity of analog units is counted in arrays."""
        return self.arrays

    def cells(self) -> dict[str, int]:
        """Arrays by mode."""
        return {"arrays_slc": self.arrays_slc, "arrays_mlc": self.arrays_mlc, "bytes": 0}

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one vector."""
        return self.rows * self.outputs


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a matrix in cells of one mode: row tile t has inputs[t·h : (t + 1)·h].

    ``mode``: ``slc`` or ``mlc`` (empty: no cells, bytes). ``inputs``, ``outputs``: their numbers,
    rising. ``first``: column of the first output on its wordlines.
    """

    mode: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    first: int = 0


def regions(module: AnalogValues, factor: Factor, order: Sequence[int]) -> tuple[Region, ...]:
    """Which inputs and outputs of a factor lie in which mode; no region is empty.

    ``order``: its ranks (or outputs, where dense), most important first: these go to SLC. Of U the
    SLC row tile that is begun is filled up with the next ones.

    Raises :class:`InputError` for tiles that have no place (``ideal``).

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> module = load_chip("hyflexpim").units["analog"].values
    >>> (w,) = factors(module, 2, 4, None, 0.5, "row-tile")
    >>> [(r.mode, r.outputs, r.first) for r in regions(module, w, [3, 0, 1, 2])]
    [('slc', (0, 3), 0), ('mlc', (1, 2), 16)]
    """
    if factor.tiles != "row-tile":
        raise InputError(
            f"tiles must be row-tile to say where a weight lies; got {factor.tiles!r}, which "
            "counts cells that have no place"
        )
    slc, mlc = sorted(order[: factor.slc]), sorted(order[factor.slc :])
    whole = range(factor.outputs if factor.part == "U" else factor.rows)
    found = []
    for mode, chosen in (("slc", slc), ("mlc", mlc)):
        first = len(slc) * cells_per_weight(module, "slc") if mode == "mlc" else 0
        if not chosen:
            continue
        if factor.part == "U":
            found.append(Region(mode, tuple(chosen), tuple(whole)))
        else:
            found.append(Region(mode, tuple(whole), tuple(chosen), first))
    return tuple(found)


def cells_per_weight(module: AnalogValues, mode: str) -> int:
    """Cells that hold one weight in mode ``slc`` or ``mlc``, side by side: pairs take two a slice.

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> module = load_chip("hyflexpim").units["analog"].values
    >>> cells_per_weight(module, "slc"), cells_per_weight(module, "mlc")
    (8, 4)
    """
    bits = module.slc_bits if mode == "slc" else module.mlc_bits
    return -(-module.weight_bits // bits) * (2 if module.sign == "differential" else 1)


def height(module: AnalogValues) -> int:
    """Inputs of a row tile: pairs on neighbouring rows take two wordlines an input."""
    return module.rows // rows_per_input(module)


def rows_per_input(module: AnalogValues) -> int:
    """Wordlines that one input drives."""
    return 2 if module.sign == "differential-rows" else 1


def protected(count: int, slc_rate: float) -> int:
    """How many of ``count`` ranks (or outputs of a dense matrix) go to SLC: ⌊count · rate⌋.

    The quota is per matrix and rounds down, as in the authors' released code. Raises
    :class:`InputError` for a rate outside 0 to 1.

    >>> protected(384, 0.05)
    19
    """
    if not 0 <= slc_rate <= 1:
        raise InputError(f"slc_rate must be from 0 to 1; got {slc_rate}")
    # a rate given in decimals must not lose a rank to binary rounding: 0.29 * 100 = 28.999…
    return int(count * slc_rate + 1e-9)


def factors(
    module: AnalogValues, rows: int, outputs: int, rank: int | None, slc_rate: float, tiles: str
) -> tuple[Factor, ...]:
    """The grids of a weight of ``rows`` inputs and ``outputs`` results; two where it has a rank.

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> module = load_chip("hyflexpim").units["analog"].values
    >>> [f.arrays for f in factors(module, 1024, 1024, None, 1.0, "row-tile")]
    [1024]
    >>> [f.arrays for f in factors(module, 1024, 1024, 512, 1.0, "row-tile")]
    [512, 512]
    """
    if tiles not in TILES:
        raise InputError(f"tiles must be one of {', '.join(TILES)}; got {tiles!r}")
    if rank is None:
        return (_by_outputs(module, "W", rows, outputs, protected(outputs, slc_rate), tiles),)
    slc = protected(rank, slc_rate)
    return (
        _by_outputs(module, "V", rows, rank, slc, tiles),
        _by_rows(module, rank, outputs, slc, tiles),
    )


def _by_outputs(
    module: AnalogValues, part: str, rows: int, outputs: int, slc: int, tiles: str
) -> Factor:
    """SLC and MLC outputs side by side on the same wordlines."""
    row_tiles = -(-rows // height(module))
    each = rows_per_input(module)
    width_slc = slc * cells_per_weight(module, "slc")
    width_mlc = (outputs - slc) * cells_per_weight(module, "mlc")
    columns = module.columns
    column_tiles = -(-(width_slc + width_mlc) // columns)
    arrays_slc = row_tiles * -(-width_slc // columns)
    arrays_mlc = row_tiles * column_tiles - arrays_slc
    if tiles == "ideal":
        size = module.rows * columns
        arrays_slc, arrays_mlc = _divided(each * rows * width_slc, each * rows * width_mlc, size)
    return Factor(
        part=part,
        rows=rows,
        outputs=outputs,
        row_tiles=row_tiles,
        arrays_slc=arrays_slc,
        arrays_mlc=arrays_mlc,
        columns_slc=row_tiles * width_slc,
        columns_mlc=row_tiles * width_mlc,
        wordlines=each * rows * column_tiles,
        fullest=min(columns, width_slc + width_mlc),
        cells_slc=each * rows * width_slc,
        cells_mlc=each * rows * width_mlc,
        slc=slc,
        tiles=tiles,
    )


def _by_rows(module: AnalogValues, rank: int, outputs: int, slc: int, tiles: str) -> Factor:
    """SLC and MLC ranks in row tiles of their own."""
    tall, each = height(module), rows_per_input(module)
    if tiles == "row-tile":
        slc = min(rank, tall * -(-slc // tall))
    mlc = rank - slc
    tiles_slc, tiles_mlc = -(-slc // tall), -(-mlc // tall)
    width_slc = outputs * cells_per_weight(module, "slc")
    width_mlc = outputs * cells_per_weight(module, "mlc")
    columns = module.columns
    across_slc, across_mlc = -(-width_slc // columns), -(-width_mlc // columns)
    arrays_slc, arrays_mlc = tiles_slc * across_slc, tiles_mlc * across_mlc
    row_tiles = tiles_slc + tiles_mlc
    columns_slc, columns_mlc = tiles_slc * width_slc, tiles_mlc * width_mlc
    if tiles == "ideal":
        row_tiles = -(-rank // tall)  # SLC and MLC share the one in which they meet
        arrays_slc, arrays_mlc = _divided(slc * width_slc, mlc * width_mlc, tall * columns)
        # a column is converted however few of the last tile's rows are used
        rows_slc = slc if mlc else row_tiles * tall
        rows_mlc = row_tiles * tall - rows_slc
        columns_slc, columns_mlc = _divided(rows_slc * width_slc, rows_mlc * width_mlc, tall)
    return Factor(
        part="U",
        rows=rank,
        outputs=outputs,
        row_tiles=row_tiles,
        arrays_slc=arrays_slc,
        arrays_mlc=arrays_mlc,
        columns_slc=columns_slc,
        columns_mlc=columns_mlc,
        wordlines=each * (slc * across_slc + mlc * across_mlc),
        fullest=min(columns, max(width_slc if slc else 0, width_mlc if mlc else 0)),
        cells_slc=each * slc * width_slc,
        cells_mlc=each * mlc * width_mlc,
        slc=slc,
        tiles=tiles,
    )


def _divided(slc: int, mlc: int, size: int) -> tuple[int, int]:
    """Pieces of ``size`` cells, by mode, that hold so many; one with both counts as SLC."""
    pieces_slc = -(-slc // size)
    return pieces_slc, -(-(slc + mlc) // size) - pieces_slc
