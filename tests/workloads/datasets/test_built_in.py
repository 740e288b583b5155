"""What needs nothing: digits, Python's help topics, the sample of jets. And bad requests."""

import platform
import subprocess
import sys

import numpy as np
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.datasets.catalogue import ENTRIES, JET_CLASSES
from hyflexsim.workloads.datasets.jets import interleave, split_rows
from hyflexsim.workloads.datasets.kinds import spread
from hyflexsim.workloads.datasets.read import cut_paragraphs, pydoc_paragraphs
from hyflexsim.workloads.jets.jets import Jets, load_jets
from hyflexsim.workloads.jets.sample import LABELS, SAMPLE


@pytest.fixture(autouse=True)
def no_folder(monkeypatch, tmp_path):
    """An empty folder of data."""
    monkeypatch.setenv("HYFLEXSIM_DATA", str(tmp_path))


def refusal(*arguments, **options):
    with pytest.raises(InputError) as error:
        datasets.load(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_bad_requests_in_one_line():
    assert (
        refusal("glue/mrcp", "dev")
        == "no data set 'glue/mrcp'; nearest: glue/mrpc, glue/rte, glue/cola"
    )
    assert refusal("imagenet", "train") == (
        "no data set 'imagenet'; known: glue/mrpc, glue/sst2, glue/cola, glue/rte, glue/stsb, "
        "wikitext-2, tinyshakespeare, pydoc, cifar10, digits, jets, jets-20k"
    )
    assert (
        refusal("glue/sst2", "test") == "split of glue/sst2 must be one of train, dev; got 'test'"
    )
    assert refusal("pydoc", "dev") == "split of pydoc must be one of train, valid, test; got 'dev'"
    assert refusal("digits", "test", limit=0) == "limit must be at least 1; got 0"


def test_importing_is_quick():
    heavy = "('torch', 'pandas', 'sklearn', 'PIL', 'pyarrow', 'datasets')"
    code = (
        f"import sys, hyflexsim.workloads.datasets; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("rows", "limit"), [(1, 1), (10, 3), (97, 96), (97, 97), (5, 9), (60, 7)])
def test_spread_takes_one_row_of_each_run(rows, limit):
    picked = spread(rows, limit)
    count = min(rows, limit)
    assert len(picked) == count
    edges = np.arange(count + 1) * rows // count
    assert ((edges[:-1] <= picked) & (picked < edges[1:])).all()


def test_spread_does_not_fall_in_step():
    """Ten classes taking turns, every hundredth row: all classes, evenly."""
    assert np.ptp(np.bincount(spread(20_000, 200) % 10)) <= 3
    assert spread(7, None).tolist() == list(range(7))


# digits


def test_digits():
    train, test = (datasets.load("digits", split) for split in ("train", "test"))
    assert (len(train), len(test), train.classes) == (1442, 355, 10)
    for part in (train, test):
        assert part.pixels.shape == (len(part), 8, 8, 1)
        assert part.pixels.dtype == np.uint8
        assert (part.pixels.min(), part.pixels.max()) == (0, 16)
        assert part.labels.dtype == np.int64
        assert part.source == "built-in"
    assert train.labels[:6].tolist() == [0, 1, 2, 3, 4, 5]
    # the data set's first image as scikit-learn's own documentation prints it
    assert train.pixels[0, 0, :, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]


def test_digits_are_split_by_class_and_complete():
    from sklearn.datasets import load_digits  # noqa: PLC0415

    whole = load_digits()
    parts = [datasets.load("digits", split) for split in ("train", "test")]
    counts = [np.bincount(part.labels) for part in parts]
    assert (counts[1] == sum(counts) // 5).all()
    images = np.concatenate([part.pixels.reshape(len(part), 64) for part in parts])
    assert sorted(map(tuple, images)) == sorted(map(tuple, whole.data))


def test_a_limit_is_part_of_the_whole_and_the_same_each_time():
    whole = datasets.load("digits", "train")
    few, again = (datasets.load("digits", "train", limit=100) for _ in range(2))
    rows = spread(len(whole), 100)
    assert (few.pixels == whole.pixels[rows]).all()
    assert (few.labels == again.labels).all()
    assert set(few.labels) == set(range(10))


# pydoc


def test_pydoc_is_english_about_python():
    parts = {split: datasets.load("pydoc", split) for split in ("train", "valid", "test")}
    train = parts["train"].text
    assert train.startswith('The "assert" statement\n**********************\n\nAssert statements')
    assert 200_000 < len(train) < 1_000_000
    assert train.count(" the ") > 2000
    about = parts["test"].about
    assert f"Python {platform.python_version()}, sha256 of all splits " in about
    assert about == parts["train"].about == datasets.describe("pydoc")


def test_pydoc_splits_are_whole_paragraphs_in_order():
    import pydoc_data.topics as own  # noqa: PLC0415

    paragraphs = pydoc_paragraphs()
    parts = [datasets.load("pydoc", split).text for split in ("train", "valid", "test")]
    assert "\n\n".join(parts) == "\n\n".join(paragraphs)
    shares = np.array([len(part) for part in parts]) / sum(map(len, parts))
    np.testing.assert_allclose(shares, [0.90, 0.05, 0.05], atol=0.01)
    assert len(set(paragraphs)) == len(paragraphs)  # what is held out was not trained on
    everything = "\n\n".join(own.topics.values())
    assert all(paragraph in everything for paragraph in paragraphs)


def test_a_text_is_limited_to_its_beginning():
    whole = datasets.load("pydoc", "valid")
    part = datasets.load("pydoc", "valid", limit=50)
    assert part.text == whole.text[:50]
    assert len(part) == 50
    assert part.sha256 != whole.sha256


def test_paragraphs_belong_where_they_begin():
    parts = cut_paragraphs(["x" * 92, "y" * 3, "z"])  # begin at 0, 94, 99 of 102
    assert [len(parts[split]) for split in ("train", "valid", "test")] == [1, 1, 1]


def test_a_python_without_topics(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert refusal("pydoc", "test") == (
        "pydoc: this Python comes without pydoc_data.topics; use one with its standard library"
    )


# jets


def test_jets():
    train, test = (datasets.load("jets", split) for split in ("train", "test"))
    assert isinstance(train, Jets)
    assert (len(train), len(test), train.classes) == (2395, 600, 10)
    assert train.source == "built-in"
    assert "cite Pythia" in train.about
    for part, each in ((train, 479), (test, 120)):
        labels, counts = np.unique(part.labels, return_counts=True)
        assert labels.tolist() == ["Hbb", "QCD", "Tbl", "Tbqq", "Wqq"]
        assert (counts == each).all()


def test_jets_are_the_samples_first_and_last_rows():
    """Blocks of five rows, one of each class: 479 to train, one left out, 120 to test."""
    whole = load_jets(SAMPLE)
    for split, rows in (("train", slice(0, 2395)), ("test", slice(2400, 3000))):
        part = datasets.load("jets", split)
        assert (part.labels == whole.labels[rows]).all()
        assert (part.jet["jet_pt"] == whole.jet["jet_pt"][rows]).all()
        for j in (0, len(part) - 1):
            theirs = whole.inputs(range(3000)[rows][j])
            assert all((part.inputs(j)[k] == theirs[k]).all() for k in theirs)


def test_no_two_neighbours_of_a_class_are_on_both_sides():
    labels = np.array(["QCD", "Hbb", "Hbb", "QCD", "Hbb"] * 8)
    train, test = split_rows(labels, "train"), split_rows(labels, "test")
    for name in ("QCD", "Hbb"):
        place = {row: i for i, row in enumerate(np.flatnonzero(labels == name))}
        last = max(place[row] for row in train if row in place)
        first = min(place[row] for row in test if row in place)
        assert first - last == 2


def test_few_jets_of_all_classes():
    few = datasets.load("jets", "test", limit=50)
    assert len(few) == 50
    assert len(set(few.labels)) == 5
    assert few.offsets[-1] == len(few.particles["part_px"])


def test_files_of_jets_take_turns():
    pt = interleave([SAMPLE, SAMPLE]).jet["jet_pt"]
    assert (pt[::2] == pt[1::2]).all()
    assert (pt[::2] == load_jets(SAMPLE).jet["jet_pt"]).all()


def test_the_catalogue_has_every_class_of_jets():
    assert JET_CLASSES == LABELS


# what there is


def test_names_where_there_is_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    found = {line.name: line for line in datasets.names()}
    assert list(found) == list(ENTRIES)
    built_in = {name for name, line in found.items() if line.source == "built-in"}
    assert built_in == {"pydoc", "digits", "jets"}
    assert {line.source for line in found.values()} == {"built-in", "missing"}
    for name in built_in:
        line = found[name]
        assert line.rows == {split: len(datasets.load(name, split)) for split in line.rows}
    assert list(found["digits"]) == [
        "digits",
        "images",
        "1,442 train, 355 test images",
        "built-in",
    ]
    assert str(found["glue/mrpc"]) == (
        "glue/mrpc: sentences, 3,668 train, 408 dev, 1,725 test pairs, missing"
    )


def test_one_line_about_each():
    for line in datasets.names():
        about = datasets.describe(line.name)
        assert about.startswith(f"{line.name} from ")
        assert "licence: " in about
        assert "\n" not in about
