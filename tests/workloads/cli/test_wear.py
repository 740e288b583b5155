"""``hyflexsim wear``: writing the weights, refresh, how long cells last."""

import pytest

RUN = ("wear", "bert-base", "--set", "workload.tokens=8", "--set", "mapping.copies=none")


def test_three_tables(hyflexsim):
    code, out, err = hyflexsim(*RUN, "--requests-per-day", "1000", "--refresh", "1,30")
    assert (code, err) == (0, "")
    for word in ("writing the weights", "refresh", "30 d", "1.00 k requests a day", "operands"):
        assert word in out


def test_chips_without_cells_say_so(hyflexsim):
    code, out, _ = hyflexsim(*RUN, "--set", "chip.preset=non-pim")
    assert code == 0
    assert "weights lie in memory" in out
    assert "activations lie in memory" in out


@pytest.mark.parametrize("value", ["0", "-1", "x", "1,,2", "inf", "nan"])
def test_refusals(hyflexsim, value):
    code, _, err = hyflexsim(*RUN, "--refresh", value)
    line = f"hyflexsim: --refresh must be numbers above 0 with commas between; got {value!r}\n"
    assert (code, err) == (2, line)
