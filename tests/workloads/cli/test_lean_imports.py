"""numpy with one thread, of which nobody else hears; pydantic without a search for plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hyflexsim.workloads.cli import lean_imports

CODE = """
import json, os
from hyflexsim.workloads.cli import lean_imports
lean_imports.numpy_without_threads()
from threadpoolctl import threadpool_info
blas = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
print(json.dumps([blas, os.environ.get(lean_imports.THREADS)]))
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
    assert _after(**{lean_imports.THREADS: "2"})[1] == "2"


@pytest.mark.parametrize(("said", "searched"), [(None, False), ("none-of-ours", True)])
def test_packages_are_searched_for_plugins_only_where_the_user_says(said, searched) -> None:
    code = (
        "import importlib.metadata as m; kept = m.distributions; import sys\n"
        "m.distributions = lambda *a, **k: print('searched', file=sys.stderr) or kept(*a, **k)\n"
        "from hyflexsim.workloads.cli.main import main; main(['preset', 'hyflexpim'])"
    )
    kept = {k: v for k, v in os.environ.items() if k != lean_imports.PLUGINS}
    given = {} if said is None else {lean_imports.PLUGINS: said}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=kept | given
    )
    assert ("searched" in done.stderr) is searched


def test_what_the_user_said_of_plugins_holds(monkeypatch) -> None:
    monkeypatch.setenv(lean_imports.PLUGINS, "logfire-plugin")
    lean_imports.pydantic_without_plugins()
    assert os.environ[lean_imports.PLUGINS] == "logfire-plugin"
