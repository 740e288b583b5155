"""Cells of an execution are the chip's: widths, and errors of every model of them."""

import pytest
import torch

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.values.cells import ModelCells
from hyflexsim.workloads.values.matrices import Matrix


def cells(seed=0, **changes):
    """The levels of a matrix of 8 x 4 zeros in multi-level cells."""
    graph = g.new_graph("one")
    g.add_op(graph, "in", "input", layer="b.0", width=8)
    g.add_op(graph, "b.0.a", "gemv", layer="b.0", weight="a", rows=8, cols=4, width=4)
    g.connect(graph, "in", "b.0.a", "stream")
    placement = place(graph, load_chip("hyflexpim", changes), Options(slc_rate=0))
    zeros = torch.zeros(4, 8)
    matrix = Matrix((zeros,), (zeros.double(),), (1.0,), None)
    return ModelCells(placement, {"b.0.a": matrix}, seed=seed).cells("b.0.a")[0, "mlc"].cells


def test_stuck_cells_are_stuck_here_too():
    top = cells(stuck_on=1.0)
    assert (top[..., :3] == 3).all()
    assert (top[..., 3] == 1).all()  # the signed column
    assert not cells(stuck_on=0.0).any()
    assert not cells(seed=None, stuck_on=1.0).any()  # cells without errors


def test_conductances_err():
    assert cells(**{"cells.noise": "conductance", "program_sigma": "5 uS"}).any()


def test_weights_have_the_chips_bits():
    assert cells(weight_bits=4).shape == (8, 4, 2)


def test_refusals():
    with pytest.raises(InputError, match=r"read_sigma_rel must be 0; each read would err anew"):
        cells(**{"cells.noise": "conductance", "read_sigma_rel": 0.1})
    with pytest.raises(InputError, match="weight_bits must be from 2 to 8 bit"):
        cells(weight_bits=16)
