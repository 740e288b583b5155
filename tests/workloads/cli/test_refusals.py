"""Bad input of all commands: one line, exit code 2, nothing written."""

import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with files that are none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.toml").write_bytes("title = 'Größe'".encode("latin-1"))
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xfc"}')
    (tmp_path / "deep.json").write_bytes(b"[" * 100_000)
    (tmp_path / "deep_graph.json").write_bytes(b"[" * 100_000 + b'"hyflexsim-graph-2"')
    (tmp_path / "kind.toml").write_text('[model]\nname = "bert-base"\n[workload]\nkind = {}\n')
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return tmp_path


LONG = "x" * 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train-part", "latin.toml"],
            "latin.toml: cannot be read as TOML: it must be UTF-8; byte",
        ),
        (["compress", "latin.toml"], "latin.toml: cannot be read as TOML: it must be UTF-8; byte"),
        (["validate", "latin.toml"], "latin.toml: cannot be read as TOML: it must be UTF-8; byte"),
        (
            ["graph", "latin.json"],
            "latin.json: not a JSON file ('utf-8' codec can't decode byte 0xfc",
        ),
        (["graph", "deep.json"], "deep.json: not a JSON file (maximum recursion depth exceeded"),
        (
            ["graph", "deep_graph.json"],
            "deep_graph.json: not a graph file (maximum recursion depth",
        ),
        (["validate", "bert-base", "--set", "workload.kind=[]"], "workload.kind must be one of "),
        (["validate", "kind.toml", "--set", "run.window=1"], "workload.kind must be one of jets,"),
        (
            ["validate", "kind.toml", "--set", "workload.count=1"],
            "workload.kind must be one of jets,",
        ),
        (["graph", LONG], ": File name too long"),
        (["validate", "bert-base", "--set", f"model.name={LONG}"], ": File name too long"),
        (["train-part", "part-small", "--start", LONG], ": File name too long"),
        (["attention", LONG], ": File name too long"),
        (
            ["large", "gpt2", "--context", "0"],
            "--context must be an integer from 1 to 1048576; got 0",
        ),
        (["large", "gpt2", "--tensor", "2,x"], "--tensor must be integers from 2 to 1024; got 'x'"),
        (
            ["large", "gpt2", "--slc-rate", "nan"],
            "--slc-rate must be numbers from 0 to 100; got 'n",
        ),
        (
            ["large", "gpt2", "--picture", "x.txt"],
            "--picture must end in .png, .svg, .pdf; got 'x.",
        ),
        (["large", "bert-base"], "bert-base: must be a model that generates text"),
        (["speedup", "--slc-rate", "nan"], "--slc-rate must be from 0 to 100 per cent; got nan"),
        (["speedup", "--slc-rate", "1e308"], "--slc-rate must be from 0 to 100 per cent; got "),
        (["speedup", "--tokens", "0"], "speedup: tokens must be an integer from 1 to "),
        (["speedup", "--requests=-1"], "speedup: requests must be an integer from 1 to "),
        (["speedup", "--models", ""], "--models must name a model; got none"),
        (["speedup", "--out", "nosuch/x.csv"], "nosuch/x.csv: no such folder as nosuch"),
        (["speedup", "--out", "."], "--out must name a file; got '.'"),
        (["speedup", "--out", "loop/x.csv"], "no such folder as loop"),
        (
            ["validate", "part-jets", "--set", "analog.rows={}"],
            "analog.rows must be a value; got an",
        ),
        *(
            ([*command.split(), "--workers=-1"], "--workers must be an integer from 0; got -1")
            for command in (
                "accuracy vit-digits",
                "ranks vit-digits",
                "pareto vit-digits",
                "sensitivity bert-base --of energy",
                "reproduce table2",
                "sweep part-jets",
            )
        ),
        *(
            ([*command.split(), f"--threads={count}"], "--threads must be from 1 to 1024; got ")
            for command in (
                "train-part part-small",
                "attention part-small",
                "attention-cost part-small",
                "compress vit-digits",
                "ranks vit-digits",
                "pareto vit-digits",
            )
            for count in (0, -1, 2**63)
        ),
        (
            ["attention", "part-small", "--seed", str(2**70)],
            f"--seed must be from 0 to {2**63 - 1}; got ",
        ),
    ],
)
def test_one_line(hyflexsim, folder, arguments, message):
    before = sorted(folder.iterdir())
    code, out, err = hyflexsim(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("hyflexsim: ")
    assert message in err
    assert err.count("\n") == 1
    assert len(err) < 600
    assert sorted(folder.iterdir()) == before
