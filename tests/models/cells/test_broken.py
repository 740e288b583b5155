"""Broken cells against what the weights are without them, by integer arithmetic."""

import re
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.models.cells.broken import Broken, damaged
from hyflexsim.models.cells.cell_columns import Sign, layout, levels
from hyflexsim.models.cells.crossbar import program_crossbar, read_crossbar
from hyflexsim.models.cells.crossbar_layers import CrossbarLinear
from hyflexsim.models.cells.on_chip import Device, on_chip
from hyflexsim.models.errors import ModelError

ROWS = 4


@st.composite
def cases(draw):
    out, wide = draw(st.integers(1, 5)), draw(st.integers(1, 10))
    bits, sign = draw(st.integers(1, 4)), draw(st.sampled_from(get_args(Sign)))
    codes = torch.tensor(
        draw(st.lists(st.integers(-127, 127), min_size=out * wide, max_size=out * wide))
    ).view(out, wide)
    slices, tiles = len(layout(bits, sign).worth), -(-wide // ROWS)
    broken = draw(
        st.lists(
            st.builds(
                Broken,
                st.integers(0, tiles - 1),
                st.integers(-1, ROWS - 1),
                st.integers(0, out - 1),
                st.integers(0, slices - 1),
                st.booleans(),
                st.just(False),
            ),
            max_size=6,
            unique_by=lambda one: one[:4],
        )
    )
    return bits, sign, codes, broken


@given(case=cases(), seed=st.integers(0, 99))
@settings(deadline=None)
def test_products_are_those_of_the_levels_that_are_left(case, seed):
    bits, sign, codes, broken = case
    form, held = layout(bits, sign), levels(codes, bits, sign)
    padded = torch.zeros(*held.shape[:2], -(-held.shape[2] // ROWS) * ROWS)
    padded[:, :, : held.shape[2]] = held
    for one in sorted(broken, key=lambda one: -one.input):  # stuck first: a dead column is dead
        rows = slice(one.tile * ROWS, (one.tile + 1) * ROWS)
        if one.input < 0:
            padded[one.slice, one.output, rows] = 0
        else:
            top = 2 ** form.widths[one.slice] - 1
            before = float(padded[one.slice, one.output, one.tile * ROWS + one.input])
            stuck = form.lowest[one.slice] + top * one.on
            if form.paired:  # the positive cell; the other one holds what was written
                stuck = top * one.on - max(-before, 0)
            padded[one.slice, one.output, one.tile * ROWS + one.input] = stuck
    worth = torch.tensor(form.worth)[:, None, None]
    weights = (padded[:, :, : codes.shape[1]] * worth).sum(0) - form.bias
    x = torch.randint(-128, 128, (3, codes.shape[1]), generator=torch.Generator().manual_seed(seed))
    cells = program_crossbar(codes, bits, rows=ROWS, sign=sign)
    in_order = sorted(broken, key=lambda one: -one.input)
    found = read_crossbar(x, damaged(cells, in_order), adc_bits=16)
    assert torch.equal(found.double(), x.double() @ weights.double().T)


def test_the_negative_cell_of_a_pair_stuck():
    cells = program_crossbar(torch.tensor([[2], [-2]]), 2, rows=ROWS, sign="differential-rows")
    broken = [Broken(0, 0, output, 0, on=True, pair=True) for output in (0, 1)]
    assert read_crossbar(torch.tensor([1]), damaged(cells, broken)).tolist() == [2 - 3, -3]


def test_nothing_broken_changes_nothing():
    cells = program_crossbar(torch.tensor([[2]]), 2)
    assert damaged(cells, []) is cells


def test_cells_of_another_matrix_are_refused():
    cells = program_crossbar(torch.tensor([[2]]), 2)
    with pytest.raises(ModelError, match="broken cells must be of the matrix; got Broken"):
        damaged(cells, [Broken(1, -1, 0, 0)])


def test_parts_in_slc_and_mlc_are_broken_apart():
    """Two outputs, one in SLC: its column worth 1 is dead, and the other's that is worth 4."""
    weight = torch.tensor([[127.0, 127.0], [127.0, 127.0]])
    layer = CrossbarLinear(
        weight,
        protected=torch.tensor([True, False]),
        damage={(0, True): [Broken(0, -1, 0, 0)], (0, False): [Broken(0, -1, 1, 1)]},
    )
    assert layer(torch.tensor([127.0, 127.0])).tolist() == [2 * 127 * 126, 2 * 127 * (127 - 12)]


def test_a_model_on_a_chip_is_broken_by_path():
    torch.manual_seed(0)
    block = torch.nn.ModuleDict({"w": torch.nn.Linear(3, 2, bias=False)})
    model = torch.nn.ModuleDict({"blocks": torch.nn.ModuleList([block])})
    every = [Broken(0, -1, output, s) for output in range(2) for s in range(4)]
    with on_chip(model, Device(noise=None), 0) as chip:
        chip.break_cells({"blocks.0.w": {(0, False): every}})
        chip.protect({"blocks.0.w": [torch.zeros(2, dtype=torch.bool)]})
        assert block["w"](torch.ones(1, 3)).tolist() == [[0, 0]]
        message = "blocks.1.w: no matrix that is read through converters"
        with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
            chip.break_cells({"blocks.1.w": {}})
