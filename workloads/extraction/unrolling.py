"""The graph of a whole model from that of its shortened one (repeats.py).

Of three rounds of layers the third must be the second, moved on: op by op, attribute by attribute,
input by input. Then every further round is the third, moved on. An input comes from as far back as
before, or, where both rounds read the same op (an encoder's output, the bias of distances that
T5's first layer makes), from that one. Whatever does not follow from this is an
:class:`UnlikeError`, and the model is exported whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import networkx as nx

from hyflexsim.workloads.extraction.repeats import ROUNDS, Run


class UnlikeError(Exception):
    """The further layers do not follow from those that were exported."""


def unroll(graph: nx.DiGraph, run: Run) -> nx.DiGraph:
    """``graph``, of a model of three rounds of ``run``, with all of them; op order as exported.

    Raises :class:`UnlikeError`.
    """
    if any(path.startswith(run.path) for path in graph.graph["unreached"]):
        raise UnlikeError("layers that the output does not depend on")
    return _Unrolling(graph, run).unrolled()


class _Unrolling:
    """One graph and one run; ``same``: what all rounds read from one place."""

    def __init__(self, graph: nx.DiGraph, run: Run):
        self.graph, self.run = graph, run
        prefix = graph.graph["prefix"]
        paths = "|".join(re.escape(path) for path in (run.path, run.path.removeprefix(prefix)))
        self.layer = re.compile(rf"^({paths})\.(\d+)(?=[.\[@#]|$)")
        self.same: set[str] = set()
        self.step = 0  # of the seeds of routers, a round

    def unrolled(self) -> nx.DiGraph:
        """The graph of all rounds. Raises UnlikeError where a round does not follow."""
        model = self._model()
        followers = self._followers(model)
        result = nx.DiGraph(**self.graph.graph)
        inputs: dict[str, list[tuple[str, str]]] = {}
        ahead = self.run.rounds - ROUNDS
        behind = 0  # rounds that the ops to come are further on
        for name, op in self.graph.nodes(data=True):
            place = self.round(op["module"])
            if place is None or place >= ROUNDS:
                new = self.outer(name)
                result.add_node(new, **_with(op, self.outer, behind * self.step))
                inputs[new] = [(self.source(u), rule) for u, rule in _inputs(self.graph, name)]
            else:
                result.add_node(name, **op)
                inputs[name] = _inputs(self.graph, name)
            if name == model[-1]:
                behind = ahead
                for further in range(1, ahead + 1):
                    self._add_round(result, inputs, followers, further)
        for name, sources in inputs.items():
            for source, rule in sources:
                if source not in result:
                    raise UnlikeError(f"{name} reads {source}")
                result.add_edge(source, name, rule=rule)
        return result

    def _add_round(
        self,
        result: nx.DiGraph,
        inputs: dict[str, list[tuple[str, str]]],
        followers: dict[str, list[tuple[str, str]]],
        further: int,
    ) -> None:
        """The third round once more, so many rounds on."""
        for name, sources in followers.items():
            copy = self.moved(name, further)
            result.add_node(copy, **self._moved_op(self.graph.nodes[name], further))
            inputs[copy] = [
                (u if u in self.same else self.moved(u, further), rule) for u, rule in sources
            ]

    # -- what the rounds have in common -------------------------------------------------------

    def _model(self) -> list[str]:
        """The ops of the third round, which all further ones follow; one after the other."""
        names = list(self.graph)
        at = [self.round(op["module"]) for _, op in self.graph.nodes(data=True)]
        second, third = ([i for i, r in enumerate(at) if r == which] for which in (1, 2))
        if not third or len(second) != len(third):
            raise UnlikeError("rounds of different length")
        if [i + len(third) for i in second] != third or third[-1] - third[0] >= len(third):
            raise UnlikeError("rounds that do not come one after the other")
        return [names[i] for i in third]

    def _followers(self, third: list[str]) -> dict[str, list[tuple[str, str]]]:
        """The inputs of each op of the third round, once they are seen to be the second's."""
        names = list(self.graph)
        start = names.index(third[0]) - len(third)
        steps = set()
        found = {}
        for before, name in zip(names[start:], third, strict=False):
            old, new = self.graph.nodes[before], self.graph.nodes[name]
            if new.get("routed") is not None and old.get("routed") is not None:
                steps.add(new["routed"]["seed"] - old["routed"]["seed"])
                self.step = min(steps)
            if self.moved(before, 1) != name or self._moved_op(old, 1) != new or len(steps) > 1:
                raise UnlikeError(name)
            found[name] = _inputs(self.graph, name)
            self._check_inputs(_inputs(self.graph, before), found[name], name)
        return found

    def _check_inputs(
        self, before: list[tuple[str, str]], now: list[tuple[str, str]], name: str
    ) -> None:
        if [rule for _, rule in before] != [rule for _, rule in now]:
            raise UnlikeError(name)
        for (old, _), (new, _) in zip(before, now, strict=True):
            if self.moved(old, 1) == new:
                continue
            if old != new or self.place(old) in (1, 2):
                raise UnlikeError(f"{name} reads {new}")
            self.same.add(old)

    # -- names --------------------------------------------------------------------------------

    def round(self, path: str) -> int | None:
        """Which round a module's path is in; -1 before the first, None outside of the stack."""
        match = self.layer.match(path)
        if match is None:
            return None
        beyond = int(match[2]) - self.run.first
        return min(beyond // self.run.period, ROUNDS) if beyond >= 0 else -1

    def place(self, name: str) -> int | None:
        """Which round an op is in."""
        return self.round(self.graph.nodes[name]["module"])

    def moved(self, text: str, rounds: int) -> str:
        """A name or path of a layer, so many rounds on; other texts are as they were."""
        by = rounds * self.run.period
        return self.layer.sub(lambda match: f"{match[1]}.{int(match[2]) + by}", text)

    def outer(self, text: str) -> str:
        """A text of what is not in a round: the last round's layers and those behind move on.

        Raises UnlikeError for a text of an earlier round.
        """
        place = self.round(text)
        if place is None:
            return text
        if place < ROUNDS - 1:
            raise UnlikeError(text)
        return self.moved(text, self.run.rounds - ROUNDS)

    def source(self, name: str) -> str:
        """The same for what it reads. Raises UnlikeError for what an earlier round made."""
        if name in self.same:
            return name
        place = self.place(name)
        if place is not None and place < ROUNDS - 1:
            raise UnlikeError(f"reads {name}")
        return self.outer(name)

    # -- ops ----------------------------------------------------------------------------------

    def _moved_op(self, op: dict[str, Any], rounds: int) -> dict[str, Any]:
        return _with(op, lambda text: self.moved(text, rounds), rounds * self.step)


def _with(op: dict[str, Any], change: Callable[[str], str], further: int) -> dict[str, Any]:
    """An op with its texts changed, its router's seed so much further."""
    new = {key: change(value) if isinstance(value, str) else value for key, value in op.items()}
    if op.get("routed") is not None:
        new["routed"] = op["routed"] | {"seed": op["routed"]["seed"] + further}
    return new


def _inputs(graph: nx.DiGraph, name: str) -> list[tuple[str, str]]:
    """What an op reads and by which rule, in order."""
    return [(source, edge["rule"]) for source, edge in graph.pred[name].items()]
