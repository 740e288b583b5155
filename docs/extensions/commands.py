"""A page for each command, made from the command line itself: usage, arguments, options, examples.

Examples are the lines of the tutorial and the how-to that call it, which tests run.
"""

import re
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any

import generated
from sphinx.application import Sphinx
from typer.main import get_command

from hyflexsim.workloads.cli.main import app as command_line

PAGES = {"tutorial": "Tutorial", "how-to": "How to"}
"""Where examples come from."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", make)
    return {"parallel_read_safe": True}


def make(app: Sphinx) -> None:
    """Write the pages."""
    source = Path(app.srcdir)
    commands = get_command(command_line).commands
    examples = examples_in(source)
    pages = {f"{name}.md": page(name, each, examples[name]) for name, each in commands.items()}
    pages["index.md"] = index(commands)
    generated.write(source / "reference" / "generated" / "commands", pages)


def index(commands: dict[str, Any]) -> str:
    """All commands, with the first line of each."""
    names = sorted(commands)
    rows = [f"| [`{name}`]({name}.md) | {first_line(commands[name])} |" for name in names]
    return "\n".join(
        [
            "# Commands",
            "",
            "`hyflexsim COMMAND --help` says the same. Exit codes: 0 done; 1 the simulated machine "
            "is stuck, and the report says who waits for whom; 2 bad input, in one line; 130 "
            "interrupted. Nothing half-written stays in any case.",
            "",
            "| command | what it does |",
            "|---|---|",
            *rows,
            "",
            "```{toctree}",
            ":hidden:",
            *names,
            "```",
            "",
        ]
    )


def page(name: str, command: Any, examples: list[tuple[str, str]]) -> str:
    """One command."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join(["hyflexsim", name, *(each.metavar for each in arguments)])
    lines = [f"# {name}", "", plain(command.help), "", "```text", f"{usage} [OPTIONS]", "```", ""]
    for title, params in (("Arguments", arguments), ("Options", options)):
        if params:
            lines += [f"## {title}", ""]
            lines += [line for each in params for line in entry(each, command)]
    for where, title in PAGES.items():
        calls = [call for source, call in examples if source == where]
        if calls:
            lines += [f"## In the {title.lower()}", "", f"See [{title}](../../../{where}.md)."]
            lines += ["", "```bash", *calls, "```", ""]
    return "\n".join(lines)


def entry(param: Any, command: Any) -> list[str]:
    """An argument or option as an entry of a list of definitions, with the words of --help."""
    if param.param_type_name == "argument":
        names, said = param.metavar, param.help or ""
    else:
        context = command.make_context(command.name, [], resilient_parsing=True)
        names, said = param.get_help_record(context)
    help_text, _, default = said.partition("  [default: ")
    said = plain(help_text)
    if default:
        said += f" Default: `{default.removesuffix(']')}`."
    if param.multiple:
        said += " May be given several times."
    return [f"`{names}`", f": {said.strip() or 'See above.'}", ""]


def plain(text: str) -> str:
    """Text of --help as Markdown that shows it as it is; options look like code."""
    escaped = re.sub(r"([\\`*_<>\[\]|])", r"\\\1", text)
    return re.sub(r"(?<!\S)(--[a-z-]+)", r"`\1`", escaped)


def first_line(command: Any) -> str:
    """The summary of a command's help."""
    return plain(str(command.help).partition("\n")[0])


def examples_in(source: Path) -> dict[str, list[tuple[str, str]]]:
    """Calls of each command in the blocks that tests run: (page, line)."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in PAGES:
        text = (source / f"{name}.md").read_text(encoding="utf-8")
        for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            for call in re.findall(r"^hyflexsim (?:.*\\\n)*.*$", block, re.MULTILINE):
                command = shlex.split(call, comments=True)[1]
                found[command].append((name, call))
    return found
