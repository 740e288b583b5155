"""Parameters that a result does not depend on, by the outermost module that holds them."""

import pytest
import torch
from torch import nn

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction.extract import extract
from hyflexsim.workloads.extraction.unreached import refuse_unreached


class Half(nn.Module):
    """Uses ``used`` and the first layer of ``part``; ``tied`` has the weight of ``used``."""

    def __init__(self):
        super().__init__()
        self.used, self.tied, self.idle = (nn.Linear(4, 4, bias=False) for _ in range(3))
        self.part = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 4)))
        self.lost = nn.Parameter(torch.zeros(3))
        self.tied.weight = self.used.weight

    def forward(self, x):
        self.idle(x)
        return self.part[0](self.used(x))


def test_by_module():
    """16 of a matrix that nothing reads, 10 and 12 of two layers, 3 of a parameter."""
    graph = extract(Half(), inputs={"x": (1, "N", 4)}, leave_out=["idle", "part*", "lost"])
    assert graph.graph["unreached"] == {"lost": 3, "idle": 16, "part.1": 22}
    assert graph.graph["unused_parameters"] == 41


def test_refusals():
    left = {"a": 1, "b.c": 2000}
    refuse_unreached("m", left, ["*"])
    refuse_unreached("m", {}, ["*"])
    with pytest.raises(InputError, match=r"^m: the forward pass does not reach b\.c \(2,000 param"):
        refuse_unreached("m", left, ["a"])
    with pytest.raises(InputError, match=r"does not reach \(it reaches all\); got 'a'$"):
        refuse_unreached("m", {}, ["a"])
    many = {f"m{i}": 1 for i in range(7)}
    with pytest.raises(InputError, match=r"m0, m1, m2, m3, m4 and 2 more \(7 parameters\)"):
        refuse_unreached("m", many, [])
