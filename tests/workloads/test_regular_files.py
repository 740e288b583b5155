"""What has no end is not read, whatever its name: every reader of a user's file says so at once."""

import os
from pathlib import Path

import pytest

TRACE = 'workload.arrivals={kind="trace",file="FILE"}'
READERS = {
    "graph": (".json", ["graph", "FILE"]),
    "configuration": (".json", ["large", "FILE"]),
    "saved graph": (".json", ["validate", "FILE"]),
    "graph of a scenario": (".json", ["validate", "part-jets", "--set", "model.graph=FILE"]),
    "chip or scenario": (".toml", ["validate", "FILE"]),
    "scenario": (".toml", ["run", "FILE"]),
    "recipe": (".toml", ["compress", "FILE"]),
    "training": (".toml", ["train-part", "FILE"]),
    "sweep": (".toml", ["sweep", "FILE"]),
    "preset": (".toml", ["preset", "FILE"]),
    "trace": (".csv", ["validate", "part-jets", "--set", TRACE]),
    "trace of objects": (".jsonl", ["validate", "part-jets", "--set", TRACE]),
    "trace of times": (".txt", ["validate", "part-jets", "--set", TRACE]),
    "trace of columns": (".parquet", ["validate", "part-jets", "--set", TRACE]),
    "jets": (".parquet", ["validate", "part-jets", "--set", 'workload.file="FILE"']),
    "jets of a training": (".parquet", ["train-part", "part-small", "FILE"]),
    "run": ("/summary.json", ["compare", "FOLDER"]),
    "checkpoint": ("/ranks.json", ["accuracy", "FOLDER"]),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("what", ["pipe", "device"])
@pytest.mark.parametrize("reader", READERS)
def test_a_device_or_a_pipe_is_one_line(hyflexsim, tmp_path, monkeypatch, reader, what):
    monkeypatch.chdir(tmp_path)
    suffix, command = READERS[reader]
    file = Path(f"x{suffix}")
    file.parent.mkdir(exist_ok=True)
    if what == "pipe":
        os.mkfifo(file)  # nobody writes to it: to open it takes for ever
    else:
        file.symlink_to("/dev/null")  # of the same kind as one without end
    named = [part.replace("FILE", str(file)).replace("FOLDER", "x") for part in command]
    code, out, err = hyflexsim(*named)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "x" in err
