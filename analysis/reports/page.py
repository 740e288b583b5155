"""A page of HTML that needs nothing else: pictures, tables that one can sort, notes.

Written out as it is: without a server, a network or a font of its own. Tables and pictures scroll
within themselves, so the page is as wide as the screen, on a telephone too.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hyflexsim.analysis.whole_file import whole

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 75rem; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem; }
.facts div { background: var(--soft); border-radius: .4rem; padding: .5rem .75rem; }
.facts b { display: block; font-size: 1.2rem; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; opacity: .8; }
.wide { overflow: auto; max-height: 32rem; }
thead th { position: sticky; top: 0; background: Canvas; }
img { max-width: 100%; height: auto; background: white; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .15rem .75rem .15rem 0; white-space: nowrap; }
td.n, th.n { text-align: right; } tr { border-bottom: 1px solid var(--line); }
th button { font: inherit; font-weight: 600; border: 0; background: none; color: inherit;
  cursor: pointer; padding: 0; } th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
details > summary { cursor: pointer; }
"""

# a click sorts by what a cell is worth (data-v), a second one the other way
_SCRIPT = """
document.querySelectorAll("th button").forEach(button => button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending";
  head.parentElement.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const worth = row => row.cells[head.cellIndex].dataset.v;
  const number = row => Number(worth(row));
  const rows = [...body.rows], numeric = rows.every(row => !Number.isNaN(number(row)));
  const before = (a, b) => numeric ? number(a) - number(b) : worth(a).localeCompare(worth(b));
  body.append(...rows.sort((a, b) => up ? before(a, b) : before(b, a)));
}));
"""


@dataclass(frozen=True)
class Table:
    """A table with a heading; beyond ``most`` rows it says how many are left out."""

    title: str
    rows: pd.DataFrame
    most: int = 500


@dataclass
class Page:
    """What a report shows, in this order. ``live``: scripts and markup of pictures that move."""

    title: str
    lead: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    live: Sequence[tuple[str, str]] = ()
    """Heading and markup."""
    pictures: Sequence[tuple[str, Path]] = ()
    """Caption and PNG file."""
    tables: Sequence[Table] = ()
    texts: Sequence[tuple[str, str]] = ()
    """Heading and text that is folded away, such as a scenario's."""

    def write(self, file: Path) -> None:
        """The page in one file; whole or not at all. Raises InputError where it cannot."""
        content = self.html()
        with whole(file) as made:
            made.write_text(content, encoding="utf-8")

    def html(self) -> str:
        """The page."""
        parts = [
            f"<h1>{_safe(self.title)}</h1>",
            f"<p>{_safe(self.lead)}</p>" if self.lead else "",
            _facts(self.facts),
            _list("Notes", self.notes),
            *(f"<h2>{_safe(title)}</h2>{markup}" for title, markup in self.live),
            "<h2>Pictures</h2>" if self.pictures else "",
            *(_picture(caption, path) for caption, path in self.pictures),
            *(_table(table) for table in self.tables),
            *(
                f"<h2>{_safe(title)}</h2><details><summary>show</summary>"
                f'<pre class="wide">{_safe(text)}</pre></details>'
                for title, text in self.texts
            ),
        ]
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<link rel="icon" href="data:,">'
            f"<title>{_safe(self.title)}</title><style>{_STYLE}</style>"
            f"<body>{''.join(parts)}<script>{_SCRIPT}</script></body></html>\n"
        )


def _safe(text: object) -> str:
    return html.escape(str(text))


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    cells = (f"<div>{_safe(name)}<b>{_safe(value)}</b></div>" for name, value in facts.items())
    return f'<div class="facts">{"".join(cells)}</div>'


def _list(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{_safe(line)}</li>' for line in lines)}</ul>"


def _picture(caption: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{_safe(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{_safe(caption)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    rows = table.rows.head(table.most)
    numeric = [pd.api.types.is_numeric_dtype(rows[name]) for name in rows.columns]
    kinds = [' class="n"' if each else "" for each in numeric]
    heads = "".join(
        f'<th{kind} scope="col"><button>{_safe(name)}</button></th>'
        for name, kind in zip(rows.columns, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td{kind} data-v="{_safe(value)}">{_safe(_shown(value))}</td>'
            for value, kind in zip(row, kinds, strict=True)
        )
        + "</tr>"
        for row in rows.itertuples(index=False, name=None)
    )
    left = len(table.rows) - len(rows)
    more = f"<p>and {left:,} more rows, in the tables of the folder</p>" if left else ""
    return (
        f'<h2>{_safe(table.title)}</h2><div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _shown(value: object) -> str:
    """A cell as one reads it.

    >>> [_shown(value) for value in (1234567, 0.123456, float("nan"), None, "bank")]
    ['1,234,567', '0.1235', '', '', 'bank']
    """
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
