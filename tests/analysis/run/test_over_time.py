"""Power, queues and busy shares over time: what they add up to, and pictures one can read."""

import numpy as np
import pytest

from hyflexsim.analysis import (
    busy_map,
    load,
    power_by_kind,
    power_plot,
    waiting_by_kind,
    waiting_plot,
)
from hyflexsim.analysis.run.over_time import edges_of
from hyflexsim.sim.errors import InputError


@pytest.fixture(params=["bank_dir", "bert_dir", "jets_dir"])
def run(request):
    return load(request.getfixturevalue(request.param))


@pytest.mark.parametrize("bins", [1, 7, 300])
def test_power_over_time_adds_up_to_the_energy(run, bins):
    edges = edges_of(run.trace, bins)
    spent = (power_by_kind(run, edges) * 1e-3 * (edges[1] - edges[0])).sum()
    for kind, pj in run.energy.groupby("kind")["energy_pj"].sum().items():
        assert spent[kind] == pytest.approx(pj, rel=1e-9)


def test_power_of_some_requests_is_a_part(jets_dir):
    run = load(jets_dir)
    edges = edges_of(run.trace)
    parts = [
        power_by_kind(run, edges, run.trace[run.trace["request"] % 2 == rest]) for rest in (0, 1)
    ]
    whole = power_by_kind(run, edges)
    np.testing.assert_allclose(parts[0] + parts[1], whole, rtol=1e-9, atol=1e-9)


def test_who_waits_adds_up_to_the_time_waited(run):
    edges = edges_of(run.trace)
    waited = (waiting_by_kind(run, edges) * (edges[1] - edges[0])).sum()
    trace = run.trace.assign(wait=run.trace["start_ps"] - run.trace["arrival_ps"])
    since = trace["arrival_ps"].clip(lower=edges[0])  # before the first start nobody is drawn
    trace["wait"] = trace["start_ps"] - since
    wanted = trace.groupby("kind", observed=True)["wait"].sum()
    for kind, ps in wanted[wanted > 0].items():
        assert waited[kind] == pytest.approx(ps, rel=1e-9)


def test_power_needs_every_visit(bert_dir):
    run = load(bert_dir)
    run.summary["visits"] += 1
    with pytest.raises(InputError, match="power over time needs all visits"):
        power_by_kind(run, edges_of(run.trace))


@pytest.mark.parametrize("draw", [power_plot, waiting_plot, busy_map])
def test_pictures_are_legible(run, draw, legible):
    legible(draw(run).figure, draw.__name__)
