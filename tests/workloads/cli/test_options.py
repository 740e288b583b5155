"""Options of several commands: where a number of processes comes from."""

import pytest

from hyflexsim.workloads.cli import reproduce


@pytest.mark.parametrize(("arguments", "workers"), [([], 3), (["--workers", "0"], 0)])
def test_a_session_may_say_how_many_processes(hyflexsim, monkeypatch, arguments, workers):
    asked = []
    monkeypatch.setattr(reproduce, "_figures", lambda *said: asked.append(said[-1]))
    monkeypatch.setenv("HYFLEXSIM_WORKERS", "3")
    hyflexsim("reproduce", "table2", *arguments)
    assert asked == [workers]


def test_a_wrong_number_is_refused_with_the_place_that_it_is_from(hyflexsim, monkeypatch):
    monkeypatch.setenv("HYFLEXSIM_WORKERS", "-1")
    code, _, err = hyflexsim("reproduce", "table2")
    assert (code, err) == (2, "hyflexsim: HYFLEXSIM_WORKERS must be an integer from 0; got -1\n")


def test_what_takes_no_workers_minds_those_that_are_typed_only(hyflexsim, monkeypatch, tmp_path):
    monkeypatch.setenv("HYFLEXSIM_WORKERS", "2")
    line = ("reproduce", "accuracy", "--tables-only", "--runs", tmp_path / "none")
    _, _, err = hyflexsim(*line)
    assert "--runs must be a folder" in err
    _, _, err = hyflexsim(*line, "--workers", "2")
    assert "--workers goes with figures" in err
