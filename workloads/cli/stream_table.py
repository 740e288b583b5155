"""Table of the command line: a stream of requests, with intervals where the run is long enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from hyflexsim.workloads.cli.terminal_tables import si, table

GROUPS = {
    "first_turns": "of first turns",
    "found": "of next turns that found them",
    "not_found": "of next turns that did not",
}
NAMES = {"mean": "mean", "p50": "p50", "p99": "p99", "p999": "p99.9"}


def stream(summary: Mapping[str, Any]) -> Table:
    """How requests came, waited, were lost, and how late the answers are."""
    found = summary["stream"]
    result = table("stream of requests", "", ">", "")
    result.show_header = False
    if found["offered_per_s"] is not None:
        result.add_row("offered", si(found["offered_per_s"], "/s"), "between first and last")
    causes = ", ".join(f"{cause} {n}" for cause, n in summary["lost_by"].items() if n)
    result.add_row("lost", f"{summary['lost']:,}", f"by cause: {causes}" if causes else "")
    again = found["preempted"]
    if again["times"]:
        told = (
            f"times by {again['requests']:,} requests: {again['recomputed_tokens']:,} tokens again"
        )
        result.add_row("preempted", f"{again['times']:,}", told)
    if found["sessions"] is not None:
        _sessions(result, found["sessions"])
    for key, where in (("in_system", "waiting or on the chip"), ("at_host", "waiting at the host")):
        row = found[key]
        result.add_row(where, f"{row['mean']:.3g}", f"mean over time; at most {row['most']:,}")
    for key, what in (
        ("latency_ps", "latency"),
        ("first_token_ps", "first token"),
        ("further_token_ps", "each further token"),
    ):
        if found[key] is not None:
            for name, shown in NAMES.items():
                if found[key][name] is None:
                    continue
                half = found[key]["half_width"][name]
                interval = "" if half is None else f"± {si(half * 1e-12, 's')} (95 %)"
                result.add_row(f"{what} {shown}", si(found[key][name] * 1e-12, "s"), interval)
    cut, of = found["warm_up"], summary["requests"]
    if cut is None:
        result.add_row("warm-up", "–", "no steady state found in this run: of all requests")
    else:
        result.add_row("warm-up", f"{cut:,}", f"requests are cut of {of:,} (MSER-5)")
    if found["deadline_ps"] is not None:
        deadline = si(found["deadline_ps"] * 1e-12, "s")
        result.add_row("goodput", si(found["goodput_per_s"], "/s"), f"answered within {deadline}")
        result.add_row("in time", f"{found['in_time']:.2%}", f"within {deadline}")
    return result


def _sessions(result: Table, found: Mapping[str, Any]) -> None:
    """Rows of conversations: what was found, what it spared, and how soon the first token came."""
    nexts, total = found["next_turns"], found["found_tokens"] + found["computed_tokens"]
    spared = f"next turns of {found['begun']:,} sessions found their keys and values"
    result.add_row("found", f"{found['found']:,} of {nexts:,}", spared)
    result.add_row("found tokens", f"{found['found_tokens']:,}", f"of {total:,}: not computed")
    result.add_row("dropped", f"{found['dropped']:,}", "sessions, as others needed their pages")
    for name, which in GROUPS.items():
        wait = found["first_token_ps"][name]
        if wait is not None:
            result.add_row("first token", si(wait["mean"] * 1e-12, "s"), f"mean, {which}")
