"""Data from the hub, with a stand-in for the library `datasets`: no network is used."""

import sys
import types

import numpy as np
import pytest
from PIL import Image

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.datasets.kinds import spread


class Table:
    """As much of datasets.Dataset as is used."""

    def __init__(self, columns):
        self.columns = columns
        self.column_names = list(columns)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name):
        return self.columns[name]

    def select(self, rows):
        assert all(type(row) is int for row in rows)
        return Table({name: [values[i] for i in rows] for name, values in self.columns.items()})


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Tables by (repository, config, split); nothing is local."""
    tables = {}

    def load_dataset(repository, config, *, split):
        try:
            return Table(tables[repository, config, split])
        except KeyError:
            raise ConnectionError("Couldn't reach the Hub\nMore words") from None

    library = types.ModuleType("datasets")
    library.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.setenv("HYFLEXSIM_DATA", str(tmp_path))
    return tables


def refusal(name, split):
    with pytest.raises(InputError) as error:
        datasets.load(name, split)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pairs(hub):
    columns = {"sentence1": ["a"], "sentence2": ["b"], "label": [1], "idx": [0]}
    hub["nyu-mll/glue", "mrpc", "validation"] = columns
    data = datasets.load("glue/mrpc", "dev")
    assert (data.texts, data.pairs, data.labels.tolist()) == (["a"], ["b"], [1])
    assert data.source == "hub"
    assert data.about.startswith("glue/mrpc from nyu-mll/glue on the hub; licence: Microsoft")


@pytest.mark.parametrize(
    ("name", "config", "split", "theirs"),
    [
        ("glue/mrpc", "mrpc", "test", "test"),
        ("glue/rte", "rte", "train", "train"),
        ("glue/stsb", "stsb", "dev", "validation"),
    ],
)
def test_tasks_and_splits(hub, name, config, split, theirs):
    columns = {"sentence1": ["a"], "sentence2": ["b"], "label": [1.0 if "stsb" in name else 1]}
    hub["nyu-mll/glue", config, theirs] = columns
    assert len(datasets.load(name, split)) == 1


def test_single_sentences_have_another_column_and_blanks(hub):
    hub["nyu-mll/glue", "sst2", "train"] = {
        "sentence": [f"{i} " for i in range(50)],
        "label": [i % 2 for i in range(50)],
        "idx": list(range(50)),
    }
    data = datasets.load("glue/sst2", "train", limit=7)
    rows = spread(50, 7)
    assert data.texts == [str(row) for row in rows]
    assert data.labels.tolist() == (rows % 2).tolist()


def test_wikitext_is_word_level_with_its_blank_lines(hub):
    hub["Salesforce/wikitext", "wikitext-2-v1", "validation"] = {
        "text": ["", " = Homarus gammarus = \n", "", " A <unk> lobster . \n"]
    }
    data = datasets.load("wikitext-2", "valid")
    assert data.text == " \n = Homarus gammarus = \n \n A <unk> lobster . \n"
    assert data.source == "hub"


def test_cifar_is_decoded_already(hub):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    images = [Image.fromarray(image) for image in pixels]
    hub["uoft-cs/cifar10", None, "test"] = {"img": images, "label": [0, 5, 9]}
    data = datasets.load("cifar10", "test")
    assert (data.pixels == pixels).all()
    assert data.labels.tolist() == [0, 5, 9]


def test_bad_tables_in_one_line(hub):
    hub["nyu-mll/glue", "cola", "validation"] = {"text": ["a"], "label": [0]}
    assert refusal("glue/cola", "dev") == (
        "nyu-mll/glue cola validation: column sentence is missing; it has text, label"
    )
    hub["nyu-mll/glue", "cola", "validation"] = {"sentence": ["a"], "label": [-1]}
    assert refusal("glue/cola", "dev") == (
        "nyu-mll/glue cola validation: column label must hold whole numbers 0 ... 1; "
        "got -1 in row 0"
    )
    hub["nyu-mll/glue", "cola", "validation"] = {"sentence": [], "label": []}
    assert refusal("glue/cola", "dev") == (
        "nyu-mll/glue cola validation: must hold at least one row; got none"
    )


def test_offline(hub):
    assert refusal("cifar10", "train") == (
        "cifar10: the hub did not give uoft-cs/cifar10 train (Couldn't reach the Hub); "
        "set HYFLEXSIM_DATA to a folder with cifar10/train.parquet, or try again online"
    )


def test_what_the_hub_lacks(hub, tmp_path):
    assert refusal("tinyshakespeare", "test") == (
        f"tinyshakespeare: no file {tmp_path}/tinyshakespeare/input.txt; set HYFLEXSIM_DATA "
        "to a folder with tinyshakespeare/input.txt; the hub does not have it"
    )


def test_local_comes_first(hub, tmp_path):
    hub["Salesforce/wikitext", "wikitext-2-v1", "test"] = {"text": ["from the hub\n"]}
    assert datasets.load("wikitext-2", "test").text == "from the hub\n"
    (tmp_path / "wikitext2").mkdir()
    (tmp_path / "wikitext2" / "test.txt").write_text("local\n")
    assert datasets.load("wikitext-2", "test").text == "local\n"


def test_names_say_hub(hub):
    found = {line.name: line for line in datasets.names()}
    assert found["glue/sst2"].source == found["cifar10"].source == "hub"
    assert found["cifar10"].rows == {"train": 50000, "test": 10000}
    assert {name for name, line in found.items() if line.source == "missing"} == {
        "tinyshakespeare",
        "jets-20k",
    }
    assert datasets.describe("cifar10").startswith("cifar10 from uoft-cs/cifar10 on the hub; ")
