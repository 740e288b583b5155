"""Every block of docs/how-to.md runs, in order, in one folder."""

import pytest


@pytest.mark.slow
def test_the_page_runs(run_page):
    blocks, folder = run_page("how-to.md")
    assert len(blocks) >= 5
    assert (folder / "runs" / "tall" / "summary.json").is_file()
