"""The plan: every decision that is made before the first event.

A plan is a list of *steps* and a list of *components*. One service of one token at one
step is a *visit*; an engine needs to know nothing but what stands here:

- which component serves a token (``lanes``: copies of an array take tokens in turn),
- for how long (:class:`Rate`, a closed form in the *size* of the token),
- which tokens of other steps it waits for (:class:`Group`, :class:`Threshold`),
- which input buffers must have a place before it starts (``reserves``).

A plan is symbolic in the token count, like the graph it was made from: ``unrolled.py`` evaluates it
for one request length, once, however many requests have that length.

Two kinds of waiting express all firing rules of :mod:`hyflexsim.sim.graph`::

    Group(every=g, spread=m)    producer  0 .. g-1 | g .. 2g-1 | ...
                                            |           |
                                consumer  0 .. m-1 | m .. 2m-1 | ...
    Threshold(need)             consumer n waits for the producer's tokens 0 .. need[n]-1
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from hyflexsim.sim.chip.service import Action, Rate
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.work import Work
from hyflexsim.sim.routing import Routed, taken

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """Wait for a group of the producer's tokens.

    Group k of this step, its tokens ``[k * spread, (k + 1) * spread)``, waits for the producer's
    group k - lag, its tokens ``[(k - lag) * every, (k - lag + 1) * every)``. The producer must
    finish the tokens of a group in order, as one component or lanes in step do. Groups are
    counted in tokens of the sequence: of a ``head`` step, group 0 is the last token of the
    prompt. So text generation is nothing but lag 1 from the last op to the first.
    """

    source: int
    every: int = 1
    spread: int = 1
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Threshold:
    """Wait for a prefix of the producer's tokens; ``rule`` is a key of ``NEEDS`` (unrolled.py), or
    ``routed``, ``chunk``, ``square`` or ``merged``.

    ``ahead``: so many tokens more, where there are, than the rule says. ``stride``: of a prefix,
    the tokens from one to the next; of a chunk of a prompt, its tokens; of squares of an image
    ``wide`` tokens wide, their side.
    """

    source: int
    rule: str
    ahead: int = 0
    stride: int = 1
    wide: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the plan.

    ``axis``: ``sequence`` (N + extra tokens), ``single`` (1), ``source`` (``extra``, also
    of a table), ``pair`` (waves of ``wave`` pairs).
    ``planes``: a token is cut in so many bit-planes (fidelity ``bit``), else 1. ``split``: a
    wave is cut into its pairs, the last one filled up with idle slots of size 0, because the
    copies work in step. Both make several *parts* of one token, in order.
    ``head``: only the tokens from which text is sampled.
    ``size``: what one token's work grows with: ``one``, ``all`` (context N + context_extra),
    ``prefix`` (context n + 1 + context_extra), ``window`` (from n - ``behind`` to n + ``ahead``),
    ``source`` (context_extra) or ``wave`` (pairs in the wave).
    ``routed``: it serves only the tokens that an expert takes (routing.py), one after the other.
    ``kept``: of such a context only this share counts, rounded up (keys that a unit lets through);
    each token of it ``each`` times (heads that choose keys of their own, bits of a key).
    ``work``: the name by which a request may say how large each token is (work.py); empty: none.
    ``unit``: the unit or link of the chip whose actions it counts.
    ``places``: tokens its input buffer holds, None for data that waits in memory.
    ``reserves``: steps whose input buffer must have a place before a token starts here; where
    ``planes`` > 1 only the first plane asks, because an analog read cannot stop halfway.
    ``lead_ps``: the component has worked on the token for so long when the visit starts
    (an ADC converts the earlier bit-planes while the last ones are read): for traces only.
    ``macs``: multiply-accumulates as (per visit, per size), complete after ``macs_in`` visits.
    ``member``: of chips side by side, or of models on one (members.py), the one it is of.
    """

    name: str
    op: str
    kind: str
    layer: str
    lanes: tuple[int, ...]
    rate: Rate
    inputs: tuple[Group | Threshold, ...] = ()
    axis: str = "sequence"
    extra: int = 0
    wave: int = 1
    planes: int = 1
    split: bool = False
    head: bool = False
    size: str = "one"
    context_extra: int = 0
    behind: int = 0
    ahead: int = 0
    routed: Routed | None = None
    kept: tuple[int, int] = (1, 1)
    each: int = 1
    work: str = ""
    unit: str = ""
    places: int | None = None
    reserves: tuple[int, ...] = ()
    actions: tuple[Action, ...] = ()
    macs: tuple[int, int] = (0, 0)
    macs_in: int = 1
    lead_ps: int = 0
    member: int = 0

    @property
    def parts(self) -> int:
        """Parts that a whole token is cut into."""
        return self.planes * (self.wave if self.split else 1)


@dataclass(frozen=True, slots=True)
class Component:
    """One piece of hardware that serves one token at a time.

    ``shadow``: kinds that work in the same breath and have no process of their own at fidelity
    ``token`` (shift-and-add behind its ADC), with the time each is busy per visit.
    ``power_mw``: drawn while busy (energy mode ``power-time``).
    ``sequencer``: index of the one that decides for it when it serves (None: it decides itself).
    Those of one sequencer take turns: at any time one step has the turn, and of its lanes each
    serves a token (engine.py has the rule). A sequencer serves nothing itself.
    """

    name: str
    kind: str
    layer: str = ""
    pu: int = -1
    chip: int = 0
    power_mw: float = 0.0
    sequencer: int | None = None
    busy_ps: int | None = None
    shadow: tuple[tuple[str, int, float], ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps and components, in canonical order: their indices are part of the serving order.

    ``replicas``: so many times it holds the same machine (``side_by_side``).
    ``in_turn``: how tokens are dealt to lanes (dealing.py).
    """

    steps: tuple[Step, ...]
    components: tuple[Component, ...]
    outputs: frozenset[int] = frozenset()
    replicas: int = 1
    in_turn: bool = False
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for step in self.steps:
            bad = [i for i in step.reserves if self.steps[i].places is None]
            if bad:
                raise ValueError(f"{step.name} reserves {self.steps[bad[0]].name}, which is memory")
            if len({self.components[lane].sequencer for lane in step.lanes}) > 1:
                raise ValueError(f"lanes of {step.name} have several sequencers")

    @property
    def members(self) -> int:
        """Chips side by side, or models on one (``members.py``)."""
        return 1 + max((step.member for step in self.steps), default=0)

    @property
    def deciding(self) -> list[int]:
        """Who decides for each component when it serves: itself, or its sequencer."""
        return [
            i if component.sequencer is None else component.sequencer
            for i, component in enumerate(self.components)
        ]

    def server(self, step: Step) -> Component:
        """The first of a step's lanes: all are alike but for their names."""
        return self.components[step.lanes[0]]

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` returns, made when ``key`` is first asked for: plans do not change."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made


def tokens_of(step: Step, tokens: int, prefill: int) -> int:
    """How many tokens (or parts of tokens) a step serves for a request."""
    if step.axis == "pair":
        pairs = tokens * (tokens + 1) // 2
        return -(-pairs // step.wave) * step.parts
    if step.axis == "single":
        return step.planes
    if step.axis == "source":
        return step.extra * step.planes
    if step.routed is not None:
        return len(taken(step.routed, tokens)) * step.planes
    count = tokens + step.extra - (prefill - 1 if step.head else 0)
    return count * step.planes


def size_of(step: Step, token: Any, tokens: int, prefill: int, work: Work | None = None) -> Any:
    """The size of one token of a step (see :class:`Step`), or the sizes of an array of tokens.

    ``work``: what the request's values say about it. Raises :class:`InputError` where that is not
    one size a token.
    """
    index = token // step.parts
    if work is not None and step.work in work.sizes:
        return _given(work.sizes[step.work], step, tokens_of(step, tokens, prefill))[index]
    part, whole = step.kept
    if step.size == "all":
        return step.each * -(-(tokens + step.context_extra) * part // whole)
    if step.size == "prefix":
        context = index + 1 + step.context_extra + (prefill - 1 if step.head else 0)
        return step.each * -(-context * part // whole)
    if step.size == "source":
        return step.each * -(-step.context_extra * part // whole)
    if step.size == "window":
        at = index + (prefill - 1 if step.head else 0)
        last = (step.extra if step.axis == "source" else tokens + step.extra) - 1
        context = 1 + np.minimum(at, step.behind) + np.minimum(last - at, step.ahead)
        return step.each * -(-context * part // whole)
    if step.size == "wave":
        pairs = tokens * (tokens + 1) // 2
        if step.split:
            return (token // step.planes < pairs) * 1
        return np.minimum(step.wave, pairs - index * step.wave)
    return 1


def _given(sizes: np.ndarray, step: Step, parts: int) -> np.ndarray:
    if len(sizes) * step.parts != parts:
        raise InputError(
            f"work of {step.work} must be of {parts // step.parts} tokens; got {len(sizes)}"
        )
    return sizes
