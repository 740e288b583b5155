"""Files of pictures and reports: whole, or not there."""

import pytest

from hyflexsim.analysis.whole_file import whole
from hyflexsim.sim.errors import InputError


def test_a_file_takes_its_place_at_the_end(tmp_path):
    place = tmp_path / "x.png"
    place.write_text("old")
    with whole(place) as made:
        assert made.name == "x.png"
        made.write_text("new")
        assert place.read_text() == "old"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.png", "new")]


def test_nothing_is_left_of_a_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), whole(tmp_path / "x") as made:
        made.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x", "none/x"])
def test_a_full_disk_and_a_missing_folder_are_one_line(tmp_path, name):
    with pytest.raises(InputError) as error, whole(tmp_path / name):
        raise OSError(28, "No space left on device")
    said = "No space left on device" if name == "x" else "No such file or directory"
    assert str(error.value) == f"{tmp_path / name}: {said}"
    assert list(tmp_path.iterdir()) == []
