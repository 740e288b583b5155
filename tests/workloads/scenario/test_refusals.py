"""What pydantic complains about, in one line of the file's own words."""

from typing import Annotated

import pytest
from pydantic import ValidationError

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.refusals import find_file, refusal
from hyflexsim.workloads.scenario.schema import MOVED, Accuracy, Section, Seed, allows


class Inner(Section):
    """A table."""

    size: Annotated[int, allows("an integer from 1", ge=1)] = 1
    seed: Seed | None = None


class Outer(Section):
    """The root."""

    title: str = ""
    inner: Inner = Inner()


def complaint(content, changed=(), root=Outer):
    with pytest.raises(ValidationError) as caught:
        root.model_validate(content)
    return str(refusal(root, "my.toml", caught.value, changed))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"inner": {"size": 0}}, "my.toml: inner.size must be an integer from 1; got 0"),
        ({"inner": {"size": "1"}}, "my.toml: inner.size must be an integer from 1; got '1'"),
        ({"inner": {"seed": -1}}, "my.toml: inner.seed must be an integer from 0; got -1"),
        ({"inner": {"sise": 1}}, "my.toml: unknown key 'inner.sise'; nearest: size"),
        ({"outer": 1}, "my.toml: unknown key 'outer'; known: title, inner"),
        ({"inner": 1}, "my.toml: inner must be a table; got 1"),
        ({"title": 1}, "my.toml: title must be a text; got 1"),
    ],
)
def test_one_line_with_key_and_what_is_allowed(content, message):
    assert complaint(content) == message


def test_what_set_changed_is_its_own():
    bad = {"inner": {"size": 0}}
    assert complaint(bad, ["inner.size"]).startswith("--set: inner.size")
    assert complaint(bad, ["inner"]).startswith("--set: inner.size")
    assert complaint(bad, ["inner.seed"]).startswith("my.toml: inner.size")
    assert complaint({"inner": 1}, ["inner.size"]).startswith("--set: inner must")


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("sigma", ["chip", None], "a list of chip, released, calibrated, calibrated-bit or number"),
        ("sigma", [], "a list of chip"),
        ("seeds", 0, "an integer from 1 to 1000"),
        ("select", "best", "gradient, gradient-last, rank, saliency or magnitude"),
        ("limit", 0, "an integer from 1 to 1000000"),
    ],
)
def test_tables_of_accuracy(key, value, allowed):
    assert complaint({key: value}, root=Accuracy).startswith(f"my.toml: {key} must be {allowed}")


@pytest.mark.parametrize("key", MOVED)
def test_what_describes_the_device_is_the_chips_now(key):
    assert complaint({key: 1}, root=Accuracy) == f"my.toml: accuracy.{key} is {MOVED[key]} now"


def test_files_by_name_or_path(tmp_path):
    (tmp_path / "alpha.toml").touch()
    (tmp_path / "beta.toml").touch()
    assert find_file("thing", "alpha", tmp_path) == tmp_path / "alpha.toml"
    path = tmp_path / "beta.toml"
    assert find_file("thing", path, tmp_path / "none") == path
    with pytest.raises(InputError) as caught:
        find_file("thing", "alpa", tmp_path)
    assert str(caught.value) == (
        "thing must be a name or a .toml file; got 'alpa'; nearest names: alpha"
    )
    with pytest.raises(InputError, match=r"nearest names: alpha, beta$"):
        find_file("thing", "zzz", tmp_path)
