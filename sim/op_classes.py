"""The op classes of workloads: what graphs name and chips serve."""

from __future__ import annotations

KINDS = {
    "input": "tokens that enter from the host",
    "gemv": "matrix times token vector; static weight",
    "matmul": "product of two activations (QK^T, PV)",
    "softmax": "row-wise softmax",
    "norm": "layer, RMS or batch normalisation",
    "pointwise": "element by element function or sum",
    "lookup": "row of a table (embedding)",
    "scan": "linear recurrence over tokens (Mamba)",
    "output": "tokens that leave to the host",
}
"""Op classes. Which unit serves which is the chip's (``[serves]``)."""
