"""Checkpoints by name or path, and what is refused."""

import json

import pytest

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario import checkpoints


def test_checkpoints_that_are_none(tmp_path, checkpoint):
    with pytest.raises(InputError, match=r"^checkpoint must be a folder made by hyflexsim compre"):
        checkpoints.find_checkpoint(tmp_path / "none")
    (tmp_path / "model.pt").touch()
    with pytest.raises(InputError, match=r"got '.*model\.pt'$"):
        checkpoints.find_checkpoint(tmp_path / "model.pt")
    with pytest.raises(ModelError, match="pickled checkpoints are not read"):
        checkpoints.read_about(checkpoints.find_checkpoint(tmp_path))
    assert checkpoints.find_checkpoint(checkpoint) == checkpoint
    entry = read_ranks(checkpoint)
    entry["about"].pop("config")
    (tmp_path / "ranks.json").write_text(json.dumps(entry))
    with pytest.raises(InputError, match=r"ranks\.json lacks about\.config; make it by"):
        checkpoints.read_about(tmp_path)


def test_shipped_checkpoints_are_found_by_name(monkeypatch, checkpoint):
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", checkpoint.parent)
    assert checkpoints.shipped() == ("tiny",)
    assert checkpoints.find_checkpoint("tiny") == checkpoint
    with pytest.raises(InputError, match="or one of tiny; got 'tinny'"):
        checkpoints.find_checkpoint("tinny")
