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


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where this user's files lie, in a cache of the test's own."""
    monkeypatch.setenv("HYFLEXSIM_CACHE", str(tmp_path / "cache"))
    cache.note.cache_clear()
    return tmp_path / "cache" / f"user-{os.getuid()}"


def test_what_is_kept_is_read_again_by_its_name_alone(folder):
    assert cache.read("a") is None
    cache.keep("a", b"one")
    cache.keep("a", b"two")
    assert cache.read("a") == b"two"
    assert os.listdir(folder) == ["a"]
    (folder / "a").rename(folder / "b")  # the content of another name
    assert cache.read("b") is None


@pytest.mark.parametrize("at", [0, 31, 32, 34])
def test_what_is_edited_or_cut_is_not_believed(folder, at):
    cache.keep("a", b"one")
    whole = (folder / "a").read_bytes()
    (folder / "a").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert cache.read("a") is None
    (folder / "a").write_bytes(whole[:at])
    assert cache.read("a") is None


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_others_may_write_to_nothing_that_is_kept(folder, umask):
    old = os.umask(umask)
    try:
        cache.keep("a", b"one")
    finally:
        os.umask(old)
    assert cache.read("a") == b"one"
    assert [path.stat().st_mode & 0o077 for path in (folder, folder / "a")] == [0, 0]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_to_is_made_anew_with_one_note(folder, mode, capsys):
    cache.keep("a", b"one")
    (folder / "a").chmod(mode)
    assert cache.read("a") is cache.read("a") is None
    note = f"note: {folder / 'a'} is made anew: others own it or may write to it\n"
    assert capsys.readouterr() == ("", note)
    cache.keep("a", b"one")
    assert cache.read("a") == b"one"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_left_for_the_platforms(
    folder, tmp_path, mode, capsys
):
    cache.keep("a", b"planted")
    folder.chmod(mode)
    assert cache.read("a") is None
    cache.keep("a", b"one")
    assert cache.read("a") == b"one"
    assert (tmp_path / ".cache" / "hyflexsim" / folder.name / "a").is_file()
    note = f"note: {folder} is not used as a cache: others own it or may write to it\n"
    assert capsys.readouterr() == ("", note)


def test_links_are_not_followed(folder, tmp_path, capsys):
    cache.keep("a", b"one")
    (folder / "a").rename(tmp_path / "elsewhere")
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    assert cache.read("a") is None
    folder.rename(tmp_path / "folder")
    folder.symlink_to(tmp_path / "folder")
    cache.keep("a", b"two")
    assert (tmp_path / "elsewhere").read_bytes().endswith(b"one")
    assert "is not used as a cache" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("owner", "mode", "believed"),
    [(0, 0o755, True), (1000, 0o700, True), (1001, 0o700, False), (1000, 0o770, False)],
)
def test_ours_or_roots_and_not_writable_for_others(monkeypatch, owner, mode, believed):
    monkeypatch.setattr(cache.os, "getuid", lambda: 1000)
    found = os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    assert cache._ours_alone(found) is believed


def test_a_cache_that_cannot_be_is_one_plain_note(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HYFLEXSIM_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache.note.cache_clear()
    for name in "ab":
        cache.keep(name, b"one")
        assert cache.read(name) is None
    root = tmp_path / "file"
    assert capsys.readouterr().err.splitlines() == [
        f"note: no cache in {root / 'below'}: Not a directory",
        f"note: no cache in {root / 'hyflexsim'}: Not a directory",
    ]


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path):
    path = tmp_path / "c.bin"
    cache.write_whole(path, b"one")
    with pytest.raises(TypeError):
        cache.write_whole(path, "no bytes")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["c.bin"]
