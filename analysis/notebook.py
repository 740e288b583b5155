"""What notebooks show: pictures, and results as a heading, numbers, a table and pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROWS = 20
"""Most rows of a table."""


class Picture(Figure):
    """A figure that a notebook shows, as ``analysis.timeline(run).figure``, without pyplot."""

    def _repr_html_(self) -> str:
        return self.html("")

    def html(self, what: str) -> str:
        """The picture as an element of HTML; ``what`` says what it shows to who does not see it."""
        file = io.BytesIO()
        self.savefig(file, format="png", facecolor="white", metadata={"Software": None})
        data = base64.b64encode(file.getvalue()).decode()
        width = round(100 * self.get_figwidth())  # a hundredth of an inch a point of the screen
        style = f'style="width: {width}px; max-width: 100%"'
        return f'<img alt="{html.escape(what)}" {style} src="data:image/png;base64,{data}">'


def block(
    title: str,
    facts: Mapping[str, str],
    table: pd.DataFrame | None = None,
    pictures: Iterable[tuple[str, Axes]] = (),
) -> str:
    """The HTML of one result. ``pictures``: what they show, and one of their axes."""
    rows = "".join(
        f'<tr><th style="text-align: left">{html.escape(name)}</th>'
        f"<td>{html.escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    parts = [f"<p><b>{html.escape(title)}</b></p>", f"<table>{rows}</table>"]
    if table is not None:
        parts.append(table.head(ROWS).to_html(index=False, border=0, float_format="{:.4g}".format))
        if len(table) > ROWS:
            parts.append(f"<p>and {len(table) - ROWS:,} more rows</p>")
    for what, axes in pictures:
        figure = axes.figure.get_figure(root=True)
        assert isinstance(figure, Picture)
        parts.append(figure.html(what))
    return "\n".join(parts)
