"""A module of point functions that other processes can import."""

import sys

import pytest

POINTS = '''
"""Points that tests compute."""

import os
import signal
import time
from pathlib import Path


def twice(settings):
    log = settings.get("log")
    if log:
        with Path(log).open("a") as file:
            file.write(f"{settings['n']}\\n")
    time.sleep(settings.get("seconds", 0))
    if settings["n"] == settings.get("fails"):
        raise ValueError("no such number\\nin two lines")
    if settings["n"] == settings.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"twice": 2 * settings["n"], "process": os.getpid()}
'''


@pytest.fixture
def points(tmp_path, monkeypatch):
    """The module; in a folder of its own on the path."""
    folder = tmp_path / "points"
    folder.mkdir()
    (folder / "tried_points.py").write_text(POINTS)
    monkeypatch.syspath_prepend(folder)
    import tried_points  # noqa: PLC0415

    yield tried_points
    del sys.modules["tried_points"]
