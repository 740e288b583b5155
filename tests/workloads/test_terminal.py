"""What is printed is what was said."""

import pytest

from hyflexsim.workloads.cli.terminal_tables import table
from hyflexsim.workloads.terminal import console, resumable


def test_brackets_are_printed(capsys):
    """Extras (hyflexsim[hep]) and patterns ([a-z]*) are no markup."""
    rows = table("", "name")
    rows.add_row("pip install 'hyflexsim[weights]'")
    console().print(rows)
    assert "pip install 'hyflexsim[weights]'" in capsys.readouterr().out


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_done_is_kept_where_it_is(capsys, tmp_path, kept):
    """Else the command says by itself that nothing was written."""
    places = [tmp_path / "no", *([tmp_path] if kept else [])]
    with pytest.raises(SystemExit if kept else KeyboardInterrupt), resumable(*places):
        raise KeyboardInterrupt
    assert ("what is done is kept" in capsys.readouterr().err) == kept
