"""Pictures of sweeps: the numbers drawn, nothing on top of each other, equal bytes."""

import json

import numpy as np
import pandas as pd
import pytest

from hyflexsim import analysis
from hyflexsim.analysis.sweeps.report import PICTURES
from hyflexsim.sim.errors import InputError

LONG = "A sweep over everything that a chip has and a mapping may be, drawn on one page, " * 2
AIMS = {"latency_ps.p99": "min", "energy_per_request_pj": "min"}


def write(folder, settings, objectives, title="A sweep", fails=0, seed=0):
    """Points whose answers follow from their settings, and chance."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame(settings)
    count = len(frame)
    frame.insert(0, "point", range(count))
    codes = [pd.factorize(frame[name])[0] + 1.0 for name in settings]
    for place, name in enumerate(objectives):
        own = codes[place % len(codes)]
        frame[name] = (
            10.0 ** (4 + place) * own ** (1 - 2 * (place % 2)) * (1 + 0.5 * chance.random(count))
        )
    frame["bound.kind"] = "bank"
    frame["seconds"], frame["peak_mb"] = 0.5, 90.0
    frame["error"] = [None] * (count - fails) + ["too small"] * fails
    frame.loc[frame["error"].notna(), list(objectives)] = np.nan
    folder.mkdir()
    frame.to_parquet(folder / "points.parquet")
    info = {"format": "hyflexsim-sweep-1", "title": title, "settings": list(settings), "points": {}}
    info["linear"] = [name for name in settings if "number" in name]
    info |= {"answers": [*objectives, "bound.kind"], "objectives": objectives}
    (folder / "sweep.json").write_text(json.dumps(info))
    return folder


def grid(**axes):
    columns = np.meshgrid(*(np.arange(len(values)) for values in axes.values()))
    return {
        name: [values[i] for i in column.ravel()]
        for (name, values), column in zip(axes.items(), columns, strict=True)
    }


def many(count, keys):
    chance = np.random.default_rng(3)
    words = ["hyflexpim", "hyflexpim-slc", "near-memory processing"]
    found = {f"analog.registers.number_{k}": chance.random(count).tolist() for k in range(keys - 2)}
    found["analog.read_cycle"] = [f"{n:.4g} ns" for n in 10 ** chance.uniform(0, 3, count)]
    found["chip.preset"] = [words[i] for i in chance.integers(0, 3, count)]
    return found


CASES = {
    "a grid": (grid(**{"adc.slc_bits": [4, 5, 6], "mapping.slc_rate": [0.1, 0.5, 1.0]}), AIMS),
    "one setting": (grid(**{"adc.slc_bits": [4, 5, 6]}), AIMS),
    "one point": (grid(**{"adc.slc_bits": [4]}), AIMS),
    "one objective": (grid(**{"adc.slc_bits": [4, 5], "k": [True, False]}), {"visits": "min"}),
    "three objectives": (
        grid(**{"mapping.copies": ["none", "fill", "2"], "mapping.slc_rate": [0.1, 0.5, 1.0]}),
        AIMS | {"tops.per_w": "max"},
    ),
    "many settings": (many(300, 9), AIMS),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweeps")
    made = {
        name: write(root / name.replace(" ", "-"), settings, objectives)
        for name, (settings, objectives) in CASES.items()
    }
    settings, objectives = CASES["a grid"]
    made["failures"] = write(root / "failures", settings, objectives, LONG, fails=3)
    return made


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("case", [*CASES, "failures"])
def test_no_text_on_text_and_none_cut_off(folders, case, name, legible):
    legible(PICTURES[name](analysis.load_sweep(folders[case])).figure)


def test_the_front_is_red_and_the_rest_grey(folders):
    swept = analysis.load_sweep(folders["a grid"])
    (ax, *_) = analysis.front_plot(swept)
    dots = {line.get_color(): line for line in ax.lines if line.get_marker() == "o"}
    front = swept.front()
    shown = dots["#B2182B"].get_xdata()
    assert len(shown) == front.sum()
    wanted = swept.good["latency_ps.p99"].to_numpy()[front]
    ratio = shown / wanted
    assert ratio == pytest.approx(ratio[0])  # in other units
    assert len(dots["#B4B4B4"].get_xdata()) == (~front).sum()


def test_headings_count_what_failed_and_what_is_left_out(folders, texts_of):
    def heading(case, draw):
        found = draw(folders[case])
        while isinstance(found, list):
            found = found[0]
        return texts_of(found.figure)[-1][0] + found.figure.get_suptitle()

    assert "6 points, 3 failed" in heading("failures", analysis.front_plot)
    assert "the 6 of 9 settings" in heading("many settings", analysis.multiples_plot)


def test_drawn_twice_gives_equal_bytes(folders):
    first = {path.name: path.read_bytes() for path in analysis.draw_sweep(folders["a grid"])}
    again = {path.name: path.read_bytes() for path in analysis.draw_sweep(folders["a grid"])}
    assert first == again
    assert list(first) == list(PICTURES)


def test_a_sweep_without_answers_is_refused(tmp_path):
    folder = write(tmp_path / "s", CASES["one point"][0], AIMS, fails=1)
    with pytest.raises(InputError, match="no point has answers to draw: too small"):
        analysis.draw_sweep(folder)
