"""Whatever is wrong with a TOML file is one line."""

import codecs

import pytest

from hyflexsim.sim import toml_file
from hyflexsim.sim.errors import InputError


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        toml_file.read(path)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}: ")


def test_a_byte_order_mark_is_no_content(tmp_path):
    (tmp_path / "a.toml").write_bytes(codecs.BOM_UTF8 + b"a = 1\n")
    assert toml_file.read(tmp_path / "a.toml") == {"a": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = " + b"[" * 5000 + b"]" * 5000, "tables and lists must be at most 64 deep"),
        (b".".join([b"a"] * 5000) + b" = 1", "tables and lists must be at most 64 deep"),
        (codecs.BOM_UTF16_LE + "a = 1".encode("utf-16-le"), "it must be UTF-8; byte 0 is not"),
        ("a = 'é'".encode("latin-1"), "it must be UTF-8; byte 5 is not"),
    ],
)
def test_what_cannot_be_read(tmp_path, content, said):
    assert refused(tmp_path / "a.toml", content) == f"cannot be read as TOML: {said}"


def test_a_statement_that_is_none(tmp_path):
    assert refused(tmp_path / "a.toml", b"a = [").startswith("cannot be read as TOML: ")


def test_no_file(tmp_path):
    with pytest.raises(InputError) as error:
        toml_file.read(tmp_path / "a.toml", "a.toml")
    assert str(error.value) == "a.toml: No such file or directory"


def test_as_deep_as_allowed(tmp_path):
    deep = "a = " + "[" * 62 + "]" * 62
    (tmp_path / "a.toml").write_text(deep, encoding="utf-8")
    assert "a" in toml_file.read(tmp_path / "a.toml")
