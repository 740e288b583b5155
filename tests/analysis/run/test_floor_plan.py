"""What colours of a chip's floor mean, and a picture one can read."""

import dataclasses

import pandas as pd
import pytest

from hyflexsim.analysis import floor_plan, load
from hyflexsim.analysis.run.floor_plan import busiest, cells_written
from hyflexsim.sim.errors import InputError


@pytest.fixture
def run(bert_dir):
    """Layer a in PU 0, b in PUs 1 and 2; a host's port outside."""
    rows = [
        ("bank", "a", 0, 0.2),
        ("bank", "a", 0, 0.4),
        ("sfu", "a", 0, 0.1),
        ("digital_pim", "a", 0, 0.1),
        ("digital_pim", "b", 1, 0.5),
        ("digital_pim", "b", 2, 0.0),
        ("host_port", "", -1, 0.9),
    ]
    components = pd.DataFrame(rows, columns=["kind", "layer", "pu", "utilisation"]).assign(chip=0)
    energy = pd.DataFrame(
        [("digital_pim", "a", "cell_write", 300), ("digital_pim", "b", "cell_write", 90)],
        columns=["kind", "layer", "action", "count"],
    )
    whole = load(bert_dir)
    assert len(whole.requests) == 3
    return dataclasses.replace(whole, components=components, energy=energy)


def test_a_pu_is_as_busy_as_its_busiest_kind_is_on_average(run):
    assert busiest(run).to_dict() == pytest.approx({(0, 0): 0.3, (0, 1): 0.5, (0, 2): 0.0})


def test_writes_of_a_layer_are_shared_by_its_pus(run):
    written = cells_written(run)
    assert written.to_dict() == {(0, 0): 100.0, (0, 1): 15.0, (0, 2): 15.0}
    assert written.sum() * len(run.requests) == run.energy["count"].sum()


@pytest.mark.parametrize("by", ["utilisation", "writes"])
def test_it_is_legible(run, by, legible):
    legible(floor_plan(run, by).figure, by)


def test_refusals(run):
    with pytest.raises(InputError, match="by must be one of utilisation, writes; got 'age'"):
        floor_plan(run, "age")
    still = dataclasses.replace(run, energy=run.energy.assign(action="array_read"))
    with pytest.raises(InputError, match="no cells written a request in any PU"):
        floor_plan(still, "writes")
