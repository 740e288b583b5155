"""Checkpoints that come with hyflexsim: small, whole, and as right as they say."""

import pytest

from hyflexsim.models.cells.on_chip import matrices
from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.workloads.compression import recipe
from hyflexsim.workloads.compression.judged_models import open_checkpoint, score
from hyflexsim.workloads.extraction.ranks import exact_ops
from hyflexsim.workloads.run.prepare import checkpoint_graph
from hyflexsim.workloads.scenario.checkpoints import (
    CHECKPOINTS,
    find_checkpoint,
    read_about,
    shipped,
)


def test_all_together_are_small():
    sizes = [file.stat().st_size for file in CHECKPOINTS.rglob("*") if file.is_file()]
    assert sum(sizes) <= 25e6


@pytest.mark.parametrize("name", shipped())
def test_a_checkpoint_and_its_graph_agree(name):
    folder = find_checkpoint(name)
    about, layers = read_about(folder), read_ranks(folder)["layers"]
    assert about["recipe"]["name"] in recipe.shipped()
    graph = checkpoint_graph(name)
    prefix = graph.graph["prefix"]
    gemv = {op.split("@")[0]: data for op, data in graph.nodes(data=True) if data["kind"] == "gemv"}
    found = {f"{prefix}{op}": data["rank"] for op, data in gemv.items() if data["rank"] is not None}
    assert found == {path: layer["rank"] for path, layer in layers.items()}
    opened = open_checkpoint(folder)
    on_cells = {path.removeprefix(prefix) for path in matrices(opened.model)}
    assert on_cells == gemv.keys() - {op.split("@")[0] for op in exact_ops(graph)}


@pytest.mark.parametrize("name", [n for n in shipped() if n in ("vit-digits", "part-jets")])
def test_a_score_is_the_one_it_says(name):
    # text of pydoc differs from Python to Python; digits and jets do not
    opened = open_checkpoint(find_checkpoint(name))
    expected = read_about(find_checkpoint(name))["scores"]["fine-tuned"]
    got = score(opened.model, opened.task)
    assert got == pytest.approx(expected, abs=3 / 355)  # a rounding may move an item or two
    assert got["accuracy"] > 2 * opened.task.metric.floor
