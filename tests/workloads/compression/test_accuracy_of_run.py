"""The SLC rates of a placement on the matrices that are scored (whole runs: test_judged_run.py)."""

import types

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options
from hyflexsim.workloads.compression.accuracy_of_run import _rate


def test_a_fused_matrix_that_stayed_dense_has_one_rate():
    ops = ["h.0.c_attn.q", "h.0.c_attn.k", "h.0.c_proj"]

    def rate(matrix, **rates):
        options = types.SimpleNamespace(options=Options(slc_rate=0.2, slc_rates=rates))
        return _rate(options, ops, matrix)

    assert rate("h.0.c_proj") == rate("h.0.c_attn") == 0.2
    assert rate("h.0.c_attn.q", **{"*.q": 0.5}) == 0.5
    assert rate("h.0.c_attn", **{"*c_attn*": 0.7}) == 0.7
    with pytest.raises(InputError, match=r"they must have one rate; got 0\.2, 0\.5"):
        rate("h.0.c_attn", **{"*.q": 0.5})
