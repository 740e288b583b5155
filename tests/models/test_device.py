"""Devices by name."""

import pytest
import torch

from hyflexsim.models.device import device_of
from hyflexsim.models.errors import ModelError


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:1", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ModelError, match="device must be cpu, cuda or cuda:N"):
        device_of(name)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ModelError, match=r"device cuda:1: torch sees 1 GPU$"):
        device_of("cuda:1")
