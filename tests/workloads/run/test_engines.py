"""Shipped scenarios, shortened, give the same tables and summary on both engines."""

import pyarrow.parquet as pq
import pytest

from hyflexsim.workloads.run import colocated, run
from hyflexsim.workloads.scenario.colocation import load
from hyflexsim.workloads.scenario.scenario import Scenario, shipped

SHORTER = {
    "part-jets": ["workload.count=3"],
    # which engine plays has nothing to do with how right the weights are
    "hybrid-jets": ["workload.count=3", "accuracy.seeds=1", "accuracy.limit=2"],
    "bert-base": ["workload.requests=2", "workload.tokens=8"],
    "gpt2-chat": ["workload.requests=4", "workload.answers.mean=8"],
    "jets-and-mlp": ["models.mlp.workload.requests=9", "models.tagger.workload.count=1"],
    "llama-3.2-1b": ["workload.prefill=4", "workload.decode=3"],
}


def tables(folder):
    return {f.name: pq.read_table(f).to_pydict() for f in folder.glob("*.parquet")}


@pytest.mark.parametrize("name", shipped())
def test_both_engines_write_the_same_tables(tmp_path, name):
    results = {}
    for engine in ("simpy", "compiled"):
        scenario = load(name, [*SHORTER.get(name, []), f"run.engine={engine}"])
        several = not isinstance(scenario, Scenario)
        results[engine] = (colocated if several else run).simulate(scenario)
        results[engine].save(tmp_path / engine)
    assert tables(tmp_path / "simpy") == tables(tmp_path / "compiled")
    simpy, compiled = (results[engine].summary for engine in ("simpy", "compiled"))
    assert simpy | {"engine": "compiled"} == compiled
    assert simpy["engine"] == "simpy"
