"""A scenario from graph to run directory, on graphs small enough to count by hand."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyflexsim.analysis import load
from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.workloads import Scenario, simulate
from hyflexsim.workloads.jets.sample import SAMPLE
from hyflexsim.workloads.outputs import new_folder
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.run.prepare import prepare

WIDTH = 64


def block(graph, layer, source, causal):
    """Q, K, attention and a matrix: one small transformer block."""

    def op(name, kind, **attributes):
        return g.add_op(graph, f"{layer}.{name}", kind, layer=layer, **attributes)

    context = "prefix" if causal else "all"
    for name in ("q", "k"):
        matrix = {"rows": WIDTH, "cols": WIDTH, "weight": f"{layer}.{name}.weight"}
        g.connect(graph, source, op(name, "gemv", width=WIDTH, **matrix))
    bits = {"heads": 2, "inner": 32, "multiplies": ["values", "values"]}
    scores = op("qk", "matmul", width=2, context=context, **bits)
    g.connect(graph, f"{layer}.q", scores)
    g.connect(graph, f"{layer}.k", scores, context)
    soft = op("softmax", "softmax", width=2, elements=2, context=context)
    g.connect(graph, scores, soft)
    bits = {"heads": 2, "inner": 32, "multiplies": ["probabilities", "values"]}
    mixed = op("pv", "matmul", width=WIDTH, context=context, **bits)
    g.connect(graph, soft, mixed)
    g.connect(graph, f"{layer}.k", mixed, context)
    matrix = {"rows": WIDTH, "cols": WIDTH, "weight": f"{layer}.out.weight"}
    out = op("out", "gemv", width=WIDTH, **matrix)
    g.connect(graph, mixed, out)
    return out


def tiny(path, causal=False):
    graph = g.new_graph("tiny", causal=causal)
    last = g.add_op(graph, "x", "input", layer="input", width=WIDTH)
    for index in range(2):
        last = block(graph, f"blocks.{index}", last, causal)
    if causal:
        head = {"rows": WIDTH, "cols": 16, "weight": "head.weight", "head": True}
        g.add_op(graph, "head", "gemv", layer="head", width=16, **head)
        g.connect(graph, last, "head")
        last = "head"
    g.add_op(graph, "y", "output", layer="output", width=16)
    g.connect(graph, last, "y")
    g.save(graph, path)
    return graph


@pytest.fixture
def scenario(tmp_path):
    """A scenario of two requests with four tokens each, with changes."""
    tiny(tmp_path / "tiny.json")
    tiny(tmp_path / "causal.json", causal=True)
    path = tmp_path / "tiny.toml"
    path.write_text(
        '[model]\ngraph = "tiny.json"\n[workload]\nkind = "tokens"\ntokens = 4\nrequests = 2\n'
    )
    return lambda *changes: Scenario.load(path, changes)


def test_counts_agree_with_the_graph(scenario):
    result = simulate(scenario())
    graph = g.load(scenario().model.graph)
    assert result.summary["macs"] == 2 * sum(g.macs(graph, 4).values())
    assert (
        result.summary["visits"]
        == len(result.played.trace)
        == sum(row["visits"] for row in result.tables["components"] if row["kind"] in VISITED)
    )
    assert result.summary["tokens"] == 8


VISITED = ("bank", "adc", "accumulator", "digital_pim", "sfu")
VISITED += ("pu_bus", "global_bus", "chip_link", "host_port")


def test_energy_is_the_sum_over_requests_and_over_kinds(scenario):
    for mode in ("action", "power-time"):
        result = simulate(scenario(f"run.energy={mode}"))
        total = sum(row["energy_pj"] for row in result.tables["energy"])
        by_request = sum(row["energy_pj"] for row in result.tables["requests"])
        assert by_request == pytest.approx(total, rel=1e-12)
        assert result.summary["energy_per_request_pj"] == pytest.approx(total / 2, rel=1e-12)
        assert result.summary["energy_mode"] == mode


def test_latency_runs_from_arrival_to_the_last_answer(scenario):
    arrivals = 'workload.arrivals={kind="interval", interval="1 ms"}'
    first, second = simulate(scenario(arrivals)).tables["requests"]
    assert (first["arrival_ps"], second["arrival_ps"]) == (0, 10**9)
    # a millisecond apart they do not meet, so they take equally long
    assert first["latency_ps"] == first["finish_ps"] == second["latency_ps"]
    together = simulate(scenario()).tables["requests"]
    assert together[1]["latency_ps"] > first["latency_ps"]


def test_both_fidelities_take_equally_long(scenario):
    token = simulate(scenario()).summary
    bit = simulate(scenario("run.fidelity=bit")).summary
    assert token["latency_ps"] == bit["latency_ps"]
    assert token["visits"] < bit["visits"]


def test_layer_serial_is_slower(scenario):
    serial = simulate(scenario("run.overlap=layer-serial"))
    assert serial.summary["makespan_ps"] > simulate(scenario()).summary["makespan_ps"]
    assert serial.summary["overlap"] == "layer-serial"


def generate(scenario, *changes):
    path = scenario().model.graph.replace("tiny", "causal")
    kind = ("workload.kind=generate", "workload.requests=1", f"model.graph={path}")
    return scenario(*kind, *changes)


def test_text_of_one_token_is_the_prompt_alone(scenario):
    result = simulate(generate(scenario, "workload.prefill=4", "workload.decode=1"))
    (row,) = result.tables["requests"]
    assert (row["prefill"], row["tokens"]) == (4, 4)
    assert row["first_token_ps"] == row["finish_ps"]


def test_every_further_token_waits_for_the_one_before(scenario):
    result = simulate(generate(scenario, "workload.prefill=4", "workload.decode=3"))
    (row,) = result.tables["requests"]
    # three tokens are generated; the third is not fed back
    assert (row["prefill"], row["tokens"]) == (4, 6)
    answers = [i for i, step in enumerate(result.plan.steps) if step.op == "y"]
    ends = result.played.trace.end[result.played.trace.step == answers[-1]]
    assert len(ends) == 3
    assert row["first_token_ps"] == ends[0] < ends[1] < ends[2] == row["finish_ps"]


def test_a_window_limits_requests_on_the_chip(scenario):
    assert simulate(scenario("run.window=1")).played.peak_requests == 1


def test_the_same_scenario_gives_the_same_bytes(scenario, tmp_path):
    for name in ("one", "two"):
        simulate(scenario("run.fidelity=bit")).save(tmp_path / name / "run", pictures=True)
    files = sorted(path.name for path in (tmp_path / "one/run").iterdir())
    assert {"host.json", "trace.parquet", "timeline.png"} <= set(files)
    for name in set(files) - {"host.json"}:
        one, two = (tmp_path / run / "run" / name for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name


def test_analysis_reads_what_was_written(scenario, tmp_path):
    result = simulate(scenario("run.fidelity=bit"))
    run = load(result.save(tmp_path / "run"))
    assert len(run.trace) == result.summary["visits"]
    assert run.trace["end_ps"].is_monotonic_increasing
    assert (run.trace["arrival_ps"] <= run.trace["start_ps"]).all()
    assert set(run.trace.loc[run.trace["kind"] == "bank", "plane"]) == set(range(8))
    assert set(run.trace.loc[run.trace["kind"] == "sfu", "plane"]) == {0}
    assert run.trace["token"].max() == 3
    assert set(run.trace["component"]) <= set(run.components["component"])
    assert run.classes["blocks.0.q"] == "gemv"
    assert run.scenario["hardware"]["analog.rows"]["value"] == 64


def test_sequencers_are_not_components(scenario, tmp_path):
    run = load(simulate(scenario("run.overlap=layer-serial")).save(tmp_path / "run"))
    assert not run.trace["component"].str.contains("sequencer").any()
    assert set(run.trace["component"]) <= set(run.components["component"])


def test_strings_are_encoded_once(scenario, tmp_path):
    folder = simulate(scenario()).save(tmp_path / "run")
    schema = pq.ParquetFile(folder / "trace.parquet").schema_arrow
    for name in ("step", "op", "kind", "component", "layer"):
        assert str(schema.field(name).type).startswith("dictionary<values=string")
    assert str(schema.field("plane").type) == "int16"


def test_assumptions_are_named_and_derived_values_noted(scenario):
    summary = simulate(scenario("adc.slc_bits=5")).summary
    assert "sfu.depth" in summary["assumptions"]
    assert "analog.adc.slc_bits" in summary["assumptions"]  # an override is nobody's measurement
    assert "analog.energy.adc_conversion_slc" in summary["assumptions"]  # it follows from one
    assert "chip_link.energy.bit" not in summary["assumptions"]  # one chip has no links
    assert any("analog.energy.adc_conversion_slc was derived" in x for x in summary["notes"])


def test_a_length_that_the_model_does_not_take(scenario, tmp_path):
    graph = tiny(tmp_path / "fixed.json")
    graph.graph["tokens"] = 7
    g.save(graph, tmp_path / "fixed.json")
    with pytest.raises(InputError, match=r"workload\.tokens must be 7: tiny takes inputs of one"):
        simulate(scenario(f"model.graph={tmp_path / 'fixed.json'}"))


def test_a_model_that_cannot_generate(scenario):
    with pytest.raises(InputError, match="tiny is not causal"):
        simulate(scenario("workload.kind=generate"))


def test_a_model_that_does_not_fit(scenario):
    with pytest.raises(CapacityError, match=r"arrays\) short$"):
        simulate(scenario("chip.pus=1", "analog.count=1", "analog.arrays=8"))


def test_more_jets_than_there_are(scenario):
    with pytest.raises(InputError, match=r"workload.count must be at most \d+, the jets of the"):
        simulate(scenario("workload.kind=jets", "workload.count=1000000"))


def test_jets_give_lengths_and_labels(scenario):
    rows = simulate(scenario("workload.kind=jets", "workload.count=5")).tables["requests"]
    assert {row["label"] for row in rows} == {"QCD", "Tbqq", "Tbl", "Wqq", "Hbb"}
    assert all(1 <= row["tokens"] <= 128 for row in rows)


def test_progress_counts_requests(scenario):
    calls = []
    simulate(scenario(), progress=lambda *call: calls.append(call))
    assert [call for call in calls if call[0] == "simulating"] == [
        ("simulating", done, 2) for done in range(3)
    ]


# --- the run directory ---------------------------------------------------------------------------


def test_an_older_run_is_replaced_as_a_whole(scenario, tmp_path):
    result = simulate(scenario())
    result.save(tmp_path / "run")
    (tmp_path / "run" / "my_picture.png").touch()
    result.save(tmp_path / "run")
    assert not (tmp_path / "run" / "my_picture.png").exists()
    assert not list(tmp_path.glob(".hyflexsim*"))


def test_somebody_elses_folder_is_refused(scenario, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="must be a new folder or a run directory"):
        simulate(scenario()).save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "years of work"


def test_what_fails_leaves_the_older_run_as_it_was(scenario, tmp_path):
    folder = simulate(scenario()).save(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KeyboardInterrupt), new_folder(folder, run_dir.MARKS) as scratch:
        (scratch / "trace.parquet").touch()
        raise KeyboardInterrupt
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_host_json_alone_knows_the_clock(scenario, tmp_path):
    folder = simulate(scenario()).save(tmp_path / "run")
    host = json.loads((folder / "host.json").read_text())
    assert set(host["seconds"]) == {"prepare", "play", "count", "write"}
    assert "simpy" in host["versions"]


def test_a_saved_graph_needs_no_torch(scenario):
    code = (
        "import sys; from hyflexsim.workloads import simulate, Scenario; "
        f"simulate(Scenario.load({str(scenario().model.graph)!r}.replace('json', 'toml'))); "
        "print([name for name in ('torch', 'transformers', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_padded_jets_are_as_many_tokens_as_particles(tmp_path):
    """As HDF5 and NumPy have them: 128 columns, zeros behind. Units are refused here, too."""
    whole = pq.read_table(SAMPLE).slice(0, 5)
    table = whole
    for place, name in enumerate(whole.column_names):
        if name.startswith("part_"):
            lists = [[*column, *[0] * (128 - len(column))] for column in whole[name].to_pylist()]
            table = table.set_column(place, name, pa.array(lists))
    for name, content in (("whole", whole), ("padded", table)):
        pq.write_table(content, tmp_path / f"{name}.parquet")
    changes = ["workload.count=5", f"workload.file={tmp_path / 'whole.parquet'}"]
    alone = simulate(Scenario.load("part-jets", changes)).summary
    changes[1] = f"workload.file={tmp_path / 'padded.parquet'}"
    assert simulate(Scenario.load("part-jets", changes)).summary == alone
    assert alone["tokens"] == sum(len(column) for column in whole["part_px"].to_pylist())
    milli = pa.array([[1000 * v for v in column] for column in whole["part_px"].to_pylist()])
    place = whole.schema.get_field_index("part_px")
    pq.write_table(whole.set_column(place, "part_px", milli), tmp_path / "padded.parquet")
    with pytest.raises(InputError, match="part_px must be from -7000 to 7000 GeV"):
        simulate(Scenario.load("part-jets", changes))


def test_a_shared_pu_that_dies_takes_both_its_layers_along(tmp_path):
    """Two blocks of a PU and a half: PU 1 holds parts of both, PU 2 of the second only."""
    tiny(tmp_path / "tiny.json")
    for dead, gone in (("pu1", {"pu00-01", "pu01-02"}), ("pu2", {"pu01-02"})):
        content = {
            "name": "tiny",
            "model": {"graph": str(tmp_path / "tiny.json")},
            "mapping": {"pus_per_layer": 1.5},
            "workload": {"kind": "tokens", "tokens": 3},
            "faults": {"deaths": {dead: "1 ns"}},
        }
        ready = prepare(Scenario.model_validate(content))
        assert {ready.plan.components[i].name.partition(".")[0] for i in ready.deaths} == gone
