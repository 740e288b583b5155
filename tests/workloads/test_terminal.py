"""What is printed is what was said."""

from hyflexsim.workloads.cli.terminal_tables import table
from hyflexsim.workloads.terminal import console


def test_brackets_are_printed(capsys):
    """Extras (hyflexsim[hep]) and patterns ([a-z]*) are no markup."""
    rows = table("", "name")
    rows.add_row("pip install 'hyflexsim[weights]'")
    console().print(rows)
    assert "pip install 'hyflexsim[weights]'" in capsys.readouterr().out
