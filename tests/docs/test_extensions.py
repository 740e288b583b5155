"""What the documentation site makes from the code: pages of commands, references, heads of files.

That the whole site builds, with every link and every notebook, is ``make docs``.
"""

import importlib
import sys
from pathlib import Path

import pytest
from typer.main import get_command

pytest.importorskip("sphinx")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def extension(monkeypatch):
    """A module of docs/extensions."""
    monkeypatch.syspath_prepend(str(DOCS / "extensions"))
    yield importlib.import_module
    for name in ("commands", "generated", "headers", "modules", "references"):
        sys.modules.pop(name, None)


def test_each_command_has_a_page_with_all_that_it_takes(extension):
    commands = extension("commands")
    examples = commands.examples_in(DOCS)
    known = get_command(commands.command_line).commands
    assert set(examples) <= set(known)
    for name, command in known.items():
        page = commands.page(name, command, examples[name])
        assert page.startswith(f"# {name}\n\n{commands.plain(command.help)}")
        for param in command.params:
            words = param.opts + param.secondary_opts
            wanted = [param.metavar] if param.param_type_name == "argument" else words
            assert all(word in page for word in wanted), (name, wanted)


def test_an_example_goes_to_its_command(extension):
    examples = extension("commands").examples_in(DOCS)
    assert ("tutorial", "hyflexsim run part-jets --set workload.count=8") in examples["run"]
    continued = [call for _, call in examples["run"] if "\\\n" in call]
    assert all(not call.endswith("\\") for call in continued)
    assert continued


def test_help_is_shown_as_it_is(extension):
    plain = extension("commands").plain
    assert plain("Into runs/<name>, as --set a_b=…") == r"Into runs/\<name\>, as `--set` a\_b=…"


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("hyflexsim.sim.graph", True),
        ("hyflexsim.workloads.simulate", True),
        ("hyflexsim.analysis.run.run.Run.trace", True),
        ("hyflexsim.workloads.run.run.Result.fill", True),
        ("hyflexsim.workloads.scenario.schema.Host.queue", True),
        ("hyflexsim.workloads.simulat", False),
        ("hyflexsim.analysis.run.run.Run.tracks", False),
        ("hyflexsim.simm", False),
    ],
)
def test_a_name_exists_or_does_not(extension, name, there):
    assert extension("references").exists(name) is there


def test_sentences_on_what_is_left_out(extension):
    said = dict(extension("headers").left_out())
    assert said["sim/units/mac_array.py"] == "Edges of the array, stalls."
    assert said["sim/wear.py"]


def test_pages_that_are_made_no_more_go(extension, tmp_path):
    write = extension("generated").write
    write(tmp_path, {"a.md": "1", "b.md": "2"})
    before = (tmp_path / "a.md").stat().st_mtime_ns
    write(tmp_path, {"a.md": "1"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]
    assert (tmp_path / "a.md").stat().st_mtime_ns == before


def test_every_module_of_the_reference_exists(extension):
    modules = extension("modules")
    for room, (_, files) in modules.ROOMS.items():
        for file in files.split():
            importlib.import_module(f"hyflexsim.{room}.{file}")
