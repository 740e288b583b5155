"""Shipped scenarios, shortened, give the same tables and summary on both engines."""

import pyarrow.parquet as pq
import pytest

from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.scenario import Scenario, shipped

SHORTER = {
    "part-jets": ["workload.count=3"],
    # which engine plays has nothing to do with how right the weights are
    "hybrid-jets": ["workload.count=3", "accuracy.seeds=1", "accuracy.limit=2"],
    "bert-base": ["workload.requests=2", "workload.tokens=8"],
    "llama-3.2-1b": ["workload.prefill=4", "workload.decode=3"],
}


def tables(folder):
    return {f.name: pq.read_table(f).to_pydict() for f in folder.glob("*.parquet")}


@pytest.mark.parametrize("name", shipped())
def test_both_engines_write_the_same_tables(tmp_path, name):
    results = {}
    for engine in ("simpy", "compiled"):
        scenario = Scenario.load(name, [*SHORTER.get(name, []), f"run.engine={engine}"])
        results[engine] = simulate(scenario)
        results[engine].save(tmp_path / engine)
    assert tables(tmp_path / "simpy") == tables(tmp_path / "compiled")
    simpy, compiled = (results[engine].summary for engine in ("simpy", "compiled"))
    assert simpy | {"engine": "compiled"} == compiled
    assert simpy["engine"] == "simpy"
