"""Pictures drawn by a process of its own: the same bytes, and drawn here where that fails."""

import sys

import pytest

from hyflexsim.analysis import draw_all
from hyflexsim.workloads.outputs import new_folder
from hyflexsim.workloads.run import painter, run_dir
from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.scenario import Scenario


@pytest.fixture
def alone(monkeypatch):
    """As in a command that has not loaded matplotlib, on two cores."""
    monkeypatch.delitem(sys.modules, "matplotlib")
    monkeypatch.setattr(painter, "_cores", lambda: 2)


def jets():
    return Scenario.load("part-jets", ["workload.count=8"])


def pictures(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_a_process_draws_the_same_pictures(tmp_path, alone, monkeypatch):
    with new_folder(tmp_path / "run", run_dir.MARKS) as folder:
        draws = painter.painter()
        monkeypatch.undo()
        said = []
        communicate = draws._process.communicate
        draws._process.communicate = lambda text: said.append(communicate(text)) or said[0]
        result = simulate(jets(), folder=folder)
        result.fill(folder, draws)
        draws.close()
    assert said == [("drawn\n", None)]
    drawn = pictures(tmp_path / "run")
    for path in (tmp_path / "run").glob("*.png"):
        path.unlink()
    draw_all(tmp_path / "run")
    assert len(drawn) == 6
    assert drawn == pictures(tmp_path / "run")


def test_pictures_are_drawn_here_where_the_process_ends_early(tmp_path, alone, monkeypatch):
    monkeypatch.setattr(painter, "CODE", "raise SystemExit(1)")
    draws = painter.painter()
    monkeypatch.undo()
    with new_folder(tmp_path / "run", run_dir.MARKS) as folder:
        simulate(jets(), folder=folder).fill(folder, draws)
    draws.close()
    assert len(pictures(tmp_path / "run")) == 6
    assert not list((tmp_path / "run").glob(".*"))


def test_the_trace_is_the_same_whether_written_in_the_run_or_after_it(tmp_path):
    folder = tmp_path / "during"
    folder.mkdir()
    result = simulate(jets(), folder=folder)
    result.fill(folder)
    simulate(jets()).save(tmp_path / "after")
    for path in folder.glob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "after" / path.name).read_bytes(), path.name
