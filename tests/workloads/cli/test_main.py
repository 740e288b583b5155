"""The command line: what it prints, its exit codes, and that it leaves nothing half-written."""

import json
import subprocess
import sys
from importlib import metadata

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.load import PRESETS
from hyflexsim.sim.errors import DeadlockError
from hyflexsim.sim.units.catalogue import KINDS
from hyflexsim.workloads.run import run as running

SCENARIO = """
title = "tiny"
[model]
graph = "tiny.json"
[workload]
kind = "tokens"
tokens = 4
requests = 2
"""

LACKING = """
[chip]
pus = { value = 1, status = "assumed", source = "test" }
max_tokens = { value = 64, status = "assumed", source = "test" }
technology_nm = { value = 65, status = "assumed", source = "test" }
"""


def in_a_process(code):
    """Python code in an interpreter of its own; what it printed and how it ended."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def tiny():
    graph = g.new_graph("tiny", causal=True)
    g.add_op(graph, "x", "input", layer="input", width=64)
    g.add_op(graph, "fc", "gemv", layer="h.0", width=64, rows=64, cols=64, weight="fc.weight")
    g.add_op(graph, "norm", "norm", layer="h.0", width=64, elements=64)
    g.add_op(graph, "y", "output", layer="output", width=64)
    for pair in (("x", "fc"), ("fc", "norm"), ("norm", "y")):
        g.connect(graph, *pair)
    return graph


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with a scenario ``tiny.toml`` and its graph."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    g.save(tiny(), "tiny.json")
    (tmp_path / "tiny.toml").write_text(SCENARIO)
    return tmp_path


def test_run_prints_results_and_leaves_a_run_directory(hyflexsim, folder):
    code, out, err = hyflexsim("run", "tiny.toml", "--no-plots")
    assert (code, err) == (0, "")
    for word in ("latency p50", "latency p99", "throughput", "energy per request", "mode action"):
        assert word in out
    for word in ("mean utilisation", "area", "RRAM cells written", "visits", "no paper gives"):
        assert word in out
    assert out.splitlines()[-1] == "written to runs/tiny"
    assert (folder / "runs" / "tiny" / "summary.json").is_file()


def test_run_again_replaces_the_run(hyflexsim, folder):
    hyflexsim("run", "tiny.toml", "--no-plots")
    code, _, _ = hyflexsim("run", "tiny.toml", "--no-plots", "--set", "workload.requests=3")
    assert code == 0
    assert json.loads((folder / "runs/tiny/summary.json").read_text())["requests"] == 3


def test_run_with_options_and_pictures(hyflexsim, folder):
    code, out, _ = hyflexsim(
        *("run", "tiny.toml", "--fidelity", "bit", "--overlap", "layer-serial"),
        *("--set", "adc.rate=2 GS/s", "--out", "here"),
    )
    assert code == 0
    assert "fidelity bit, overlap layer-serial" in out
    assert (folder / "here" / "timeline.png").is_file()


def test_text_generation_shows_the_first_token(hyflexsim):
    graph = tiny()
    graph.nodes["norm"]["head"] = True
    g.save(graph, "tiny.json")
    changes = ("--set", "workload.kind=generate", "--set", "workload.decode=3")
    code, out, _ = hyflexsim("run", "tiny.toml", "--no-plots", *changes)
    assert code == 0
    assert "time to first token" in out
    assert "each further token" in out


CYCLE = [("fc", "norm", "stream"), ("norm", "fc", "stream")]

BAD = {
    "unknown key": (["--set", "workload.tokns=3"], "unknown key 'workload.tokns'"),
    "unknown chip key": (["--set", "adc.slcbits=3"], "unknown key 'adc.slcbits'"),
    "wrong unit": (["--set", "analog.read_cycle=100 mV"], "analog.read_cycle must be"),
    "negative": (["--set", "adc.slc_bits=-3"], "adc.slc_bits must be"),
    "negative memory": (
        ["--set", "analog.registers.input_bytes=-5"],
        "analog.registers.input_bytes must",
    ),
    "absurd": (["--set", "analog.rows=1e300"], "analog.rows must be"),
    "missing graph": (["--set", "model.graph=none.json"], "none.json: No such file or directory"),
    "missing chip": (["--set", "chip.preset=none.toml"], "got 'none.toml'"),
    "missing jets": (
        ["--set", "workload.kind=jets", "--set", "workload.file=none.parquet"],
        "none.parquet: no such file",
    ),
    "unknown model": (["--set", "model.name=bert-bas"], "nearest names: bert-base"),
    "no tokens": (["--set", "workload.tokens=0"], "workload.tokens must be an integer from 1"),
    "no prompt": (
        ["--set", "workload.kind=generate", "--set", "workload.prefill=0"],
        "workload.prefill must be an integer from 1",
    ),
    "nothing to sample": (["--set", "workload.kind=generate"], "has no op marked head"),
    "too long": (
        ["--set", "workload.tokens=9000", "--set", "model.graph=attention.json"],
        "9000 tokens need 2 PUs per layer",
    ),
    "does not fit": (
        ["--set", "chip.pus=1", "--set", "analog.count=1", "--set", "analog.arrays=1"],
        "arrays) short",
    ),
    "too many copies": (["--set", "mapping.copies=1000000"], "copies of"),
    "cycle": (["--set", "model.graph=cycle.json"], "cycle without a recurrent edge"),
    "bad fidelity": (["--fidelity", "fast"], "run.fidelity must be token or bit; got 'fast'"),
    "unknown option": (["--fast"], "No such option"),
    "file in the way": (["--out", "tiny.json"], "tiny.json is a file"),
    "folder in the way": (["--out", "."], "--out must name a folder"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_exit_code_2_and_no_directory(hyflexsim, folder, arguments, message):
    cycle = json.loads((folder / "tiny.json").read_text())
    cycle["edges"].append({"source": "norm", "target": "fc", "rule": "stream"})
    (folder / "cycle.json").write_text(json.dumps(cycle))
    looks = json.loads((folder / "tiny.json").read_text())
    for node in looks["nodes"]:
        if node["id"] == "norm":
            node |= {"kind": "softmax", "context": "all"}
    (folder / "attention.json").write_text(json.dumps(looks))
    before = sorted(folder.iterdir())
    code, out, err = hyflexsim("run", "tiny.toml", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("hyflexsim: ")
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "nowhere.toml"),
        ("run", "part-jet"),
        ("validate", "nowhere.json"),
        ("validate", "nowhere.toml"),
        ("graph", "gpt3"),
        ("graph", "tiny.json", "--layer", "h.9"),
        ("graph", "tiny.json", "--tokens", "0"),
        ("graph", "tiny.json", "--png", "no/such/folder.png"),
        ("graph", "tiny.json", "--png", "picture.docx"),
        ("map", "part-jets", "--set", "chip.pus=0"),
        ("plot", "runs/none"),
        ("compare", "runs/none"),
        ("preset", "hyflexpin"),
        ("preset", "hyflexpim", "--status", "guessed"),
        ("fly",),
    ],
)
def test_other_commands_refuse_in_one_line_too(hyflexsim, folder, arguments):
    before = sorted(folder.iterdir())
    code, _, err = hyflexsim(*arguments)
    assert code == 2
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_a_deadlock_ends_with_1_and_its_report(hyflexsim, folder, monkeypatch):
    def stuck(*_, **__):
        raise DeadlockError("deadlock at 5 ps: fc holds request 0 token 1")

    monkeypatch.setattr(running.engines, "play", stuck)
    code, _, err = hyflexsim("run", "tiny.toml")
    assert (code, err) == (1, "hyflexsim: deadlock at 5 ps: fc holds request 0 token 1\n")
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("phase", ["play", "write"])
def test_an_interrupt_ends_with_130_and_leaves_nothing(hyflexsim, folder, monkeypatch, phase):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    target = (running.engines, "play") if phase == "play" else (running.run_dir, "write_json")
    monkeypatch.setattr(*target, interrupt)
    code, _, err = hyflexsim("run", "tiny.toml", "--no-plots")
    assert (code, err) == (130, "hyflexsim: interrupted; nothing was written\n")
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.toml"]


def test_a_signal_to_end_is_an_interrupt(folder):
    """The process is asked to end while it has its scratch folder open."""
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # jobs of a shell ignore it
        "from hyflexsim.workloads.cli import main\n"
        "from hyflexsim.workloads.run import run as running\n"
        "def end(*_, **__):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    signal.pause()\n"
        "running.engines.play = end\n"
        "main.main(['run', 'tiny.toml', '--no-plots'])\n"
    )
    done = in_a_process(code)
    assert (done.returncode, done.stderr) == (130, "hyflexsim: interrupted; nothing was written\n")
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.toml"]


def test_validate_says_what_a_chip_lacks(hyflexsim, folder):
    (folder / "chip.toml").write_text(LACKING)
    code, _, err = hyflexsim("validate", "chip.toml")
    assert code == 2
    assert err.splitlines() == [
        "hyflexsim: chip.toml: serves.gemv must name the unit that multiplies with weights",
        "hyflexsim: chip.toml: serves.results must name the memory where results lie",
        "hyflexsim: chip.toml: links must join host and chip: [links.NAME] with joins = "
        '["host", "chip"]',
    ]


def test_validate_says_which_models_a_chip_refuses(hyflexsim, folder):
    preset = (PRESETS / "nmp.toml").read_text(encoding="utf-8")
    (folder / "chip.toml").write_text(preset.replace('"softmax|norm|pointwise"', '"norm"'))
    code, out, _ = hyflexsim("validate", "chip.toml")
    assert code == 0
    assert out.splitlines()[:2] == [
        "note: no unit serves softmax: models with attention are refused",
        "note: no unit serves pointwise: models with activations or residuals are refused",
    ]


def test_validate_knows_three_kinds_of_file(hyflexsim, folder):
    (folder / "chip.toml").write_text('extends = "hyflexpim"\n')
    assert "2 requests for tiny on" in hyflexsim("validate", "tiny.toml")[1]
    assert "a graph of 4 ops, 4,096 parameters" in hyflexsim("validate", "tiny.json")[1]
    assert "a chip with 24 PUs" in hyflexsim("validate", "chip.toml")[1]


def test_kinds_and_their_parameters(hyflexsim):
    _, out, _ = hyflexsim("kind")
    for name in KINDS:
        assert f"\n{name} " in out
    _, out, _ = hyflexsim("kind", "near_bank")
    row = next(line for line in out.splitlines() if line.startswith("power.units"))
    for word in ("mW", "0", "1000000000", "energy", "proportional(banks, lanes)"):
        assert word in row
    assert hyflexsim("kind", "near_bonk")[0::2] == (
        2,
        "hyflexsim: kind: no kind 'near_bonk'; nearest: near_bank\n",
    )


def test_a_map_of_memory_counts_bytes(hyflexsim):
    _, out, _ = hyflexsim("map", "tiny.toml", "--set", "chip.preset=nmp")
    head, row = (line for line in out.splitlines() if line.startswith(("layer", "h.0")))
    assert head.split() == ["layer", "PUs", "chip", "copies", "bytes", "of", "its", "PUs"]
    assert row.split() == ["h.0", "0", "0", "1", "4,096", "0.0%"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_refused_by_its_parameter(hyflexsim, value):
    code, _, err = hyflexsim("run", "tiny.toml", "--set", f"analog.rows={value}")
    said = f"tiny: chip.set: analog.rows must be a whole number from 1 to 65536; got '{value}'"
    assert (code, err) == (2, f"hyflexsim: {said}\n")


def test_compare_at_80_columns(hyflexsim, monkeypatch):
    """Long names become letters, and three runs two tables; every number is whole."""
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"runs/a_run_with_a_rather_long_name_{i}" for i in range(4)]
    for i, name in enumerate(names):
        hyflexsim(
            "run", "tiny.toml", "--no-plots", "--out", name, "--set", f"workload.tokens={i + 2}"
        )
    _, out, _ = hyflexsim("compare", *names)
    lines = out.splitlines()
    assert lines[:2] == ["A: a_run_with_a_rather_long_name_0", "B: a_run_with_a_rather_long_name_1"]
    assert max(map(len, lines)) <= 80
    assert "…" not in out
    assert "nan" not in out
    heads = [line.split() for line in lines if line.split()[:1] == ["unit"]]
    assert len(heads) > 1
    assert all(head[1] == "A" for head in heads)


def test_a_ratio_to_nothing_is_a_dash(hyflexsim):
    hyflexsim("run", "tiny.toml", "--no-plots")
    hyflexsim("run", "tiny.toml", "--no-plots", "--out", "runs/two")
    _, out, _ = hyflexsim("compare", "runs/tiny", "runs/two")
    row = next(line for line in out.splitlines() if line.startswith("writes per request"))
    assert row.split()[-3:] == ["0", "0", "–"]


def test_list(hyflexsim):
    _, out, _ = hyflexsim("list")
    for name in ("part-jets", "hyflexpim", "llama-3.2-1b", "mamba-130m"):
        assert name in out


def test_graph_shows_saves_and_draws(hyflexsim, folder):
    code, out, _ = hyflexsim(
        *("graph", "tiny.json", "--tokens", 10, "--out", "copy.json", "--png", "graph.png")
    )
    assert code == 0
    assert "4 ops, 4,096 parameters, 40,960 MACs at 10 tokens" in out
    assert "64 × 64" in out
    assert (folder / "copy.json").read_bytes() == (folder / "tiny.json").read_bytes()
    assert (folder / "graph.png").stat().st_size > 1000


def test_map_shows_and_draws(hyflexsim, folder):
    code, out, _ = hyflexsim("map", "tiny.toml", "--set", "mapping.copies=2", "--png", "map.png")
    assert code == 0
    row = next(line.split() for line in out.splitlines() if line.startswith("h.0"))
    assert row[3:7] == ["4", "0", "2", "8"]  # 64 x 64 weights of 8 cells: 4 arrays, twice
    assert (folder / "map.png").is_file()


def test_map_says_what_pus_a_layer_cost_on_the_buses(hyflexsim, folder):
    """Two matrices of 64 x 64: where they lie in two PUs, 64 bytes a token are gathered between."""
    graph = tiny()
    graph.remove_edge("fc", "norm")
    shape = {"width": 64, "rows": 64, "cols": 64}
    g.add_op(graph, "fc2", "gemv", layer="h.0", weight="fc2.weight", **shape)
    g.connect(graph, "fc", "fc2")
    g.connect(graph, "fc2", "norm")
    g.save(graph, folder / "tiny.json")
    code, out, _ = hyflexsim("map", "tiny.toml", "--pus", "2,1.5,packed,25")
    assert code == 0
    lines = out[out.index("what PUs a layer") :].splitlines()
    found = {line.split()[0]: line.split() for line in lines[2:6]}
    assert [found[way][-7] for way in ("auto", "2", "1.5", "packed")] == ["1", "2", "2", "1"]
    between = {way: int(row[-4]) for way, row in found.items()}
    assert between["2"] == between["1.5"] == between["auto"] + 64
    assert between["packed"] == between["auto"]
    assert lines[6].startswith("no room for 25: the model's")
    assert hyflexsim("map", "tiny.toml", "--pus", "2", "--cells", "fc")[0] == 2
    assert hyflexsim("map", "tiny.toml", "--pus", "some")[0] == 2


def test_plot_and_compare(hyflexsim, folder):
    hyflexsim("run", "tiny.toml", "--no-plots")
    hyflexsim("run", "tiny.toml", "--no-plots", "--out", "runs/two", "--set", "adc.rate=2 GS/s")
    assert hyflexsim("plot", "runs/tiny")[1].count("written to") >= 4
    code, _, _ = hyflexsim(
        *("plot", "runs/tiny", "--layer", "h.0", "--request", 1, "--tokens", "0:2"),
        *("--window", "0ns:50us", "--out", "part.png"),
    )
    assert code == 0
    assert (folder / "part.png").is_file()
    code, out, _ = hyflexsim("compare", "runs/tiny", "runs/two", "--png", "both.png")
    assert code == 0
    assert "two / tiny" in out
    assert (folder / "both.png").is_file()


def test_preset(hyflexsim):
    _, out, _ = hyflexsim("preset", "hyflexpim")
    assert "analog.read_cycle" in out
    assert "HyFlexPIM §5.4" in out
    _, out, _ = hyflexsim("preset", "hyflexpim", "--status", "assumed")
    assert "stated" not in out


def test_nothing_given_shows_help(hyflexsim):
    code, out, _ = hyflexsim()
    assert code == 2
    assert "Usage:" in out


def test_the_version_is_that_of_the_package(hyflexsim):
    code, out, err = hyflexsim("--version")
    assert (code, out, err) == (0, f"hyflexsim {metadata.version('hyflexsim')}\n", "")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from hyflexsim.workloads.cli import main as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = ('torch', 'pandas', 'matplotlib', 'numpy', 'networkx', 'pyarrow', 'pydantic')\n"
        "sys.exit(str([name for name in heavy if name in sys.modules] or ''))"
    )
    done = in_a_process(code)
    assert done.stderr.strip() == ""
    assert "compare" in done.stdout


def test_a_request_to_end_finds_a_process_that_ends():
    """All is printed and written: what the interpreter does after that is nobody's business."""
    code = (
        "import atexit, os, signal\n"
        "from hyflexsim.workloads.cli.main import main\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGTERM)\n"
        "main(['list'])\n"
    )
    done = in_a_process(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "part-jets" in done.stdout
