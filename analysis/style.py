"""How pictures look: colours that stay the same everywhere, legible print, SI prefixes.

Op classes have the colours of Okabe and Ito, which all kinds of colour vision tell apart.
Kinds of component come in families: analog blue, digital red and purple, buffers yellow and
green, wires grey. Sizes are those of an IEEE two-column page.

>>> si(1_234_567e-12, "s")
'1.23 µs'
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from hyflexsim.analysis.notebook import Picture

COLUMN, PAGE = 3.5, 7.16  # inches: widths of an IEEE column and page
DPI = 200
SMALL = 6.0  # points, the least that prints well

CLASS_COLOURS = {
    "gemv": "#0072B2",
    "matmul": "#D55E00",
    "softmax": "#CC79A7",
    "norm": "#009E73",
    "pointwise": "#E69F00",
    "scan": "#56B4E9",
    "lookup": "#F0E442",
    "input": "#8C8C8C",
    "output": "#4D4D4D",
    "other": "#BDBDBD",
    "other requests": "#DFDFDF",
}
"""Colour of each op class of :data:`hyflexsim.sim.graph.KINDS`, and of anything else."""

KIND_COLOURS = {
    "host_port": "#4D4D4D",
    "chip_link": "#737373",
    "global_bus": "#999999",
    "pu_bus": "#C4C4C4",
    "input_buffer": "#DDCC77",
    "bank": "#332288",
    "adc": "#3F7FC4",
    "shift_add": "#88CCEE",
    "output_buffer": "#999933",
    "accumulator": "#44AA99",
    "digital_pim": "#CC4433",
    "threshold": "#882255",
    "selector": "#B5477D",
    "mac_array": "#E07B39",
    "near_bank": "#B5651D",
    "sfu": "#AA4499",
    "sram": "#6A9F58",
    "dram": "#4E6E4E",
}
"""Colour of each kind of component, in the order in which a token meets them."""

OTHER_COLOURS = (
    *("#9DB4C0", "#C9ADA7", "#7D8597", "#B8B08D", "#5C6B73", "#A5A58D", "#8E7C93", "#D6CCC2"),
)
"""Tinted greys for kinds that are not in :data:`KIND_COLOURS`: links and kinds of the user's."""

KIND_NAMES = {
    "host_port": "host port",
    "chip_link": "chip link",
    "global_bus": "global bus",
    "pu_bus": "PU bus",
    "input_buffer": "input buffer",
    "bank": "RRAM bank",
    "adc": "ADC",
    "shift_add": "shift-and-add",
    "output_buffer": "output buffer",
    "accumulator": "accumulator",
    "digital_pim": "digital PIM",
    "mac_array": "MAC array",
    "near_bank": "near-bank units",
    "sfu": "SFU",
    "sram": "SRAM",
    "dram": "DRAM",
}

LABEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31")
"""Colours of what has none of its own: classes of requests, methods, noises."""

LEGEND: dict[str, Any] = {
    "borderaxespad": 0,
    "handlelength": 1,
    "handleheight": 0.8,
    "handletextpad": 0.4,
    "columnspacing": 1.0,
}
"""Keywords of a legend without air around its handles."""

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#606060",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "xtick.color": "#303030",
    "ytick.major.width": 0.6,
    "ytick.major.size": 2.5,
    "ytick.color": "#303030",
    "lines.linewidth": 1.2,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
}


@contextmanager
def context() -> Iterator[None]:
    """Matplotlib's defaults with ours over them, whatever the user's rc file says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def new_axes(width: float = COLUMN, height: float = 2.4) -> Axes:
    """Axes on a figure of their own (inches), outside pyplot: nothing to close, no display."""
    figure = Picture(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def text_width(text: str, size: float) -> float:
    """Width of a text in points."""
    width, _, _ = text_to_path.get_text_width_height_descent(
        text, FontProperties(family="DejaVu Sans", size=size), False
    )
    return float(width)


class Scale(NamedTuple):
    """A unit and how many base units it is."""

    unit: str
    factor: float


_PREFIXES = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")]
_PREFIXES += [(1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f")]


def scale(value: float, unit: str) -> Scale:
    """The SI prefix in which ``value`` is between 1 and 1000.

    >>> scale(4.2e-7, "J").unit
    'nJ'
    """
    size = abs(value)
    if not 0 < size < float("inf"):
        return Scale(unit, 1.0)
    for factor, prefix in _PREFIXES:
        if size >= factor * 0.9995:
            return Scale(prefix + unit, factor)
    return Scale("f" + unit, 1e-15)


def si(value: float, unit: str, digits: int = 3) -> str:
    """A value in base units with its SI prefix, to ``digits`` significant places."""
    best = scale(value, unit)
    return f"{significant(value / best.factor, digits)} {best.unit}".rstrip()


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant places, without exponent.

    >>> significant(1234.5), significant(0.5), significant(99.96)
    ('1234', '0.500', '100')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{value:.{max(digits - 1 - exponent, 0)}f}"


def percent(share: float) -> str:
    """A share as text.

    >>> percent(0.123), percent(0.0123), percent(0.0001), percent(0)
    ('12 %', '1.2 %', '<0.1 %', '0 %')
    """
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def time_scale(span_ps: float) -> Scale:
    """Unit for a time axis of that length: ns, µs, ms or s, as so many picoseconds."""
    for unit, factor in (("s", 1e12), ("ms", 1e9), ("µs", 1e6), ("ns", 1e3)):
        if span_ps >= 2 * factor:
            return Scale(unit, factor)
    return Scale("ps", 1.0) if span_ps < 500 else Scale("ns", 1e3)


def lighter(colour: str, strength: float = 0.4) -> str:
    """A colour mixed with white, of which ``strength`` is left."""
    red, green, blue = (1 - strength * (1 - c) for c in to_rgb(colour))
    return to_hex((red, green, blue))


def ink(colour: str) -> str:
    """Black or white, whichever is legible on a colour.

    >>> ink("#0072B2"), ink("#F0E442")
    ('white', 'black')
    """
    red, green, blue = to_rgb(colour)
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.61 else "black"


def cell_ink(image: Any, value: float) -> str:
    """Black or white, for a number on the cell of an AxesImage that has this value."""
    return ink(to_hex(image.cmap(image.norm(value))))


def class_colour(name: str) -> str:
    """Colour of an op class; grey where it is unknown."""
    return CLASS_COLOURS.get(name, CLASS_COLOURS["other"])


def kind_colours(names: Iterable[str]) -> dict[str, str]:
    """Colour of each kind of component; others than ours have different ones, by name.

    >>> kind_colours(["mesh", "adc", "ring"])
    {'adc': '#3F7FC4', 'mesh': '#9DB4C0', 'ring': '#C9ADA7'}
    """
    others = [name for name in sorted(set(names)) if name not in KIND_COLOURS]
    new = {name: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, name in enumerate(others)}
    return {name: KIND_COLOURS.get(name) or new[name] for name in sorted(set(names))}


def kind_name(name: str) -> str:
    """A kind of component in words."""
    return KIND_NAMES.get(name, name.replace("_", " "))


def short(name: str, limit: int = 18) -> str:
    """The telling end of a dotted name: ``encoder.layer.3`` is ``layer.3``.

    >>> short("bert.encoder.layer.3"), short("stem"), short("")
    ('layer.3', 'stem', 'shared')
    """
    if not name:
        return "shared"
    if "+" in name:
        return _joint(name.split("+"), limit)
    parts = name.split(".")
    text = ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _joint(names: Sequence[str], limit: int) -> str:
    """Layers that share something: a row of blocks, two names, or how many.

    >>> _joint(["h.0", "h.1", "h.2"], 18), _joint(["stem", "head"], 18), _joint(["h.0", "h.2"], 8)
    ('h.0–2', 'stem + head', '2 layers')
    """
    stems = {name.rpartition(".")[0] for name in names}
    numbers = [name.rpartition(".")[2] for name in names]
    if len(stems) == 1 and all(map(str.isdigit, numbers)):
        first, last = int(numbers[0]), int(numbers[-1])
        if list(map(int, numbers)) == list(range(first, last + 1)):
            return f"{short(names[0], limit)}–{last}"
    text = " + ".join(short(name, limit) for name in names)
    return text if len(text) <= limit and len(names) == 2 else f"{len(names)} layers"


def legend_columns(labels: Sequence[str], width: float, size: float = 6.5) -> int:
    """Most columns of a legend with keywords :data:`LEGEND` within ``width`` points.

    >>> legend_columns(["one", "two", "three"], 1000.0), legend_columns(["one", "two"], 1.0)
    (3, 1)
    """
    wide = [text_width(label, size) for label in labels]
    for columns in range(len(labels), 1, -1):
        deep, more = divmod(len(wide), columns)
        ends = [0]
        for column in range(columns):  # as matplotlib deals them
            ends.append(ends[-1] + deep + (column < more))
        texts = sum(max(wide[a:b]) for a, b in pairwise(ends))
        if texts + size * (columns * 1.4 + columns - 1) <= width:
            return columns
    return 1
