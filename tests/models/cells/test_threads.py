"""Parallel loops of ours leave torch its number of threads."""

import subprocess
import sys

import numba
import pytest

CODE = """
import numpy, torch
from hyflexsim.models.cells.converted_sums import Converter, converted_sums
torch.set_num_threads({threads})
ones = numpy.ones((2, 8), dtype=numpy.int8)
converted_sums(ones, numpy.ones((1, 8, 1, 4), numpy.float32), [Converter(0, 255, 1, 1)], 8)
import numba
print(torch.get_num_threads(), numba.get_num_threads())
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_first_loop_leaves_torch_its_threads(threads):
    """In a process of its own, where numba has started none yet."""
    code = CODE.format(threads=threads)
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    most = numba.config.NUMBA_NUM_THREADS
    assert out.stdout.split() == [str(threads), str(min(threads, most))]
