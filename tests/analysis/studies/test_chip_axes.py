"""Along which axes chips differ."""

from hyflexsim.analysis.studies.chip_axes import chip_axes


def test_parameters_that_go_together_are_one_axis_and_others_are_not():
    chips = {
        "own": {"a.x": 6, "a.y": 7, "a.sign": "biased", "b.x": 64},
        "one": {"a.x": 10, "a.y": 11, "a.sign": "biased", "b.x": 64},
        "two": {"a.x": 10, "a.y": 11, "a.sign": "differential", "b.x": 128},
        "three": {"a.x": 10, "a.y": 11, "a.sign": "biased", "b.x": 128},
    }
    axes = chip_axes(chips)
    assert [axis.name for axis in axes] == ["a.x:y", "sign", "b.x"]
    assert [axis.values for axis in axes] == [
        ["6:7", "10:11"],  # by size, not by letter
        ["biased", "differential"],
        ["64", "128"],
    ]
    assert axes[1].of == dict(
        zip(chips, ("biased", "biased", "differential", "biased"), strict=True)
    )


def test_chips_that_were_not_varied_have_no_axes():
    assert chip_axes({"hyflexpim": {}}) == []
    assert chip_axes({}) == []
