"""Ways to leave keys out: real scores drive times and counts; all keys kept costs what all cost."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from hyflexsim.sim import energy
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.judged_models import open_checkpoint
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.sparsity.scored import Way, bits_before
from hyflexsim.workloads.sparsity.ways import _scenario, row_of, run_apart, ways_of, ways_of_text
from hyflexsim.workloads.values.keeping import Choice

PARTICLES, WINDOW = 6, 12


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
    for by, keys in {"scores": (1, 2, 50), "bits": (1, 2, 50), "bias": (2, 50)}.items():
        ways += [Way(f"{by} {k}", Choice(by, each(subject, k))) for k in keys]
    return subject.run(ways)


def test_layers_and_lengths(subject):
    assert subject.layers() == {"blocks.0": 2, "blocks.1": 2}
    assert subject.tokens == [PARTICLES] * 2


def test_all_keys_kept_is_full_attention(subject, found, machines):
    """Each way with more keys than particles: the same answers, counts and times as without."""
    for by in ("scores", "bits", "bias"):
        full, many = found["all"], found[f"{by} 50"]
        assert many.quality == full.quality
        assert many.kept_share == 1
        runs = [run_apart(machines[by], subject.tokens, w.work) for w in (full, many)]
        assert runs[0][0].tolist() == runs[1][0].tolist()
        assert runs[0][1:] == runs[1][1:]
    assert found["bits 50"].bits == [8 * keys for keys in found["bits 50"].keys]


def test_kept_and_saved_agree(subject, found, machines):
    """Products not made: of the keys not kept, in two layers of two heads of eight channels."""
    ready = machines["scores"]
    for k in (1, 2):
        got = found[f"scores {k}"]
        queries = 2 * 2 * sum(subject.tokens)  # layers, heads
        assert got.kept == [2 * 2 * PARTICLES * k] * 2
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
        assert early.quality == exact.quality
        assert early.kept == exact.kept
        assert sum(exact.kept) * 8 <= sum(early.bits) < 8 * sum(early.keys)


@pytest.mark.parametrize("by", ["scores", "bits", "bias"])
def test_both_engines_play_real_scores_alike(subject, found, machines, by):
    work = found[f"{by} 2"].work
    one, other = (
        run_apart(machines[by], subject.tokens, work, engine) for engine in ("simpy", "compiled")
    )
    assert one[0].tolist() == other[0].tolist()
    assert one[1:] == other[1:]


def test_a_row_of_the_table(found, machines, subject):
    way = Way("top 2", Choice("scores", each(subject, 2)))
    row = row_of(way, found["scores 2"], found["all"], machines, subject)
    full = row_of(Way("all", None), found["all"], found["all"], machines, subject)
    assert row["kept"] == pytest.approx(2 / PARTICLES)
    assert row["attention_nj"] < full["attention_nj"]
    saved = full["energy_nj"] - row["energy_nj"]
    assert saved == pytest.approx(full["attention_nj"] - row["attention_nj"])
    assert (full["change"], full["change_error"]) == (0, 0)


def test_a_jet_of_one_particle_keeps_it(subject_of):
    alone = subject_of(1)
    ways = [Way("all", None)] + [Way(by, Choice(by, each(alone, 3))) for by in ("scores", "bits")]
    found = alone.run(ways)
    assert found["scores"].kept == found["bits"].kept == [2 * 2] * 2
    assert found["scores"].quality == found["bits"].quality == found["all"].quality
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
    way = [Way("scores", Choice("scores", each(subject, 2), 1.0))]
    straight = subject.run(way)["scores"].work[0].sizes
    plain = subject.inputs

    def shuffled(i):
        return {name: value[:, :, order] for name, value in plain(i).items()}

    monkeypatch.setattr(subject, "inputs", shuffled)
    turned = subject.run(way)["scores"].work[0].sizes
    assert any(len(set(sizes.tolist())) > 1 for sizes in straight.values())
    for name, sizes in straight.items():
        assert turned[name].tolist() == sizes[order].tolist()


def test_names_of_ways():
    names = [way.name for way in ways_of({"blocks.0": 4}, [[1, 2, 3, 4]])]
    assert len(set(names)) == len(names)
    assert "keys a head, bit by bit" in names


@pytest.fixture(scope="module")
def text_rows(checkpoint_of_text, tmp_path_factory):
    """All ways of two texts of 12 tokens, and names of what the job keeps."""
    with working(tmp_path_factory.mktemp("text") / "ways", {}) as work:
        sizes = {"window": WINDOW, "windows": 2, "epochs": 1, "work": work}
        rows = {row["way"]: row for row in ways_of_text(checkpoint_of_text, **sizes)}
        kept = sorted(path.name for path in work.folder.glob("tuned-*") if path.is_dir())
    return rows, kept


def test_a_decoder_without_choice_has_the_perplexity_of_its_integers(text_rows, checkpoint_of_text):
    full = text_rows[0]["all keys"]
    assert (full["metric"], full["items"], full["change"], full["kept"]) == ("perplexity", 2, 0, 1)
    opened = open_checkpoint(checkpoint_of_text)
    rows = opened.task.test_rows[:2]
    assert rows.shape == (2, WINDOW)
    with torch.no_grad():
        logits = opened.model(input_ids=rows).logits[:, :-1].flatten(0, 1)
        exact = math.exp(functional.cross_entropy(logits, rows[:, 1:].flatten()))
    assert full["score"] == pytest.approx(exact, rel=0.05)  # in INT8
    assert full["score"] != exact


def test_ways_of_a_decoder(text_rows):
    """12 tokens see 1 + 2 + ... + 12 keys; of these a query keeps at most 4, or 16: all."""
    rows, _ = text_rows
    keys = sum(range(1, WINDOW + 1))
    full, many, few = (rows[name] for name in ("all keys", "top 16", "top 4"))
    assert many["kept"] == 1
    assert (many["score"], many["change"]) == (full["score"], 0)
    assert few["kept"] == pytest.approx((1 + 2 + 3 + (WINDOW - 3) * 4) / keys)
    early = rows["top 4, bit by bit"]
    assert (early["score"], early["kept"]) == (few["score"], few["kept"])
    assert few["kept"] < early["bits"] < 1
    assert early["attention_nj"] < few["attention_nj"] < full["attention_nj"]
    nine, rough = rows["9 diagonals"], rows["top 16 by upper bits"]
    assert nine["kept"] == pytest.approx((sum(range(1, 10)) + (WINDOW - 9) * 9) / keys)
    assert (rough["kept"], rough["score"]) == (1, full["score"])


def test_a_model_that_was_trained_with_keys_left_out(text_rows):
    """Rows more, of checkpoints that stay in the folder of the job for the next start."""
    rows, kept = text_rows
    assert kept == ["tuned-16", "tuned-4", "tuned-all"]
    for keys in ("all keys", "top 4", "top 16"):
        one, other = rows[keys], rows[f"{keys}, trained"]
        assert other["score"] != one["score"]
        assert (other["kept"], other["items"]) == (one["kept"], 2)
    # 12 keys are all, though sums are made in another order in training
    every, many = rows["all keys, trained"]["score"], rows["top 16, trained"]["score"]
    assert many == pytest.approx(every, rel=1e-3)
    assert rows["top 4, trained"]["energy_nj"] == rows["top 4"]["energy_nj"]


def test_bits_of_keys_that_are_chosen_before():
    kept = torch.tensor([[True, False, False], [True, True, False]])[:, :, None]
    seen = torch.tensor([[True, False, False], [True, True, True]])[:, :, None]
    assert bits_before("mask", kept, seen).tolist() == [8, 16]
    assert bits_before("upper bits", kept, seen).tolist() == [8, 16 + 4]


def test_a_checkpoint_without_text_is_refused():
    with pytest.raises(InputError, match="judged by perplexity; it is judged by acc"):
        ways_of_text("vit-digits", window=5, windows=1)
