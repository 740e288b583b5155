"""The quantised model: what the exported program computes with the chip's integers, whole tensors.

Every op is computed for all tokens at once, in the program's order: a static product as one product
of integer codes (two with codes again between them, where the matrix is two factors), attention on
codes of queries, keys, values and probabilities, everything else in floating point, rounded to FP16
where the op ends. No step, array, visit or firing rule enters here. How codes are chosen: codes.py.

Assumed beside that: a bias is added in FP16 to the product, which is rounded once with it; a scan
keeps its state in FP16; what a token's experts make is weighted and added before it is rounded; a
row of a table that lies in digital PIM has codes of that unit's value bits, one scale a row, as its
reads are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hyflexsim.sim import graph as g
from hyflexsim.workloads.values.attention import (
    Attention,
    attentions,
    capped,
    hidden_keys,
    per_head,
    weights_of,
)
from hyflexsim.workloads.values.choosing import Chooser
from hyflexsim.workloads.values.codes import codes_of, half, probability_codes, scale_of
from hyflexsim.workloads.values.experts import Experts, expert_of, experts
from hyflexsim.workloads.values.keeping import Choice
from hyflexsim.workloads.values.matrices import Matrix
from hyflexsim.workloads.values.program import (
    Program,
    labels_of,
    product_of,
    together,
)
from hyflexsim.workloads.values.results import Results
from hyflexsim.workloads.values.scans import Scan, scans
from hyflexsim.workloads.values.tables import TableProduct, by_token, tables
from hyflexsim.workloads.values.widths import Widths

Multiply = Callable[[str, int, Tensor], Tensor]
"""Product of integer codes (T, in) with factor number i of an op's matrix: (T, out)."""


class Reference:
    """Computes a program; see the head of this file.

    ``widths`` None: in floating point throughout, without rounding: the model as trained.
    ``value_scales``: scale of values (V) by name of the op ``pv``, one a head (H,).
    ``multiply``: instead of the exact integer product (converters of a chip). ``choice``: which
    keys are kept (choosing.py).
    """

    def __init__(
        self,
        program: Program,
        matrices: Mapping[str, Matrix],
        widths: Widths | None,
        value_scales: Mapping[str, Tensor] | None = None,
        multiply: Multiply | None = None,
        choice: Choice | None = None,
    ):
        self.program = program
        self.matrices = matrices
        self.widths = widths
        self.value_scales = value_scales or {}
        self.multiply = multiply or self._exact
        self.attentions = attentions(program)
        self.scans = scans(program)
        self.experts = experts(program)
        self.tables = tables(program)
        self.chooser = Chooser(program, widths, choice, self.tensor, self._round)
        self.results: Results = {}
        self._tensors: dict[Any, Any] = {}

    def run(self) -> Results:
        """Results of every op for the inputs that the program was started with."""
        self.results, self._tensors = {}, {}
        for name in g.order(self.program.graph):
            if name in self.program.ops:
                self._op(name)
        last = self.program.output
        values = self.results[last.op.name, "values"]
        if last.axis == "single" and last.op.axis != "single":
            values = values[-1:] if last.rule == "last" else values[:1]
        self.results["output", "values"] = self._round(self.program.finished(values))
        return self.results

    def _op(self, name: str) -> None:
        op = self.program.ops[name]
        kind = self.program.graph.nodes[name]["kind"]
        if kind == "input":
            values = self._rows(name, self.program.value(op.nodes[-1], self._given))
            self.results[name, "values"] = values.double()
        elif kind == "gemv":
            self._gemv(name)
        elif name in self.tables:
            self._by_table(self.tables[name])
        elif name in self.attentions:
            self._attention(name, self.attentions[name])
        elif name in self.experts:
            self._expert(name, self.experts[name])
        elif name in self.scans:
            self._scan(name, self.scans[name])
        else:
            self._plain(name, kind)

    # --- tensors of the program --------------------------------------------------------------

    def _given(self, node: Any) -> Any:
        """A node's tensor, put together from the results of its ops."""
        if node.op == "placeholder" and node.name in self._inputs():
            return None
        if node not in self._tensors:
            owners = self.program.owners[node]
            if not all((name, "values") in self.results for name in owners):
                return None
            self._tensors[node] = self._join(node, owners)
        return self._tensors[node]

    def _inputs(self) -> list[str]:
        return [n for n, op in self.program.ops.items() if op.kind == "input"]

    def _join(self, node: Any, owners: list[str]) -> Any:
        """Parts of a fused projection side by side, the class token before the sequence."""
        return together(node, [self._joined(node, owners, what) for what in labels_of(node)])

    def _joined(self, node: Any, owners: list[str], what: str) -> Tensor:
        whole = self.program.shape(node)
        layout = self.program.layout_of(owners[0])
        rows = layout.rows(torch.full(whole, torch.nan, dtype=torch.float64))
        for name in owners:
            own = self.results[name, what]
            at = self.program.place(name, torch.arange(rows.numel()).reshape(rows.shape))
            rows.view(-1)[at] = own
        return layout.tensor(rows, whole)

    def _rows(self, name: str, tensor: Tensor) -> Tensor:
        rows = self.program.layout_of(name).rows(tensor)
        return self.program.place(name, rows)

    def _round(self, values: Tensor) -> Tensor:
        return values.double() if self.widths is None else half(values)

    # --- ops ---------------------------------------------------------------------------------

    def _plain(self, name: str, kind: str) -> None:
        node = self.program.ops[name].nodes[-1]
        value = self.program.value(node, self._given)
        if len(labels_of(node)) > 1:
            value, which = value
            self.results[name, "which"] = self._rows(name, which).double()
        rows = self._rows(name, value)
        if kind == "lookup" and self.widths is not None and self.widths.table is not None:
            bits = self.widths.table
            each = rows.reshape(-1, self.program.graph.nodes[name]["width"])  # one row of the table
            scale = scale_of(each, bits)
            codes = codes_of(each, scale, bits)
            self.results[name, "codes"] = codes.reshape(rows.shape)
            rows = (codes * scale).reshape(rows.shape)
        self.results[name, "values"] = self._round(rows)

    def _gemv(self, name: str) -> None:
        op, matrix = self.program.ops[name], self.matrices[name]
        x = self._operand_of(name)
        if op.half:
            x = x[:1] if op.half == "single" else x[1:]
        labels = ("W",) if len(matrix.codes) == 1 else ("V", "U")
        if self.widths is None:
            for weight in matrix.weights:
                x = x @ weight.double().T
        else:
            for i, label in enumerate(labels):
                scale = scale_of(x, self.widths.inputs)
                codes = codes_of(x, scale, self.widths.inputs)
                if i:
                    self._keep(name, "codes", codes)
                total = self.multiply(name, i, codes)
                self._keep(name, label, total)
                x = (total * scale * matrix.scales[i]).float().double()
        if matrix.bias is not None:
            x = x + matrix.bias
        self._keep(name, "values", self._round(x))

    def _operand_of(self, name: str) -> Tensor:
        """Vectors that enter a matrix, of an expert's its own tokens': (tokens, in)."""
        op, product = self.program.ops[name], product_of(self.program, name)
        if op.stage == "down":
            before = self.experts[name].before(name, op.stage)
            return self.results[before, "values"][self._own(name)]
        x = product.rows(self.tensor(op.before[0].args[0] if op.before else product.data))
        return x if self._expert_of(name) is None else x[self._own(name)]

    def _exact(self, name: str, factor: int, codes: Tensor) -> Tensor:
        return codes @ self.matrices[name].codes[factor].T

    def tensor(self, node: Any) -> Tensor:
        """A node's value, its own result included."""
        given = self._given(node) if node in self.program.owners else None
        value: Tensor = self.program.value(node, self._given) if given is None else given
        return value

    # --- attention ---------------------------------------------------------------------------

    def _attention(self, name: str, a: Attention) -> None:
        q, k, v, bias = a.operands
        results = self.results
        if name == a.qk:
            heads = q.meta["val"].shape[1]
            keys = per_head(self.tensor(k), heads)
            scores = self._scores(a, self.tensor(q)[0], keys)
            rounded = self._round(scores).permute(1, 2, 0)
            results[name, "values"] = self.chooser.before(a, rounded)
        elif name == a.add:
            total = results[a.cap or a.qk, "values"] + self.tensor(bias)[0].permute(1, 2, 0)
            results[name, "values"] = self._round(total)
        elif name == a.cap:
            results[name, "values"] = self._round(capped(results[a.qk, "values"], a.most))
        elif name == a.softmax:
            scores = self.chooser.after(a, results[a.biased, "values"])
            sinks = None if a.sinks is None else self.tensor(a.sinks)
            weights = self._round(weights_of(scores, sinks))
            results[name, "values"] = torch.where(torch.isneginf(scores), scores, weights)
        else:
            self._mix(a, self.tensor(v))

    def _scores(self, a: Attention, queries: Tensor, keys: Tensor) -> Tensor:
        """(H, Q, K) scaled scores, -inf beyond a causal model's own token."""
        hidden = hidden_keys(a, queries.shape[1], keys.shape[1])
        if self.widths is None or self.widths.values is None:
            scores = queries @ keys.transpose(1, 2) * a.scale
        else:
            bits = self.widths.values
            sq, sk = scale_of(queries, bits), scale_of(keys, bits)
            product = codes_of(queries, sq, bits) @ codes_of(keys, sk, bits).transpose(1, 2)
            marked = product.masked_fill(hidden, -torch.inf)
            self.results[a.qk, "product"] = marked.permute(1, 2, 0)
            scores = product * sq * sk.transpose(1, 2) * a.scale
        return scores.masked_fill(hidden, -torch.inf)

    def _by_table(self, product: TableProduct) -> None:
        queries = product.queries(self.tensor(product.tokens))
        keys = product.keys(self.tensor(product.table))
        if self.widths is None or self.widths.values is None:
            scores = queries @ keys.transpose(1, 2)
        else:
            bits = self.widths.values
            sq, sk = scale_of(queries, bits), scale_of(keys, bits)
            whole = codes_of(queries, sq, bits) @ codes_of(keys, sk, bits).transpose(1, 2)
            self.results[product.op, "product"] = by_token(whole)
            scores = whole * sq * sk.transpose(1, 2)
        self.results[product.op, "values"] = self._round(by_token(scores))

    def _mix(self, a: Attention, values: Tensor) -> None:
        weights = self.results[a.softmax, "values"]  # (Q, K, H)
        looked = torch.where(torch.isneginf(weights), 0.0, weights).permute(2, 0, 1)
        own = per_head(values, len(looked))  # (H, K, V)
        if self.widths is None or self.widths.probabilities is None:
            mixed = looked @ own
        else:
            bits = self.widths.probabilities
            scale = self.value_scales[a.pv][:, None, None]
            codes = probability_codes(looked, bits)
            assert self.widths.values is not None
            product = codes @ codes_of(own, scale, self.widths.values)
            self.results[a.pv, "product"] = product.transpose(0, 1).flatten(1)
            mixed = product * scale / (2**bits - 1)
        self.results[a.pv, "values"] = self._round(mixed.transpose(0, 1).flatten(1))

    # --- experts -----------------------------------------------------------------------------

    def routes(self) -> dict[str, list[list[int]]]:
        """By layer, the experts of each token as its router chose, for ``with_routes``."""
        return {block.layer: self.tensor(block.chosen).tolist() for block in self.experts.values()}

    def _expert_of(self, name: str) -> int | None:
        return expert_of(self.program, name)

    def _own(self, name: str) -> Tensor:
        """Tokens that the expert of an op takes, in order."""
        expert = self._expert_of(name)
        assert expert is not None
        return self.tensor(self.experts[name].chosen).eq(expert).any(1).nonzero()[:, 0]

    def _keep(self, name: str, what: str, rows: Tensor) -> None:
        """Results of an op; those of an expert at its own tokens, the others NaN."""
        if self._expert_of(name) is not None:
            whole = torch.full((self.program.tokens, rows.shape[1]), torch.nan).double()
            whole[self._own(name)] = rows
            rows = whole
        self.results[name, what] = rows

    def _expert(self, name: str, block: Experts) -> None:
        results, stage = self.results, self.program.ops[name].stage
        if stage == "mix":
            found = {e: results[each["down"], "values"] for e, each in block.stages.items()}
            chosen, weights = (self.tensor(node) for node in (block.chosen, block.weights))
            values = block.mixed(chosen.double(), weights, found)
        else:
            own = block.ops_beside(name)
            hidden = results[block.before(name, stage), "values"]
            if stage == "gate":
                values = block.gated(hidden, results[own["act"], "values"])
            else:
                values = block.active(hidden) if stage == "act" else block.clamped(hidden)
        results[name, "values"] = self._round(values)

    # --- scan --------------------------------------------------------------------------------

    def _scan(self, name: str, scan: Scan) -> None:
        results, stage = self.results, self.program.ops[name].stage
        if stage == "softplus":
            values = scan.step_sizes(self._operand(scan, "dt"))
        elif stage == "clamp":
            values = scan.clamped(results[scan.stages["softplus"], "values"])
        elif stage == "silu":
            values = functional.silu(self._operand(scan, "z"))
        elif stage == "mul":
            first, second = (results[scan.stages[each], "values"] for each in ("scan", "silu"))
            values = first * second
        else:
            values = self._recurrence(scan)
        results[name, "values"] = self._round(values)

    def _operand(self, scan: Scan, label: str) -> Tensor:
        return scan.rows(self.tensor(scan.operand(label)))

    def _recurrence(self, scan: Scan) -> Tensor:
        """Token after token: (N, C)."""
        read = {label: self._operand(scan, label) for label in scan.reads}
        if scan.step_op:
            read["dt"] = self.results[scan.step_op, "values"]
        state, rows = scan.start(), []
        for operands in zip(*read.values(), strict=True):
            state, y = scan.advance(state, operands, self._round)
            rows.append(y)
        return torch.stack(rows)
