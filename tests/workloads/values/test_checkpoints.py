"""Trained models that come with hyflexsim, on their own data: all numbers equal."""

import pytest

from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.values import execute

TOKENS = {"vit-digits": 17, "gpt2-pydoc": 24, "mamba-pydoc": 16}


@pytest.mark.parametrize("cells", ["ideal", "converters"])
@pytest.mark.parametrize("checkpoint", [*TOKENS, "part-jets"])
def test_a_checkpoint(checkpoint, cells):
    workload = {"kind": "jets", "count": 2}
    if checkpoint in TOKENS:
        workload = {"kind": "tokens", "tokens": TOKENS[checkpoint], "logits": "all"}
    content = {"name": checkpoint, "model": {"checkpoint": checkpoint}, "workload": workload}
    scenario = Scenario.model_validate(content | {"mapping": {"slc_rate": 0.1}})
    done = execute(scenario, cells=cells)
    assert done.unequal() == []
    assert not done.notes
