"""Files as strangers have them: mutated real ones give an answer or one line, never a traceback.

Two hundred mutations of each kind of file; ``make fuzz`` draws five thousand that nobody has seen.
"""

import copy
import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim import analysis
from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.transformer import PART_CONFIGS
from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import Scenario
from hyflexsim.workloads.compression.judged_models import recipe_of
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.extract import extract
from hyflexsim.workloads.jets.jets import PARTICLE_COLUMNS, load_jets
from hyflexsim.workloads.jets.sample import SAMPLE
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.scenario.checkpoints import CHECKPOINTS, read_about
from hyflexsim.workloads.sweeping.sweep_file import Sweep

LONGEST = 2000
"""Characters of a line that somebody reads."""
many = settings(max_examples=2 * settings.default.max_examples)
STRANGE = [
    *(0, -1, 1, 0.5, 2**63, 10**30, 1e308, float("nan"), float("inf"), True, None),
    *("", "x", "../x", "0", "ü" * 300, [], [[]], [1], {}, {"x": 1}, {"kind": []}),
]
SHIPPED = Path(model_zoo.__file__).parents[1]


def answered(read, *arguments):
    """What a reader gives; None where it refuses, which must be in one line."""
    try:
        return read(*arguments)
    except (InputError, ModelError) as error:
        text = str(error)
        assert text
        assert "\n" not in text
        assert len(text) < LONGEST
        return None


@st.composite
def mutated_bytes(draw, content):
    """Text or a table cut, with bytes changed, left out or doubled, or with a byte order mark."""
    at = draw(st.integers(0, len(content)))
    size = draw(st.integers(1, 40))
    other = draw(st.binary(min_size=1, max_size=4))
    return draw(
        st.sampled_from(
            [
                content[:at],
                content[:at] + other + content[at + len(other) :],
                content[:at] + content[at + size :],
                content[:at] + content[at : at + size] + content[at:],
                b"\xef\xbb\xbf" + content,
                content.decode("utf-8", "replace").encode("utf-16"),
            ]
        )
    )


@st.composite
def mutated_tree(draw, content):
    """JSON with one to three values replaced, or keys dropped or renamed."""
    tree = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        table = tree
        while True:
            places = list(table) if isinstance(table, dict) else list(range(len(table)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            inner = table[place]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                table = inner
                continue
            what = draw(st.sampled_from(["replace", "drop", "rename", "negate"]))
            if what == "drop":
                del table[place]
            elif what == "rename" and isinstance(table, dict):
                table[f"{place}s"] = table.pop(place)
            elif what == "negate" and isinstance(inner, int | float):
                table[place] = -inner
            else:
                table[place] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
            break
    return tree


# --- jets ----------------------------------------------------------------------------------------

JETS = pq.read_table(SAMPLE).slice(0, 12)
MOMENTA = ("jet_pt", "jet_energy", "jet_mass", "part_px", "part_py", "part_pz", "part_mass")


def _change(names, function):
    table = JETS
    for name in names:
        values = [
            [function(v) for v in value] if isinstance(value, list) else function(value)
            for value in table[name].to_pylist()
        ]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    return table


def _pad(length):
    table = JETS
    for name in PARTICLE_COLUMNS:
        lists = [[*v, *[0] * (length - len(v))] for v in table[name].to_pylist()]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(lists))
    return table


def _wide(table):
    kinds = {pa.float32(): pa.float64(), pa.int8(): pa.int64()}
    fields = [
        pa.field(f.name, pa.large_list(kinds.get(f.type.value_type, f.type.value_type)))
        if pa.types.is_list(f.type)
        else pa.field(f.name, kinds.get(f.type, f.type))
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))


same = st.one_of(
    st.just(JETS),
    st.permutations(JETS.column_names).map(JETS.select),
    st.integers(128, 200).map(_pad),
    st.just(_wide(JETS)),
    st.text(min_size=1, max_size=9).map(lambda n: JETS.append_column(f"my {n}", pa.nulls(12))),
)
factors = st.one_of(st.sampled_from([1e3, 1e-3, 1e6, -1.0]), st.floats(14.1, 1e6))
other = st.one_of(
    factors.map(lambda f: _change(MOMENTA, lambda v: f * v)),
    factors.map(lambda f: _change(MOMENTA[:3], lambda v: f * v)),
    factors.map(lambda f: _change(MOMENTA[3:], lambda v: f * v)),
    st.floats(0.3, 6).map(lambda a: _change(["jet_phi"], lambda v: v + a)),
    st.just(_change(["jet_phi"], np.degrees)),
    st.sampled_from(["part_d0", "part_dz"]).flatmap(
        lambda n: st.sampled_from([1e-3, 0.1, 1e3]).map(lambda f: _change([n], lambda v: f * v))
    ),
    st.floats(0.7, 6).map(lambda a: _change(["jet_eta"], lambda v: v + a)),
    st.just(_change(["jet_eta"], np.degrees)),
    st.sampled_from(["jet_energy", "part_pz"]).flatmap(
        lambda n: factors.map(lambda f: _change([n], lambda v: f * v))
    ),
    st.just(_change(["part_mass"], lambda v: 1000 * v)),
    st.sampled_from([2, 3, 1 / 3]).map(lambda f: _change(["part_charge"], lambda v: f * v)),
    st.integers(5, 2**62).map(lambda n: _change(["part_pid"], lambda v: v + n)),
    st.sampled_from(JETS.column_names)
    .map(lambda n: JETS.drop_columns([n]))
    .filter(
        lambda table: (
            not {"jet_nparticles", "label"}.intersection(
                set(JETS.column_names) - set(table.column_names)
            )
            and not any(
                n.startswith("truth") for n in set(JETS.column_names) - set(table.column_names)
            )
        )
    ),
    st.sampled_from(MOMENTA).map(lambda n: JETS.append_column(n, JETS[n])),
)


@many
@given(table=same)
def test_jets_written_otherwise_are_the_same(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("jets") / "jets.parquet"
    pq.write_table(table, path)
    found, sample = load_jets(path), load_jets(SAMPLE, limit=12)
    assert found.labels.tolist() == sample.labels.tolist()
    assert found.offsets.tolist() == sample.offsets.tolist()
    for name, column in sample.particles.items():
        assert found.particles[name].tolist() == column.tolist()
    shutil.rmtree(path.parent)


@many
@given(table=other)
def test_jets_of_other_meaning_are_refused(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("jets") / "jets.parquet"
    pq.write_table(table, path)
    with pytest.raises(InputError, match=f"^{path}: "):
        load_jets(path)
    shutil.rmtree(path.parent)


@many
@given(st.data())
def test_damaged_jets_are_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("jets") / "jets.parquet"
    pq.write_table(JETS, path)
    path.write_bytes(data.draw(mutated_bytes(path.read_bytes())))
    answered(load_jets, path)
    shutil.rmtree(path.parent)


# --- texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "file"),
    [
        (Scenario.load, SHIPPED / "scenarios" / "bert-base.toml"),
        (Recipe.load, SHIPPED / "recipes" / "vit-digits.toml"),
        (PartRecipe.load, SHIPPED / "data" / "part-small.toml"),
        (Sweep.load, next(iter(sorted((SHIPPED / "sweeps").glob("*.toml"))))),
    ],
)
@many
@given(data=st.data())
def test_texts(tmp_path_factory, read, file, data):
    path = tmp_path_factory.mktemp("texts") / file.name
    path.write_bytes(data.draw(mutated_bytes(file.read_bytes())))
    answered(read, path)
    shutil.rmtree(path.parent)


# --- objects -------------------------------------------------------------------------------------


def test_the_objects_that_are_changed_are_right(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(_config()))
    assert _built(path) is not None


def _config():
    return {"model_type": "part", "architectures": ["ParT"]} | PART_CONFIGS["part-small"]


def _built(path):
    config = model_zoo.config_of(path)[1]
    with suppress(KeyError):
        del config["architectures"]
    return model_zoo.build("m", config)


@many
@given(tree=mutated_tree(json.loads(json.dumps(_config()))))
def test_configurations(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("configs") / "config.json"
    path.write_text(json.dumps(tree))
    answered(_built, path)
    shutil.rmtree(path.parent)


@pytest.fixture(scope="module")
def graph():
    return json.loads(g.dumps(extract("part-kin")))


@many
@given(data=st.data())
def test_graphs(graph, data):
    answered(g.loads, json.dumps(data.draw(mutated_tree(graph))).encode(), "g.json")


@many
@given(data=st.data())
def test_checkpoints(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("checkpoints")
    entry = json.loads((CHECKPOINTS / "vit-digits" / "ranks.json").read_text())
    entry["layers"] = dict(list(entry["layers"].items())[:1])
    (folder / "ranks.json").write_text(json.dumps(data.draw(mutated_tree(entry))))
    answered(lambda: recipe_of(folder, read_about(folder)))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from hyflexsim.workloads import simulate  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("runs") / "run"
    return simulate(Scenario.load("part-jets", ["workload.count=1"])).save(folder)


@many
@given(data=st.data())
def test_run_directories(run, data):
    name = data.draw(st.sampled_from(["summary.json", "scenario.json"]))
    content = (run / name).read_text()
    try:
        (run / name).write_text(json.dumps(data.draw(mutated_tree(json.loads(content)))))
        answered(lambda: analysis.load(run, trace_columns=()))
        answered(analysis.compare, [run])
    finally:
        (run / name).write_text(content)
