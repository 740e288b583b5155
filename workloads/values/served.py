"""Ports and ops without a matrix: attention, scan, tables, and what special function units compute.

Element-wise ops are evaluated as the exported program has them, on tensors in which only what a
visit has seen is a number. Tokens that see different things are evaluated apart; those that see
only their own token in two goes, even and odd ones, so that a look at a neighbour shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyflexsim.sim.chip.formats import FORMATS
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Step
from hyflexsim.sim.units.selector import CHOICES
from hyflexsim.workloads.values.attention import (
    Attention,
    attentions,
    capped,
    hidden_keys,
    per_head,
    weights_of,
)
from hyflexsim.workloads.values.codes import codes_of, half, probability_codes, scale_of
from hyflexsim.workloads.values.experts import Experts, experts
from hyflexsim.workloads.values.program import labels_of, product_of
from hyflexsim.workloads.values.roles import count
from hyflexsim.workloads.values.scans import Scan, scans
from hyflexsim.workloads.values.sight import Seen, Sight
from hyflexsim.workloads.values.spans import Span
from hyflexsim.workloads.values.tables import TableProduct, by_token, tables


class Served:
    """Plays these steps for one execution."""

    def __init__(self, sight: Sight):
        self.x = sight
        self.program = sight.program
        self.attentions = attentions(self.program)
        self.scans = scans(self.program)
        self.experts = experts(self.program)
        self.tables = tables(self.program)
        self.choice = sight.machine.choice
        if self.choice is not None and self.choice.by not in CHOICES:
            raise InputError(f"values: keys chosen by {self.choice.by} are not executed")
        self.states: dict[str, dict[int, Tensor]] = {}
        self.host: dict[str, Tensor] = {}  # rows of inputs, as the host has them

    # --- ports -------------------------------------------------------------------------------

    def port(self, index: int, visits: np.ndarray) -> None:
        """Tokens enter: the host's, or those that were sampled; or leave."""
        op = self.x.plan.steps[index].op
        at = self.x.positions(index, visits)
        if self.program.graph.nodes[op]["kind"] == "output":
            self.x.store.keep(op, "values", at, self._leaving(index, visits))
            return
        if op not in self.host:
            node = self.program.ops[op].nodes[-1]
            layout = self.program.layout_of(op)
            self.host[op] = layout.rows(self.program.value(node, lambda n: None)).double()
        values = self.host[op][at].clone()
        generated = self.program.graph.nodes[op]["axis"] == "sequence"
        for i, position in enumerate(at):
            if generated and position >= self.x.waits.prefill:
                values[i] = self._sampled(index, visits[i : i + 1])
        self.x.store.keep(op, "values", at, values)

    def _sampled(self, index: int, visit: np.ndarray) -> float:
        """The likeliest token by the scores that were fed back to this visit."""
        for name, seen in self.x.looks(index, visit).items():
            first, stop = seen.span.first[0], seen.span.stop[0]
            if self.program.graph.nodes[name]["kind"] == "output" and stop > first:
                scores = self.x.store.results[name, "values"][stop - 1]
                return float("nan") if bool(scores.isnan().any()) else float(scores.argmax())
        return float("nan")

    def _leaving(self, index: int, visits: np.ndarray) -> Tensor:
        """The result that goes to the host."""
        last = self.program.output
        looks = self.x.looks(index, visits)
        at = self.x.positions(index, visits)
        values = self.x.store.results[last.op.name, "values"]
        if last.op.axis != self.program.graph.nodes[self.x.plan.steps[index].op]["axis"]:
            at = np.full(len(at), -1 if last.rule == "last" else 0)
        rows = values[self.x.store.rows(last.op.name, at % len(values))].clone()
        for i, position in enumerate(at % len(values)):
            if not _sees(looks.get(last.op.name), i, position):
                rows[i] = torch.nan
        return half(self.program.finished(rows))

    # --- evaluation of exported nodes --------------------------------------------------------

    def operand(self, index: int, op: str, visits: np.ndarray) -> Tensor:
        """Vectors that enter a matrix: (positions, in)."""
        own, product = self.program.ops[op], product_of(self.program, op)
        if own.stage == "down":
            return self._stage(index, visits, self.experts[op].before(op, own.stage))
        source = own.before[0].args[0] if own.before else product.data

        def rows(tensor: Tensor) -> Tensor:
            vectors = product.rows(tensor)
            if own.half:
                return vectors[:1] if own.half == "single" else vectors[1:]
            return vectors

        vectors = self._rows(index, op, source, visits, rows)
        if op not in self.experts:
            return vectors
        chosen = self._which(index, op, visits)  # an expert takes no token before it is chosen
        return vectors.masked_fill(chosen.isnan().any(1)[:, None], torch.nan)

    def _rows(self, index: int, op: str, node: Any, visits: np.ndarray, rows: Any) -> Tensor:
        """Rows of an exported tensor for the positions of visits, from what each has seen."""
        parts: dict[int, Tensor] = {}
        for group, tensor in self.evaluated(index, op, node, visits):
            at = self.x.positions(index, visits[group])
            values = rows(tensor)[self.x.store.rows(op, at)].double()
            parts |= dict(zip(at.tolist(), values, strict=True))
        return torch.stack([parts[p] for p in self.x.positions(index, visits).tolist()])

    def evaluated(
        self, index: int, op: str, node: Any, visits: np.ndarray
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """A node's tensor, for each group (numbers within ``visits``) that sees the same."""
        looks = self.x.looks(index, visits)
        reads = self._reads(op, node)
        own = self.x.waits.positions[index].at(visits)
        lonely = [
            name for name in reads if name in looks and self._alone(op, name, looks[name], own)
        ]
        shared = [name for name in reads if name in looks and name not in lonely]
        kinds: dict[tuple[int, ...], list[int]] = {}
        for i in range(len(visits)):
            key = [end for name in shared for end in _ends(looks[name], i)]
            if lonely:
                key.append(int(own.first[i]) % 2)
            kinds.setdefault(tuple(key), []).append(i)
        for members in kinds.values():
            group = np.array(members)
            visible = {name: self._mask(name, looks[name].at(group)) for name in (*lonely, *shared)}
            tensor = self._tensor(op, node, visible)
            blind = [n for n in reads if self.x.store.whole_numbers(n) and not _all(n, visible)]
            if blind and tensor.is_floating_point():
                tensor = self._without(tensor, op, blind, visible)
            yield group, tensor

    def _tensor(self, op: str, node: Any, visible: dict[str, np.ndarray]) -> Tensor:
        """A node's tensor: another op's result as it is, else computed from such."""
        given = self.x.store.given(visible)
        found = None
        if node in self.program.owners and node is not self.program.ops[op].nodes[-1]:
            found = given(node)
        value: Tensor = self.program.value(node, given) if found is None else found
        return value

    def _without(self, tensor: Tensor, op: str, blind: list[str], visible: Any) -> Tensor:
        """NaN where a token's own id was not seen: whole numbers have none."""
        layout = self.program.layout_of(op)
        rows = layout.rows(tensor).clone()
        for name in blind:
            seen = visible.get(name)
            lost = np.ones(len(rows), dtype=bool)
            if seen is not None and len(seen) == len(rows):
                lost = ~(seen & self.x.store.written.get(name, seen & False))
            rows[torch.from_numpy(lost)] = torch.nan
        return layout.tensor(rows, tensor.shape)

    def _reads(self, op: str, node: Any) -> tuple[str, ...]:
        own = self.program.ops[op]
        return self.program.depends(node) if node is own.nodes[-1] else self.program.reads(node)

    def _alone(self, op: str, name: str, seen: Seen, own: Span) -> bool:
        """Whether each visit sees of an op only the positions that it serves itself."""
        axes = self.program.graph.nodes
        same = axes[op]["axis"] == axes[name]["axis"]
        return bool(
            same and (seen.span.first == own.first).all() and (seen.span.stop == own.stop).all()
        )

    def _mask(self, name: str, seen: Seen) -> np.ndarray:
        mask = np.zeros(self.x.store.count(name), dtype=bool)
        for a, b in zip(seen.span.first, seen.span.stop, strict=True):
            mask[a:b] = True
        return mask

    # --- ops ---------------------------------------------------------------------------------

    def play(self, index: int, visits: np.ndarray) -> None:
        """Some visits of an op that a unit without weights serves."""
        step = self.x.plan.steps[index]
        if step.op in self.tables:
            self._by_table(index, step, self.tables[step.op], visits)
        elif step.op in self.attentions:
            self._attention(index, step, self.attentions[step.op], visits)
        elif step.op in self.experts:
            self._expert(index, step, self.experts[step.op], visits)
        elif step.op in self.scans:
            self._scan(index, step, self.scans[step.op], visits)
        else:
            self._plain(index, step, visits)

    def _plain(self, index: int, step: Step, visits: np.ndarray) -> None:
        """As the exported nodes say; a row of a table in as many bits as are read of it."""
        at = self.x.positions(index, visits)
        node = self.program.ops[step.op].nodes[-1]
        layout = self.program.layout_of(step.op)

        def rows(tensor: Any) -> Tensor:
            parts = tensor if isinstance(tensor, tuple) else (tensor,)
            return torch.cat([self.program.place(step.op, layout.rows(t)) for t in parts], 1)

        if node.op == "placeholder":  # a learned vector: a table with one row
            own = rows(self.program.value(node, lambda n: None))
            values = own[self.x.store.rows(step.op, at)]
        else:
            values = self._rows(index, step.op, node, visits, rows)
        if len(labels_of(node)) > 1:
            values, which = values.chunk(2, 1)
            self.x.store.keep(step.op, "which", at, which.masked_fill(values.isnan(), torch.nan))
        read = count(step, "cell_read")
        if read:
            width = int(self.program.graph.nodes[step.op]["width"])
            bits = read // width
            each = values.reshape(-1, width)  # one row of the table
            scale = scale_of(each, bits)
            codes = codes_of(each, scale, bits)
            self.x.store.keep(step.op, "codes", at, codes.reshape(values.shape))
            values = (codes * scale).reshape(values.shape)
        self._keep(step, at, half(values))

    def _keep(self, step: Step, at: np.ndarray, values: Tensor) -> None:
        """Results, as far as the step counts elements for them."""
        passes = self._passes(step)
        by_key = step.op not in self.attentions and self.program.is_scores(step.op)
        if by_key:
            width = int(self.program.graph.nodes[step.op]["width"])
            values = values.reshape(len(at), width, -1).mT
        served = step.each * count(step, "sfu_element") // passes if passes else values.shape[-1]
        if served < values.shape[-1]:
            values = values.clone()
            values[..., served:] = torch.nan
        values = values.mT.flatten(1) if by_key else values
        self.x.store.keep(step.op, "values", at, values)

    def _passes(self, step: Step) -> int:
        """How often an element goes through; 0: the step counts no elements."""
        if not count(step, "sfu_element"):
            return 0
        kind = self.program.graph.nodes[step.op]["kind"]
        return int(getattr(self.x.chip.units[step.unit].values, f"{kind}_passes", 1))

    # --- attention ---------------------------------------------------------------------------

    def _attention(self, index: int, step: Step, a: Attention, visits: np.ndarray) -> None:
        at = self.x.positions(index, visits)
        if step.op == a.qk:
            self._scores(index, step, a, visits)
        elif step.op == a.add:
            self._biased(index, step, a, visits)
        elif step.op == a.cap:
            self._keep(step, at, half(capped(self._stage(index, visits, a.qk), a.most)))
        elif step.op == a.softmax:
            scores = self._stage(index, visits, a.biased)
            if self.choice is not None and self.choice.by != "bias":
                scores = _only(scores, self.choice.kept(self._layer(a), scores))
            sinks = None if a.sinks is None else self.program.value(a.sinks, lambda n: None)
            weights = half(weights_of(scores, sinks))
            self._keep(step, at, torch.where(torch.isneginf(scores), scores, weights))
        else:
            self._mixed(index, step, a, visits)

    def _stage(self, index: int, visits: np.ndarray, name: str) -> Tensor:
        """What an earlier op of the same attention or scan made of the tokens of visits."""
        at = self.x.positions(index, visits)
        values = self.x.store.results[name, "values"][self.x.store.rows(name, at)].clone()
        seen = self.x.looks(index, visits).get(name)
        for i in range(len(visits)):
            if not _sees(seen, i, int(at[i])):
                values[i] = torch.nan
        return values

    def _context(
        self,
        index: int,
        op: str,
        node: Any,
        visits: np.ndarray,
        shaped: Callable[[Tensor], Tensor] = lambda tensor: tensor[0],
    ) -> tuple[Tensor, Tensor, int | None]:
        """Keys or values (G, K, D), which each visit has seen (visits, K), and their bits."""
        looks = self.x.looks(index, visits)
        reads = self._reads(op, node)
        visible = {name: self._mask(name, looks[name]) for name in reads if name in looks}
        tensor = shaped(self._tensor(op, node, visible))
        keys = tensor.shape[1]
        seen = torch.ones(len(visits), keys, dtype=torch.bool)
        bits: set[int | None] = set()
        for name in reads:
            own = torch.zeros(len(visits), keys, dtype=torch.bool)
            offset = 1 if self.program.ops[name].half == "rest" else 0
            each = looks.get(name)
            if each is not None:
                bits.add(each.bits)
                for i, (first, stop) in enumerate(
                    zip(each.span.first, each.span.stop, strict=True)
                ):
                    own[i, offset + first : offset + stop] = True
            if self.program.ops[name].half == "rest":
                own[:, 0] = True
            elif self.program.ops[name].half == "single":
                own[:, 1:] = True
            seen &= own
        return tensor, seen, next(iter(bits)) if len(bits) == 1 else None

    def _looked(self, index: int, op: str, visits: np.ndarray, keys: int) -> Tensor:
        """As many keys as each visit counts, from where its window begins: (visits, K)."""
        size = torch.from_numpy(self.x.size(index, visits).copy())[:, None]
        if op in self.attentions and self.attentions[op].squares is not None:
            own = ~hidden_keys(self.attentions[op], keys, keys)
            own = own[torch.from_numpy(self.x.positions(index, visits))]
            return own & (own.cumsum(1) <= size)
        behind = self.program.graph.nodes[op].get("behind")
        at = torch.from_numpy(self.x.positions(index, visits))[:, None]
        first = torch.zeros_like(at) if behind is None else (at - behind).clamp(min=0)
        key = torch.arange(keys)
        return (first <= key) & (key < first + size)

    def _scores(self, index: int, step: Step, a: Attention, visits: np.ndarray) -> None:
        """Products of each query with as many keys as its visit counts."""
        at = self.x.positions(index, visits)
        q, k, *_ = a.operands
        heads = int(q.meta["val"].shape[1])
        queries = self._rows(index, step.op, q, visits, lambda t: t[0].transpose(0, 1).flatten(1))
        queries = queries.reshape(len(at), heads, -1).transpose(0, 1)  # (H, Q, D)
        keys, seen, bits = self._context(index, step.op, k, visits)
        keys = per_head(keys[None], heads)
        looked = self._looked(index, step.op, visits, keys.shape[1])
        product, scores = self._multiplied(step, queries, keys, bits)
        scores = scores * a.scale
        if product is not None:
            kept = _context_of(product, looked, seen)
            self.x.store.keep(step.op, "product", at, kept.permute(1, 2, 0))
        rounded = half(_context_of(scores, looked, seen)).permute(1, 2, 0)
        if self.choice is not None and self.choice.by == "bias" and a.add is not None:
            pairs = half(self._bias(index, step, a, visits, rounded.shape))
            chosen = self.choice.kept(self._layer(a), pairs)
            rounded = _only(rounded, chosen)
        self.x.store.keep(step.op, "values", at, rounded)

    def _multiplied(
        self, step: Step, queries: Tensor, keys: Tensor, bits: int | None
    ) -> tuple[Tensor | None, Tensor]:
        """(H, Q, K) of queries (H, Q, D) and keys (H, K, D) of so many bits: whole numbers, None in
        floating point, and what they stand for.
        """
        widths = self._operand_bits(step, bits)
        if widths is None:
            scores = _zeroed(queries) @ _zeroed(keys).transpose(1, 2)
            return None, _poisoned(scores, queries, keys)
        other, stored = widths
        sq, sk = scale_of(queries, other), scale_of(keys, stored)
        cq, ck = codes_of(queries, sq, other), codes_of(keys, sk, stored)
        product = _poisoned(_zeroed(cq) @ _zeroed(ck).transpose(1, 2), cq, ck)
        product = self._reached(step, product)
        return product, product * sq * sk.transpose(1, 2)

    def _by_table(self, index: int, step: Step, table: TableProduct, visits: np.ndarray) -> None:
        """Products of each token with as many rows as its visit counts."""
        at = self.x.positions(index, visits)
        queries = self._rows(
            index, step.op, table.tokens, visits, lambda t: by_token(table.queries(t))
        )
        queries = queries.reshape(len(at), table.heads, -1).transpose(0, 1)
        keys, seen, bits = self._context(index, step.op, table.table, visits, table.keys)
        looked = self._looked(index, step.op, visits, keys.shape[1])
        product, scores = self._multiplied(step, queries, keys, bits)
        for what, values in (("product", product), ("values", half(scores))):
            if values is not None:
                kept = values.masked_fill(~(seen & looked), torch.nan)
                self.x.store.keep(step.op, what, at, by_token(kept))

    def _biased(self, index: int, step: Step, a: Attention, visits: np.ndarray) -> None:
        at = self.x.positions(index, visits)
        scores = self._stage(index, visits, a.cap or a.qk)
        self._keep(step, at, half(scores + self._bias(index, step, a, visits, scores.shape)))

    def _bias(
        self, index: int, step: Step, a: Attention, visits: np.ndarray, shape: torch.Size
    ) -> Tensor:
        """U of the queries of visits, of the shape of their scores (Q, K, H)."""
        *_, bias = a.operands
        whole = (self.x.store.count(step.op), *shape[1:])  # one for all queries or heads
        columns = self._rows(
            index, step.op, bias, visits, lambda t: t[0].permute(1, 2, 0).expand(whole).flatten(1)
        )
        return columns.reshape(shape)

    def _layer(self, a: Attention) -> str:
        return str(self.program.graph.nodes[a.qk]["layer"])

    def _mixed(self, index: int, step: Step, a: Attention, visits: np.ndarray) -> None:
        """Probabilities times values, over as many tokens as the visit counts."""
        at = self.x.positions(index, visits)
        weights = self._stage(index, visits, a.softmax).permute(2, 0, 1)  # (H, Q, K)
        values, seen, bits = self._context(index, step.op, a.operands[2], visits)
        values = per_head(values[None], len(weights))
        looked = self._looked(index, step.op, visits, values.shape[1])[None]
        weights = torch.where(looked & ~torch.isneginf(weights), weights, 0.0)
        blind = (looked & ~seen).any(2)  # (1, Q)
        widths = self._operand_bits(step, bits)
        if widths is None:
            mixed = self._sum(weights, values, looked & seen)
        else:
            other, stored = widths
            scale = self.x.machine.value_scales[a.pv][:, None, None]
            codes = probability_codes(weights, other)
            product = self._sum(codes, codes_of(values, scale, stored), looked & seen)
            product = self._reached(step, product).masked_fill(blind[:, :, None], torch.nan)
            self.x.store.keep(step.op, "product", at, product.transpose(0, 1).flatten(1))
            mixed = product * scale / (2**other - 1)
        mixed = mixed.masked_fill(blind[:, :, None], torch.nan)
        self.x.store.keep(step.op, "values", at, half(mixed.transpose(0, 1).flatten(1)))

    @staticmethod
    def _sum(weights: Tensor, values: Tensor, used: Tensor) -> Tensor:
        """(H, Q, K) times (H, K, V) over the tokens used; NaN where one of these is."""
        total = _zeroed(weights) @ _zeroed(values)
        lost = values.isnan().any(2)[:, None, :] & used
        lost |= weights.isnan()
        return total.masked_fill(lost.any(2)[:, :, None], torch.nan)

    def _operand_bits(self, step: Step, written: int | None) -> tuple[int, int] | None:
        """Bits of the streamed operand and of the stored one; None: floating point.

        Of NOR-based products by their count: a times b operations for a and b bits. Another unit
        multiplies numbers of the format that the chip gives it.
        """
        multiplies = self.program.graph.nodes[step.op]["multiplies"][0]
        format = FORMATS.get(self.x.chip.served_by("matmul", multiplies).format)
        if format is not None and format.exponent:
            return None
        if count(step, "nor"):
            stored = written or 0
            nors = step.macs_in * count(step, "nor") // max(1, step.macs[0] + step.macs[1])
            return nors // max(1, stored), stored
        return None if format is None else (format.bits, format.bits)

    def _reached(self, step: Step, product: Tensor) -> Tensor:
        """Heads for which the step counts multiplications; the others have none."""
        inner = int(self.program.graph.nodes[step.op]["inner"])
        heads = step.each * (step.macs[0] + step.macs[1]) // (step.macs_in * inner)
        if heads >= len(product):
            return product
        product = product.clone()
        product[heads:] = torch.nan
        return product

    # --- experts -----------------------------------------------------------------------------

    def _which(self, index: int, op: str, visits: np.ndarray) -> Tensor:
        """The experts of the tokens of visits; NaN where the choice was not waited for."""
        node = self.experts[op].chosen
        which = self._rows(index, op, node, visits, lambda t: t.double())
        looks, at = self.x.looks(index, visits), self.x.positions(index, visits)
        for name in self.program.reads(node):
            for i, position in enumerate(at.tolist()):
                if not _sees(looks.get(name), i, position):
                    which[i] = torch.nan
        return which

    def _expert(self, index: int, step: Step, block: Experts, visits: np.ndarray) -> None:
        at, stage = self.x.positions(index, visits), self.program.ops[step.op].stage
        if stage == "mix":
            weights = self._rows(index, step.op, block.weights, visits, lambda t: t)
            found = {
                expert: self._stage(index, visits, each["down"])
                for expert, each in block.stages.items()
                if (each["down"], "values") in self.x.store.results  # some token was sent there
            }
            values = block.mixed(self._which(index, step.op, visits), weights, found)
        else:
            hidden = self._stage(index, visits, block.before(step.op, stage))
            if stage == "gate":
                active = self._stage(index, visits, block.ops_beside(step.op)["act"])
                values = block.gated(hidden, active)
            else:
                values = block.active(hidden) if stage == "act" else block.clamped(hidden)
        self._keep(step, at, half(values))

    # --- scan --------------------------------------------------------------------------------

    def _scan(self, index: int, step: Step, scan: Scan, visits: np.ndarray) -> None:
        at, stage = self.x.positions(index, visits), self.program.ops[step.op].stage

        def read(label: str) -> Tensor:
            return self._rows(index, step.op, scan.operand(label), visits, scan.rows)

        if stage == "softplus":
            values = scan.step_sizes(read("dt"))
        elif stage == "clamp":
            values = scan.clamped(self._stage(index, visits, scan.stages["softplus"]))
        elif stage == "silu":
            values = functional.silu(read("z"))
        elif stage == "mul":
            first, second = (
                self._stage(index, visits, scan.stages[each]) for each in ("scan", "silu")
            )
            values = first * second
        else:
            operands = {
                label: self._stage(index, visits, scan.step_op)
                if label == "dt" and scan.step_op
                else read(label)
                for label in scan.reads
            }
            values = self._recurrence(index, step, visits, tuple(operands.values()), scan)
        self._keep(step, at, half(values))

    def _recurrence(
        self, index: int, step: Step, visits: np.ndarray, rows: tuple[Tensor, ...], scan: Scan
    ) -> Tensor:
        """One state after the other, each from the one that the visit has waited for."""
        states = self.states.setdefault(step.op, {})
        seen = self.x.looks(index, visits).get(step.op)
        made = []
        for i, (position, *operands) in enumerate(
            zip(self.x.positions(index, visits).tolist(), *rows, strict=True)
        ):
            before = scan.start()
            if position and not _sees(seen, i, position - 1):
                before = torch.full_like(before, torch.nan)
            elif position:
                before = states[position - 1]
            states[position], y = scan.advance(before, operands, half)
            made.append(y)
        return torch.stack(made)


def _only(scores: Tensor, kept: Tensor | None) -> Tensor:
    return scores if kept is None else scores.masked_fill(~kept, -torch.inf)


def _sees(seen: Seen | None, visit: int, position: int) -> bool:
    return seen is not None and bool(seen.span.first[visit] <= position < seen.span.stop[visit])


def _ends(seen: Seen, visit: int) -> tuple[int, int]:
    return int(seen.span.first[visit]), int(seen.span.stop[visit])


def _all(name: str, visible: dict[str, np.ndarray]) -> bool:
    return name in visible and bool(visible[name].all())


def _zeroed(values: Tensor) -> Tensor:
    return torch.nan_to_num(values, nan=0.0)


def _poisoned(product: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """NaN in a product (H, Q, K) where a query or a key is NaN."""
    lost = queries.isnan().any(2)[:, :, None] | keys.isnan().any(2)[:, None, :]
    return product.masked_fill(lost, torch.nan)


def _context_of(scores: Tensor, looked: Tensor, seen: Tensor) -> Tensor:
    """Scores (H, Q, K): -inf for keys not looked at, NaN for those not waited for."""
    return scores.masked_fill(~seen, torch.nan).masked_fill(~looked, -torch.inf)
