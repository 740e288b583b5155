"""Ways to leave keys out: real scores drive times and counts; all keys kept costs what all cost."""

import numpy as np
import pytest

from hyflexsim.sim import energy
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.sparsity.scored_jets import Way
from hyflexsim.workloads.sparsity.ways import _row, _scenario, run_jets, ways_of
from hyflexsim.workloads.values.keeping import Choice

PARTICLES = 6


@pytest.fixture(scope="module")
def subject(subject_of):
    return subject_of(PARTICLES)


@pytest.fixture(scope="module")
def machines(subject):
    return {by: prepare(_scenario(by), subject.graph) for by in ("scores", "bits", "bias")}


def each(subject, k):
    return {layer: [k] * heads for layer, heads in subject.layers().items()}


@pytest.fixture(scope="module")
def found(subject):
    ways = [Way("all", None)]
    for by in ("scores", "bits", "bias", "mask", "upper bits"):
        ways += [Way(f"{by} {k}", Choice(by, each(subject, k))) for k in (1, 2, 50)]
    return subject.run(ways)


def test_layers_and_lengths(subject):
    assert subject.layers() == {"blocks.0": 2, "blocks.1": 2}
    assert subject.tokens == [PARTICLES] * 4


def test_all_keys_kept_is_full_attention(subject, found, machines):
    """Each way with more keys than particles: the same answers, counts and times as without."""
    for by in ("scores", "bits", "bias"):
        full, many = found["all"], found[f"{by} 50"]
        assert many.right == full.right
        assert many.kept_share == 1
        runs = [run_jets(machines[by], subject.tokens, w.work) for w in (full, many)]
        assert runs[0][0].tolist() == runs[1][0].tolist()
        assert runs[0][1:] == runs[1][1:]
    assert found["bits 50"].bits == [8 * keys for keys in found["bits 50"].keys]


def test_kept_and_saved_agree(subject, found, machines):
    """Products not made: of the keys not kept, in two layers of two heads of eight channels."""
    ready = machines["scores"]
    for k in (1, 2):
        got = found[f"scores {k}"]
        queries = 2 * 2 * sum(subject.tokens)  # layers, heads
        assert got.kept == [2 * 2 * PARTICLES * k] * 4
        assert sum(got.keys) == queries * PARTICLES
        full, fewer = (
            energy.macs(ready.plan, played(ready, subject, found[name].work))
            for name in ("all", f"scores {k}")
        )
        assert full - fewer == queries * (PARTICLES - k) * 8


def played(ready, subject, work):
    requests = [Request(0, n, work=w) for n, w in zip(subject.tokens, work, strict=True)]
    return engines.play(ready.plan, requests)


def test_early_stop_is_right_where_the_exact_choice_is(found):
    for k in (1, 2):
        early, exact = found[f"bits {k}"], found[f"scores {k}"]
        assert early.right == exact.right
        assert early.kept == exact.kept
        assert sum(exact.kept) * 8 <= sum(early.bits) < 8 * sum(early.keys)


@pytest.mark.parametrize("by", ["scores", "bits", "bias"])
def test_both_engines_play_real_scores_alike(subject, found, machines, by):
    work = found[f"{by} 2"].work
    one, other = (
        run_jets(machines[by], subject.tokens, work, engine) for engine in ("simpy", "compiled")
    )
    assert one[0].tolist() == other[0].tolist()
    assert one[1:] == other[1:]


def test_a_row_of_the_table(found, machines, subject):
    way = Way("top 2", Choice("scores", each(subject, 2)))
    row = _row(way, found["scores 2"], found["all"], machines, subject.tokens)
    full = _row(Way("all", None), found["all"], found["all"], machines, subject.tokens)
    assert row["kept"] == pytest.approx(2 / PARTICLES)
    assert row["attention_nj"] < full["attention_nj"]
    saved = full["energy_nj"] - row["energy_nj"]
    assert saved == pytest.approx(full["attention_nj"] - row["attention_nj"])
    assert (full["change"], full["change_error"]) == (0, 0)


def test_a_jet_of_one_particle_keeps_it(subject_of):
    alone = subject_of(1)
    ways = [Way("all", None)] + [Way(by, Choice(by, each(alone, 3))) for by in ("scores", "bits")]
    found = alone.run(ways)
    assert found["scores"].kept == found["bits"].kept == [2 * 2] * 4
    assert found["scores"].right == found["bits"].right == found["all"].right
    sizes = found["bits"].work[0].sizes
    assert {name: s.tolist() for name, s in sizes.items() if "blocks.0" in name} == {
        "blocks.0.attn.softmax": [2],
        "blocks.0.attn.pv": [2],
        "blocks.0.attn.qk": [16],
    }


def test_permuting_particles_permutes_their_work(subject, monkeypatch):
    """A jet's particles in another order: the same work for each of them, in that order."""
    draw = np.random.default_rng(5)
    order = draw.permutation(PARTICLES)
    from hyflexsim.workloads.sparsity import scored_jets  # noqa: PLC0415

    way = [Way("scores", Choice("scores", each(subject, 2), 1.0))]
    straight = subject.run(way)["scores"].work[0].sizes
    plain = scored_jets._inputs

    def shuffled(spec, jets, j):
        return {name: value[:, :, order] for name, value in plain(spec, jets, j).items()}

    monkeypatch.setattr(scored_jets, "_inputs", shuffled)
    turned = subject.run(way)["scores"].work[0].sizes
    assert len({tuple(s) for s in straight.values()}) > 1
    for name, sizes in straight.items():
        assert turned[name].tolist() == sizes[order].tolist()


def test_names_of_ways():
    names = [way.name for way in ways_of({"blocks.0": 4}, [[1, 2, 3, 4]])]
    assert len(set(names)) == len(names)
    assert "keys a head, bit by bit" in names
