"""Finished points stay, whatever happens."""

import errno
import json

import pyarrow.parquet as pq
import pytest

from hyflexsim.models.whole_file import SCRATCH
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.done import Done
from hyflexsim.workloads.sweeping import results as module
from hyflexsim.workloads.sweeping.results import FullError, results

JOB = {"title": "t", "points": {"vary": {"k": [1, 2, 3]}, "design": {"seed": 0}}}


def done(point, **answers):
    return Done(point, answers or {"twice": 2 * point, "word": "w"}, None, 0.5, 10.0)


def add(kept, *points):
    kept.add([done(point) for point in points], {point: {"k": point + 1} for point in points})


@pytest.fixture
def out(tmp_path):
    return tmp_path / "deep" / "sweep"


def test_points_come_back(out):
    with results(out, JOB) as kept:
        add(kept, 2)
        add(kept, 0, 1)
    with results(out, JOB) as kept:
        assert [row["point"] for row in kept.rows()] == [0, 1, 2]
        assert kept.rows()[2] == {
            **{"point": 2, "k": 3, "twice": 4.0, "word": "w"},
            **{"seconds": 0.5, "peak_mb": 10.0, "error": None},
        }
        assert 1 in kept
        assert 3 not in kept


def test_the_end_is_one_table_in_order(out):
    with results(out, JOB) as kept:
        add(kept, 1)
        add(kept, 0)
        kept.finish()
    assert sorted(path.name for path in out.iterdir()) == ["points.parquet", "sweep.json"]
    table = pq.read_table(out / "points.parquet")
    assert table.column("point").to_pylist() == [0, 1]
    assert table.column_names[-3:] == ["seconds", "peak_mb", "error"]


def test_many_parts_become_one(out, monkeypatch):
    monkeypatch.setattr(module, "MERGE", 3)
    with results(out, JOB) as kept:
        for point in range(10):
            add(kept, point)
        assert len(list((out / "parts").iterdir())) == 4  # 3 of three points, 1 of one
        assert len(kept.rows()) == 10
    with results(out, JOB) as kept:
        assert [row["point"] for row in kept.rows()] == list(range(10))


def test_another_sweep_is_refused_by_the_key_that_differs(out):
    with results(out, JOB) as kept:
        add(kept, 0)
    other = {**JOB, "points": {**JOB["points"], "design": {"seed": 1}}}
    with pytest.raises(InputError, match=r"another design\.seed; give --out"), results(out, other):
        pass
    with results(out, other, fresh=True) as kept:
        assert kept.rows() == []
        add(kept, 0)


def test_another_title_is_the_same_sweep(out):
    with results(out, JOB) as kept:
        add(kept, 0)
    with results(out, {**JOB, "title": "new"}) as kept:
        assert len(kept.rows()) == 1
    assert json.loads((out / "sweep.json").read_text())["title"] == "new"


def test_a_sweep_without_a_point_leaves_nothing(out, tmp_path):
    with pytest.raises(ZeroDivisionError), results(out, JOB):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_are_left_alone(out):
    out.mkdir(parents=True)
    (out / "thesis.tex").touch()
    with (
        pytest.raises(InputError, match="must be a new folder or that of a sweep"),
        results(out, JOB),
    ):
        pass
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_second_writer_is_refused_by_name(out):
    with results(out, JOB) as kept:
        add(kept, 0)
        with pytest.raises(InputError, match=r"another process is writing it \(process \d+ on "):
            results(out, JOB).__enter__()
        add(kept, 1)
    with results(out, JOB) as kept:
        assert len(kept.rows()) == 2


class Disk:
    """A writer of tables with room for so many, and a reserve worth `more` when it is deleted."""

    def __init__(self, monkeypatch, out, room, more=100):
        self.room, self.more, self.out = room, more, out
        self.real = module.pq.write_table
        monkeypatch.setattr(module.pq, "write_table", self.write)

    def write(self, table, path, **options):
        if not (self.out / module.RESERVE).exists():
            self.room, self.more = self.room + self.more, 0
        if self.room == 0:
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= 1
        self.real(table, path, **options)


def test_a_full_disk_loses_no_finished_point(out, monkeypatch):
    with results(out, JOB) as kept:
        Disk(monkeypatch, out, room=2)
        add(kept, 0)
        add(kept, 1)
        with pytest.raises(FullError, match=r"No space left.*all 3 finished points are kept"):
            add(kept, 2)
    monkeypatch.undo()
    with results(out, JOB) as kept:
        assert [row["point"] for row in kept.rows()] == [0, 1, 2]
    assert not list(out.rglob("*.partial"))


def test_a_disk_without_any_room_says_what_is_lost(out, monkeypatch):
    with results(out, JOB) as kept:
        Disk(monkeypatch, out, room=1, more=0)
        add(kept, 0)
        with pytest.raises(
            FullError, match="1 points that had finished are lost, all others are kept"
        ):
            add(kept, 1)
    monkeypatch.undo()
    with results(out, JOB) as kept:
        assert [row["point"] for row in kept.rows()] == [0]


def test_a_disk_that_is_full_at_the_end_keeps_the_parts(out, monkeypatch):
    with (
        pytest.raises(InputError, match="cannot be written: No space left"),
        results(out, JOB) as kept,
    ):
        add(kept, 0)
        add(kept, 1)
        Disk(monkeypatch, out, room=0, more=0)
        kept.finish()
    monkeypatch.undo()
    assert not (out / "points.parquet").exists()
    with results(out, JOB) as kept:
        assert len(kept.rows()) == 2
        kept.finish()
        assert (out / "points.parquet").exists()


def test_a_torn_part_is_run_again(out):
    with results(out, JOB) as kept:
        add(kept, 0)
        add(kept, 1)
    (out / "parts" / "000000001.parquet").write_bytes(b"PAR1 and then the power went")
    with results(out, JOB) as kept:
        assert [row["point"] for row in kept.rows()] == [0]
        add(kept, 1)
        assert len(kept.rows()) == 2


def test_what_a_killed_writer_left_does_not_stop_the_end(out):
    with results(out, JOB) as kept:
        add(kept, 0)
    torn = out / "parts" / f"{SCRATCH}a1b2"
    torn.mkdir()
    (torn / "000000001.parquet").write_bytes(b"PAR1 and no more")
    with results(out, JOB) as kept:
        assert not torn.exists()
        add(kept, 1)
        kept.finish()
    assert not (out / "parts").exists()
    assert pq.read_table(out / "points.parquet").column("point").to_pylist() == [0, 1]


def test_texts_among_numbers_make_a_column_of_texts(out):
    with results(out, JOB) as kept:
        kept.add([done(0), done(1)], {0: {"k": "auto"}, 1: {"k": 2}})
        kept.finish()
    assert pq.read_table(out / "points.parquet").column("k").to_pylist() == ["auto", "2"]


def test_failed_points_can_be_forgotten(out):
    with results(out, JOB) as kept:
        add(kept, 0)
        kept.add([Done(1, {}, "no room", 0.1, 1.0)], {1: {"k": 2}})
        kept.finish()
    with results(out, JOB) as kept:
        assert kept.failed() == [1]
        kept.forget(kept.failed())
        assert 1 not in kept
    with results(out, JOB) as kept:
        assert [row["point"] for row in kept.rows()] == [0]
