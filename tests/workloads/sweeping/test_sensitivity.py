"""One parameter at a time: which move, what comes out, what is kept and refused."""

from functools import partial

import pandas as pd
import pytest

from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.sweeping import sensitivity_study as study
from hyflexsim.workloads.sweeping.sensitivity import Move, movable, moves, span, tornado

SMALL = ("workload.tokens=4", "workload.requests=1", "mapping.copies=none")


sensitivity = partial(study.sensitivity, workers=0)


def nothing(*_):
    """Nobody watches."""


def test_what_moves_is_unsure_and_acts_on_what_is_asked():
    chip = load_chip("hyflexpim")
    found, still = moves(chip, acts=["time"])
    assert {move.parameter for move in found} <= set(chip.provenance)
    for move in found:
        assert "time" in chip.parameters[move.parameter].acts
        assert chip.provenance[move.parameter].status != "stated"
        assert move.status == chip.provenance[move.parameter].status
    assert "pu_bus.latency" in still
    assert all(chip.provenance[name].value == 0 for name in still)
    sides = {move.side: move.setting for move in found if move.parameter == "sfu.softmax_passes"}
    assert sides == {"double": 2}  # one pass cannot be halved
    words = {move.setting for move in found if move.parameter == "analog.sign"}
    assert words == {"biased", "differential", "differential-rows"}
    assert not any(move.parameter.startswith("analog.cells") for move in found)


def test_what_a_rule_has_made_does_not_move():
    chip = load_chip("hyflexpim-slc")
    assert "analog.energy.adc_conversion_mlc" in chip.derived
    found, _ = moves(chip, statuses=("derived",))
    assert not {move.parameter for move in found} & set(chip.derived)
    assert movable(chip) == set(chip.parameters) - set(chip.derived)


def test_every_move_is_one_that_the_chip_takes():
    for name in ("hyflexpim", "sprint", "nmp", "non-pim"):
        for move in moves(load_chip(name))[0]:
            moved = load_chip(name, {move.parameter: move.setting})
            assert moved[move.parameter] != load_chip(name)[move.parameter]


def test_a_tornado_of_a_closed_form():
    """2 a + b at a = 3, b = 4, each at half and double."""

    def of(moved):
        values = {"a": 3.0, "b": 4.0} | {m.parameter: m.setting for m in moved}
        return 2 * values["a"] + values["b"]

    listed = [
        Move(name, "assumed", side, value)
        for name, side, value in (
            ("a", "half", 1.5),
            ("a", "double", 6.0),
            ("b", "half", 2.0),
            ("b", "double", 8.0),
        )
    ]
    rows = list(tornado(of, listed, nothing))
    assert [row["answer"] for row in rows] == [10, 7, 16, 8, 14]
    assert span(rows) == {"a": 16 / 7, "b": 14 / 8}


@pytest.fixture(scope="module")
def energies(tmp_path_factory):
    out = tmp_path_factory.mktemp("tornado") / "energy"
    rows, _ = sensitivity(
        study.Question("bert-base", "energy_per_request_pj", SMALL), out, say=nothing
    )
    return out, rows


def test_energy_is_linear_in_each_unit_energy(energies):
    _, rows = energies
    base = rows[0]["answer"]
    moved = {(row["parameter"], row["side"]): row["answer"] for row in rows[1:]}
    names = {name for name, _ in moved if ".energy." in name}
    assert "digital.energy.nor" in names
    for name in names:
        half, double = moved[name, "half"], moved[name, "double"]
        assert double - base == pytest.approx(2 * (base - half), rel=1e-6, abs=1e-9 * base)


def test_the_base_is_the_scenarios_own_run(energies):
    out, rows = energies
    summary = simulate(Scenario.load("bert-base", SMALL)).summary
    assert rows[0]["answer"] == summary["energy_per_request_pj"]
    table = pd.read_csv(out / study.TABLE, keep_default_na=False)
    assert len(table) == len(rows)
    assert table["parameter"][0] == ""
    assert (out / study.PICTURE).is_file()
    assert not out.with_name("energy.work").exists()


def test_a_ratio_is_of_two_runs_and_moves_what_both_have(tmp_path):
    slc = ("chip.preset=hyflexpim-slc",)
    changes = ("workload.tokens=16", *SMALL[1:])  # so many that halves of an eighth differ
    asked = study.Question("bert-base", "energy_per_request_pj", changes, slc)
    rows, _ = sensitivity(asked, tmp_path / "ratio", statuses=["third-party"], say=nothing)
    one, other = (
        simulate(Scenario.load("bert-base", side)).summary["energy_per_request_pj"]
        for side in (changes, (*changes, *slc))
    )
    assert rows[0]["answer"] == other / one
    kept = {row["answer"] for row in rows if row["parameter"] == "mask.kept"}  # the other's alone
    assert kept
    assert rows[0]["answer"] not in kept


def test_it_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    runs = []

    def counted(scenario, **keys):
        runs.append(dict(scenario.chip.set))
        if len(runs) == 4:
            raise KeyboardInterrupt
        return simulate(scenario, **keys)

    monkeypatch.setattr(study.run, "simulate", counted)
    asked = study.Question("bert-base", "latency_ps.p50", SMALL)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(asked, tmp_path / "out", statuses=["third-party"], say=nothing)
    assert not (tmp_path / "out").exists()
    rows, _ = sensitivity(asked, tmp_path / "out", statuses=["third-party"], say=nothing)
    done = [settings for settings in runs if settings]
    assert len(runs) == len(rows) + 1
    assert sum(runs.count(settings) == 2 for settings in done) == 2  # the one that was stopped


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--of", "nothing"), "--of: no answer 'nothing'; "),
        (("--of", "bound.kind"), "--of must be a number; bound.kind is '"),
        (("--of", "lost"), "--of must not be 0; lost is 0 in bert-base"),
        (("--status", "sure"), "--status must be of stated, derived, "),
        (("--against", "x=1"), "--set: unknown key 'x'; "),
    ],
)
def test_refusals(hyflexsim, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    small = (word for change in SMALL for word in ("--set", change))
    code, out, err = hyflexsim("sensitivity", "bert-base", *small, *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"hyflexsim: {message}")
    assert list(tmp_path.iterdir()) == []


def test_the_command(hyflexsim, tmp_path):
    small = (word for change in SMALL for word in ("--set", change))
    code, out, err = hyflexsim(
        "sensitivity", "bert-base", *small, "--of", "latency", "--out", tmp_path / "out"
    )
    assert (code, err) == (0, "")
    for words in ("latency_ps.p50", "as it is", "note: 0, so without half and double: "):
        assert words in out
    assert (tmp_path / "out" / study.TABLE).is_file()
