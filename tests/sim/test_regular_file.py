"""Files are read; what has no end is not."""

import os

import pytest

from hyflexsim.sim.regular_file import regular


def test_a_file_by_itself_and_behind_a_link(tmp_path):
    file, link = tmp_path / "a", tmp_path / "b"
    file.write_text("a")
    link.symlink_to(file)
    assert regular(file).read_text() == regular(link).read_text() == "a"
    assert regular(tmp_path) == tmp_path


def test_what_is_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        regular(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="must be a file; a device or a pipe is none"):
        regular(tmp_path / "pipe")
