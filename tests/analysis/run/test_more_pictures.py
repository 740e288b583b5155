"""Pictures that are drawn when asked for: their names, and which of them a run can have."""

import dataclasses

import pytest

from hyflexsim.analysis import draw_more, load
from hyflexsim.analysis.run.report import MORE, possible
from hyflexsim.sim.errors import InputError


@pytest.mark.parametrize("name", ["x.png", "power.jpg", "timeline"])
def test_only_pictures_that_there_are(bert_dir, name):
    said = (
        "picture must be one of power, waiting, busy, energy_flow, floor, wear, roofline, "
        f"or with .svg or .pdf; got '{name}'"
    )
    with pytest.raises(InputError, match=said.replace(".", r"\.")):
        draw_more(load(bert_dir), [name])


def test_a_picture_is_a_png_or_what_its_suffix_says(bert_dir, tmp_path):
    run = dataclasses.replace(load(bert_dir), path=tmp_path)
    made = draw_more(run, ["floor", "floor.svg"])
    assert made == [tmp_path / "floor.png", tmp_path / "floor.svg"]
    assert made[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in made[1].read_bytes()


def test_what_a_run_has_nothing_for_is_left_out(bert_dir):
    run = load(bert_dir)
    assert set(MORE) - set(possible(run)) == {"wear.png"}  # the toy writes no cells
    part = dataclasses.replace(run, trace=run.trace[1:], summary=run.summary | {"macs": 0})
    assert set(MORE) - set(possible(part)) == {"wear.png", "power.png", "roofline.png"}
