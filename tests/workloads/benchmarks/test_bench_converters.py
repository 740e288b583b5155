"""The forward passes that the benchmark times are on cells, and torch is left as it was."""

import torch
from torch import nn

from hyflexsim.workloads.benchmarks import bench_converters


def test_a_ratio_for_every_way(monkeypatch):
    torch.manual_seed(0)
    layer = nn.Linear(8, 4)
    model, dense = (
        nn.ModuleDict({"blocks": nn.ModuleList([nn.ModuleDict({"w": layer})])}) for _ in "ab"
    )
    seen = []

    def run(which):
        module = which["blocks"][0]["w"]
        seen.append(type(module).__name__)
        return module(torch.ones(3, 8))

    monkeypatch.setattr(bench_converters, "TURNS", 1)
    monkeypatch.setattr(bench_converters, "_once", lambda work: (work(), 1.0)[1])
    before = torch.get_num_threads()
    with bench_converters.one_thread():
        found = list(bench_converters._ratios("toy", model, dense, run))
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert [(each.what, each.target) for each in found] == [
        ("toy: without cells", None),
        ("toy: exact products", None),
        ("toy: converters", 5),
        ("toy: converters, no noise", 2),
    ]
    assert list(dict.fromkeys(seen)) == ["Linear", "_CellLinear", "_CrossbarLayer"]
