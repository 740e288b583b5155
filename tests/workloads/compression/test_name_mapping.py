"""Mappings of names: what the words in braces stand for, and files that make no sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.name_mapping import Mapping

WORD = st.text("abcxyz_", min_size=1, max_size=5)


@given(st.integers(0, 99), WORD, WORD)
def test_words_in_braces_stand_for_what_is_there(layer, block, part):
    entry = {"matrix": "layers.{l}.{part}", "u": "{l}/{part}/U", "v": "V.{part}.of.{l}"}
    mapping = Mapping.model_validate({"factors": [entry]})
    name = f"{block}.{part}"
    there = {f"{layer}/{name}/U", f"V.{name}.of.{layer}"}
    found = mapping.factors_of(f"layers.{layer}.{name}", there)
    assert {found.u.name, found.v.name} == there
    assert found.sigma is None
    assert mapping.factors_of(f"layers.{layer}.{name}", set()) is None
    assert mapping.factors_of(f"blocks.{layer}.{name}", there) is None


def test_the_first_entry_with_tensors_counts():
    entries = [
        {"parameter": "{path}.weight", "name": "{path}.w"},
        {"parameter": "{path}.weight", "name": "{path}.W", "transpose": True, "scale": 0.5},
    ]
    mapping = Mapping.model_validate({"dense": entries})
    assert mapping.dense_of("a.b.weight", {"a.b.w", "a.b.W"}).transpose is False
    other = mapping.dense_of("a.b.weight", {"a.b.W"})
    assert (other.name, other.transpose, other.scale) == ("a.b.W", True, 0.5)
    assert mapping.dense_of("a.b.bias", {"a.b.W"}) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("factor = 1", "unknown key 'factor'; nearest: factors"),
        ("[[dense]]\nparameter = 'a'", "dense.0: name must be a text; got nothing"),
        (
            "[[dense]]\nparameter = 'a'\nname = 'b'\nscale = 0.0",
            "dense.0: scale must be a number other than 0; got 0.0",
        ),
        (
            "[[factors]]\nmatrix = 'a'\nu = 'u'\nv = 3",
            "factors.0: v must be a name, or a table with name",
        ),
        ("factors = 1", "factors must be a list of tables, [[factors]]; got 1"),
        (
            "[[factors]]\nmatrix = 'a.{i}'\nu = '{i}'\nv = '{j}'",
            "factors.0: {j} of '{j}' must be in 'a.{i}', too",
        ),
    ],
)
def test_files_that_make_no_sense_are_refused(tmp_path, text, says):
    (tmp_path / "names.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        Mapping.load(tmp_path / "names.toml")
    assert str(caught.value).startswith("names.toml: ")
    assert says in str(caught.value)
