"""Every ``bash`` and ``python`` block of docs/tutorial.md runs, in order, in one folder.

Blocks marked ``sh`` need an optional extra and half an hour; they are not run here.
"""

import pytest


@pytest.mark.slow
def test_the_tutorial_runs(run_page):
    blocks, folder = run_page("tutorial.md")
    assert {language for language, _ in blocks} == {"bash", "python"}
    for name in ("runs/part-jets/timeline.png", "runs/what-if/summary.json", "map.png"):
        assert (folder / name).is_file()
    for name in ("block.png", "tokens.png", "runs/from-python/trace.parquet", "runs/mine"):
        assert (folder / name).exists()
