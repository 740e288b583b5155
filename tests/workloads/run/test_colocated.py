"""Several models together: against each alone, and against sums."""

import pytest

from hyflexsim.sim.engine import engines
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import is_block
from hyflexsim.workloads.run import colocated, run
from hyflexsim.workloads.run.precision import FIRST, first, first_of_each, precision
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario.colocation import Colocation
from hyflexsim.workloads.scenario.schema import Closed

MLP = Colocation.load("jets-and-mlp").models["mlp"].model.graph
ARRIVALS = {"kind": "poisson", "rate_per_s": 9e5}
SMALL = {  # a second small network in place of the tagger: nothing to extract
    "models.tagger.model.graph": MLP,
    "models.tagger.workload.kind": "tokens",
    "models.tagger.workload.tokens": 1,
    "models.tagger.workload.requests": 30,
    "models.tagger.workload.arrivals": ARRIVALS,
    "models.mlp.workload.requests": 40,
}
SMALL_NAMES = ("mlp", "tagger")
ENGINES = ("simpy", "compiled")


def together(**changes):
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return Colocation.load("jets-and-mlp", SMALL | changes)


@pytest.fixture(scope="module")
def on_one_chip():
    return {engine: colocated.simulate(together(run__engine=engine)) for engine in ENGINES}


@pytest.mark.parametrize("engine", ENGINES)
def test_on_chips_of_their_own_each_is_alone(engine):
    apart = together(models__tagger__chip=1, run__engine=engine)
    result = colocated.simulate(apart)
    for number, name in enumerate(apart.models):
        alone = run.simulate(apart.alone(name))
        mine = [i for i, request in enumerate(result.requests) if request.model == number]
        assert [result.played.finished[i] for i in mine] == alone.played.finished
        assert [result.played.first_output[i] for i in mine] == alone.played.first_output
        told = result.summary["models"][name]
        assert told["latency_ps"] == alone.summary["latency_ps"]
        assert told["stream"]["in_system"]["most"] == alone.summary["stream"]["in_system"]["most"]
        energies = [row["energy_pj"] for row in alone.tables["requests"]]
        assert told["energy_per_request_pj"] == sum(energies) / len(energies)
    areas = result.summary["area_mm2"]
    assert areas["chip"] == 2 * alone.summary["area_mm2"]["chip"]


def test_engines_agree(on_one_chip):
    simpy, compiled = (on_one_chip[engine] for engine in ENGINES)
    assert simpy.played.finished == compiled.played.finished
    assert simpy.played.trace.end.tolist() == compiled.played.trace.end.tolist()
    assert simpy.summary | {"engine": ""} == compiled.summary | {"engine": ""}


def test_clients_of_one_model_wait_for_answers():
    """A scenario of several models may have one, whose clients are those of a scenario of one."""
    given = Colocation.load("jets-and-mlp", {"models.mlp.workload.requests": 12})
    closed = {"kind": "closed", "clients": 2, "think": "1 us"}
    mlp = given.models["mlp"]
    workload = mlp.workload.model_copy(update={"arrivals": Closed(**closed)})
    one = given.model_copy(
        update={"models": {"mlp": mlp.model_copy(update={"workload": workload})}}
    )
    together, alone = colocated.simulate(one), run.simulate(one.alone("mlp"))
    assert together.played.arrived == alone.played.arrived
    assert together.played.finished == alone.played.finished
    assert len(set(alone.played.arrived)) > 2


def test_they_share_the_port_and_no_pu(on_one_chip):
    result = on_one_chip["compiled"]
    rows = result.tables["placement"]
    assert {row["layer"]: row["pu"] for row in rows} == {"mlp/mlp": 0, "tagger/mlp": 1}
    ports = [row for row in result.tables["components"] if row["kind"] == "host_port"]
    assert [port["component"] for port in ports] == ["host.in", "host.out"]
    assert [port["visits"] for port in ports] == [70, 70]


def test_what_is_told_of_each_adds_up(on_one_chip):
    summary = on_one_chip["compiled"].summary
    models = summary["models"].values()
    assert sum(row["requests"] for row in models) == summary["requests"] == 70
    assert sum(row["tokens"] for row in models) == summary["tokens"]
    spent = sum(row["energy_per_request_pj"] * row["requests"] for row in models)
    assert spent == pytest.approx(summary["energy_per_request_pj"] * 70, rel=1e-12)
    labels = {row["label"].partition("/")[0] for row in on_one_chip["compiled"].tables["requests"]}
    assert labels == {"mlp", "tagger"}


def test_each_has_a_queue_of_its_own():
    """Ten at once on a chip that takes one and lets one wait: 8 are lost, of that model alone."""
    few = {"models.mlp.workload.requests": 10, "models.mlp.workload.arrivals": {"kind": "at-once"}}
    result = colocated.simulate(together(run__window=1, host__queue=1, **few))
    told = result.summary["models"]
    assert told["mlp"]["lost_by"] == {"queue": 8, "client": 0, "death": 0}
    assert told["mlp"]["requests"] == 2
    notes = [note for note in result.summary["notes"] if note.startswith("mlp: 8 of 10 requests")]
    assert len(notes) == 1


def test_a_trace_with_models(tmp_path):
    """Rows of each model at their times, counted from the first row of the file."""
    file = tmp_path / "trace.csv"
    file.write_text("Timestamp,Model,Request tokens\n5,x,1\n6,y,1\n6,x,1\n9,y,1\n")
    arrivals = {"kind": "trace", "file": str(file), "speed": 1e6}
    changes = {
        f"models.{name}.workload.arrivals": arrivals | {"model": model}
        for name, model in (("mlp", "x"), ("tagger", "y"))
    }
    few = {f"models.{name}.workload.requests": 2 for name in ("mlp", "tagger")}
    ready = colocated.prepare(together(**few, **changes)).joined
    assert [(r.arrival // 10**6, r.model) for r in ready.requests] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (4, 1),
    ]


def precise(**changes):
    """Of the tagger one request in three: 1,000 of its own are 3,000 of all, about."""
    many = {"models.tagger.workload.requests": 4000, "models.mlp.workload.requests": 8000}
    slow = {"kind": "poisson", "rate_per_s": 4e5}
    fast = {"kind": "poisson", "rate_per_s": 8e5}
    rates = {"models.tagger.workload.arrivals": slow, "models.mlp.workload.arrivals": fast}
    return together(trace__stop=1, **many, **rates, **changes)


def half_widths(result):
    streams = {name: row["stream"] for name, row in result.summary["models"].items()}
    return {name: precision(stream) for name, stream in streams.items()}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_stops_when_every_model_is_known(engine):
    """The first requests of all, with 1,000 of each; played as so many of the whole stream are."""
    asked = 0.05
    stopped = colocated.simulate(precise(run__precision=asked, run__engine=engine))
    ready = colocated.prepare(precise()).joined
    count = len(stopped.requests)
    assert stopped.requests == ready.requests[:count]
    assert count == first_of_each(ready.requests, FIRST) < len(ready.requests)
    plain = engines.play(
        ready.plan, first(ready, count).requests, window=ready.window, host=ready.host
    )
    assert stopped.played.finished == plain.finished
    assert max(half_widths(stopped).values()) <= asked
    for number, (name, most) in enumerate((("mlp", 8000), ("tagger", 4000))):
        played = sum(request.model == number for request in stopped.requests)
        assert stopped.summary["models"][name]["requests"] == played >= FIRST
        said = f"{name}: stopped after {played:,} of {most:,} requests: mean latency is known to ± "
        assert any(note.startswith(said) for note in stopped.summary["notes"])


def test_one_model_that_is_known_is_not_enough():
    """Between the two widths of the first round: the one that is known waits for the other."""
    widths = half_widths(colocated.simulate(precise(run__precision=0.9)))
    assert min(widths.values()) < max(widths.values()) <= 0.9
    asked = sum(widths.values()) / 2
    first_round = first_of_each(colocated.prepare(precise()).joined.requests, FIRST)
    longer = colocated.simulate(precise(run__precision=asked))
    assert len(longer.requests) in (2 * first_round, 4 * first_round)
    assert max(half_widths(longer).values()) <= asked


def test_a_model_that_is_not_known_is_named():
    few = colocated.simulate(together(run__precision=0.0001))
    assert len(few.requests) == 70
    for name, count in (("mlp", 40), ("tagger", 30)):
        said = f"{name}: the mean latency is not known after {count} requests, not to the 0.0% "
        assert any(note.startswith(said) for note in few.summary["notes"])


BUSY = {  # in 10 µs ten requests of either model
    f"models.{name}.workload.arrivals": {"kind": "poisson", "rate_per_s": 1e6}
    for name in SMALL_NAMES
}


def of_model(result, times):
    """Times by model, of each its requests in order."""
    found = {}
    for request, at in zip(result.requests, times, strict=True):
        found.setdefault(request.model, []).append(at)
    return found


@pytest.mark.parametrize(
    ("apart", "overlap"), [(0, "pipelined"), (0, "layer-serial"), (1, "pipelined")]
)
def test_requests_of_a_dead_pu_are_lost_by_its_model_alone(apart, overlap):
    """The MLP's PU lives 20 µs. On a chip of its own, its PU is the first after those of chip 0."""
    places = {"models.mlp.chip": apart, "models.tagger.chip": 0}
    if apart:  # chip 0 is the tagger's: models come in the order of the file, chips in that of k
        places |= {"models.tagger.pus": 24}
    places |= {"run.overlap": overlap}
    dead, at = f"pu{24 * apart}", 20_000_000
    found = {}
    for engine in ENGINES:
        one = together(
            **BUSY, **places, faults__deaths={dead: "20 us"}, run__engine=engine, trace__stop=70
        )
        found[engine] = colocated.simulate(one)
    simpy, compiled = (found[engine] for engine in ENGINES)
    assert simpy.played.finished == compiled.played.finished
    assert simpy.played.trace.end.tolist() == compiled.played.trace.end.tolist()
    assert simpy.summary | {"engine": ""} == compiled.summary | {"engine": ""}
    alive = colocated.simulate(together(**BUSY, **places))
    before, after = (of_model(r, r.played.finished) for r in (alive, compiled))
    assert after[0] == [end if 0 <= end <= at else -1 for end in before[0]]
    assert min(after[1]) > 0
    told = compiled.summary["models"]
    lost = after[0].count(-1)
    assert 0 < lost < 40
    assert told["mlp"]["lost_by"] == {"queue": 0, "client": 0, "death": lost}
    assert told["mlp"]["requests"] + lost == 40
    assert told["tagger"]["lost_by"] == {"queue": 0, "client": 0, "death": 0}
    assert told["tagger"]["requests"] == 30
    assert compiled.summary["lost_by"]["death"] == lost
    assert all(row["stream"]["served_at_most_per_s"] is None for row in told.values())
    name = "chip1/pu00" if apart else "pu00"
    said = f"mlp: {lost} of 40 requests are lost: {name} died, and no other PU holds"
    notes = [note for note in compiled.summary["notes"] if "died" in note]
    assert [note.startswith(said) for note in notes] == [False, True]
    assert notes[0].startswith(f"{lost} of 70 requests are lost: {name} died")


def test_of_chips_with_the_same_models_the_first_dies():
    """Round robin: of the MLP's requests those that the second chip gets are all answered."""
    pair = together(**BUSY, host__replicas=2, faults__deaths={"pu0": "10 us"})
    found = [colocated.simulate(pair.model_copy(update={"run": run})) for run in of_engines(pair)]
    assert found[0].played.finished == found[1].played.finished
    mlp = of_model(found[0], found[0].played.finished)[0]
    assert min(mlp[1::2]) > 0
    assert mlp[0] > 0 > min(mlp[0::2])


def of_engines(scenario):
    return [scenario.run.model_copy(update={"engine": engine}) for engine in ENGINES]


def test_what_is_broken_is_left_out_by_the_model_that_lives_there():
    """The tagger's share begins with pu1, which is dead; half of the arrays of all PUs are."""
    whole = colocated.simulate(together())
    broken = colocated.simulate(together(faults__names=["pu1"]))
    layers = {row["layer"]: row["pu"] for row in broken.tables["placement"]}
    assert layers == {"mlp/mlp": 0, "tagger/mlp": 2}
    arrays = [sum(row["arrays_total"] for row in r.tables["placement"]) for r in (whole, broken)]
    assert arrays[0] == arrays[1]
    notes = [note for note in broken.summary["notes"] if "broken" in note]
    said = "left out as broken: 1 PUs, and 0 arrays of the PUs in use"
    assert notes == [said, f"tagger: {said}"]


def test_arrays_are_drawn_place_by_place():
    """As the model has them that is alone on these PUs of the chip, and as the chip has them."""
    ready = colocated.prepare(together(faults__arrays=0.4, models__tagger__chip=1))
    joined = ready.joined.placement
    for before, part in zip((0, 24), ready.parts, strict=True):
        own = part.planned.placement
        (pus,) = own.groups()
        out = [own.faults.left_out(pu).tolist() for pu in pus]
        assert out == [joined.faults.left_out(pu + before).tolist() for pu in pus]
        assert sum(map(len, out)) > 0
    drawn = [joined.faults.left_out(pu).tolist() for pu in (0, 24)]
    assert drawn[0] != drawn[1]
    alone = prepare(together(faults__arrays=0.4).alone("mlp"))
    assert list(ready.parts[0].planned.placement.rows()) == list(alone.placement.rows())


def test_faults_of_rate_zero_change_nothing(on_one_chip):
    none = colocated.simulate(together(faults__seed=3, faults__columns=0, run__engine="compiled"))
    assert none.summary == on_one_chip["compiled"].summary
    assert none.tables["placement"] == on_one_chip["compiled"].tables["placement"]


def test_spare_arrays_are_those_of_each():
    """All that the tagger leaves free is spare: three that are dead are three that stand in."""
    tagger = {"models.tagger.mapping.copies": "none", "models.tagger.pus": 1}
    placed = colocated.prepare(together(**tagger)).parts[1].planned.placement
    tagger |= {"models.tagger.mapping.spare_arrays": placed.free((1,))}
    dead = [f"pu1.analog.0.{array}" for array in (0, 5, 7)]
    result = colocated.simulate(together(**tagger, faults__names=dead))
    notes = [note for note in result.summary["notes"] if "spare" in note]
    assert notes == ["tagger: 3 spare arrays stand in for broken ones"]


def test_a_death_before_any_answer_is_refused():
    early = together(faults__deaths={"pu0": "1 ns"})
    with pytest.raises(InputError, match=r"^models.mlp: faults.deaths: no request .* before pu00"):
        colocated.simulate(early)


def test_a_death_of_nobody_is_told():
    result = colocated.simulate(together(faults__deaths={"pu9": "1 us"}))
    assert "without effect in this run: faults.deaths.pu9" in result.summary["notes"]
    assert result.summary["lost"] == 0


def test_jets_and_a_network():
    """The shipped one, short: text of neither, energies and loads of both."""
    few = {"models.mlp.workload.requests": 20, "models.tagger.workload.count": 2}
    result = colocated.simulate(Colocation.load("jets-and-mlp", few))
    jets = result.summary["models"]["tagger"]
    tokens = [r.tokens for r in result.requests if r.model == 1]
    assert (jets["requests"], jets["tokens"], jets["pus_used"]) == (2, sum(tokens), 13)
    assert jets["stream"]["first_token_ps"] is None
    rows = result.tables["energy"]
    of_jets = sum(row["energy_pj"] for row in rows if row["layer"].startswith("tagger/"))
    assert of_jets == pytest.approx(2 * jets["energy_per_request_pj"], rel=1e-12)


def test_parts_of_pus_keep_their_owners():
    """Blocks of 1.125 PUs behind the MLP's one: the joined placement has them where they are."""
    tagger = {"model.name": "part-full", "mapping.pus_per_layer": 1.125}
    parts = {f"models.tagger.{key}": value for key, value in tagger.items()}
    joined = colocated.prepare(together(**parts)).joined.placement
    shares = {float(joined.share(pus)) for layer, pus in joined.pus.items() if is_block(layer)}
    assert shares == {1.125}
    assert all(joined.free(pus) >= 0 for pus in joined.groups())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models.mlp.workload.tokens": 2}, "models.mlp: workload.tokens must be 1"),
        ({"models.tagger.pus": 24}, "must add up to at most 24, the PUs of chip 0; got 25"),
        ({"faults.names": ["pu24"]}, "^faults.names: PUs are pu0 to pu23; got 'pu24'"),
        ({"faults.deaths": {"pu24": "1 us"}}, "^faults.deaths: PUs are pu0 to pu23; got 'pu24'"),
        (
            {"faults.names": ["pu48"], "models.tagger.chip": 1},
            "^faults.names: PUs are pu0 to pu47; got 'pu48'",
        ),
        (
            {"faults.names": ["pu0"]},
            r"^models.mlp: .* its share is 0 working PUs, 1 dead .*: 1 PU",
        ),
        (
            {"models.tagger.model.name": "part-full", "models.tagger.mapping.pus_per_layer": 3},
            "models.tagger: .*its share is 23 PUs",
        ),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(InputError, match=message):
        colocated.prepare(together(**changes))
