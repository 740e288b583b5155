"""Where files for the next start are kept, and how they get there."""

import os
from pathlib import Path

import pytest

from hyflexsim.sim import cache


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ("HYFLEXSIM_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


@pytest.mark.parametrize(
    ("platform", "name", "folder"),
    [
        ("linux", None, "HOME/.cache/hyflexsim"),
        ("linux", "XDG_CACHE_HOME", "GIVEN/hyflexsim"),
        ("darwin", None, "HOME/Library/Caches/hyflexsim"),
        ("darwin", "XDG_CACHE_HOME", "HOME/Library/Caches/hyflexsim"),
        ("win32", None, "HOME/AppData/Local/hyflexsim"),
        ("win32", "LOCALAPPDATA", "GIVEN/hyflexsim"),
        ("darwin", "HYFLEXSIM_CACHE", "GIVEN"),
        ("win32", "HYFLEXSIM_CACHE", "GIVEN"),
        ("linux", "HYFLEXSIM_CACHE", "GIVEN"),
    ],
)
def test_the_folder_of_each_platform(monkeypatch, tmp_path, platform, name, folder):
    monkeypatch.setattr(cache.sys, "platform", platform)
    if name:
        monkeypatch.setenv(name, str(tmp_path / "given"))
    expected = folder.replace("HOME", str(tmp_path)).replace("GIVEN", str(tmp_path / "given"))
    assert cache.cache_folder() == Path(expected)


def test_a_file_is_written_whole_into_folders_that_are_made(tmp_path):
    path = tmp_path / "a/b/c.bin"
    cache.write_whole(path, b"one")
    cache.write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["c.bin"]


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path):
    path = tmp_path / "c.bin"
    cache.write_whole(path, b"one")
    with pytest.raises(TypeError):
        cache.write_whole(path, "no bytes")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["c.bin"]
