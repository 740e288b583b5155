"""Points on processes of this machine: all of them, whatever becomes of one."""

import os
import signal
from contextlib import closing

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.engine import Listed, explore
from hyflexsim.workloads.points.executors import Here
from hyflexsim.workloads.points.processes import Processes, name_of
from hyflexsim.workloads.sweeping.results import results

NUMBERS = [{"n": n} for n in range(12)]
JOB = {"points": {"n": 12}}


def computed(executor, out, numbers=NUMBERS, **common):
    with closing(executor), results(out, JOB) as kept:
        explore(Listed(numbers, kept), executor, kept, common=common)
        return kept.rows()


@pytest.mark.parametrize("where", [lambda f: Processes(f, 3), Here])
def test_all_points_come_back(points, tmp_path, where):
    rows = computed(where(points.twice), tmp_path / "out", seconds=0.01)
    assert [(row["n"], row["twice"]) for row in rows] == [(n, 2.0 * n) for n in range(12)]


def test_several_processes_share_them(points, tmp_path):
    rows = computed(Processes(points.twice, 2), tmp_path / "out", seconds=0.05)
    processes = {row["process"] for row in rows}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_a_failed_point_keeps_its_line_and_stops_nobody(points, tmp_path):
    rows = computed(Processes(points.twice, 2), tmp_path / "out", fails=5)
    errors = {row["n"]: row["error"] for row in rows if row["error"] is not None}
    assert errors == {5: "ValueError: no such number in two lines"}
    assert len(rows) == 12


def test_a_worker_that_dies_is_replaced(points, tmp_path):
    rows = computed(Processes(points.twice, 1), tmp_path / "out", dies=3)
    errors = {row["n"]: row["error"] for row in rows if row["error"] is not None}
    assert errors == {3: "its process has ended: it was killed by SIGKILL"}
    assert len({row["process"] for row in rows if "process" in row}) == 2


def test_no_process_stays(points, tmp_path):
    executor = Processes(points.twice, 2)
    (row, *_) = computed(executor, tmp_path / "out")
    with pytest.raises(ProcessLookupError):
        for _ in range(1000):  # until the system has cleared it away
            os.kill(int(row["process"]), 0)
            signal.sigtimedwait([], 0.01)


def test_a_function_that_cannot_be_imported_is_refused(points, tmp_path):
    with pytest.raises(InputError, match="must be able to import the function"):
        name_of(lambda settings: {})
    points.twice.__module__ = "nowhere"
    with pytest.raises(InputError, match="workers cannot import the function: ModuleNotFoundError"):
        computed(Processes(points.twice, 1), tmp_path / "out")
    assert not (tmp_path / "out").exists()
