"""A file is whole or absent, also where another library writes it."""

import errno
import resource

import pytest
import torch
from safetensors.torch import save_file

from hyflexsim.models.saver import save_state
from hyflexsim.models.whole_file import whole


@pytest.fixture
def small():
    """Files may be as long as 1000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("write", [save_file, save_state])
def test_a_full_disk_is_an_oserror(tmp_path, small, write):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(OSError) as caught, whole(path) as scratch:
        write({"a": torch.zeros(1000)}, scratch)
    assert caught.value.errno == errno.EFBIG
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "x").symlink_to(tmp_path / "victim")
    with whole(tmp_path / "x") as scratch:
        scratch.write_text("new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "x").is_symlink()
