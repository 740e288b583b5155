"""Data in a folder: small ones made here, with the layout and columns of the real ones."""

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import datasets
from hyflexsim.workloads.datasets import places
from hyflexsim.workloads.jets.sample import LABELS, SAMPLE


@pytest.fixture
def root(monkeypatch, tmp_path):
    monkeypatch.setenv("HYFLEXSIM_DATA", str(tmp_path))
    monkeypatch.setitem(places.sys.modules, "datasets", None)
    return tmp_path


@pytest.fixture
def write(root):
    """A file below the folder, from columns, text or bytes."""

    def file(name, contents):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(contents, dict):
            pq.write_table(pa.table(contents), path)
        elif isinstance(contents, str):
            path.write_text(contents, encoding="utf-8")
        else:
            path.write_bytes(contents)
        return path

    return file


def refusal(name, split, **options):
    with pytest.raises(InputError) as error:
        datasets.load(name, split, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def picture(color, size=(32, 32), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_pairs(write):
    a, b = ["One.", " Two. "], ["1", "2"]
    labels = pa.array([1, 0], pa.int8())
    write("glue/mrpc_dev.parquet", {"sentence1": a, "sentence2": b, "label": labels})
    data = datasets.load("glue/mrpc", "dev")
    assert (data.texts, data.pairs) == (["One.", "Two."], ["1", "2"])
    assert (data.labels.tolist(), data.labels.dtype, data.classes) == ([1, 0], np.int64, 2)
    assert (len(data), data.source) == (2, "local")
    assert data.about.startswith("glue/mrpc from the GLUE files in F0restL1n/BERT; licence: Micro")


def test_single_sentences_and_scores(write):
    write("glue/cola_train.parquet", {"sentence1": ["So."], "label": [1]})
    assert datasets.load("glue/cola", "train").pairs is None
    score = pa.array([2.5, 5.0, 0.0], pa.float32())
    pairs = {"sentence1": list("abc"), "sentence2": list("def"), "label": score}
    write("glue/stsb_dev.parquet", pairs)
    data = datasets.load("glue/stsb", "dev")
    assert (data.labels.tolist(), data.labels.dtype, data.classes) == ([2.5, 5, 0], np.float64, 1)


def test_a_limit_spreads_over_an_ordered_file(write):
    labels = [0] * 500 + [1] * 500
    texts = [str(i) for i in range(1000)]
    write("glue/sst2_train.parquet", {"sentence1": texts, "label": labels})
    data = datasets.load("glue/sst2", "train", limit=100)
    rows = [int(text) for text in data.texts]
    assert [row // 10 for row in rows] == list(range(100))
    assert data.labels.tolist() == [labels[row] for row in rows]
    assert data.labels.sum() == 50
    assert datasets.load("glue/sst2", "train", limit=100).texts == data.texts


GOOD = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [0, 1]}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (
            {"sentence1": ["a"], "label": [0]},
            "column sentence2 is missing; it has sentence1, label",
        ),
        (GOOD | {"sentence2": ["c", None]}, "column sentence2 must hold text; got None in row 1"),
        (GOOD | {"sentence1": [7, 8]}, "column sentence1 must hold text; got 7 in row 0"),
        (GOOD | {"label": [0, 2]}, "column label must hold whole numbers 0 ... 1; got 2 in row 1"),
        (
            GOOD | {"label": [-1, -1]},
            "column label must hold whole numbers 0 ... 1; got -1 in row 0",
        ),
        (
            GOOD | {"label": [0.0, 1.0]},
            "column label must hold whole numbers 0 ... 1; got 0.0 in row 0",
        ),
        (
            {"sentence1": [], "sentence2": [], "label": []},
            "must hold at least one row; got none",
        ),
    ],
)
def test_bad_tables_in_one_line(write, contents, message):
    path = write("glue/rte_dev.parquet", contents)
    assert refusal("glue/rte", "dev") == f"{path}: {message}"


@pytest.mark.parametrize("score", [5.5, -0.1, float("nan"), None, "5"])
def test_bad_scores(write, score):
    table = {"sentence1": ["a"], "sentence2": ["b"], "label": [score]}
    path = write("glue/stsb_dev.parquet", table)
    assert refusal("glue/stsb", "dev") == (
        f"{path}: column label must hold numbers 0 ... 5; got {score!r} in row 0"
    )


def test_the_row_is_the_files_row(write):
    labels = [0] * 99 + [9]
    write("glue/cola_dev.parquet", {"sentence1": ["a"] * 100, "label": labels})
    assert refusal("glue/cola", "dev", limit=100).endswith("got 9 in row 99")
    labels[:] = [9] * 100
    write("glue/cola_dev.parquet", {"sentence1": ["a"] * 100, "label": labels})
    assert refusal("glue/cola", "dev", limit=1).endswith("got 9 in row 0")


def test_no_parquet(write):
    path = write("glue/cola_dev.parquet", "sentence\tlabel\n")
    assert refusal("glue/cola", "dev").startswith(f"{path}: must be a readable Parquet file; ")


def test_wikitext(write):
    write("wikitext2/train.parquet", {"text": [" \n = A = \n \n", " \n = B = \n"]})
    write("wikitext2/test.txt", " \n = C – D = \n")
    train, test = (datasets.load("wikitext-2", split) for split in ("train", "test"))
    assert train.text == " \n = A = \n \n \n = B = \n"
    assert test.text == " \n = C – D = \n"
    assert datasets.load("wikitext-2", "test", limit=5).text == " \n = "
    assert test.source == "local"
    assert "CC BY-SA 3.0" in test.about


def test_bad_texts_in_one_line(write):
    path = write("wikitext2/valid.txt", b"\xff\xfe")
    assert refusal("wikitext-2", "valid").startswith(f"{path}: must be a readable file of UTF-8")
    path = write("wikitext2/valid.txt", "")
    assert refusal("wikitext-2", "valid") == f"{path}: must hold text; it is empty"
    path = write("wikitext2/train.parquet", {"words": ["a"]})
    assert refusal("wikitext-2", "train") == f"{path}: column text is missing; it has words"
    path = write("tinyshakespeare/input.txt", "a")
    assert refusal("tinyshakespeare", "train") == (
        f"{path}: split train is empty; the file has 1 characters"
    )


def test_shakespeare_is_cut_by_characters(write):
    write("tinyshakespeare/input.txt", "".join(map(chr, range(0x100, 0x100 + 200))))
    parts = [datasets.load("tinyshakespeare", split).text for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [180, 10, 10]
    assert "".join(parts) == "".join(map(chr, range(0x100, 0x100 + 200)))


def test_cifar(write):
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    table = {"label": [3, 1, 9], "path": ["a", "b", "c"], "jpeg": [picture(c) for c in colors]}
    write("cifar10/train.parquet", table)
    data = datasets.load("cifar10", "train")
    assert (data.pixels.shape, data.pixels.dtype) == ((3, 32, 32, 3), np.uint8)
    for image, color in zip(data.pixels, colors, strict=True):
        assert abs(image.astype(int) - color).max() <= 4
    assert (data.labels.tolist(), data.classes, data.source) == ([3, 1, 9], 10, "local")
    assert len(datasets.load("cifar10", "train", limit=2)) == 2


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (b"not a picture", "no image"),
        (picture(0, mode="L"), "32 × 32"),
        (picture((1, 2, 3), size=(28, 30)), "30 × 28 × 3"),
        (picture((1, 2, 3))[:400], "no image"),
    ],
)
def test_bad_pictures_in_one_line(write, value, got):
    path = write("cifar10/test.parquet", {"label": [1, 1], "jpeg": [picture((1, 2, 3)), value]})
    assert refusal("cifar10", "test") == (
        f"{path}: column jpeg must hold images of 32 × 32 × 3; got {got} in row 1"
    )


def test_pictures_as_text(write):
    path = write("cifar10/test.parquet", {"label": [1], "jpeg": ["a.jpg"]})
    assert refusal("cifar10", "test") == (
        f"{path}: column jpeg must hold images of 32 × 32 × 3; got no image in row 0"
    )


def test_jets_of_ten_files(root):
    folder = root / "jets"
    folder.mkdir()
    table = pq.read_table(SAMPLE).drop_columns(["label"])
    for i, label in enumerate(LABELS):
        pq.write_table(table.slice(10 * i, 10), folder / f"{label}.parquet")
    train, test = (datasets.load("jets-20k", split) for split in ("train", "test"))
    assert train.labels.tolist() == list(LABELS) * 7
    assert test.labels.tolist() == list(LABELS) * 2
    pt = table["jet_pt"].to_numpy()
    assert test.jet["jet_pt"].tolist() == [pt[10 * i + k] for k in (8, 9) for i in range(10)]
    assert (train.source, train.classes) == ("local", 10)
    (folder / "Zqq.parquet").unlink()
    assert refusal("jets-20k", "test") == (
        f"jets-20k: no file {folder / 'Zqq.parquet'}; set HYFLEXSIM_DATA to a folder with "
        "jets/Zqq.parquet; the hub does not have it"
    )


def test_too_few_jets(root):
    (root / "jets").mkdir()
    for label in LABELS:
        table = pq.read_table(SAMPLE).drop_columns(["label"]).slice(0, 4)
        pq.write_table(table, root / "jets" / f"{label}.parquet")
    assert refusal("jets-20k", "test") == (
        f"{root / 'jets'}: split test needs at least 5 jets of a class; has 40"
    )


def test_nothing_anywhere(root):
    assert refusal("glue/sst2", "dev") == (
        f"glue/sst2: no file {root}/glue/sst2_dev.parquet; set HYFLEXSIM_DATA to a folder with "
        "glue/sst2_dev.parquet, or pip install 'hyflexsim[hub]' to download it"
    )


def test_no_such_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HYFLEXSIM_DATA", str(tmp_path / "no"))
    message = f"HYFLEXSIM_DATA must be an existing folder; got '{tmp_path / 'no'}'"
    assert refusal("glue/sst2", "dev") == message
    with pytest.raises(InputError, match=re.escape(message)):
        datasets.names()
    assert len(datasets.load("digits", "test", limit=3)) == 3  # needs no folder


def test_folder_beside_the_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("HYFLEXSIM_DATA", raising=False)
    monkeypatch.setattr(places, "DEFAULT", tmp_path / "data")
    assert datasets.folder() is None
    (tmp_path / "data" / "stories260k").mkdir(parents=True)
    assert datasets.folder() == tmp_path / "data"
    assert datasets.folder("stories260k") == tmp_path / "data" / "stories260k"
    assert datasets.folder("glue") is None


def test_names_say_local(write):
    for split in ("train", "dev"):
        write(f"glue/cola_{split}.parquet", {"sentence1": ["a"], "label": [1]})
    write("glue/rte_dev.parquet", GOOD)  # without train
    found = {line.name: line.source for line in datasets.names()}
    assert (found["glue/cola"], found["glue/rte"]) == ("local", "missing")
