"""numpy is loaded with one thread, and nobody else hears of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from hyflexsim.workloads.cli import lean_numpy

CODE = """
import json, os
from hyflexsim.workloads.cli import lean_numpy
lean_numpy.load()
from threadpoolctl import threadpool_info
blas = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
print(json.dumps([blas, os.environ.get(lean_numpy.THREADS)]))
"""


def _after(**environment: str) -> list[object]:
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    answer = subprocess.run(
        [sys.executable, "-c", CODE],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(answer.stdout))


def test_one_thread_and_no_trace_in_the_environment() -> None:
    assert _after() == [[1], None]


def test_what_the_user_said_holds() -> None:
    assert _after(**{lean_numpy.THREADS: "2"})[1] == "2"
