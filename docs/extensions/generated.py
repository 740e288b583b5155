"""Pages that are made from the code before Sphinx reads its sources: docs/reference/generated.

Git ignores that folder. A page that is as it was is not written again, so that Sphinx need not read
it again; one that is made no more goes.
"""

from collections.abc import Mapping
from pathlib import Path


def write(folder: Path, pages: Mapping[str, str]) -> None:
    """Make a folder hold these pages (file name: content), and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, content in pages.items():
        page = folder / name
        if not page.is_file() or page.read_text(encoding="utf-8") != content:
            page.write_text(content, encoding="utf-8")
