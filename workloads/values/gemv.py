"""Steps of a matrix in analog arrays: bit-planes, column sums, codes, partial sums, their sum.

Numbers are kept by position and bit-plane until the partial sums leave the arrays, since at
fidelity ``bit`` each plane is a visit. A plane or row tile that a step does not count is lost: it
adds nothing. How many there are: roles.py, from the actions of the step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from hyflexsim.sim.plan.plan import Step
from hyflexsim.workloads.values.arrays import Factor
from hyflexsim.workloads.values.codes import codes_of, half, scale_of
from hyflexsim.workloads.values.roles import count
from hyflexsim.workloads.values.served import Served
from hyflexsim.workloads.values.sight import Sight


@dataclass
class Vectors:
    """Tokens on their way through one factor.

    ``bits`` (P, B, rows) of P positions and B bit-planes; ``done`` (P, B) by step: which planes
    have passed; ``sums``: columns of each band (P, B, C); ``partial`` (P, B, row tiles, outputs);
    ``moved`` (P, row tiles, outputs); ``scale`` (P, 1) of the codes; ``total``: (P, outputs).
    """

    bits: np.ndarray
    scale: torch.Tensor
    done: dict[str, np.ndarray] = field(default_factory=dict)
    sums: list[np.ndarray] = field(default_factory=list)
    partial: np.ndarray | None = None
    moved: np.ndarray | None = None
    total: torch.Tensor | None = None


class Gemv:
    """Plays the steps of matrices for one execution."""

    def __init__(self, sight: Sight, served: Served):
        self.x = sight
        self.served = served
        self.planes = int(sight.chip.holder.values.input_bits)
        self.vectors: dict[tuple[str, str], Vectors] = {}
        self.steps = {
            (step.op, role.part, role.what): index
            for index, (step, role) in enumerate(zip(sight.plan.steps, sight.roles, strict=True))
            if role.part
        }

    def play(self, index: int, visits: np.ndarray) -> None:
        """Some visits of a step of a matrix."""
        step, role = self.x.plan.steps[index], self.x.roles[index]
        factor = self.x.machine.layouts[step.op][role.part]
        if role.what == "bank":
            self._bank(index, step, role.part, factor, visits)
        else:
            vectors = self.vectors[step.op, role.part]
            getattr(self, f"_{role.what}")(index, step, factor, vectors, visits)
        if index == self.x.finals[f"{step.op}/{role.part}"]:
            self._finish(index, step, role.part, visits)

    # --- in the arrays -----------------------------------------------------------------------

    def _bank(self, index: int, step: Step, part: str, factor: Factor, visits: np.ndarray) -> None:
        """Codes of each token, and the planes of them that the visits drive onto the arrays."""
        at = self.x.positions(index, visits)
        rows = self.x.store.rows(step.op, at)
        x = self._between(index, step, visits) if part == "U" else self._input(index, step, visits)
        scale = scale_of(x, self.planes)
        codes = codes_of(x, scale, self.planes)
        key = (step.op, part)
        if key not in self.vectors:
            size = self.x.store.count(step.op)
            empty = np.zeros((size, self.planes, factor.rows), dtype=np.float32)
            self.vectors[key] = Vectors(empty, torch.full((size, 1), torch.nan).double())
        vectors = self.vectors[key]
        vectors.scale[rows] = scale
        if part == "U":
            self.x.store.keep(step.op, "codes", at, codes)
        planes = _bit_planes(codes.numpy(), self.planes)
        read = count(step, "array_read") // factor.arrays  # planes a visit
        driven = self._own_planes(index, step, visits, read)
        vectors.bits[rows.numpy()] = np.where(
            driven[rows.numpy()][:, :, None], planes, vectors.bits[rows.numpy()]
        )
        self._passes(vectors, "bank", driven)
        self._read(factor, vectors, driven)

    def _read(self, factor: Factor, vectors: Vectors, driven: np.ndarray) -> None:
        if not vectors.sums:
            shape = vectors.bits.shape[:2]
            vectors.sums = [
                np.zeros((*shape, len(band.outputs)), dtype=np.float32) for band in factor.bands
            ]
        for total, own in zip(vectors.sums, factor.read(vectors.bits[driven]), strict=True):
            total[driven] = own

    def _adc(
        self, index: int, step: Step, factor: Factor, vectors: Vectors, visits: np.ndarray
    ) -> None:
        """Convert; at fidelity ``token`` shift-and-add works in the same visit."""
        seen = self._seen_planes(index, step, "bank", vectors, visits)
        for mode in ("slc", "mlc"):
            bands = [i for i, band in enumerate(factor.bands) if band.mode == mode]
            columns = sum(len(factor.bands[i].outputs) for i in bands)
            if not columns:
                continue
            kept = self._kept(index, visits, seen, count(step, f"adc_conversion_{mode}") // columns)
            for i in bands:
                sums = vectors.sums[i]
                sums[seen & ~kept] = 0
                sums[kept] = factor.convert(i, sums[kept])
        self._passes(vectors, "adc", seen)
        if count(step, "shift_add"):
            self._add(index, step, factor, vectors, visits, seen)

    def _shift_add(
        self, index: int, step: Step, factor: Factor, vectors: Vectors, visits: np.ndarray
    ) -> None:
        seen = self._seen_planes(index, step, "adc", vectors, visits)
        self._add(index, step, factor, vectors, visits, seen)
        self._passes(vectors, "shift_add", seen)

    def _add(
        self,
        index: int,
        step: Step,
        factor: Factor,
        vectors: Vectors,
        visits: np.ndarray,
        seen: np.ndarray,
    ) -> None:
        """Shift and add the planes seen, as many a visit as there are additions for."""
        columns = sum(len(band.outputs) for band in factor.bands)
        kept = self._kept(index, visits, seen, count(step, "shift_add") // columns)
        if vectors.partial is None:
            shape = (*vectors.bits.shape[:2], factor.row_tiles, factor.outputs)
            vectors.partial = np.zeros(shape)
        worth = 2.0 ** np.arange(self.planes)
        worth[-1] = -worth[-1]  # two's complement
        planes = np.nonzero(kept)[1]
        codes = [sums[kept] for sums in vectors.sums]
        vectors.partial[kept] = factor.shift_add(codes, worth[planes], vectors.bits[kept])

    # --- out of the arrays -------------------------------------------------------------------

    def _out(
        self, index: int, step: Step, factor: Factor, vectors: Vectors, visits: np.ndarray
    ) -> None:
        before = (
            "shift_add" if (step.op, self.x.roles[index].part, "shift_add") in self.steps else "adc"
        )
        seen = self._seen_planes(index, step, before, vectors, visits)
        if vectors.moved is None:
            vectors.moved = np.full((len(seen), factor.row_tiles, factor.outputs), np.nan)
        width = int(self.x.chip.holder.values.shift_add.partial_sum_bits)
        bits = sum(count(step, a.name) for a in step.actions if a.name.endswith("_bit"))
        tiles = bits // (factor.outputs * width)
        rows = np.flatnonzero(seen.any(1))
        assert vectors.partial is not None
        total = (vectors.partial[rows] * seen[rows][:, :, None, None]).sum(1)
        total = _wrapped(total, width)
        total[:, tiles:] = 0
        vectors.moved[rows] = total
        if not np.isnan(vectors.moved).any():  # all tokens are through: memory for others
            vectors.sums, vectors.partial = [], None
        self._keep_total(index, vectors, rows, vectors.moved[rows, 0])

    def _sum(
        self, index: int, step: Step, factor: Factor, vectors: Vectors, visits: np.ndarray
    ) -> None:
        rows = self._seen_rows(index, step, "out", visits)
        more = count(step, "partial_sum_add") // factor.outputs
        assert vectors.moved is not None
        self._keep_total(index, vectors, rows, vectors.moved[rows, : 1 + more].sum(1))

    def _keep_total(
        self, index: int, vectors: Vectors, rows: np.ndarray, total: np.ndarray
    ) -> None:
        if vectors.total is None:
            size = (len(vectors.bits), total.shape[1])
            vectors.total = torch.full(size, torch.nan, dtype=torch.float64)
        vectors.total[rows] = torch.from_numpy(total)

    def _finish(self, index: int, step: Step, part: str, visits: np.ndarray) -> None:
        """From the integers of a factor to numbers: its scales; after the last the bias, FP16."""
        at = self.x.positions(index, visits)
        rows = self.x.store.rows(step.op, at)
        vectors = self.vectors[step.op, part]
        matrix = self.x.machine.matrices[step.op]
        assert vectors.total is not None
        total = vectors.total[rows]
        self.x.store.keep(step.op, part, at, total)
        value = (total * vectors.scale[rows] * matrix.scales[part == "U"]).float().double()
        if index != self.x.finals[step.op]:
            self.x.store.keep(step.op, "between", at, value)
            return
        if matrix.bias is not None:
            value = value + matrix.bias
        self.x.store.keep(step.op, "values", at, half(value))

    # --- what a visit sees -------------------------------------------------------------------

    def _input(self, index: int, step: Step, visits: np.ndarray) -> torch.Tensor:
        return self.served.operand(index, step.op, visits)

    def _between(self, index: int, step: Step, visits: np.ndarray) -> torch.Tensor:
        """What the first factor made of the tokens, where it was waited for."""
        at = self.x.positions(index, visits)
        values = self.x.store.results[step.op, "between"][self.x.store.rows(step.op, at)]
        final = self.x.finals[f"{step.op}/V"]
        what = self.x.roles[final].what
        seen = self._positions_seen(index, f"{step.op}/V.{what}", final, visits)
        missing = torch.from_numpy(~seen[at])
        return values.masked_fill(missing[:, None], torch.nan)

    def _positions_seen(self, index: int, name: str, source: int, visits: np.ndarray) -> np.ndarray:
        """Positions of an op that the visits saw in the visits of an earlier step of its matrix."""
        found = np.zeros(self.x.store.count(self.x.plan.steps[index].op), dtype=bool)
        each = self.x.looks(index, visits).get(name)
        if each is not None:
            there = self.x.waits.positions[source]
            for a, b in zip(each.span.first, each.span.stop, strict=True):
                if b > a:
                    found[there.first[a] : there.stop[b - 1]] = True
        return found

    def _seen_rows(self, index: int, step: Step, what: str, visits: np.ndarray) -> np.ndarray:
        """Rows whose earlier step the visits have waited for."""
        part = self.x.roles[index].part
        source = self.steps[step.op, part, what]
        seen = self._positions_seen(index, f"{step.op}/{part}.{what}", source, visits)
        own = np.zeros_like(seen)
        own[self.x.positions(index, visits)] = True
        return self.x.store.rows(step.op, np.flatnonzero(seen & own)).numpy()

    def _own_planes(self, index: int, step: Step, visits: np.ndarray, each: int) -> np.ndarray:
        """(rows, planes) that visits serve, ``each`` planes a visit."""
        mask = np.zeros((self.x.store.count(step.op), self.planes), dtype=bool)
        spans = self.x.waits.positions[index]
        for part in np.unique(visits % step.planes):
            at = spans.at(visits[visits % step.planes == part]).numbers()
            rows = self.x.store.rows(step.op, at).numpy()
            mask[rows, part * each : (part + 1) * each] = True
        return mask

    def _seen_planes(
        self, index: int, step: Step, what: str, vectors: Vectors, visits: np.ndarray
    ) -> np.ndarray:
        """(rows, planes) that the visits have waited for in an earlier step of the matrix.

        Of the tokens that the visits serve: those of others are none of their business.
        """
        part = self.x.roles[index].part
        source = self.steps[step.op, part, what]
        name = f"{step.op}/{part}.{what}"
        each = self.x.looks(index, visits).get(name)
        mask = np.zeros_like(vectors.done[what])
        if each is None:
            return mask
        there = np.unique(each.span.numbers())
        mask = self._own_planes(
            source, self.x.plan.steps[source], there, self._planes_a_visit(source)
        )
        own = np.zeros(len(mask), dtype=bool)
        own[self.x.store.rows(step.op, self.x.positions(index, visits)).numpy()] = True
        found: np.ndarray = mask & vectors.done[what] & own[:, None]
        return found

    def _kept(self, index: int, visits: np.ndarray, seen: np.ndarray, each: int) -> np.ndarray:
        """Of the planes seen, the first ``each`` of every visit to their token."""
        op = self.x.plan.steps[index].op
        rows = self.x.store.rows(op, self.x.positions(index, visits)).numpy()
        budget = np.bincount(rows, minlength=len(seen)) * each
        return seen & (np.cumsum(seen, 1) <= budget[:, None])

    def _planes_a_visit(self, index: int) -> int:
        return 1 if self.x.plan.steps[index].planes > 1 else self.planes

    @staticmethod
    def _passes(vectors: Vectors, what: str, mask: np.ndarray) -> None:
        vectors.done[what] = vectors.done.get(what, np.zeros_like(mask)) | mask


def _bit_planes(codes: np.ndarray, planes: int) -> np.ndarray:
    """Whole numbers (T, rows) in two's complement: (T, planes, rows) of 0 and 1; NaN stays."""
    lost = np.isnan(codes)
    whole = np.where(lost, 0, codes).astype(np.int64)
    bits = (whole[:, None] >> np.arange(planes)[:, None]) & 1
    return np.where(lost[:, None], np.float32(np.nan), bits.astype(np.float32))


def _wrapped(sums: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement of so many bits; numbers with errors of cells are not whole and stay."""
    beyond = np.abs(sums) >= 2.0 ** (bits - 1)
    if not beyond.any():
        return sums
    return np.where(beyond, np.mod(sums + 2.0 ** (bits - 1), 2.0**bits) - 2.0 ** (bits - 1), sums)
