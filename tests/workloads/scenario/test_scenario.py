"""Scenarios: what comes with hyflexsim, defaults, overrides, and every refusal in full."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario import checkpoints
from hyflexsim.workloads.scenario.colocation import load
from hyflexsim.workloads.scenario.scenario import Scenario, find, shipped

MINIMAL = """
[model]
graph = "tiny.json"
[workload]
kind = "tokens"
"""


@pytest.fixture
def minimal(tmp_path):
    path = tmp_path / "minimal.toml"
    path.write_text(MINIMAL)
    return path


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_load_and_say_what_they_are(name):
    scenario = load(name)
    assert scenario.name == name
    assert scenario.title
    assert scenario.hardware().name == "hyflexpim"
    if isinstance(scenario, Scenario):
        assert scenario.options().chips == scenario.chip.chips


def test_the_scenarios_are_there():
    of_llms, of_jets = ("bert-base", "gpt2-chat"), ("hybrid-jets", "jets-and-mlp")
    assert shipped() == (*of_llms, *of_jets, "llama-3.2-1b", "part-jets")


def test_defaults_are_filled_in(minimal):
    resolved = Scenario.load(minimal).resolved()
    assert resolved["name"] == "minimal"
    assert resolved["chip"] == {"preset": "hyflexpim", "chips": 1, "set": {}}
    assert resolved["workload"] == {
        "kind": "tokens",
        "tokens": 128,
        "lengths": {"kind": "fixed"},
        "requests": 1,
        "logits": "last",
        "arrivals": {"kind": "at-once"},
    }
    assert resolved["run"]["window"] is None


def test_paths_start_from_the_folder_of_the_file(minimal):
    assert Scenario.load(minimal).model.graph == str(minimal.parent / "tiny.json")


def test_a_checkpoint_is_a_path_or_a_name_of_one_that_ships(tmp_path, monkeypatch):
    text = MINIMAL.replace('graph = "tiny.json"', 'checkpoint = "tiny"')
    path = write(tmp_path, text)
    assert Scenario.load(path).model.checkpoint == str(tmp_path / "tiny")
    (tmp_path / "shipped" / "tiny").mkdir(parents=True)
    (tmp_path / "shipped" / "tiny" / "ranks.json").touch()
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "shipped")
    assert Scenario.load(path).model.checkpoint == "tiny"
    model = Scenario.load(path, ["model.checkpoint=runs/x"]).model
    assert (model.checkpoint, model.name, model.graph) == ("runs/x", None, None)
    model = Scenario.load(path, ["model.name=bert-base"]).model
    assert (model.checkpoint, model.name) == (None, "bert-base")


def test_paths_of_overrides_start_from_the_current_folder(minimal):
    assert Scenario.load(minimal, ["model.graph=tiny.json"]).model.graph == "tiny.json"


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("workload.tokens=64", lambda s: s.workload.tokens == 64),
        ("mapping.copies=none", lambda s: s.mapping.copies == "none"),
        ('mapping.copies="none"', lambda s: s.mapping.copies == "none"),
        ("mapping.copies=3", lambda s: s.mapping.copies == 3),
        ('mapping.slc_rates."*.fc1"=0.3', lambda s: s.options().rate("blocks.0.fc1") == 0.3),
        ("model.name=bert-base", lambda s: (s.model.name, s.model.graph) == ("bert-base", None)),
        ("adc.slc_bits=5", lambda s: s.hardware()["analog.adc.slc_bits"] == 5),
        ("chip.set.adc.slc_bits=5", lambda s: s.hardware()["analog.adc.slc_bits"] == 5),
        ("analog.read_cycle=50 ns", lambda s: s.hardware()["analog.read_cycle"] == 50_000),
        # both the scenario and a chip have a table called chip
        ("chip.chips=2", lambda s: s.chip.chips == 2),
        ("chip.pus=2", lambda s: s.hardware()["chip.pus"] == 2),
        ("title=mine", lambda s: s.title == "mine"),
    ],
)
def test_an_override_reaches_its_place(minimal, override, read):
    assert read(Scenario.load(minimal, [override]))


def test_overrides_may_be_a_mapping(minimal):
    scenario = Scenario.load(minimal, {"workload.tokens": 3, "adc.rate": "2 GS/s"})
    assert (scenario.workload.tokens, scenario.hardware()["analog.adc.rate"]) == (3, 2 * 10**9)


@pytest.mark.parametrize(
    "chip", ["[chip.set]\nadc.slc_bits = 5\n", '[chip]\nset = { "adc.slc_bits" = 5 }\n']
)
def test_a_chip_set_may_be_written_in_either_way(tmp_path, chip):
    assert Scenario.load(write(tmp_path, MINIMAL + chip)).chip.set == {"adc.slc_bits": 5}


def test_a_new_kind_drops_the_keys_of_the_old_one():
    scenario = Scenario.load("part-jets", ["workload.arrivals.kind=at-once"])
    assert scenario.workload.arrivals.model_dump() == {"kind": "at-once"}
    scenario = Scenario.load("part-jets", ["workload.tokens=9", "workload.kind=tokens"])
    assert (scenario.workload.tokens, scenario.workload.arrivals.kind) == (9, "poisson")


REFUSED = [
    ("workload.tokns=3", "unknown key 'workload.tokns'; nearest: workload.tokens, workload.kind"),
    (
        "adc.slcbits=3",
        "unknown key 'adc.slcbits'; nearest: analog.adc.slc_bits, analog.slc_bits, "
        "analog.adc.mlc_bits",
    ),
    (
        "colour=3",
        "unknown key 'colour'; sections: model, chip, mapping, faults, accuracy, host, run, trace, "
        "workload, or a parameter of the chip",
    ),
    ("workload.tokens=0", "workload.tokens must be an integer from 1 to 1048576; got 0"),
    ("workload.tokens=1.5", "workload.tokens must be an integer from 1 to 1048576; got 1.5"),
    ("workload.tokens=true", "workload.tokens must be an integer from 1 to 1048576; got True"),
    ("workload.kind=foo", "workload.kind must be one of jets, tokens, generate; got 'foo'"),
    ("workload=3", "workload must be a table; got 3"),
    ("workload.arrivals=3", "workload.arrivals must be a table; got 3"),
    (
        "workload.arrivals.interval=25 us",
        "workload.arrivals.interval goes with workload.arrivals.kind interval; it is 'at-once'",
    ),
    (
        'workload.arrivals={kind="interval", interval="-3 ns"}',
        'workload.arrivals.interval must be a duration such as "25 us", in whole ps, '
        "from 1 ps to 1 s; got '-3 ns'",
    ),
    (
        'workload.arrivals={kind="interval", interval="25 mV"}',
        'workload.arrivals.interval must be a duration such as "25 us", in whole ps, '
        "from 1 ps to 1 s; got '25 mV'",
    ),
    (
        'workload.arrivals={kind="poisson", rate_per_s=0}',
        "workload.arrivals.rate_per_s must be a number above 0 and up to 1e12; got 0",
    ),
    (
        'workload.arrivals={kind="bunched", rate_per_s=1, filled=[]}',
        "workload.arrivals.filled must be a list of positive integers: places filled, empty, "
        "filled, ...; got []",
    ),
    (
        'workload.arrivals={kind="bunched", rate_per_s=1, per_event=[0.5]}',
        "workload.arrivals.per_event must be a list of shares that add up to 1: of events with 1, "
        "2, ... requests; got [0.5]",
    ),
    (
        "workload.lengths.mean=3",
        "workload.lengths.mean goes with workload.lengths.kind geometric or lognormal; it is "
        "'fixed'",
    ),
    (
        'workload.lengths={kind="uniform", most=0}',
        "workload.lengths.most must be an integer from 1 to 1048576; got 0",
    ),
    (
        'workload.lengths={kind="uniform", least=9, most=3}',
        "least must be at most 3, which is most; got 9",
    ),
    (
        "workload.lengths.kind=zipf",
        "workload.lengths.kind must be one of fixed, uniform, geometric",
    ),
    ("host.replicas=0", "host.replicas must be an integer from 1 to 1024; got 0"),
    (
        "host.dispatch=longest-queue",
        "host.dispatch must be round-robin or shortest-queue; got 'longest-queue'",
    ),
    ("run.precision=0", "run.precision must be a number above 0 and up to 1; got 0"),
    ("host.queue=-1", "host.queue must be an integer from 0 to 1000000; got -1"),
    ("host.deadline=0 ns", 'host.deadline must be a duration such as "25 us", in whole ps, from 1'),
    ("mapping.slc_rate=1.01", "mapping.slc_rate must be a number from 0 to 1; got 1.01"),
    ("mapping.slc_rate=nan", "mapping.slc_rate must be a number from 0 to 1; got nan"),
    (
        "mapping.copies=0",
        "mapping.copies must be none, fill, fill-factors, even, a positive",
    ),
    (
        "mapping.copies=some",
        "mapping.copies must be none, fill, fill-factors, even, a positive",
    ),
    (
        "mapping.pus_per_layer=-2",
        "mapping.pus_per_layer must be auto, fill, packed or a number from 1; got -2",
    ),
    (
        "mapping.pus_per_layer=0.5",
        "mapping.pus_per_layer must be auto, fill, packed or a number from 1; got 0.5",
    ),
    (
        "mapping.pus_per_layer=inf",
        "mapping.pus_per_layer must be auto, fill, packed or a number from 1; got inf",
    ),
    ("mapping.tiles=round", "mapping.tiles must be row-tile or ideal; got 'round'"),
    ("model.rank=2", "model.rank must be dense, hard-threshold or a share of its rank, above 0"),
    ("chip.chips=0", "chip.chips must be an integer from 1 to 65536; got 0"),
    ("chip.set=4", "chip.set must be a table of numbers and texts with units; got 4"),
    ("accuracy.seeds=0", "accuracy.seeds must be an integer from 1 to 1000; got 0"),
    ("accuracy.select=best", "accuracy.select must be gradient, gradient-last, rank, saliency or "),
    ("accuracy.activation_bits=1", "accuracy.activation_bits is input_bits, a parameter of the "),
    ("accuracy.exact=[]", 'accuracy.exact is mapping.slc_rates, such as { "*.up_proj" = 1.0 } now'),
    ("accuracy.sigmas=1", "unknown key 'accuracy.sigmas'; nearest: accuracy.sigma"),
    ("run.fidelity=fast", "run.fidelity must be token or bit; got 'fast'"),
    ("run.seed=-1", "run.seed must be an integer from 0; got -1"),
    ("run.window=0", "run.window must be an integer from 1 to 1000000; got 0"),
    ("x y=3", "key must be a dotted TOML key; got 'x y'"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED)
def test_a_bad_override_is_refused_in_one_line(minimal, override, message):
    with pytest.raises(InputError) as error:
        Scenario.load(minimal, [override])
    assert str(error.value).startswith(f"--set: {message}")
    assert "\n" not in str(error.value)


def test_an_override_needs_an_equals_sign(minimal):
    with pytest.raises(InputError, match=r"^--set must be key=value; got 'workload.tokens'$"):
        Scenario.load(minimal, ["workload.tokens"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.toml: model must have one of name, graph and checkpoint"),
        (
            '[model]\nname = "a"\ncheckpoint = "b"\n',
            "mine.toml: model must have one of name, graph and checkpoint",
        ),
        (
            '[model]\ncheckpoint = "b"\nrank = 0.5\n[workload]\nkind = "tokens"\n',
            "mine.toml: model.rank goes with model.name or graph; a checkpoint has its ranks",
        ),
        (
            '[model]\nname = "a"\ngraph = "b"\n',
            "mine.toml: model must have one of name, graph and checkpoint",
        ),
        (
            '[model]\nname = "a"\n',
            "mine.toml: workload.kind must be one of jets, tokens, generate; got nothing",
        ),
        (
            MINIMAL + "speed = 3\n",
            "mine.toml: unknown key 'workload.speed'; known: kind, tokens, lengths, requests, "
            "logits, arrivals",
        ),
        (
            MINIMAL + "[mappings]\n",
            "mine.toml: unknown key 'mappings'; nearest: mapping",
        ),
        (
            MINIMAL + 'arrivals = { kind = "interval" }\n',
            'mine.toml: workload.arrivals.interval must be a duration such as "25 us", in whole '
            "ps, from 1 ps to 1 s; got nothing",
        ),
        (MINIMAL.replace("tokens", "generate") + "prefill = 0\n", "mine.toml: workload.prefill"),
        ("[model", "cannot be read as TOML"),
        ('name = "x"\n', "mine.toml: unknown key 'name'; the file name is the scenario's name"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        Scenario.load(write(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_an_unknown_name():
    with pytest.raises(InputError, match=r"^nowhere.toml: no such file$"):
        find("nowhere.toml")
    with pytest.raises(InputError) as error:
        find("part-jet")
    assert str(error.value) == (
        "scenario must be a name or a .toml file; got 'part-jet'; "
        "nearest names: part-jets, hybrid-jets, gpt2-chat"
    )


def test_an_absurd_chip_is_refused_with_its_range(minimal):
    scenario = Scenario.load(minimal, ["adc.slc_bits=-3"])
    with pytest.raises(InputError, match=r"adc.slc_bits must be .*; got -3"):
        scenario.hardware()
