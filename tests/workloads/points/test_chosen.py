"""Where points are computed by default: here, or by so many processes."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points import chosen
from hyflexsim.workloads.points.executors import Here


@pytest.mark.parametrize(
    ("said", "workers", "count"),
    [("3", None, 3), ("0", None, 0), ("3", 0, 0), ("0", 2, 2), ("", None, 99)],
)
def test_a_session_may_say_how_many_processes(monkeypatch, said, workers, count):
    monkeypatch.setattr(chosen, "Processes", lambda _, count: count)
    monkeypatch.setattr(chosen, "cores", lambda: 99)
    monkeypatch.setenv("HYFLEXSIM_WORKERS", said)
    found = chosen.executor_of(abs, workers)
    assert isinstance(found, Here) if count == 0 else found == count


@pytest.mark.parametrize("said", ["-1", "many", "2.0"])
def test_what_is_no_number_is_refused(monkeypatch, said):
    monkeypatch.setenv("HYFLEXSIM_WORKERS", said)
    message = f"^HYFLEXSIM_WORKERS must be an integer from 0; got '{said}'$"
    with pytest.raises(InputError, match=message):
        chosen.executor_of(abs, None)
