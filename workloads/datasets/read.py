"""Readers: sentences, texts and images from where they lie, to the classes of datasets.kinds.

A reader is called with an entry of the catalogue, the name of a split and a limit, all checked.
"""

from __future__ import annotations

import hashlib
import importlib
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.datasets.checked_columns import columns, from_file
from hyflexsim.workloads.datasets.kinds import Images, Sentences, Text, spread
from hyflexsim.workloads.datasets.places import Entry, Hub, place

TOP_SCORE = 5.0  # of STS-B
CIFAR_SHAPE = (32, 32, 3)


def read_sentences(entry: Entry, split: str, limit: int | None) -> Sentences:
    """A task of GLUE; sentences without outer blanks, which SST-2 on the hub has."""
    table = columns(entry, split, limit)
    texts, *pairs = (
        [text.strip() for text in table.texts(name)] for name in entry.columns if name != "label"
    )
    if entry.classes == 1:
        labels: Any = table.scores("label", TOP_SCORE)
    else:
        labels = table.classes("label", entry.classes)
    about = entry.about(table.source)
    return Sentences(texts, pairs[0] if pairs else None, labels, entry.classes, table.source, about)


def read_wikitext(entry: Entry, split: str, limit: int | None) -> Text:
    """WikiText at word level, as in the official files: a blank line is one blank."""
    found = place(entry, split)
    if isinstance(found, Hub):
        lines = columns(entry, split, None).texts("text")  # a line a row, blank ones empty
        return Text("".join(line or " \n" for line in lines)[:limit], "hub", entry.about("hub"))
    if found[0].suffix == ".parquet":
        text = "".join(from_file(found[0], ("text",)).texts("text"))
    else:
        text = _file(found[0])
    return Text(text[:limit], "local", entry.about("local"))


def read_shakespeare(entry: Entry, split: str, limit: int | None) -> Text:
    """One file, cut by characters at 90 and 95 %."""
    found = place(entry, split)
    assert isinstance(found, list)  # it has no hub
    text = _file(found[0])
    first, last = len(text) * 90 // 100, len(text) * 95 // 100
    part = {"train": text[:first], "valid": text[first:last], "test": text[last:]}[split]
    if not part:
        raise InputError(f"{found[0]}: split {split} is empty; the file has {len(text)} characters")
    return Text(part[:limit], "local", entry.about("local"))


def read_pydoc(entry: Entry, split: str, limit: int | None) -> Text:
    """Python's help topics in sorted key order, each paragraph once, cut at paragraph borders."""
    whole = pydoc_paragraphs()
    digest = hashlib.sha256("\n\n".join(whole).encode()).hexdigest()
    origin = f"; Python {platform.python_version()}, sha256 of all splits {digest}"
    part = "\n\n".join(cut_paragraphs(whole)[split])
    return Text(part[:limit], "built-in", entry.about("built-in") + origin)


def pydoc_paragraphs() -> list[str]:
    """Paragraphs of all topics. Topics quote each other at length, so repeats are left out:
    otherwise 8 % of the test split would be in the training text.
    """
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        raise InputError(
            "pydoc: this Python comes without pydoc_data.topics; use one with its standard library"
        ) from None
    paragraphs = (re.split(r"\n{2,}", topics[key].strip("\n")) for key in sorted(topics))
    return list(dict.fromkeys(paragraph for topic in paragraphs for paragraph in topic))


def cut_paragraphs(paragraphs: list[str]) -> dict[str, list[str]]:
    """Splits train, valid, test: a paragraph belongs where its first character falls, 90/5/5 %.

    >>> {name: len(part) for name, part in cut_paragraphs(["abc"] * 100).items()}
    {'train': 90, 'valid': 5, 'test': 5}
    """
    lengths = np.array([len(paragraph) + 2 for paragraph in paragraphs])
    starts = np.cumsum(lengths) - lengths
    first, last = np.searchsorted(starts, lengths.sum() * np.array([0.90, 0.95]))
    return {
        "train": paragraphs[:first],
        "valid": paragraphs[first:last],
        "test": paragraphs[last:],
    }


def read_cifar(entry: Entry, split: str, limit: int | None) -> Images:
    """CIFAR-10, decoded: (n, 32, 32, 3), 0 ... 255."""
    table = columns(entry, split, limit)
    pixels = table.pictures("jpeg", CIFAR_SHAPE)
    labels = table.classes("label", entry.classes)
    return Images(pixels, labels, entry.classes, table.source, entry.about(table.source))


def read_digits(entry: Entry, split: str, limit: int | None) -> Images:
    """scikit-learn's digits: (n, 8, 8, 1), 0 ... 16. Every fifth image of a class is for testing.

    The writers of the training images also wrote test images.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415

    found = load_digits()
    labels = found.target.astype(np.int64)
    tested = np.zeros(len(labels), dtype=bool)
    for digit in range(entry.classes):
        tested[np.flatnonzero(labels == digit)[4::5]] = True
    rows = np.flatnonzero(tested == (split == "test"))
    rows = rows[spread(len(rows), limit)]
    pixels = found.images[rows, :, :, None].astype(np.uint8)
    return Images(pixels, labels[rows], entry.classes, "built-in", entry.about("built-in"))


def _file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: must be a readable file of UTF-8 text; {error}") from None
    if not text:
        raise InputError(f"{path}: must hold text; it is empty")
    return text
