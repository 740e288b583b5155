"""A matrix in its arrays against the integer product, and against models/cells."""

from types import SimpleNamespace

import networkx as nx
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.values.arrays import arrays_of, lay_out
from hyflexsim.workloads.values.cells import ModelCells
from hyflexsim.workloads.values.matrices import Matrix


@st.composite
def cases(draw):
    """A chip's arrays, a matrix with codes, and inputs."""
    sign = draw(st.sampled_from(["twos-complement", "biased", "differential"]))
    chip = {
        "analog.rows": draw(st.integers(2, 20)),
        "analog.columns": draw(st.integers(3, 40)),
        "analog.mlc_bits": draw(st.integers(1, 4)),
        "analog.sign": sign,
        "analog.adc.slc_bits": draw(st.integers(1, 6)),
        "analog.adc.mlc_bits": draw(st.integers(1, 8)),
        "analog.adc.range": "clip",
    }
    rows, cols = draw(st.integers(1, 50)), draw(st.integers(1, 12))
    rank = draw(st.none() | st.integers(1, min(rows, cols)))
    rate = draw(st.floats(0, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shapes = [(cols, rows)] if rank is None else [(rank, rows), (cols, rank)]
    codes = [rng.integers(-127, 128, shape).astype(float) for shape in shapes]
    inputs = [rng.integers(-127, 128, (3, shape[1])).astype(float) for shape in shapes]
    scores = rng.random(cols if rank is None else rank).tolist()
    return SimpleNamespace(**locals())


def placed(case):
    """Placement of one op ``fc``."""
    graph = nx.DiGraph(g.new_graph("one"))
    shape = {"rows": case.rows, "cols": case.cols, "rank": case.rank, "weight": "fc.weight"}
    g.add_op(graph, "fc", "gemv", layer="a", width=case.cols, importance=case.scores, **shape)
    return place(graph, load_chip("hyflexpim", case.chip), Options(slc_rate=case.rate))


def through(factor, codes):
    """Codes (T, in) bit-plane by bit-plane through the arrays of a factor: (T, out)."""
    total = np.zeros((len(codes), factor.outputs))
    for plane in range(8):
        bits = ((codes.astype(int) >> plane) & 1).astype(np.float32)
        sums = [factor.convert(i, s) for i, s in enumerate(factor.read(bits))]
        worth = np.full(len(codes), -128.0 if plane == 7 else 2.0**plane)
        total += factor.shift_add(sums, worth, bits).sum(1)
    return total


@settings(max_examples=60, deadline=None)
@given(cases())
def test_with_wide_converters_it_is_the_integer_product(case):
    placement = placed(case)
    made = lay_out(placement, "fc", case.codes, arrays_of(placement, "fc"))
    for factor, codes, x in zip(made.values(), case.codes, case.inputs, strict=True):
        assert (through(factor, x) == x @ codes.T).all()


@settings(max_examples=60, deadline=None)
@given(cases())
def test_with_narrow_converters_it_is_what_models_cells_reads(case):
    placement = placed(case)
    weights = tuple(torch.from_numpy(c) for c in case.codes)
    matrix = Matrix(weights, weights, (1.0,) * len(weights), None)
    models = ModelCells(placement, {"fc": matrix})
    made = lay_out(placement, "fc", case.codes, arrays_of(placement, "fc"), exact=False)
    for i, (factor, x) in enumerate(zip(made.values(), case.inputs, strict=True)):
        wanted = models.multiply("fc", i, torch.from_numpy(x))
        assert (through(factor, x) == wanted.numpy()).all()


@settings(max_examples=20, deadline=None)
@given(cases())
def test_cells_of_models_cells_are_those_that_codes_give(case):
    placement = placed(case)
    weights = tuple(torch.from_numpy(c) for c in case.codes)
    models = ModelCells(placement, {"fc": Matrix(weights, weights, (1.0, 1.0), None)})
    held = arrays_of(placement, "fc")
    ours = lay_out(placement, "fc", case.codes, held)
    theirs = lay_out(placement, "fc", case.codes, held, cells=models.cells("fc"))
    for letter, factor in ours.items():
        for band, other in zip(factor.bands, theirs[letter].bands, strict=True):
            assert (band.levels == other.levels).all()
