"""A sweep that is killed loses nothing that was stored, and runs none of it twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hyflexsim.workloads.points.engine import Listed, explore
from hyflexsim.workloads.points.processes import Processes
from hyflexsim.workloads.sweeping.results import results

COUNT = 40
NUMBERS = [{"n": n} for n in range(COUNT)]
JOB = {"points": {"n": COUNT}}
CODE = """
import sys
from contextlib import closing
sys.path.insert(0, {folder!r})
from tried_points import twice
from hyflexsim.workloads.points.engine import Listed, explore
from hyflexsim.workloads.points.processes import Processes
from hyflexsim.workloads.sweeping.results import results
with results({out!r}, {job!r}) as kept, closing(Processes(twice, 2)) as executor:
    explore(Listed({numbers!r}, kept), executor, kept, common={common!r})
"""


def stored(out):
    parts = sorted((out / "parts").glob("*.parquet"))
    return [n for part in parts for n in pq.read_table(part).column("n").to_pylist()]


def code_of(points, out, common):
    folder = str(Path(points.__file__).parent)
    code = CODE.format(folder=folder, out="OUT", job=JOB, numbers=NUMBERS, common=common)
    return code.replace("'OUT'", f"__import__('pathlib').Path({str(out)!r})")


def test_no_process_goes_on_with_a_point_that_nobody_waits_for(points, tmp_path):
    begun = tmp_path / "processes"
    common = {"seconds": 600, "processes": str(begun)}
    with subprocess.Popen(
        [sys.executable, "-c", code_of(points, tmp_path / "out", common)]
    ) as process:
        while not begun.is_file() or len(begun.read_text().split()) < 2:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    for worker in map(int, begun.read_text().split()):
        with pytest.raises(ProcessLookupError):
            for _ in range(3000):  # until the system has cleared it away
                os.kill(worker, 0)
                time.sleep(0.01)


@pytest.mark.parametrize("after", [1, 7, 20])
def test_killed_and_resumed(points, tmp_path, after):
    out, log = tmp_path / "out", tmp_path / "log"
    common = {"log": str(log), "seconds": 0.01}
    with subprocess.Popen([sys.executable, "-c", code_of(points, out, common)]) as process:
        while len(list(out.glob("parts/*.parquet"))) < after and process.poll() is None:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    before = stored(out)
    assert after <= len(before) < COUNT
    with results(out, JOB) as kept, closing(Processes(points.twice, 2)) as executor:
        assert sorted(row["n"] for row in kept.rows()) == sorted(before)
        explore(Listed(NUMBERS, kept), executor, kept, common=common)
        kept.finish()
    rows = pq.read_table(out / "points.parquet").to_pylist()
    assert [(row["n"], row["twice"]) for row in rows] == [(n, 2.0 * n) for n in range(COUNT)]
    runs = Counter(map(int, log.read_text().split()))
    assert {n: runs[n] for n in before} == dict.fromkeys(before, 1)
    begun = 2  # points that the two workers had when they were killed
    assert sum(runs.values()) <= COUNT + begun
