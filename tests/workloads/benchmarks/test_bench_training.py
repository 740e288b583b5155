"""The steps that the benchmark times: they are of the models said, and leave torch as it was."""

import torch

from hyflexsim.workloads.benchmarks import bench_training


def test_a_ratio_for_every_shape(monkeypatch):
    monkeypatch.setattr(bench_training, "TURNS", 1)
    tiny = bench_training.BERT | {"hidden_size": 24, "num_hidden_layers": 1, "vocab_size": 1000}
    shapes = {"tiny": (tiny, lambda: bench_training._words(2, 4))}
    monkeypatch.setattr(bench_training, "SHAPES", shapes)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    (ratio,) = bench_training.precision_ratios().values()
    assert 0 < ratio < float("inf")
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_a_step_computes_gradients_in_the_precision_asked_for():
    seen = []

    class Model(torch.nn.Linear):
        def forward(self, x):
            seen.append(torch.get_float32_matmul_precision())
            return type("Output", (), {"logits": super().forward(x)})

    model = Model(2, 1)
    assert bench_training._seconds(model, {"x": torch.ones(1, 2)}, "bfloat16") >= 0
    assert seen == ["medium"]
    assert model.weight.grad is not None
