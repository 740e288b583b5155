"""Models of one chip in numbers: as each alone, on the PUs it has beside the others."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli import main as cli
from hyflexsim.workloads.run import colocated
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario.colocation import Colocation
from hyflexsim.workloads.values import execute, execute_each

MLP = Colocation.load("jets-and-mlp").models["mlp"]
CELLS = ("ideal", "converters", "noise")


@pytest.fixture(scope="module")
def several(make_scenario):
    """A function: a scenario of a small BERT and a small GPT-2, and ``others``, on one chip."""

    def colocation(faults=None, **others):
        shares = {}
        for name, pus in (("bert", 3), ("gpt2", 4)):
            one = make_scenario(name)
            shares[name] = {
                "pus": pus,
                "model": one.model.model_dump(),
                "mapping": one.mapping.model_dump(),
                "workload": one.workload.model_dump(),
            }
        content = {"name": "two", "faults": faults or {}, "models": shares | others}
        return Colocation.model_validate(content)

    return colocation


@pytest.mark.parametrize("cells", CELLS)
def test_each_computes_what_it_does_alone(several, cells):
    two = several()
    done = execute_each(two, cells=cells).models
    assert list(done) == ["bert", "gpt2"]
    for name, found in done.items():
        alone = execute(two.alone(name), cells=cells)
        assert found.rows == alone.rows
        assert found.elements == found.equal > 0
        assert not found.unequal()


def test_what_is_executed_is_what_was_played(several):
    """The steps of each model in the plan of all are those of its own: names and numbers apart."""
    ready = colocated.prepare(several())
    joined = ready.joined.plan
    for member, part in enumerate(ready.parts):
        first = next(i for i, step in enumerate(joined.steps) if step.member == member)
        own = part.alone().plan
        assert own.members == 1
        for number, step in enumerate(own.steps):
            found = joined.steps[first + number]
            lanes = [joined.components[lane].name for lane in found.lanes]
            assert lanes == [own.components[lane].name for lane in step.lanes]
            assert found == replace(
                step,
                member=member,
                name=f"{part.name}/{step.name}",
                op=f"{part.name}/{step.op}",
                layer=f"{part.name}/{step.layer}",
                lanes=found.lanes,
                inputs=tuple(replace(e, source=first + e.source) for e in step.inputs),
                reserves=tuple(first + i for i in step.reserves),
            )


def test_it_lies_on_its_share(several):
    """GPT-2 behind BERT's three PUs, where its own plan alone would begin with the first."""
    two = several()
    part = colocated.prepare(two).parts[1].alone()
    used = {pu for group in part.placement.groups() for pu in group}
    assert min(used) == 3 == 3 + min(min(g) for g in prepare(two.alone("gpt2")).placement.groups())
    assert used <= set(range(3, 7))


def test_what_is_broken_moves_the_numbers_of_the_model_on_it(several):
    """A dead converter of the first array behind BERT's PUs: seen by GPT-2's cells alone."""
    whole = execute_each(several(), cells="noise").models
    faults = {"names": ["pu3.analog.0.0.adc0"], "repair": "none"}
    broken = execute_each(several(faults), cells="noise").models
    assert broken["bert"].output_error == whole["bert"].output_error
    assert broken["gpt2"].output_error != whole["gpt2"].output_error
    assert all(done.elements == done.equal for done in broken.values())


def test_a_model_that_is_a_graph_is_left_out_with_a_word(several):
    done = execute_each(several(mlp=MLP.model_dump()), requests=1)
    assert list(done.models) == ["bert", "gpt2"]
    assert done.notes[0] == "mlp: no values: model.graph has no weights"
    assert any(note.startswith("bert: weights of bert are random") for note in done.notes)


def test_refusals(several):
    graphs = several().model_copy(update={"models": {"one": MLP, "other": MLP}})
    with pytest.raises(InputError, match=r"and none of models one, other has a model.name or"):
        execute_each(graphs)
    with pytest.raises(InputError, match=r"models.bert: cells must be one of ideal"):
        execute_each(several(), cells="wet")


def test_the_table_has_the_models_and_is_kept(several, tmp_path, capsys):
    file = tmp_path / "two.toml"
    lines = []
    for name, share in several(mlp=MLP.model_dump()).models.items():
        source = share.model.name or share.model.graph
        key = "name" if share.model.name else "graph"
        lines += [
            f"[models.{name}]",
            f"pus = {share.pus}",
            f'model = {{ {key} = "{source}" }}',
            f'workload = {{ kind = "tokens", tokens = {share.workload.tokens} }}',
        ]
    file.write_text("\n".join(lines))
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", str(file), "--values", "--no-plots", "--out", f"{tmp_path}/r"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "largest difference" in printed
    assert "note: mlp: no values: model.graph has no weights" in printed
    table = pq.read_table(tmp_path / "r" / "values.parquet").to_pydict()
    assert list(table) == ["model", "op", "what", "elements", "equal", "largest_difference"]
    assert set(table["model"]) == {"bert", "gpt2"}
    assert table["elements"] == table["equal"]
    for name in ("bert", "gpt2"):
        numbers = sum(
            n for model, n in zip(table["model"], table["elements"], strict=True) if model == name
        )
        assert f"{name}: values: {numbers:,} numbers of " in printed
