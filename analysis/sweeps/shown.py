"""A sweep in a notebook: how many points, the best of them, the front."""

from __future__ import annotations

from hyflexsim.analysis.notebook import block
from hyflexsim.analysis.sweeps.figures import front_plot
from hyflexsim.analysis.sweeps.swept import Swept


def facts(swept: Swept) -> dict[str, str]:
    """Points that are over, on the front, failed."""
    return {
        "points": f"{len(swept.points):,}",
        "on the front": f"{int(swept.front().sum()):,}",
        "failed": f"{int(swept.points['error'].notna().sum()):,}",
    }


def html(swept: Swept) -> str:
    """Counts and errors; the table with the best first and the front, where a point has answers."""
    said = facts(swept) | {error: f"{count:,} points" for error, count in swept.errors().items()}
    if not len(swept.good):
        return block(swept.title or swept.path.name, said)
    front = ("Points, and those that no other beats", front_plot(swept)[0])
    return block(swept.title or swept.path.name, said, swept.table(), [front])
