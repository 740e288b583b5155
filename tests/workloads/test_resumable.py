"""Stages of a long job are kept, and come back as they were."""

import json

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.resumable import working

SETTINGS = {"recipe": {"name": "x", "train": {"epochs": 3}}, "rates": (0.0, 0.5)}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "deep" / "result"


class StoppedError(Exception):
    """The interruption."""


def interrupted(out, act, settings=SETTINGS, **options):
    with pytest.raises(StoppedError), working(out, settings, **options) as work:
        act(work)
        raise StoppedError


def test_a_fact_is_made_once(out):
    calls = []

    def make():
        calls.append(1)
        return {"a": (1, 2.5)}

    for _ in range(3):
        # a tuple comes back as JSON has it, the first time too
        interrupted(out, lambda work: calls.append(work.fact("f", make) == {"a": [1, 2.5]}))
    assert calls == [1, True, True, True]


def test_the_folder_goes_when_the_job_is_done(out):
    interrupted(out, lambda work: work.fact("f", lambda: 1))
    with working(out, SETTINGS) as work:
        work.path("tensors.pt").touch()
        assert work.fact("f", lambda: 2) == 1
        assert work.folder == out.with_name("result.work")
    assert not out.with_name("result.work").exists()


def test_a_job_that_fails_before_a_stage_leaves_nothing(out, tmp_path):
    interrupted(out, lambda work: None)
    assert list(tmp_path.iterdir()) == []


def test_rows_are_kept_in_order_and_known_by_their_key(out):
    def first(work):
        rows = work.rows(("a", "b"))
        rows.add({"a": 1, "b": "x", "score": 0.1 + 0.2})
        rows.add({"b": "y", "a": 1, "score": 2.0})
        assert {"a": 1, "b": "y"} in rows
        assert {"a": 2, "b": "y"} not in rows

    interrupted(out, first)
    with working(out, SETTINGS) as work:
        rows = work.rows(("a", "b"))
        assert [row["score"] for row in rows.all()] == [0.1 + 0.2, 2.0]
        rows.add({"a": 1, "b": "x", "score": 5.0})
        assert [row["score"] for row in rows.all()] == [5.0, 2.0]


def test_a_row_that_was_half_written_is_made_again(out):
    def begin(work):
        rows = work.rows(("a",))
        rows.add({"a": 1})
        rows.add({"a": 2})

    interrupted(out, begin)
    file = out.with_name("result.work") / "rows.jsonl"
    file.write_text(file.read_text()[:-4])

    def again(work):
        rows = work.rows(("a",))
        assert {"a": 2} not in rows
        rows.add({"a": 2})

    interrupted(out, again)  # the broken line must not spoil the one that follows
    with working(out, SETTINGS) as work:
        assert [row["a"] for row in work.rows(("a",)).all()] == [1, 2]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"recipe": {"name": "x", "train": {"epochs": 4}}}, "recipe.train.epochs"),
        ({"rates": [0.0, 1.0]}, "rates"),
        ({"recipe": {"name": "x"}}, "recipe.train"),
        ({"more": 1}, "more"),
    ],
)
def test_other_settings_are_refused_by_name(out, change, key):
    interrupted(out, lambda work: work.fact("f", lambda: 1))
    with pytest.raises(InputError) as caught, working(out, SETTINGS | change):
        pass
    folder = out.with_name("result.work")
    assert str(caught.value) == (
        f"{folder}: is of an unfinished job with another {key}; finish that one, or start anew "
        "with --fresh"
    )
    assert json.loads((folder / "facts.json").read_text()) == {"f": 1}
    with working(out, SETTINGS | change, fresh=True) as work:
        assert work.fact("f", lambda: 2) == 2


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), working(tmp_path / "file/x", {}):
        pass


@pytest.mark.parametrize("name", ["settings.json", "facts.json", "rows.jsonl"])
@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_one_line(out, name, content):
    def fill(work):
        work.fact("f", lambda: 1)
        work.rows(("a",)).add({"a": 1})

    interrupted(out, fill)
    path = out.with_name("result.work") / name
    path.write_bytes(content + b"\n")
    with pytest.raises(InputError) as caught, working(out, SETTINGS) as work:
        work.rows(("a",))
    assert str(caught.value).startswith(f"{path}: is damaged, ")
    assert str(caught.value).endswith("; delete its folder or start anew with --fresh")
    assert "\n" not in str(caught.value)
    with working(out, SETTINGS, fresh=True) as work:
        assert work.fact("f", lambda: 2) == 2


def test_a_second_job_is_refused_and_harms_nothing(out):
    with working(out, SETTINGS) as work:
        work.fact("f", lambda: 1)
        with pytest.raises(InputError, match="another process is writing it"):
            working(out, SETTINGS, fresh=True).__enter__()
        assert work.path("facts.json").is_file()
