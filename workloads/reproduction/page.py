"""docs/reproduction.md: every claim beside ours, what it hangs on and the switch that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hyflexsim.workloads.reproduction.claims import Claim, Figure

HEAD = """# The paper's evaluation, derived again

`hyflexsim reproduce all --out docs` makes this page, its tables and its pictures. What the paper
says, and where: [workloads/reproduction/paper.toml](../workloads/reproduction/paper.toml).
"Closed form": from the plan of a scenario, without playing it (counts × energy of an action, time
of the busiest part); a run has the same energy to the last digit. "Run": played event by event;
those in the section on copies by `hyflexsim reproduce played --out docs`, in some ten minutes.
The column "paper" of the last section has measured chips, which the paper does not compare with;
energy and latency of BERT-Base's layers beside a public tool's on the same macro:
[peers.md](peers.md#the-same-macro).
Sums are over the blocks of a model; all chips have the ranks of the hard threshold.

**Verdicts.** *Derived*: ours comes from columns, conversions, copies, bytes and queues, and no
parameter was chosen to meet the figure. *Input*: the paper's own table added up, evidence of
nothing. *Fitted*: rests on a value read off the paper's figures. *Not derivable*: what the paper
compares with is not public. *Contradictory*: two statements of the paper that cannot both hold.
*Shape*: no numbers, or those of other models. A switch is what one would say with `--set`, and what
comes out then.
"""

EXTRA = ("headline", "sensitivity", "copies", "reviewers", "silicon")
"""Sections with claims of others once more, or with none of the paper's: they are not counted."""


def page(figures: Sequence[Figure]) -> str:
    """The page in Markdown.

    >>> print(page([]).splitlines()[0])
    # The paper's evaluation, derived again
    """
    claims = [claim for each in figures if each.name not in EXTRA for claim in each.claims]
    parts = [HEAD, _score(claims)]
    for figure in figures:
        parts.append(f"\n## {figure.title}\n")
        parts.append(f"![{figure.title}](pictures/reproduction-{figure.name}.png)\n")
        parts.append(f"[Table](results/reproduction-{figure.name}.csv)\n")
        parts += [_table(figure.claims), _notes(figure.claims)]
    return "\n".join(part for part in parts if part)


def _score(claims: Iterable[Claim]) -> str:
    counts = Counter(claim.verdict for claim in claims)
    order = ("derived, within 10 %", "derived, within 25 %", "off")
    names = [*(name for name in order if name in counts), *sorted(set(counts) - set(order))]
    return (
        "| verdict | claims of the paper |\n|---|---|\n"
        + "\n".join(f"| {name} | {counts[name]} |" for name in names)
        + "\n"
        if counts
        else ""
    )


def _table(claims: Sequence[Claim]) -> str:
    lines = ["| claim | paper | ours | ratio | verdict | how |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {claim.claim} | {number(claim.paper)} | {number(claim.ours)} | {number(claim.ratio)} | "
        f"{claim.verdict} | {claim.how} |"
        for claim in claims
    ]
    return "\n".join(lines) + "\n"


def _notes(claims: Sequence[Claim]) -> str:
    notes = []
    for claim in claims:
        if not claim.why:
            continue
        notes.append(f"- **{claim.claim}.** Hangs on {claim.rests}. {claim.why}")
        if claim.switches:
            told = "; ".join(f"`{each.what}`: {number(each.value)}" for each in claim.switches)
            notes.append(f"  Switches: {told}.")
    return "\n".join(notes) + "\n" if notes else ""


def number(value: float) -> str:
    """Four significant places, nothing where there is no number.

    >>> number(1790232.0), number(1.2618), number(float("nan"))
    ('1,790,000', '1.262', '–')
    """
    if value != value:  # nan  # noqa: PLR0124
        return "–"
    if abs(value) >= 1000:
        digits = max(0, len(str(int(abs(value)))) - 4)
        return f"{round(value, -digits):,.0f}"
    return f"{value:.4g}"
