"""Numbers, each against the plainest loop or numpy there is."""

import numpy as np
import pytest

from hyflexsim import analysis
from hyflexsim.analysis.run.measures import layer_order
from hyflexsim.analysis.run.visits import busy
from hyflexsim.sim.errors import InputError


@pytest.fixture(scope="module")
def run(jets_dir):
    return analysis.load(jets_dir)


def test_utilisation(run):
    table = analysis.utilisation(run)
    banks = run.components[run.components.kind == "bank"]
    assert table.loc["bank", "components"] == len(banks) == 24
    assert table.loc["bank", "mean"] == pytest.approx(np.mean(banks.utilisation))
    assert table.loc["bank", "max"] == max(banks.utilisation)
    assert table.loc["bank", "busiest"] in set(banks.component)
    assert table.busy_ps.sum() == run.components.busy_ps.sum()
    assert list(table.index).index("bank") < list(table.index).index("adc")


@pytest.mark.parametrize("by", ["kind", "layer", "op", "action", "class"])
def test_energy_by(run, by):
    table = analysis.energy_by(run, by)
    assert table.energy_pj.sum() == pytest.approx(run.energy.energy_pj.sum())
    assert table.share.sum() == pytest.approx(1)
    assert (np.diff(table.energy_pj) <= 0).all()
    if by == "class":
        gemvs = [run.classes[op] == "gemv" for op in run.energy.op]
        assert table.loc["gemv", "energy_pj"] == pytest.approx(run.energy.energy_pj[gemvs].sum())


def test_energy_by_something_else(run):
    with pytest.raises(InputError) as caught:
        analysis.energy_by(run, "pu")
    message = "by must be one of kind, layer, op, action, class, status; got 'pu'"
    assert str(caught.value) == message


def test_latency_quantiles(run):
    table = analysis.latency_quantiles(run)
    latency = run.requests.latency_ps.to_numpy()
    assert list(table.index) == ["all", "QCD", "top"]
    assert table.loc["all", "p95_ps"] == np.quantile(latency, 0.95)
    top = latency[(run.requests.label == "top").to_numpy()]
    assert table.loc["top", "p50_ps"] == np.median(top)
    assert table.requests.tolist() == [len(latency), len(latency) - len(top), len(top)]


def test_layer_spans(run):
    spans = analysis.layer_spans(run)
    trace = run.trace
    for _, span in spans.sample(20, random_state=1).iterrows():
        mine = trace[(trace.request == span.request) & (trace.layer == span.layer)]
        assert span.start_ps == mine.start_ps.min()
        assert span.end_ps == mine.end_ps.max()
    assert len(spans) == 60 * 4


def test_layers_come_in_model_order(run):
    assert layer_order(run) == ["embed", "encoder.layer.0", "encoder.layer.1", "head"]


def test_typical_request_has_the_median_latency(run):
    chosen = run.requests.set_index("request").latency_ps[analysis.typical_request(run)]
    assert chosen == sorted(run.requests.latency_ps)[29]


def test_busy_time_in_bins():
    rng = np.random.default_rng(3)
    start = rng.integers(0, 1000, 300)
    end = np.minimum(start + rng.integers(0, 400, 300), 1000)
    key = rng.integers(0, 3, 300)
    edges = np.linspace(0, 1000, 8)
    plain = np.zeros((3, 7))
    for s, e, k in zip(start, end, key, strict=True):
        for i in range(7):
            plain[k, i] += max(0, min(e, edges[i + 1]) - max(s, edges[i]))
    np.testing.assert_allclose(busy(start, end, key, 3, edges), plain, atol=1e-9)


def test_busy_time_of_a_trace_is_that_of_its_components(run):
    trace = run.trace
    codes = trace.component.cat.codes.to_numpy()
    count = len(trace.component.cat.categories)
    edges = np.linspace(0, run.summary["makespan_ps"], 51)
    time = busy(trace.start_ps.to_numpy(), trace.end_ps.to_numpy(), codes, count, edges)
    total = run.components.set_index("component").busy_ps[trace.component.cat.categories]
    np.testing.assert_allclose(time.sum(axis=1), total)
    assert (time <= np.diff(edges) * (1 + 1e-9)).all()  # one visit at a time
