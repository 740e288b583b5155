"""What an engine is given beside a plan: the requests; and when components die."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEVER = 2**63 - 1
"""Picoseconds at which a component dies that does not."""


@dataclass(frozen=True, slots=True)
class Request:
    """An input of ``tokens``, of which ``prefill`` (default: all) are there at ``arrival`` ps."""

    arrival: int
    tokens: int
    prefill: int | None = None


def check_order(requests: Sequence[Request]) -> None:
    """Refuse requests that are not in order of arrival."""
    arrivals = [request.arrival for request in requests]
    if arrivals != sorted(arrivals):
        raise ValueError("requests must be in order of arrival")
