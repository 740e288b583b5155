"""``hyflexsim map --cells``: where a weight lies, in the terminal and as CSV."""

import csv

SMALL = ["--set", "model.name=gpt2", "--set", "workload.tokens=16", "--set", "mapping.copies=none"]
SMALL += ["--set", "model.rank=dense", "--set", "mapping.slc_rate=1.0"]


def test_arrays_of_a_matrix(hyflexsim, tmp_path):
    target = tmp_path / "q.csv"
    options = [*SMALL, "--cells", "h.0.attn.c_attn.q", "--out", target]
    code, out, err = hyflexsim("map", "bert-base", *options)
    assert (code, err) == (0, "")
    # 768 / 64 row tiles, 768 / 16 column tiles
    assert "h.0.attn.c_attn.q: 576 arrays, the first 40" in out
    rows = list(csv.DictReader(target.open(encoding="utf-8")))
    assert len(rows) == 576
    second = rows[49]
    assert (second["factor"], second["row_tile"], second["mode"]) == ("W", "1", "slc")
    assert (second["inputs"], second["outputs"], second["columns"]) == ("64–127", "16–31", "0–127")


def test_refusals(hyflexsim, tmp_path):
    code, _, err = hyflexsim("map", "bert-base", *SMALL, "--cells", "h.0.nothing")
    assert (code, err.count("\n")) == (2, 1)
    assert "no matrix 'h.0.nothing'; names are like" in err
    code, _, err = hyflexsim("map", "bert-base", *SMALL, "--out", tmp_path / "q.csv")
    assert (code, err) == (2, "hyflexsim: --out goes with --cells\n")
    assert list(tmp_path.iterdir()) == []
