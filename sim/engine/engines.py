"""Two engines with one answer: which of them plays a plan.

``simpy``     engine.py: starts at once, and runs components written in Python.
``compiled``  compiled.py: some tens of times faster, after some hundredths of a second.
``auto``      compiled from :data:`BREAK_EVEN` visits on, where no component is written in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.engine.trace import Keep, Watch
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.unrolled import shape_of

if TYPE_CHECKING:
    from hyflexsim.sim.engine.servers import Server
    from hyflexsim.sim.plan.plan import Plan

ENGINES = ("auto", "simpy", "compiled")
BREAK_EVEN = 20_000
"""Visits for which building the tables of the compiled engine takes as long as SimPy needs to play
them: 5 to 40 ms for the plans of the shipped scenarios, at 3 us a visit (docs/performance.md)."""

Servers = Mapping[str, "type[Server]"]


def choose(
    plan: Plan, requests: Sequence[Request], engine: str = "auto", servers: Servers | None = None
) -> str:
    """``simpy`` or ``compiled``.

    Raises :class:`InputError` for another name, for the compiled engine with components written in
    Python, and for such of a kind that the plan does not have.
    """
    if engine not in ENGINES:
        raise InputError(f"run.engine must be one of {', '.join(ENGINES)}; got {engine!r}")
    kinds = sorted({component.kind for component in plan.components})
    for kind in servers or ():
        if kind not in kinds:
            raise InputError(f"servers: kind must be one of {', '.join(kinds)}; got {kind!r}")
    if not servers:
        if engine != "auto":
            return engine
        return "compiled" if visits(plan, requests) >= BREAK_EVEN else "simpy"
    if engine == "compiled":
        names = ", ".join(f"{kind} ({server.__name__})" for kind, server in servers.items())
        raise InputError(
            f"run.engine must be simpy (or auto) for components written in Python, here {names}; "
            "got 'compiled'"
        )
    return "simpy"


def visits(plan: Plan, requests: Sequence[Request]) -> int:
    """How many visits the requests will make."""
    lengths: dict[tuple[int, int | None], int] = {}
    for request in requests:
        key = (request.tokens, request.prefill)
        lengths[key] = lengths.get(key, 0) + 1
    return sum(shape_of(plan, *key).visits * count for key, count in lengths.items())


def play(
    plan: Plan,
    requests: Sequence[Request],
    *,
    engine: str = "auto",
    window: int | None = None,
    progress: Callable[[int], None] | None = None,
    keep: Keep | None = None,
    servers: Servers | None = None,
    watch: Watch | None = None,
    deaths: Mapping[int, int] | None = None,
    host: Host | None = None,
) -> Played:
    """Play ``plan`` on the engine that :func:`choose` names; the rest as in ``engine.play``."""
    if choose(plan, requests, engine, servers) == "compiled":
        from hyflexsim.sim.engine.compiled import compiled  # noqa: PLC0415 (each run needs one of the two)

        return compiled.play(
            plan,
            requests,
            window=window,
            progress=progress,
            keep=keep,
            watch=watch,
            deaths=deaths,
            host=host,
        )
    from hyflexsim.sim.engine import engine as simpy_engine  # noqa: PLC0415

    return simpy_engine.play(
        plan,
        requests,
        window=window,
        progress=progress,
        keep=keep,
        servers=servers,
        watch=watch,
        deaths=deaths,
        host=host,
    )
