"""A Dask cluster that is there already: a scheduler and two workers, processes of their own."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.cluster import Cluster
from hyflexsim.workloads.points.engine import Listed, explore
from hyflexsim.workloads.sweeping.results import results

distributed = pytest.importorskip("distributed")
NUMBERS = [{"n": n} for n in range(10)]
JOB = {"points": {}}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start(points, tmp_path):
    """Start a part of a cluster as a process; all end with the test."""
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(points.__file__).parent), *sys.path])
    }
    with ExitStack() as stack:

        def run(*arguments):
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=tmp_path,
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield run


@pytest.fixture
def scheduler(start):
    """The address of a scheduler."""
    port = free_port()
    start(
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-dashboard",
    )
    return f"tcp://127.0.0.1:{port}"


def start_worker(start, scheduler):
    return start(
        *("distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-nanny"),
        *("--no-dashboard", "--host", "127.0.0.1"),
    )


@pytest.fixture
def cluster(start, scheduler):
    """... with two workers."""
    for _ in range(2):
        start_worker(start, scheduler)
    with distributed.Client(scheduler, set_as_default=False, timeout="30s") as client:
        client.wait_for_workers(2, timeout=60)
    return scheduler


@pytest.mark.slow
def test_points_are_computed_by_its_workers(points, cluster, tmp_path):
    with (
        results(tmp_path / "out", JOB) as kept,
        closing(Cluster(points.twice, cluster)) as executor,
    ):
        assert executor.workers == 2
        common = {"fails": 4, "seconds": 0.05}
        explore(Listed(NUMBERS, kept), executor, kept, common=common)
        rows = kept.rows()
    assert [row.get("twice") for row in rows] == [None if n == 4 else 2.0 * n for n in range(10)]
    assert rows[4]["error"] == "ValueError: no such number in two lines"
    processes = {row["process"] for row in rows if "process" in row}
    assert len(processes) == 2
    assert os.getpid() not in processes


@pytest.mark.slow
def test_a_worker_that_dies_stops_nobody(points, start, scheduler, tmp_path):
    doomed = start_worker(start, scheduler)
    start_worker(start, scheduler)
    with distributed.Client(scheduler, set_as_default=False, timeout="30s") as client:
        client.wait_for_workers(2, timeout=60)
    out = tmp_path / "out"
    with results(out, JOB) as kept, closing(Cluster(points.twice, scheduler)) as executor:

        def kill_one(done):
            if done.point == 0:
                doomed.kill()

        common = {"seconds": 0.05}
        explore(Listed(NUMBERS, kept), executor, kept, common=common, seen=kill_one)
        assert [row["twice"] for row in kept.rows()] == [2.0 * n for n in range(10)]


@pytest.mark.slow
def test_a_sweep_on_the_command_line(cluster, tmp_path, hyflexsim, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(
        'scenario = "part-jets"\nset.workload.count = 2\n[vary]\nadc.per_array = [1, 2]\n'
    )
    code, out, err = hyflexsim("sweep", "s.toml", "--dask", cluster, "--no-plots")
    assert (code, err) == (0, "")
    assert "of 2 points are on the front" in out
    assert (tmp_path / "runs" / "s" / "points.parquet").is_file()


@pytest.mark.slow
def test_a_scheduler_without_workers_is_refused(points, scheduler):
    with pytest.raises(InputError, match="has no workers"):
        Cluster(points.twice, scheduler)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://"])
def test_an_address_nobody_answers_at_is_refused(points, monkeypatch, address):
    monkeypatch.setattr("hyflexsim.workloads.points.cluster.PATIENCE", "1s")
    with pytest.raises(InputError, match="nobody answers at") as refused:
        Cluster(points.twice, address)
    assert "\n" not in str(refused.value)


def test_without_distributed_one_line_says_what_to_install(points, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'hyflexsim\[cluster\]'"):
        Cluster(points.twice, "tcp://127.0.0.1:1")
