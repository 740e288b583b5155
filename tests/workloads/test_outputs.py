"""Outputs are whole or absent, and of one process at a time."""

import errno
import os
import resource
import signal
import subprocess
import sys

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import outputs
from hyflexsim.workloads.outputs import check_folder, new_file, new_folder, owned

MARKS = ("summary.json",)
HOLD = """
import sys
from hyflexsim.workloads.outputs import owned
with owned({path!r}) as output, output.new() as made:
    made.mkdir()
    (made / "half").write_text("half")
    print("held", flush=True)
    sys.stdin.read()
"""


class StoppedError(Exception):
    """Whatever goes wrong."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def other(tmp_path):
    """Another process that owns a path of the folder and has written half of it."""
    made = []

    def hold(name):
        code = HOLD.format(path=str(tmp_path / name))
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        made.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in made:
        process.kill()
        process.communicate()


def test_a_folder_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "run"
    with new_folder(out, MARKS) as folder:
        assert folder.name == "run"
        (folder / "summary.json").write_text("new")
        assert not out.exists()
    assert names(out) == ["summary.json"]
    assert names(out.parent) == ["run"]


@pytest.mark.parametrize("blow", [KeyboardInterrupt, StoppedError, PermissionError])
def test_what_fails_leaves_nothing(tmp_path, blow):
    with pytest.raises(blow), new_folder(tmp_path / "deep" / "run", MARKS) as folder:
        (folder / "summary.json").touch()
        raise blow
    assert names(tmp_path) == []


def test_what_fails_leaves_the_older_one(tmp_path):
    for text in ("old", "new"):
        with new_folder(tmp_path / "run", MARKS) as folder:
            (folder / "summary.json").write_text(text)
    with pytest.raises(StoppedError), new_folder(tmp_path / "run", MARKS) as folder:
        (folder / "other").touch()
        raise StoppedError
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "summary.json").read_text() == "new"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "must name a folder; got '.'"),
        ("..", "must name a folder; got '..'"),
        ("thesis", "must be a new folder or a run directory; thesis is neither"),
        ("file", "must be a new folder or a run directory; file is a file"),
        ("x" * 300, "cannot be written: File name too long"),
        ("file/run", "file/run: cannot be written: Not a directory"),
    ],
)
def test_where_no_folder_may_be_written(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught, new_folder(path, MARKS):
        pass
    assert message in str(caught.value)
    assert names(tmp_path) == ["file", "thesis"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "must name a file; got '.'"),
        ("folder", "must name a file; got 'folder'"),
        ("nosuch/x.csv", "nosuch/x.csv: no such folder as nosuch"),
        ("x" * 300, "cannot be written: File name too long"),
        ("other.csv", "other.csv: holds something else; name a new file"),
        ("folder/pipe", "folder/pipe: holds something else; name a new file"),
    ],
)
def test_where_no_file_may_be_written(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "pipe")
    (tmp_path / "other.csv").write_text("years of work")
    with (
        pytest.raises(InputError) as caught,
        new_file(path, lambda path: path.read_bytes().startswith(b"layer")) as file,
    ):
        file.write_text("layer")
    assert message in str(caught.value)
    assert names(tmp_path) == ["folder", "other.csv"]
    assert (tmp_path / "other.csv").read_text() == "years of work"


def test_a_file_of_the_same_kind_is_replaced(tmp_path):
    for text in ("layer 1", "layer 2"):
        with new_file(
            tmp_path / "x.csv", lambda path: path.read_bytes().startswith(b"layer")
        ) as file:
            file.write_text(text)
    assert names(tmp_path) == ["x.csv"]
    assert (tmp_path / "x.csv").read_text() == "layer 2"


@pytest.mark.parametrize("planted", ["x.csv", ".x.partial.csv", ".hyflexsim-x.csv.lock"])
def test_no_link_is_followed(tmp_path, planted):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / planted).symlink_to(victim)
    try:
        with new_file(tmp_path / "x.csv") as file:
            file.write_text("new")
    except InputError as error:
        assert planted.endswith(".lock")
        assert str(error).endswith("x.csv: cannot be written: Too many levels of symbolic links")
    else:
        assert not (tmp_path / "x.csv").is_symlink()
        assert (tmp_path / "x.csv").read_text() == "new"
    assert victim.read_text() == "mine"


def test_a_second_process_is_refused_by_name(tmp_path, other):
    first = other("x")
    with (
        pytest.raises(
            InputError, match=rf"x: another process is writing it \(process {first.pid} "
        ),
        new_folder(tmp_path / "x", MARKS),
    ):
        pass
    with new_folder(tmp_path / "y", MARKS) as folder:
        (folder / "summary.json").touch()
    first.communicate(b"")
    assert names(tmp_path) == ["x", "y"]
    assert names(tmp_path / "x") == ["half"]


def test_a_second_thread_of_control_is_refused_too(tmp_path):
    with owned(tmp_path / "x"), pytest.raises(InputError, match="another process is writing it"):
        owned(tmp_path / "x").__enter__()
    with owned(tmp_path / "x"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["x", "another.csv"])
def test_what_a_killed_process_has_left_is_cleared(tmp_path, other, name):
    """Whatever is written next in the folder; that of a process at work stays."""
    living, killed = other("living"), other("x")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(names(tmp_path)) == 4  # a lock and a folder each
    with owned(tmp_path / name):
        pass
    assert len(names(tmp_path)) == 2
    assert all(left.startswith(".hyflexsim-living.") for left in names(tmp_path))
    living.communicate(b"")
    assert names(tmp_path) == ["living"]


def test_scratch_of_others_is_left_alone(tmp_path, other, monkeypatch):
    killed = other("x")
    killed.kill()
    killed.wait()
    monkeypatch.setattr(outputs.os, "getuid", lambda: 12345)
    with owned(tmp_path / "y"):
        pass
    assert len(names(tmp_path)) == 2


def test_where_there_are_no_locks_nothing_is_cleared(tmp_path, other, monkeypatch):
    killed = other("x")
    killed.kill()
    killed.wait()

    def no_locks(handle, how):
        raise OSError(errno.ENOTSUP, "no locks here")

    monkeypatch.setattr(outputs.fcntl, "flock", no_locks)
    before = [left for left in names(tmp_path) if not left.endswith(".lock")]
    with new_file(tmp_path / "x") as file:
        file.touch()
    assert names(tmp_path) == [*before, "x"]


def test_more_files_come_all_at_once(tmp_path):
    with owned(tmp_path / "x") as output:
        with pytest.raises(StoppedError), output.more() as folder:
            (folder / "a").touch()
            raise StoppedError
        assert not (tmp_path / "x").exists()
        with output.more() as folder:
            (folder / "a").write_text("1")
        with output.more(last="a") as folder:
            (folder / "a").write_text("2")
            (folder / "b").touch()
            assert (tmp_path / "x" / "a").read_text() == "1"
    assert names(tmp_path / "x") == ["a", "b"]
    assert (tmp_path / "x" / "a").read_text() == "2"


def test_the_last_file_says_that_all_are_there(tmp_path, monkeypatch):
    moved = []
    replace = os.replace
    monkeypatch.setattr(outputs.os, "replace", lambda a, b: (moved.append(b.name), replace(a, b)))
    with owned(tmp_path / "x") as output, output.more(last="b") as folder:
        for name in "abc":
            (folder / name).touch()
    assert moved == ["a", "c", "b"]


def test_a_full_disk_is_one_line(tmp_path):
    with (
        pytest.raises(InputError, match=r"x: cannot be written: No space left on device$"),
        new_folder(tmp_path / "x", MARKS) as folder,
    ):
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, "anything that a library says")
    assert names(tmp_path) == []


def test_files_may_not_be_so_large(tmp_path):
    """The system itself says no, in the middle of a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with (
            pytest.raises(InputError, match="x: cannot be written: File too large"),
            new_folder(tmp_path / "x", MARKS) as folder,
        ):
            (folder / "a").write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []


def test_errors_of_other_files_are_not_taken_for_ours(tmp_path):
    with pytest.raises(FileNotFoundError), owned(tmp_path / "x"):
        (tmp_path / "jets.parquet").read_bytes()
    with pytest.raises(BrokenPipeError), owned(tmp_path / "x"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    assert names(tmp_path) == []


def test_a_folder_with_scratch_of_ours_alone_is_empty(tmp_path):
    (tmp_path / ".hyflexsim-abc").mkdir()
    assert check_folder(tmp_path, MARKS) == tmp_path
