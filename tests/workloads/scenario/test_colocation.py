"""Scenarios of several models: what they may say, and what is refused."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.colocation import Colocation, is_colocation, load
from hyflexsim.workloads.scenario.scenario import Scenario

TEXT = """
[models.a]
pus = 2
model = { graph = "GRAPH" }
workload = { kind = "tokens", tokens = 1, arrivals = { kind = "poisson", rate_per_s = 1e5 } }

[models.b]
pus = 3
model = { graph = "GRAPH" }
workload = { kind = "tokens", tokens = 1, arrivals = { kind = "poisson", rate_per_s = 1e5 } }
"""


@pytest.fixture
def several(tmp_path):
    """Writes a scenario of two models, with one text in place of another."""

    def write(old="", new=""):
        assert old in TEXT
        graph = Colocation.load("jets-and-mlp").models["mlp"].model.graph
        path = tmp_path / "two.toml"
        path.write_text(TEXT.replace(old, new, 1).replace("GRAPH", graph))
        return path

    return write


def test_models_have_shares_one_after_the_other(several):
    loaded = load(several(), ["models.b.pus=4", "models.b.workload.requests=7", "analog.arrays=9"])
    assert loaded.shares(24) == {"a": range(2), "b": range(2, 6)}
    assert loaded.machines() == [["a", "b"]]
    assert loaded.models["b"].workload.requests == 7
    assert loaded.chip.set == {"analog.arrays": 9}
    assert loaded.alone("b").workload == loaded.models["b"].workload


def test_models_of_one_kind_draw_of_their_own(several):
    loaded = load(several(), {"run.seed": 5})
    assert [loaded.alone(name).run.seed for name in "ab"] == [5, 6]


def test_chips_behind_the_dispatcher_have_each_their_models(several):
    loaded = load(several("pus = 3", "chip = 1"))
    assert loaded.machines() == [["a"], ["b"]]
    assert loaded.shares(24) == {"a": range(2), "b": range(24)}


def test_one_model_or_several():
    assert is_colocation("jets-and-mlp")
    assert isinstance(load("part-jets"), Scenario)
    with pytest.raises(
        InputError, match=r"jets-and-mlp.toml has several models; only run, validate, faults,"
    ):
        Scenario.load("jets-and-mlp")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pus = 2", "pus = 0", "two.toml models.a: pus must be an integer from 1"),
        ("pus = 2", "pu = 2", "two.toml models.a: unknown key 'pu'"),
        ("pus = 3", "", "models.b.pus must be an integer from 1 to 1000000, as a and b are on one"),
        ("pus = 3", "chip = 2", "chip 1 must have a model, since a later one has"),
        ("tokens = 1", "tokens = 0", "two.toml models.a: workload.tokens must be an integer"),
        ("[models.a]", '[models."a/b"]', "names of models must be of letters"),
        ("[models.a]", "[mapping]\n[models.a]", "mapping must be in one of models"),
        ('"poisson", rate_per_s = 1e5', '"closed", clients = 1, think = "1 us"', "kind closed"),
    ],
)
def test_refusals(several, old, new, message):
    with pytest.raises(InputError, match=message):
        load(several(old, new))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("models.c.pus=1", "--set: models.c.pus must be of one of models a, b"),
        ("models.a.host.queue=1", "must go on with pus, chip, model, mapping or workload"),
        ("models.a.workload.tokns=1", "workload.tokns"),
        ("models.a.workload.requests=0", "--set: workload.requests must be an integer"),
        (
            {"run.precision": 0.1, "models.b.workload.arrivals": {"kind": "at-once"}},
            r"two.toml: run.precision must go with models.b.workload.arrivals that are not at-once",
        ),
        ("host.queue=-1", "--set: host.queue must be an integer from 0"),
    ],
)
def test_refused_changes(several, change, message):
    with pytest.raises(InputError, match=message):
        load(several(), change if isinstance(change, dict) else [change])


def test_more_pus_than_there_are(several):
    with pytest.raises(InputError, match="pus of models a, b must add up to at most 4"):
        load(several()).shares(4)
