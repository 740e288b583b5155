"""A sweep's file: what it means, and what is refused."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.sweeping.sweep_file import OBJECTIVES, Sweep, shipped

VARY = {"adc.slc_bits": [5, 6]}


def of(**changes):
    return Sweep.of({"scenario": "part-jets", "vary": VARY} | changes, "s", "s.toml")


def test_tables_and_dotted_keys_mean_the_same():
    written = of(vary={"adc": {"slc_bits": [5, 6]}, "mapping": {"slc_rate": {"from": 0, "to": 4}}})
    assert [axis.key for axis in written.axes] == ["adc.slc_bits", "mapping.slc_rate"]
    assert written.axes[:1] == of().axes


def test_patterns_keep_their_quotes():
    written = of(vary={"mapping": {"slc_rates": {"*.fc1": [0.1, 0.2]}}})
    assert written.axes[0].key == 'mapping.slc_rates."*.fc1"'


def test_common_settings_name_the_scenario():
    assert of(set={"workload": {"count": 2}}).common == {
        "scenario": "part-jets",
        "workload.count": 2,
    }


def test_objectives_are_columns_of_the_table():
    found = of(answers=["visits"], objectives={"area_mm2": {"used": "min"}, "macs": "max"})
    assert found.objectives == {"area_mm2.used": "min", "macs": "max"}
    assert found.answers == ("visits", "area_mm2.used", "macs")
    assert of().objectives == OBJECTIVES


def test_a_path_starts_from_the_files_folder(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'scenario = "jets.toml"\n[set]\nworkload.file = "mine.parquet"\n'
        '[vary]\nchip.preset = ["isaac", "tall.toml"]\n'
    )
    found = Sweep.load(file)
    assert found.title == "mine"
    assert found.common == {
        "scenario": str(tmp_path / "jets.toml"),
        "workload.file": str(tmp_path / "mine.parquet"),
    }
    assert found.axes[0].choices == ["isaac", str(tmp_path / "tall.toml")]


@pytest.mark.parametrize("name", shipped())
def test_those_that_come_with_hyflexsim_have_points(name):
    assert len(Sweep.load(name).points()) > 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scenario": 3}, "scenario must be a text; got 3"),
        ({"vary": {}}, "vary must have a key at least"),
        ({"vary": {"adc.slc_bits": []}}, "adc.slc_bits must have a value at least"),
        ({"vary": [1]}, "vary must be a table of keys, with lists or ranges"),
        ({"varry": {}}, "unknown key 'varry'; nearest: vary"),
        ({"set": {"adc.slc_bits": 4}}, "adc.slc_bits must be in one of set and vary"),
        ({"design": {"kind": "gird"}}, "design.kind must be grid, random, latin or optuna"),
        ({"design": {"kind": "latin"}}, "design.points must be given for latin"),
        ({"design": {"points": 3}}, "design.points goes with random, latin or optuna"),
        (
            {"design": {"kind": "random", "points": 10**9}},
            "design.points must be an integer from 1",
        ),
        ({"objectives": {"visits": "least"}}, "objectives.visits must be min or max; got 'least'"),
        ({"vary": {"a": [object()]}}, "vary.a must be a number, a text"),
        ({"answers": []}, "answers must be a list of answers"),
        ({"vary": {f"k{i}": {"from": 1, "to": 1000} for i in range(3)}}, "got 1,000,000,000"),
    ],
)
def test_refusals_are_one_line_with_the_file(changes, words):
    with pytest.raises(InputError) as refused:
        of(**changes)
    assert str(refused.value).startswith("s.toml: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match="nearest names: latency-area"):
        Sweep.load("latency-arae")
